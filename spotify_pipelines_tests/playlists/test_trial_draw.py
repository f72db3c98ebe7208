"""Draws that are only tried: the same as one that is stored, and nothing is written."""

import pytest
from sqlalchemy import update

from spotify_pipelines.playlists.policies import Policy, parse_policies
from spotify_pipelines.playlists.trial_draw import (
    Trial,
    TrialError,
    draw_for_place,
    draw_for_playlist,
    seed_from,
)
from spotify_pipelines.store.playlists import tracks_of
from spotify_pipelines.store.tables import Playlist, PlaylistSnapshot
from spotify_pipelines_tests.playlists.studio import TWO_POLICIES, Studio


def _planned(studio: Studio, policies: str = TWO_POLICIES) -> None:
    studio.apply(policies)
    studio.plan()


def _policy(text: str = "{name: morning, size: 12}") -> Policy:
    return parse_policies(f"policies:\n  - {text}\n", "test").policies[0]


def _newest(studio: Studio, playlist_id: int) -> PlaylistSnapshot:
    return studio.snapshots(playlist_id)[-1]


def _held(studio: Studio, playlist_id: int) -> list[str]:
    with studio.database.transaction() as session:
        return tracks_of(session, _newest(studio, playlist_id).id)


async def test_a_trial_is_the_draw_that_a_forced_one_stores(studio: Studio) -> None:
    _planned(studio)
    studio.draw()
    playlist = studio.playlists()[0]
    with studio.database.transaction() as session:
        session.execute(update(PlaylistSnapshot).values(published_at=studio.now()))

    trial = draw_for_playlist(studio.database, playlist.id, now=studio.now())
    studio.draw(force=True, playlist_ids=[playlist.id])

    stored = _newest(studio, playlist.id)
    assert list(trial.found.track_ids) == _held(studio, playlist.id)
    assert (trial.found.seed.hex(), trial.found.input_digest) == (stored.seed, stored.input_digest)
    assert trial.found.figures == stored.figures
    assert trial.number == stored.draw


async def test_a_first_draw_can_be_tried_before_the_playlist_is_planned(studio: Studio) -> None:
    studio.apply()

    trial = draw_for_place(studio.database, "morning", "studio-2", now=studio.now())
    studio.plan()
    studio.draw()

    (planned,) = [
        each
        for each in studio.playlists()
        if (each.account_id, each.policy_name) == (studio.accounts[1], "morning")
    ]
    assert trial.before is None
    assert list(trial.found.track_ids) == _held(studio, planned.id)


async def test_nothing_is_written(studio: Studio) -> None:
    _planned(studio)
    studio.draw(limit=3)
    before = studio.fingerprint()

    draw_for_playlist(studio.database, studio.playlists()[0].id, now=studio.now())
    draw_for_playlist(
        studio.database, studio.playlists()[0].id, now=studio.now(), policy=_policy(), seed=b"s"
    )
    draw_for_place(studio.database, _policy("{name: unheard, size: 5}"), "studio-1", now=studio.now())

    assert studio.fingerprint() == before


async def test_what_would_come_go_and_move_adds_up(studio: Studio) -> None:
    _planned(studio)
    studio.draw()
    playlist = studio.playlists()[0]

    trial = draw_for_playlist(studio.database, playlist.id, now=studio.now(), seed=b"another")

    held = _held(studio, playlist.id)
    assert trial.before == tuple(held)
    assert set(held) - set(trial.leaving) | set(trial.entering) == set(trial.found.track_ids)
    for track, (was, position) in trial.moved.items():
        assert (held[was], trial.found.track_ids[position]) == (track, track)
        assert was != position


async def test_a_policy_that_is_not_in_force_can_be_tried(studio: Studio) -> None:
    _planned(studio)
    studio.draw()

    trial = draw_for_playlist(studio.database, studio.playlists()[0].id, now=studio.now(), policy=_policy())
    shared = _policy("{name: new, size: 7, cooldown: {days: 3, scope: policy}}")
    unheard = draw_for_place(studio.database, shared, str(studio.accounts[2]), now=studio.now())

    assert len(trial.found.track_ids) == 12
    assert (unheard.label, len(unheard.found.track_ids)) == ("new@studio-3", 7)


async def test_the_same_seed_gives_the_same_draw_again(studio: Studio) -> None:
    _planned(studio)
    studio.draw()
    playlist = studio.playlists()[0].id

    def tried(text: str) -> Trial:
        return draw_for_playlist(studio.database, playlist, now=studio.now(), seed=seed_from(text))

    assert tried(_newest(studio, playlist).seed).found.track_ids == tuple(_held(studio, playlist))
    assert tried("blue").found.track_ids == tried("blue").found.track_ids != tried("red").found.track_ids


async def test_what_cannot_be_tried_is_refused_in_a_sentence(studio: Studio) -> None:
    _planned(studio)
    retired = studio.playlists()[0].id
    with studio.database.transaction() as session:
        session.execute(update(Playlist).where(Playlist.id == retired).values(status="retired"))

    with pytest.raises(TrialError, match="retired or locked"):
        draw_for_playlist(studio.database, retired, now=studio.now())
    with pytest.raises(TrialError, match="connected are: studio-1, studio-2, studio-3"):
        draw_for_place(studio.database, "morning", "studio-9", now=studio.now())
    with pytest.raises(TrialError, match="these are: evening, morning"):
        draw_for_place(studio.database, "noon", "studio-1", now=studio.now())
    nobody = _policy("{name: silence, size: 5, pool: {artists: [Nobody]}}")
    with pytest.raises(TrialError, match="passes the policy's rules"):
        draw_for_place(studio.database, nobody, "studio-1", now=studio.now())

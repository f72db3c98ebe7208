"""What playlists should hold: when they are drawn, what counts as used, and what is stored of a draw."""

import asyncio
import json
from datetime import timedelta

from sqlalchemy import event, select, update

from spotify_pipelines.playlists.order import OrderTrack
from spotify_pipelines.playlists.order import arrange as arrange_again
from spotify_pipelines.playlists.snapshot import build_snapshots
from spotify_pipelines.store.tables import (
    Playlist,
    PlaylistSnapshot,
    PlaylistSnapshotTrack,
    Track,
    TrackArtist,
)
from spotify_pipelines_tests.playlists.studio import TWO_POLICIES, Studio

MORNING = TWO_POLICIES[: TWO_POLICIES.index("  - name: evening")]
SHARED = MORNING.replace("cooldown: {draws: 1}", "cooldown: {days: 30, scope: SCOPE}")
WAYS_IN = {
    "drawn by weight",
    "drawn by weight after a swap",
    "swapped in: two for one",
    "found by a search for more",
    "taken by relaxation",
}
IMPOSSIBLE = """
  - name: silence
    size: 10
    pool: {artists: [Nobody]}
"""


def _planned(studio: Studio, policies: str = MORNING) -> None:
    studio.apply(policies)
    studio.plan()


def _tracks(studio: Studio, snapshot: PlaylistSnapshot) -> list[PlaylistSnapshotTrack]:
    query = (
        select(PlaylistSnapshotTrack)
        .where(PlaylistSnapshotTrack.snapshot_id == snapshot.id)
        .order_by(PlaylistSnapshotTrack.position)
    )
    with studio.database.transaction() as session:
        return list(session.scalars(query))


def _ids(studio: Studio, snapshot: PlaylistSnapshot) -> list[str]:
    return [track.track_id for track in _tracks(studio, snapshot)]


async def test_every_playlist_is_drawn_once_in_its_cycle(studio: Studio) -> None:
    _planned(studio, TWO_POLICIES)

    report = studio.draw()

    assert report.changed == 6
    assert {each.reason for each in studio.snapshots()} == {"first draw"}
    for each in studio.snapshots():
        tracks = _ids(studio, each)
        assert len(tracks) == len(set(tracks)) == each.figures["tracks"] == each.figures["size_asked"]


async def test_where_nothing_is_due_nothing_is_written_and_no_pool_is_read(studio: Studio) -> None:
    _planned(studio)
    studio.draw()
    before = studio.fingerprint()
    statements: list[str] = []
    event.listen(
        studio.database.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: statements.append(statement),
    )

    report = studio.draw()

    assert (report.changed, report.unchanged) == (0, 3)
    assert studio.fingerprint() == before
    assert not any("array_agg" in statement for statement in statements)


async def test_a_new_cycle_asks_for_a_new_draw_and_moves_the_next_reshuffle(studio: Studio) -> None:
    _planned(studio)
    studio.draw()
    before = {each.id: each.next_reshuffle_at for each in studio.playlists()}

    studio.advance(days=7)
    report = studio.draw()

    assert report.changed == 3
    assert {each.reason for each in studio.snapshots()[3:]} == {"new cycle"}
    for each in studio.playlists():
        earlier = before[each.id]
        assert earlier is not None
        assert each.next_reshuffle_at == earlier + timedelta(days=7)


async def test_weeks_without_a_run_are_caught_up_by_one_draw(studio: Studio) -> None:
    _planned(studio)
    studio.draw()

    studio.advance(days=40)

    assert studio.draw().changed == 3
    assert studio.draw().changed == 0
    assert len(studio.snapshots()) == 6


async def test_the_reshuffle_takes_only_what_is_due(studio: Studio) -> None:
    _planned(studio)
    assert studio.draw(only_due=True).requested == 0, "a planned playlist's first cycle has just begun"
    studio.draw()
    one = studio.playlists()[0]
    with studio.database.transaction() as session:
        session.execute(update(Playlist).where(Playlist.id == one.id).values(next_reshuffle_at=studio.now()))

    assert studio.draw(only_due=True).requested == 1
    studio.advance(days=7)
    assert studio.draw(only_due=True).changed == 3


async def test_a_changed_policy_asks_for_a_new_draw(studio: Studio) -> None:
    _planned(studio, TWO_POLICIES)
    studio.draw()

    studio.apply(TWO_POLICIES.replace("size: 20", "size: 25"))
    report = studio.draw()

    assert report.changed == 3
    assert {(each.reason, each.draw) for each in studio.snapshots()[6:]} == {("policy changed", 1)}
    assert {each.figures["tracks"] for each in studio.snapshots()[6:]} == {25}


async def test_a_track_that_became_unplayable_asks_for_a_new_draw(studio: Studio) -> None:
    _planned(studio)
    studio.draw(limit=1)
    gone = _ids(studio, studio.snapshots()[0])[3]
    with studio.database.transaction() as session:
        session.execute(update(Track).where(Track.id == gone).values(playable=False))

    studio.draw()

    again = studio.snapshots(studio.playlists()[0].id)[-1]
    assert again.reason == "track unplayable"
    assert gone not in _ids(studio, again)


async def test_force_draws_anew_and_differently(studio: Studio) -> None:
    _planned(studio)
    studio.draw()
    one = studio.playlists()[0].id

    report = studio.draw(force=True, playlist_ids=[one])

    assert report.changed == 1
    first, second = studio.snapshots(one)
    assert (first.draw, second.draw, second.reason) == (0, 1, "forced")
    assert _ids(studio, first) != _ids(studio, second)


async def test_a_playlist_without_a_pool_fails_with_the_reason_and_the_others_are_drawn(
    studio: Studio,
) -> None:
    _planned(studio, MORNING + IMPOSSIBLE)

    report = studio.draw()

    assert (report.changed, len(report.failed)) == (3, 3)
    assert {failure.kind for failure in report.failed} == {"EmptyPool"}
    assert "credits none of the policy's artists" in report.failed[0].reason
    waiting = [each for each in studio.playlists() if each.policy_name == "silence"]
    assert all(each.next_reshuffle_at and each.next_reshuffle_at > studio.now() for each in waiting)


async def test_a_draw_is_not_repeated_twice_in_a_row(studio: Studio) -> None:
    _planned(studio)
    studio.draw()
    await studio.sync()

    studio.advance(days=7)
    studio.draw()

    for each in studio.playlists():
        last, newest = studio.snapshots(each.id)
        assert set(_ids(studio, last)).isdisjoint(_ids(studio, newest))
        assert newest.figures["jaccard_with_last"] == 0


async def test_siblings_of_a_shared_cooldown_share_no_track(studio: Studio) -> None:
    for scope, groups in (("policy", 1), ("fleet", 1), ("account", 3)):
        _planned(
            studio,
            SHARED.replace("SCOPE", scope).replace("size: 20", "playlists_per_account: 2\n    size: 15"),
        )
        studio.draw()
        newest = {each.id: _ids(studio, studio.snapshots(each.id)[-1]) for each in studio.playlists()}
        by_group: dict[int, list[str]] = {}
        for each in studio.playlists():
            by_group.setdefault(each.account_id if groups > 1 else 0, []).extend(newest[each.id])

        assert len(by_group) == groups
        assert all(len(tracks) == len(set(tracks)) for tracks in by_group.values())


async def test_a_draw_that_never_went_out_counts_for_nothing(studio: Studio) -> None:
    large = SHARED.replace("SCOPE", "playlist").replace("size: 20", "size: 100\n    caps: {artist: null}")
    _planned(studio, large)
    studio.draw()
    studio.draw(force=True)

    for each in studio.playlists():
        superseded, newest = (set(_ids(studio, snapshot)) for snapshot in studio.snapshots(each.id))
        assert superseded & newest


async def test_a_published_draw_counts_until_its_days_are_over(studio: Studio) -> None:
    _planned(studio, SHARED.replace("SCOPE", "playlist"))
    studio.draw()
    await studio.sync()

    studio.advance(days=28)
    studio.draw()
    studio.advance(days=7)
    studio.draw()

    for each in studio.playlists():
        first, second, _ = (set(_ids(studio, snapshot)) for snapshot in studio.snapshots(each.id))
        assert first.isdisjoint(second)
    assert any(
        set(_ids(studio, studio.snapshots(each.id)[0])) & set(_ids(studio, studio.snapshots(each.id)[2]))
        for each in studio.playlists()
    ), "35 days later nothing keeps the first tracks out"


async def test_everything_that_a_draw_depends_on_is_stored_with_it(studio: Studio) -> None:
    _planned(studio)
    studio.draw()

    each = studio.snapshots()[0]
    tracks = _tracks(studio, each)
    with studio.database.transaction() as session:
        credits_: dict[str, list[str]] = {}
        for row in session.scalars(select(TrackArtist).order_by(TrackArtist.position)):
            credits_.setdefault(row.track_id, []).append(row.artist_id)

    assert (len(each.seed), len(each.input_digest)) == (64, 64)
    assert each.algorithm.startswith("selection 2, order ")
    assert {track.why for track in tracks} <= WAYS_IN
    assert each.figures["relaxed"] == sum(track.relaxation is not None for track in tracks)
    assert each.figures["top_artists"]
    again = arrange_again(
        [OrderTrack(track.track_id, tuple(sorted(credits_[track.track_id]))) for track in tracks],
        gap="half",
        seed=bytes.fromhex(each.seed),
    )
    assert list(again.track_ids) == [track.track_id for track in tracks]


async def test_what_a_draw_has_to_tell_is_stored_and_small(studio: Studio) -> None:
    _planned(studio, SHARED.replace("SCOPE", "playlist").replace("size: 20", "size: 8"))
    studio.draw()
    await studio.sync()
    studio.advance(days=35)
    studio.draw()

    earlier, newest = studio.snapshots(studio.playlists()[0].id)
    tracks, figures = _tracks(studio, newest), newest.figures
    used = set(_ids(studio, earlier))
    assert sorted(track.rank for track in tracks if track.rank is not None) == list(range(8))
    assert {track.weight for track in tracks} == {1.0}
    assert {track.age for track in tracks if track.track_id in used} <= {35}
    assert {track.age for track in tracks if track.track_id not in used} == {None}
    assert figures["size_bound"] == figures["obeying"] == figures["obeying_bound"] == 8
    assert (figures["cooldown_shortfall"], figures["cooldown_shortfall_bound"]) == (0, 0)
    assert 0 < len(figures["reserve"]) <= 10
    assert not {each["track_id"] for each in figures["reserve"]} & {track.track_id for track in tracks}
    assert figures["capacity"]["rounds"] == 5, "thirty days are over by the fifth weekly draw"
    assert figures["capacity"]["asked"] == 8
    assert "tracks a draw at W = 5" in figures["capacity"]["sentence"]
    assert len(figures["jaccard_with_earlier"]) == 1
    assert figures["siblings"] == 0, "one playlist of the policy on each account"
    assert len(json.dumps(figures)) < 50_000


async def test_a_policy_that_a_pool_cannot_hold_for_good_is_told_with_what_is_lacking(studio: Studio) -> None:
    _planned(
        studio,
        SHARED.replace("SCOPE", "policy").replace("days: 30", "days: 3000").replace("size: 20", "size: 8"),
    )

    report = studio.draw()

    (note,) = report.notes
    assert note.startswith("policy morning can't hold for good: this pool sustains at most ")
    assert "(24 asked)" in note
    assert "lacking: " in note
    figures = studio.snapshots()[0].figures
    assert figures["capacity"]["tracks_lacking"] > 0
    assert 0 < figures["longest_reuse_days"] < 3000
    assert studio.snapshots()[2].figures["siblings"] == 2


async def test_pinned_tracks_keep_their_positions_and_a_dead_one_leaves_its_free(studio: Studio) -> None:
    with studio.database.transaction() as session:
        first, dead = session.scalars(select(Track.id).order_by(Track.id).limit(2))
        session.execute(update(Track).where(Track.id == dead).values(playable=False))
    try:
        pins = f"pinned: {{1: {first}, 5: {dead}, 7: 7ouMYWpwJ422jRcDASZB7P}}"
        _planned(studio, MORNING.replace("size: 20", f"size: 20\n    {pins}"))
        studio.draw()
    finally:
        with studio.database.transaction() as session:
            session.execute(update(Track).where(Track.id == dead).values(playable=True))

    for each in studio.snapshots():
        tracks = _tracks(studio, each)
        assert (tracks[0].track_id, tracks[0].why) == (first, "pinned")
        assert len(tracks) == 20
        assert {left["track_id"]: left["why"] for left in each.figures["left_out"]} == {
            dead: "Spotify says that it can't be played",
            "7ouMYWpwJ422jRcDASZB7P": "not in the catalogue",
        }


async def test_artists_rest_between_draws_where_the_policy_says_so(studio: Studio) -> None:
    resting = "cooldown: {draws: 1, artist: {draws: 1}}"
    _planned(studio, MORNING.replace("cooldown: {draws: 1}", resting).replace("size: 20", "size: 6"))
    studio.draw()
    await studio.sync()
    studio.advance(days=7)
    studio.draw()

    with studio.database.transaction() as session:
        credits_: dict[str, set[str]] = {}
        for row in session.scalars(select(TrackArtist)):
            credits_.setdefault(row.track_id, set()).add(row.artist_id)
    for each in studio.playlists():
        last, newest = (
            [credits_[track] for track in _ids(studio, snapshot)] for snapshot in studio.snapshots(each.id)
        )
        assert set().union(*last).isdisjoint(set().union(*newest))


async def test_relaxed_rules_are_stored_with_the_track(studio: Studio) -> None:
    _planned(
        studio,
        SHARED.replace("SCOPE", "fleet").replace("size: 20", "size: 100\n    playlists_per_account: 4"),
    )

    report = studio.draw()

    relaxed = [track for each in studio.snapshots() for track in _tracks(studio, each) if track.relaxation]
    assert relaxed
    assert relaxed[0].relaxation is not None
    assert relaxed[0].relaxation["rule"] in ("cooldown", "artist_cap")
    assert int(report.rows[0]["relaxed"] or 0) > 0


async def test_a_dry_run_draws_and_stores_nothing(studio: Studio) -> None:
    _planned(studio)
    before = studio.fingerprint()

    report = studio.draw(dry_run=True)

    assert (report.changed, len(report.rows)) == (3, 3)
    assert studio.fingerprint() == before


async def test_two_runs_at_once_store_one_draw_for_each_playlist(studio: Studio) -> None:
    _planned(studio, TWO_POLICIES)

    def run() -> int:
        return build_snapshots(studio.database, run_id=studio.run(), now=studio.now).changed

    changed = await asyncio.gather(asyncio.to_thread(run), asyncio.to_thread(run))

    assert sum(changed) == 6
    assert len(studio.snapshots()) == 6


async def test_a_run_can_be_narrowed_and_tells_its_progress(studio: Studio) -> None:
    _planned(studio, TWO_POLICIES)
    told: list[tuple[int, int]] = []

    assert studio.draw(account_ids=studio.accounts[:1], policy="evening").changed == 1
    limited = studio.draw(limit=2, progress=lambda done, total: told.append((done, total)))

    assert (limited.changed, limited.notes) == (2, ["3 more are due, beyond the limit of 2"])
    assert told == [(1, 2), (2, 2)]

"""One dead track spoils a whole write: it is found, replaced and reported, and the playlist is whole."""

import asyncio
from collections.abc import Sequence
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from spotify_pipelines.playlists.dead_tracks import NothingDead, amended, find_dead
from spotify_pipelines.playlists.uris import uri_of
from spotify_pipelines.store.playlists import Spare
from spotify_pipelines.store.tables import PlaylistSnapshot, Track
from spotify_pipelines_tests.playlists.studio import Studio

POLICY = """
policies:
  - name: morning
    size: 20
    accounts: [studio-1]
    name_template: "Morning"
    description_template: "From dawn on"
"""


@given(st.integers(2, 100), st.data())
def test_the_dead_are_found_and_each_success_shows_more(size: int, data: st.DataObject) -> None:
    uris = [f"u{number}" for number in range(size)]
    dead = data.draw(st.sets(st.sampled_from(uris), min_size=1, max_size=3))
    shown: list[int] = []
    tried: list[Sequence[str]] = []

    async def takes(body: Sequence[str], decides: bool) -> bool:
        tried.append(body)
        assert list(body) == [uri for uri in uris if uri in set(body)]
        if dead.isdisjoint(body):
            shown.append(len(body))
            return True
        return False

    if len(dead) >= min(3, size):
        # Nobody knows yet whether anything is taken: all the first ones may be dead.
        try:
            found = asyncio.run(find_dead(uris, takes))
        except NothingDead:
            return
    else:
        found = asyncio.run(find_dead(uris, takes))

    assert found == dead
    assert shown == sorted(shown)
    assert len(tried) <= 2 * len(dead) * (log2(size) + 2)


def test_an_outage_is_no_dead_track() -> None:
    tried = []

    async def takes(body: Sequence[str], decides: bool) -> bool:
        tried.append(body)
        return False

    with pytest.raises(NothingDead):
        asyncio.run(find_dead([f"u{number}" for number in range(100)], takes))
    assert len(tried) <= 14


def test_without_reserve_a_playlist_gets_shorter() -> None:
    a, b, c = map(uri_of, "abc")
    assert amended([a, b, c], {a, c}, []) == [b]
    assert amended([a, b, c], {a}, [Spare("b", None), Spare("x", None), Spare("y", None)]) == [
        uri_of("x"),
        b,
        c,
    ]
    assert amended([a, b, c], {a, c}, [Spare("x", frozenset({2})), Spare("y", frozenset({1}))]) == [
        b,
        uri_of("x"),
    ]


def _give_reserve(studio: Studio, tracks: list[str]) -> None:
    with studio.database.transaction() as session:
        for row in session.scalars(select(PlaylistSnapshot)):
            row.figures = row.figures | {
                "reserve": [{"track_id": track, "replaces": None} for track in tracks]
            }


def _others(studio: Studio, uris: list[str]) -> list[str]:
    """Tracks that the draw left out."""
    with studio.database.transaction() as session:
        every = session.scalars(select(Track.id).order_by(Track.id)).all()
    return [track for track in every if f"spotify:track:{track}" not in uris][:5]


def _regime(studio: Studio, regime: str) -> None:
    studio.simulator.control.add_client(
        "office-app", "office-secret-nobody-may-see-0123456789", regime=regime, limit=100_000
    )


@pytest.mark.parametrize("regime", ["extended", "development"])
@pytest.mark.parametrize("fate", ["removed from the catalogue", "taken into no playlist"])
async def test_a_dead_track_is_replaced_and_marked(studio: Studio, regime: str, fate: str) -> None:
    _regime(studio, regime)
    studio.apply(POLICY)
    studio.plan()
    studio.draw()
    drawn = studio.tracks(studio.playlists()[0])
    dead, reserve = drawn[7], _others(studio, drawn)
    _give_reserve(studio, reserve)
    if fate == "taken into no playlist":
        studio.simulator.control.add_fault(kind="dead_uri", uri=dead)
    else:
        studio.simulator.control.set_track(dead.rpartition(":")[2], removed=True)

    report = await studio.sync()

    (real,) = studio.on_spotify()
    expected = [f"spotify:track:{reserve[0]}" if uri == dead else uri for uri in drawn]
    items = [item["uri"] if isinstance(item, dict) else item for item in real["items"]]
    assert items == expected == studio.tracks(studio.playlists()[0])
    assert (report.changed, report.failed, report.counts["tracks_replaced"]) == (1, [], 1)
    with studio.database.transaction() as session:
        marked = session.scalars(select(Track.id).where(Track.playable.is_(False))).all()
    assert marked == [dead.rpartition(":")[2]]
    told = next(each for each in studio.history() if each.action == "tracks replaced")
    assert dead.rpartition(":")[2] in str(told.reason)
    studio.forget_requests()
    assert (studio.draw().changed, (await studio.sync()).calls) == (0, 0)


async def test_a_run_killed_in_the_middle_of_the_search_left_no_edit_by_hand(studio: Studio) -> None:
    _regime(studio, "development")
    studio.apply(POLICY.replace('name_template: "Morning"', 'name_template: "Morning"\n    on_drift: pause'))
    studio.plan()
    studio.draw()
    drawn = studio.tracks(studio.playlists()[0])
    studio.simulator.control.add_fault(kind="dead_uri", uri=drawn[15])
    run = asyncio.create_task(studio.sync())
    while not any(each["items"] for each in studio.on_spotify()):  # noqa: ASYNC110 - in another server
        await asyncio.sleep(0.001)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    studio.advance(minutes=5)

    report = await studio.sync(force=True)

    assert (report.changed, report.failed) == (1, [])
    assert "drift_found" not in report.counts
    (real,) = studio.on_spotify()
    assert len(real["items"]) >= 19
    assert drawn[15] not in studio.tracks(studio.playlists()[0])


async def test_an_outage_of_writes_marks_no_track(studio: Studio) -> None:
    studio.simulator.control.add_fault(method="PUT", path="/items$", status=502)

    report = await studio.publish(POLICY)

    assert len(report.failed) == 1
    with studio.database.transaction() as session:
        assert session.scalars(select(Track.id).where(Track.playable.is_(False))).all() == []
        session.execute(update(Track).values(playable=True))
    assert studio.requests().count("PUT /v1/playlists/{id}/items") <= 6 + 14 + 6

"""Edits by hand: noticed, recorded with before and after, and handled as the policy says."""

from typing import Any

import pytest
from sqlalchemy import update

from spotify_pipelines.playlists.call_plan import Content, items_hash
from spotify_pipelines.playlists.drift import Response, differences, is_partly_written, response_to
from spotify_pipelines.playlists.templates import find_marker
from spotify_pipelines.store.tables import Playlist
from spotify_pipelines_tests.playlists.studio import Studio

POLICY = """
policies:
  - name: morning
    size: 12
    name_template: Morning
    description_template: From dawn on
    accounts: [studio-1]
    reshuffle: {every_days: 7, at: "04:00", timezone: UTC}
    on_drift: RULE
"""
AS_LEFT = Content("items", "Morning", "From dawn on", True)
AS_WANTED = Content("new items", "Good morning", "From dawn on", True)


def _policy(rule: str) -> str:
    return POLICY.replace("RULE", rule)


def _on_spotify(studio: Studio) -> dict[str, Any]:
    (found,) = studio.on_spotify()
    return found


def _items(studio: Studio) -> list[str]:
    return [item["uri"] if isinstance(item, dict) else item for item in _on_spotify(studio)["items"]]


def _edit(studio: Studio, **changes: Any) -> None:
    studio.simulator.control.edit_playlist(str(studio.playlists()[0].spotify_id), **changes)


def _actions(studio: Studio) -> list[str]:
    return [row.action for row in studio.history(studio.playlists()[0].id)]


# ── what is an edit ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("found", "ours", "expected"),
    [
        pytest.param(AS_LEFT, False, (), id="as we left it"),
        pytest.param(AS_WANTED, False, (), id="as it should be: a write whose answer was lost"),
        pytest.param(Content("hers", "Morning", "From dawn on", True), False, ("items",), id="items"),
        pytest.param(Content("old", "Morning", "From dawn on", True), True, (), id="an older draw of ours"),
        pytest.param(
            Content("hers", "Mine", "", True), False, ("items", "name", "description"), id="everything"
        ),
        pytest.param(Content("items", "Morning", "From dawn on", False), False, (), id="visibility is none"),
    ],
)
def test_an_edit_is_what_is_neither_as_left_nor_as_wanted(
    found: Content, ours: bool, expected: tuple[str, ...]
) -> None:
    assert differences(found, AS_LEFT, AS_WANTED, items_are_ours=ours) == expected


@pytest.mark.parametrize(
    ("found", "expected"), [(0, False), (99, False), (100, True), (150, False), (200, True), (250, False)]
)
def test_a_long_write_that_was_cut_off_is_no_edit(found: int, expected: bool) -> None:
    desired = [f"spotify:track:{number}" for number in range(250)]
    assert is_partly_written(desired[:found], desired) is expected
    assert not is_partly_written(desired[1 : found + 1], desired)


@pytest.mark.parametrize("awaits_draw", [True, False])
@pytest.mark.parametrize("rule", ["restore", "keep", "adopt", "pause"])
def test_a_kept_edit_gives_way_to_the_next_draw_and_nothing_else_does(rule: str, awaits_draw: bool) -> None:
    expected = Response.RESTORE if (rule, awaits_draw) == ("keep", True) else Response(rule)
    assert response_to(rule, awaits_draw=awaits_draw) is expected


# ── what becomes of it ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_edit_is_kept_until_the_next_draw_and_replaced_by_it(studio: Studio) -> None:
    await studio.publish(_policy("keep"))
    hers = studio.tracks(studio.playlists()[0])[:3]
    _edit(studio, items=hers, name="Mine")

    report = await studio.sync(force=True)
    assert (report.counts["drift_found"], report.counts["edit_kept"]) == (1, 1)
    assert (_items(studio), _on_spotify(studio)["name"]) == (hers, "Mine")
    studio.forget_requests()
    assert (await studio.sync()).unchanged == 1
    assert studio.requests() == []

    _edit(studio, items=hers[:2])
    await studio.sync(force=True)
    assert _items(studio) == hers[:2], "what is done to it later stays as well"

    studio.advance(days=7)
    studio.draw()
    await studio.sync()
    assert _items(studio) == studio.tracks(studio.playlists()[0])
    assert _on_spotify(studio)["name"] == "Morning"
    assert _actions(studio)[-2:] == ["renamed", "synced"]


async def test_a_kept_playlist_that_is_deleted_is_made_anew_and_filled(studio: Studio) -> None:
    await studio.publish(_policy("keep"))
    _edit(studio, name="Mine")
    await studio.sync(force=True)
    _edit(studio, unfollow=True)
    studio.advance(hours=2)

    await studio.sync(force=True)

    assert _items(studio) == studio.tracks(studio.playlists()[0])
    assert _on_spotify(studio)["name"] == "Morning"


async def test_an_edit_is_adopted_for_its_cycle(studio: Studio) -> None:
    await studio.publish(_policy("adopt"))
    hers = list(reversed(studio.tracks(studio.playlists()[0])))[:5]
    _edit(studio, items=hers, name="Mine", description="What I like")
    studio.forget_requests()

    report = await studio.sync(force=True)

    assert report.counts["edit_adopted"] == 1
    assert [each for each in studio.requests() if not each.startswith("GET")] == []
    row, newest = studio.playlists()[0], studio.snapshots()[-1]
    assert (newest.origin, newest.cycle, newest.draw) == ("adopted", 0, 1)
    assert newest.published_at is not None
    assert (studio.tracks(row), row.confirmed_snapshot_row) == (hers, newest.id)
    assert studio.draw().changed == 0
    assert (await studio.sync()).unchanged == 1

    studio.advance(days=7)
    studio.draw()
    await studio.sync()
    assert _items(studio) == studio.tracks(row)
    assert studio.snapshots()[-1].origin == "drawn"
    assert _on_spotify(studio)["name"] == "Morning"


async def test_adopted_words_survive_that_the_playlist_is_deleted(studio: Studio) -> None:
    await studio.publish(_policy("adopt"))
    _edit(studio, name="Mine", description="What I like")
    await studio.sync(force=True)
    _edit(studio, unfollow=True)
    studio.advance(hours=2)

    await studio.sync(force=True)

    made = _on_spotify(studio)
    assert made["name"] == "Mine"
    assert made["description"].startswith("What I like [")
    assert find_marker(made["description"]) is not None


async def test_an_edit_leaves_the_playlist_to_a_person_where_the_policy_says_so(studio: Studio) -> None:
    await studio.publish(_policy("pause"))
    hers = studio.tracks(studio.playlists()[0])[:4]
    _edit(studio, items=hers)
    studio.draw(force=True)

    report = await studio.sync()
    assert report.counts == {"drift_found": 1, "paused": 1}
    row = studio.playlists()[0]
    assert row.pause_reason == "changed by hand: items"

    studio.forget_requests()
    studio.draw(force=True)
    report = await studio.sync(force=True)
    assert (report.unchanged, studio.requests(), _items(studio)) == (1, [], hers)
    assert report.notes == ["1 locked or paused and left alone; 'playlists list' says why"]


async def test_what_an_edit_replaced_and_what_replaced_it_can_be_read_from_the_history(
    studio: Studio,
) -> None:
    await studio.publish(_policy("restore"))
    row = studio.playlists()[0]
    hers = studio.tracks(row)[:2]
    _edit(studio, items=hers, description="x &amp; y")

    await studio.sync(force=True)

    entry = next(each for each in studio.history(row.id) if each.action == "drift found")
    assert entry.before is not None
    assert entry.after is not None
    assert entry.before["snapshot_row"] == studio.snapshots()[-1].id
    assert entry.before["description"].startswith("From dawn on")
    assert (entry.after["items"], entry.after["response"]) == (hers, "restore")
    assert entry.after["items_hash"] == items_hash(hers)
    assert _items(studio) == studio.tracks(row)


async def test_an_older_draw_that_arrives_late_is_not_taken_for_an_edit(studio: Studio) -> None:
    await studio.publish(_policy("pause"))
    studio.draw(force=True)
    late = studio.tracks(studio.playlists()[0])
    _edit(studio, items=late)  # as a call that escaped a dead worker does
    studio.draw(force=True)

    report = await studio.sync()

    assert "drift_found" not in report.counts
    assert _items(studio) == studio.tracks(studio.playlists()[0])


async def test_the_marker_goes_with_the_next_change_of_the_words(studio: Studio) -> None:
    dropping = _policy("restore") + "    marker: drop_after_settle\n"
    await studio.publish(dropping)
    assert find_marker(_on_spotify(studio)["description"]) is not None
    studio.advance(minutes=5)
    assert (await studio.sync()).calls == 0, "not worth a call of its own"

    studio.apply(dropping.replace("name_template: Morning", "name_template: Good morning"))
    studio.draw()
    await studio.sync()

    assert (_on_spotify(studio)["name"], _on_spotify(studio)["description"]) == (
        "Good morning",
        "From dawn on",
    )
    assert (await studio.sync()).calls == 0
    with studio.database.transaction() as session:
        session.execute(update(Playlist).values(confirmed_name="Mourning"))
    await studio.sync()
    assert find_marker(_on_spotify(studio)["description"]) is None


async def test_the_marker_stays_within_the_settle_window(studio: Studio) -> None:
    dropping = _policy("restore") + "    marker: drop_after_settle\n"
    await studio.publish(dropping)
    studio.apply(dropping.replace("name_template: Morning", "name_template: Good morning"))
    studio.draw()

    await studio.sync()

    assert _on_spotify(studio)["name"] == "Good morning"
    assert find_marker(_on_spotify(studio)["description"]) is not None

"""What a person decides about a playlist, judged by what is drawn, and by what the simulator holds."""

from typing import Any

import pytest
from sqlalchemy import select, update

from spotify_pipelines.playlists.control import Control, Refused
from spotify_pipelines.playlists.templates import find_marker
from spotify_pipelines.playlists.unfollow import unfollow_retired
from spotify_pipelines.playlists.versions import Difference, NoVersion, difference, version
from spotify_pipelines.report import Report
from spotify_pipelines.store.tables import Playlist, Track
from spotify_pipelines.store.versions import lock_playlist
from spotify_pipelines_tests.playlists.studio import Studio

POLICY = """
policies:
  - name: morning
    size: 12
    name_template: Morning of $date
    description_template: From dawn on
    accounts: [studio-1]
    reshuffle: {every_days: 7, at: "04:00", timezone: UTC}
"""


def _control(studio: Studio) -> Control:
    return Control(studio.database, run_id=studio.run(), now=studio.now)


def _only(studio: Studio) -> Playlist:
    return next(each for each in studio.playlists() if each.status != "retired")


def _held(studio: Studio) -> dict[str, Any]:
    (found,) = studio.on_spotify()
    items = [item["uri"] if isinstance(item, dict) else item for item in found["items"]]
    return {"items": items, "name": found["name"], "description": found["description"]}


def _edit(studio: Studio, **changes: Any) -> None:
    studio.simulator.control.edit_playlist(str(_only(studio).spotify_id), **changes)


async def _reshuffled(studio: Studio) -> None:
    studio.advance(days=7)
    studio.draw()
    await studio.sync()


# ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("abc", "abc", Difference((), (), 0, 3)),
        ("abc", "cab", Difference((), (), 1, 2)),
        ("abc", "xyz", Difference(("x", "y", "z"), ("a", "b", "c"), 0, 0)),
        ("aab", "abb", Difference(("b",), ("a",), 0, 2)),
        ("", "ab", Difference(("a", "b"), (), 0, 0)),
    ],
)
def test_a_difference_counts_what_comes_goes_and_moves(before: str, after: str, expected: Difference) -> None:
    assert difference(list(before), list(after)) == expected


async def test_versions_have_names(studio: Studio) -> None:
    await studio.publish(POLICY)
    first = _held(studio)
    studio.draw(force=True)
    numbers = [str(each.id) for each in studio.snapshots()]

    def of(name: str) -> tuple[list[str | None], str]:
        with studio.database.transaction() as session:
            found = version(session, lock_playlist(session, _only(studio).id), name, studio.now())
        return list(found.uris), found.title

    assert of("now") == of(numbers[0]) == (first["items"], first["name"])
    assert of("next") == of(numbers[1]) == (studio.tracks(_only(studio)), first["name"])
    for unknown in ("999", "e1", "e999999", "yesterday", "²", "9" * 40):
        with pytest.raises(NoVersion):
            of(unknown)


# ── bringing back ────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_overwritten_is_brought_back_and_that_can_be_undone_too(studio: Studio) -> None:
    await studio.publish(POLICY)
    first = _held(studio)
    await _reshuffled(studio)
    second = _held(studio)
    assert (first["items"] != second["items"], first["name"] != second["name"]) == (True, True)

    report = _control(studio).roll_back(_only(studio).id)
    await studio.sync()
    assert _held(studio) == first
    assert report.changed == 1
    assert studio.snapshots()[-1].origin == "rollback"
    assert studio.draw().changed == 0, "it stands for its cycle"

    _control(studio).roll_back(_only(studio).id)
    await studio.sync()
    assert _held(studio) == second

    await _reshuffled(studio)
    assert studio.snapshots()[-1].origin == "drawn"
    assert _held(studio)["name"] not in (first["name"], second["name"])


async def test_what_the_owner_had_made_of_it_is_brought_back(studio: Studio) -> None:
    await studio.publish(POLICY)
    hers = [*reversed(studio.tracks(_only(studio))), "spotify:episode:512ojhOuo1ktJprKbVcKyQ"][2:]
    _edit(studio, items=[each for each in hers if "track" in each], name="Mine", description="What I like")
    edited = _held(studio)
    await studio.sync(force=True)
    assert _held(studio) != edited

    _control(studio).roll_back(_only(studio).id)
    await studio.sync()

    assert _held(studio) == edited
    assert studio.snapshots()[-1].reason.startswith("rolled back to e")


async def test_a_named_version_is_brought_back_with_the_sign_of_today(studio: Studio) -> None:
    await studio.publish(POLICY)
    first = _held(studio)
    number = str(studio.snapshots()[0].id)
    await _reshuffled(studio)
    _edit(studio, unfollow=True)
    studio.advance(hours=2)
    await studio.sync(force=True)
    marker = find_marker(_held(studio)["description"])
    assert marker != find_marker(first["description"])

    _control(studio).roll_back(_only(studio).id, number)
    await studio.sync()

    assert _held(studio)["items"] == first["items"]
    assert _held(studio)["name"] == first["name"]
    assert _held(studio)["description"] == f"From dawn on [{marker}]"


async def test_what_can_not_be_played_any_more_is_left_out_and_said_so(studio: Studio) -> None:
    await studio.publish(POLICY)
    first = _held(studio)["items"]
    number = str(studio.snapshots()[0].id)
    await _reshuffled(studio)
    with studio.database.transaction() as session:
        session.execute(update(Track).where(Track.id == first[3].rpartition(":")[2]).values(playable=False))

    report = _control(studio).roll_back(_only(studio).id, number)
    await studio.sync()

    assert _held(studio)["items"] == first[:3] + first[4:]
    assert report.notes == ["1 of 12 items can't be written any more: left out"]


@pytest.mark.parametrize(
    ("to", "message"),
    [
        (None, "Nothing of this playlist was overwritten yet"),
        ("4711", "It has no snapshot 4711"),
        ("e1", "Entry 1 of its history holds no items"),
        ("first", "'first' is no version"),
    ],
)
async def test_a_version_that_is_not_there_is_refused_in_a_sentence(
    studio: Studio, to: str | None, message: str
) -> None:
    await studio.publish(POLICY)
    before = studio.fingerprint()
    with pytest.raises(Refused, match=message):
        _control(studio).roll_back(_only(studio).id, to)
    assert studio.fingerprint() == before


# ── states ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_locked_playlist_is_neither_drawn_nor_written_nor_retired(studio: Studio) -> None:
    await studio.publish(POLICY)
    held = _held(studio)
    control, playlist = _control(studio), _only(studio).id
    assert control.lock(playlist, "label asked for it").changed == 1
    assert control.lock(playlist).unchanged == 1
    studio.forget_requests()

    studio.advance(days=8)
    drawn, forced = studio.draw(), studio.draw(force=True)
    report = await studio.sync(force=True)
    studio.apply(POLICY.replace("name: morning", "name: evening"), prune=True)
    planned = studio.plan()

    assert (drawn.requested, forced.requested, report.changed, studio.requests()) == (0, 0, 0, [])
    assert _held(studio) == held
    assert any("is locked and stays" in note for note in planned.notes)
    with pytest.raises(Refused, match="is locked"):
        control.roll_back(playlist)
    with pytest.raises(Refused, match="is locked"):
        control.retire(playlist)

    studio.apply(POLICY)
    assert control.unlock(playlist).changed == 1
    studio.draw()
    await studio.sync(policy="morning")
    assert _held(studio) != held
    assert [row.action for row in studio.history(playlist)].count("unlocked") == 1


async def test_a_paused_playlist_is_drawn_but_not_written(studio: Studio) -> None:
    await studio.publish(POLICY)
    held, control = _held(studio), _control(studio)
    control.pause(_only(studio).id)

    await _reshuffled(studio)
    assert (_held(studio), len(studio.snapshots())) == (held, 2)

    control.resume(_only(studio).id)
    await studio.sync()
    assert _held(studio)["items"] == studio.tracks(_only(studio))


async def test_an_edit_that_paused_a_playlist_can_be_taken_for_right(studio: Studio) -> None:
    await studio.publish(POLICY + "    on_drift: pause\n")
    hers = studio.tracks(_only(studio))[5:]
    _edit(studio, items=hers, name="Mine")
    await studio.sync(force=True)
    studio.forget_requests()

    _control(studio).resume(_only(studio).id, adopt=True)
    await studio.sync()

    assert studio.requests() == []
    assert (_held(studio)["items"], _held(studio)["name"]) == (hers, "Mine")
    assert _only(studio).paused_at is None


async def test_a_retired_playlist_leaves_its_place_empty_until_it_is_kept_again(studio: Studio) -> None:
    await studio.publish(POLICY)
    playlist, control = _only(studio).id, _control(studio)

    assert control.retire(playlist).rows[0]["what"] == "retired; it stays on Spotify"
    assert studio.plan().changed == 0
    assert (studio.draw(force=True).requested, len(studio.on_spotify())) == (0, 1)
    with pytest.raises(Refused, match="is retired"):
        control.roll_back(playlist)

    control.resume(playlist)
    await _reshuffled(studio)
    assert _held(studio)["items"] == studio.tracks(_only(studio))
    assert _only(studio).id == playlist


async def test_a_playlist_is_not_kept_again_where_another_has_its_place(studio: Studio) -> None:
    await studio.publish(POLICY)
    playlist = _only(studio).id
    studio.apply(POLICY.replace("name: morning", "name: evening"), prune=True)
    studio.plan()
    studio.apply(POLICY)
    studio.plan()

    with pytest.raises(Refused, match="Another playlist has taken the place"):
        _control(studio).resume(playlist)
    with studio.database.transaction() as session:
        assert session.scalar(select(Playlist.status).where(Playlist.id == playlist)) == "retired"


# ── leaving Spotify ──────────────────────────────────────────────────────────────────────────────────────────


async def _unfollow(studio: Studio, **options: Any) -> Report:
    return await unfollow_retired(
        studio.database, studio.client, studio.client.calls, run_id=studio.run(), now=studio.now, **options
    )


async def test_a_retired_playlist_leaves_the_library_where_its_policy_says_so(studio: Studio) -> None:
    await studio.publish(POLICY + "    retire: unfollow\n")
    studio.apply(POLICY.replace("name: morning", "name: evening"), prune=True)
    studio.plan()
    studio.forget_requests()

    told = await _unfollow(studio, dry_run=True)
    assert (told.changed, told.minimum_calls, studio.requests()) == (1, 1, [])
    report = await _unfollow(studio)

    assert (report.changed, report.calls, report.minimum_calls) == (1, 1, 1)
    assert (studio.requests(), studio.on_spotify()) == (["DELETE /v1/me/library"], [])
    assert [row.action for row in studio.history()][-1] == "unfollowed"
    assert (await _unfollow(studio)).requested == 0


async def test_a_retired_playlist_stays_on_spotify_by_default(studio: Studio) -> None:
    await studio.publish(POLICY)
    _control(studio).retire(_only(studio).id)
    assert (await _unfollow(studio)).requested == 0
    assert len(studio.on_spotify()) == 1


async def test_an_unfollowed_playlist_that_is_kept_again_is_made_anew(studio: Studio) -> None:
    await studio.publish(POLICY)
    playlist, control = _only(studio).id, _control(studio)
    assert control.retire(playlist, unfollow=True).rows[0]["what"] == "retired, to be unfollowed"
    await _unfollow(studio)
    assert studio.on_spotify() == []

    control.resume(playlist)
    await studio.sync()

    assert _held(studio)["items"] == studio.tracks(_only(studio))
    assert _only(studio).id == playlist


async def test_an_account_in_trouble_keeps_its_retired_playlist_until_later(studio: Studio) -> None:
    await studio.publish(POLICY)
    _control(studio).retire(_only(studio).id, unfollow=True)
    fault = studio.simulator.control.add_fault(method="DELETE", path="/v1/", status=503)

    failed = await _unfollow(studio)
    assert (failed.changed, len(failed.failed), len(studio.on_spotify())) == (0, 1, 1)

    studio.simulator.control.remove_fault(fault)
    studio.advance(hours=1)
    assert (await _unfollow(studio)).changed == 1


# ── more than one call takes ─────────────────────────────────────────────────────────────────────────────────


async def test_more_than_a_hundred_items_of_the_owners_are_brought_back(studio: Studio) -> None:
    await studio.publish(POLICY)
    hers = (studio.tracks(_only(studio)) * 20)[:230]
    _edit(studio, items=hers)
    await studio.sync(force=True)
    studio.forget_requests()

    _control(studio).roll_back(_only(studio).id)
    told = await studio.sync(dry_run=True)
    report = await studio.sync()

    assert _held(studio)["items"] == hers
    assert (told.minimum_calls, report.calls, report.minimum_calls) == (4, 4, 4)


async def test_a_long_write_that_is_cut_off_is_done_again_from_the_start(studio: Studio) -> None:
    await studio.publish(POLICY + "    on_drift: pause\n")
    hers = (studio.tracks(_only(studio)) * 20)[:230]
    _edit(studio, items=hers)
    await studio.sync(force=True)
    _control(studio).resume(_only(studio).id)
    await studio.sync()
    _control(studio).roll_back(_only(studio).id)
    studio.simulator.control.add_fault(method="POST", path="/items$", drop="before", skip=1, n=1)

    cut_off = await studio.sync()
    assert (len(cut_off.failed), len(_held(studio)["items"])) == (1, 200)
    report = await studio.sync()

    assert "drift_found" not in report.counts
    assert _held(studio)["items"] == hers

"""Playlists on Spotify: the calls they cost, and what survives lost answers, edits by hand and trouble.

Judged by the simulator's ledger and playlists: what really happened, not what our database says.
"""

import asyncio
import html
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from spotify_pipelines.playlists.call_plan import SETTLE_WINDOW
from spotify_pipelines.playlists.policies import parse_policies
from spotify_pipelines.playlists.templates import find_marker
from spotify_pipelines.spotify.turns import Slot, Turn
from spotify_pipelines.store.calls import midnight
from spotify_pipelines.store.tables import ApiCalls, Lease, Playlist, SpotifyApp, SyncIntent, Track
from spotify_pipelines_tests.playlists.studio import TWO_POLICIES, Studio

LIST = "GET /v1/me/playlists"
READ = "GET /v1/playlists/{id}"
CREATE = "POST /v1/me/playlists"
ITEMS = "PUT /v1/playlists/{id}/items"
DETAILS = "PUT /v1/playlists/{id}"
DATED_POLICY = TWO_POLICIES[: TWO_POLICIES.index("  - name: evening")]

ONE_POLICY = DATED_POLICY.replace("Morning · $date", "Morning").replace(" with $top_artists", "")
ONE_ACCOUNT = ONE_POLICY.replace("size: 20", "size: 20\n    accounts: [studio-1]")


def _actions(studio: Studio, playlist_id: int) -> list[str]:
    return [row.action for row in studio.history(playlist_id)]


def _by_id(studio: Studio) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in studio.on_spotify()}


def _items(playlist: dict[str, Any]) -> list[str]:
    return [item["uri"] if isinstance(item, dict) else item for item in playlist["items"]]


def _is_as_drawn(studio: Studio) -> bool:
    """Every playlist is on Spotify, once, with the tracks of its newest draw in their order."""
    real = _by_id(studio)
    ours = [each for each in studio.playlists() if each.status != "retired"]
    return len(real) == len(ours) and all(
        _items(real[str(each.spotify_id)]) == studio.tracks(each) for each in ours
    )


# ── what it costs ────────────────────────────────────────────────────────────────────────────────────────────


async def test_new_playlists_cost_a_creation_and_a_fill_each(studio: Studio) -> None:
    report = await studio.publish()

    assert (report.requested, report.changed, report.failed) == (6, 6, [])
    assert (report.calls, report.minimum_calls) == (12, 12)
    assert Counter(studio.requests()) == {CREATE: 6, ITEMS: 6}
    assert _is_as_drawn(studio)
    assert {find_marker(each["description"]) for each in studio.on_spotify()} == set(_markers(studio))


def _markers(studio: Studio) -> list[str]:
    with studio.database.transaction() as session:
        return list(session.scalars(select(SyncIntent.marker)))


async def test_a_second_run_calls_nobody_and_writes_nothing(studio: Studio) -> None:
    await studio.publish()
    studio.forget_requests()
    before = studio.fingerprint()

    studio.apply()
    studio.plan()
    drawn = studio.draw()
    report = await studio.sync()

    assert (drawn.changed, report.changed, report.unchanged, report.calls) == (0, 0, 6, 0)
    assert studio.requests() == []
    assert studio.fingerprint() == before


async def test_a_reshuffle_costs_a_listing_per_account_and_a_write_per_playlist(studio: Studio) -> None:
    await studio.publish(
        TWO_POLICIES.replace('"Morning · $date"', '"Morning"').replace("with $top_artists", "")
    )
    before = {each.id: studio.tracks(each) for each in studio.playlists()}
    studio.advance(days=7)
    studio.draw()
    studio.forget_requests()

    report = await studio.sync()

    assert Counter(studio.requests()) == {LIST: 3, ITEMS: 6}
    assert (report.calls, report.minimum_calls) == (9, 9)
    assert _is_as_drawn(studio)
    assert all(studio.tracks(each) != before[each.id] for each in studio.playlists())
    assert {_actions(studio, each.id)[-1] for each in studio.playlists()} == {"reshuffled"}


async def test_a_name_with_a_date_changes_with_the_cycle_and_not_before(studio: Studio) -> None:
    await studio.publish(DATED_POLICY)
    studio.advance(days=3)
    assert (await studio.sync()).calls == 0

    studio.advance(days=4)
    studio.draw()
    studio.forget_requests()
    await studio.sync()

    assert Counter(studio.requests()) == {LIST: 3, DETAILS: 3, ITEMS: 3}
    row = studio.playlists()[0]
    assert _by_id(studio)[str(row.spotify_id)]["name"] == row.confirmed_name
    renamed = next(each for each in studio.history(row.id) if each.action == "renamed")
    assert renamed.before is not None
    assert renamed.after is not None
    assert renamed.before["name"] != renamed.after["name"]


async def test_a_run_after_a_change_of_name_finds_its_version_unknown_and_no_drift(studio: Studio) -> None:
    await studio.publish(ONE_POLICY)
    renamed = ONE_POLICY.replace('"Morning"', '"Good morning"')
    studio.apply(renamed)
    studio.draw()
    await studio.sync()
    assert {each["name"] for each in studio.on_spotify()} == {"Good morning"}

    studio.draw(force=True)
    studio.forget_requests()
    report = await studio.sync()

    assert Counter(studio.requests()) == {LIST: 3, ITEMS: 3}
    assert "drift_found" not in report.counts


async def test_the_cheaper_look_is_taken_in_a_large_library(studio: Studio) -> None:
    await studio.publish(ONE_POLICY)
    one = studio.playlists()[0]
    studio.retire_others(one.account_id, 60)
    studio.draw(force=True, playlist_ids=[one.id])
    studio.forget_requests()

    report = await studio.sync()

    assert Counter(studio.requests()) == {READ: 1, ITEMS: 1}
    assert (report.calls, report.minimum_calls) == (2, 2)
    assert _is_as_drawn(studio)


async def test_calls_and_their_minimum_are_stored_by_account_and_endpoint(studio: Studio) -> None:
    await studio.publish()

    with studio.database.transaction() as session:
        stored = session.execute(
            select(ApiCalls.account_id, ApiCalls.endpoint, ApiCalls.calls, ApiCalls.minimum).where(
                ~ApiCalls.endpoint.contains(":")
            )
        ).all()

    assert {(row.account_id, row.calls, row.minimum) for row in stored} == {
        (account, 2, 2) for account in studio.accounts
    }
    assert len(stored) == 6


async def test_a_listing_that_shows_an_older_version_of_ours_is_no_drift(studio: Studio) -> None:
    await studio.publish(ONE_POLICY)
    studio.simulator.control.add_fault(kind="slow_snapshot_ids", seconds=30)
    studio.draw(force=True)
    await studio.sync()
    studio.draw(force=True)
    studio.forget_requests()

    report = await studio.sync()

    assert READ not in studio.requests()
    assert "drift_found" not in report.counts
    assert _is_as_drawn(studio)


# ── created exactly once ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_creation_whose_answer_is_lost_is_adopted_by_its_marker(studio: Studio) -> None:
    studio.simulator.control.add_fault(method="POST", path="/me/playlists$", drop="after", n=1)

    report = await studio.publish(ONE_POLICY)

    assert (report.changed, report.counts["adopted"]) == (3, 1)
    assert studio.requests().count(CREATE) == 3
    assert (report.calls, report.minimum_calls) == (7, 7)
    assert _is_as_drawn(studio)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_after_the_effect_makes_one_playlist(studio: Studio, status: int) -> None:
    studio.simulator.control.add_fault(method="POST", path="/me/playlists$", status=status, effect=True, n=1)

    await studio.publish(ONE_POLICY)

    assert studio.requests().count(CREATE) == 3
    assert _is_as_drawn(studio)


async def test_a_server_error_before_the_effect_makes_one_playlist_after_the_settle_window(
    studio: Studio,
) -> None:
    studio.simulator.control.add_fault(method="POST", path="/me/playlists$", status=502, n=1)
    report = await studio.publish(ONE_POLICY)
    assert (report.changed, len(report.deferred), report.failed) == (2, 1, [])
    assert report.deferred[0].until > studio.now()

    studio.forget_requests()
    too_soon = await studio.sync()
    assert (len(too_soon.deferred), studio.requests()) == (1, [])

    studio.advance(seconds=130)
    report = await studio.sync()

    assert Counter(studio.requests()) == {LIST: 1, CREATE: 1, ITEMS: 1}
    assert (report.changed, report.calls, report.minimum_calls) == (1, 3, 3)
    assert _is_as_drawn(studio)
    assert [each.sync_not_before for each in studio.playlists()] == [None] * 3


async def test_a_listing_that_lags_within_the_settle_window_makes_no_twin(studio: Studio) -> None:
    studio.simulator.control.add_fault(kind="listing_lag", seconds=60)
    studio.simulator.control.add_fault(method="POST", path="/me/playlists$", drop="after", n=1)
    report = await studio.publish(ONE_POLICY)
    assert len(report.deferred) == 1

    studio.advance(seconds=130)
    await studio.sync()

    assert studio.requests().count(CREATE) == 3
    assert _is_as_drawn(studio)


async def test_the_settle_window_counts_from_the_lost_answer_and_not_from_the_first_attempt(
    studio: Studio,
) -> None:
    control = studio.simulator.control
    control.add_fault(kind="listing_lag", seconds=60)
    control.add_fault(
        method="POST", path="/me/playlists$", status=429, headers={"Retry-After": "1"}, n=1
    )  # a second passes between the intent and the call that counts
    control.add_fault(method="POST", path="/me/playlists$", drop="after", n=1)
    began = studio.now()

    report = await studio.publish(ONE_ACCOUNT)

    assert [each.until >= began + SETTLE_WINDOW + timedelta(seconds=1) for each in report.deferred] == [True]
    with studio.database.transaction() as session:
        sent_at = session.scalar(select(SyncIntent.sent_at))
    assert sent_at == report.deferred[0].until - SETTLE_WINDOW


async def test_a_creation_counts_as_sent_when_it_has_its_turn_and_not_while_it_waits(studio: Studio) -> None:
    studio.apply(ONE_ACCOUNT)
    studio.plan()
    studio.draw()
    limiter = studio.client.caller.limiter
    turn = limiter.acquire
    sent_meanwhile: list[bool] = []

    async def acquire_late(wanted: Turn) -> Slot:
        with studio.database.transaction() as session:
            sent_meanwhile.append(session.scalar(select(SyncIntent.sent_at)) is not None)
        return await turn(wanted)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(limiter, "acquire", acquire_late)
        await studio.sync()

    assert sent_meanwhile == [False, True], "the creation, and the fill after it"
    assert _is_as_drawn(studio)


async def test_a_run_killed_before_the_call_creates_one_playlist(studio: Studio) -> None:
    await _killed_at_create(studio, drop="before")
    assert studio.on_spotify() == []
    studio.forget_requests()

    too_soon = await studio.sync()
    assert (len(too_soon.deferred), studio.requests()) == (1, [LIST])

    studio.advance(seconds=130)
    await studio.sync()

    assert _is_as_drawn(studio)


async def test_a_run_killed_after_the_call_adopts_what_it_made(studio: Studio) -> None:
    await _killed_at_create(studio, drop="after")
    assert len(studio.on_spotify()) == 1

    report = await studio.sync()

    assert (report.counts["adopted"], report.counts.get("created")) == (1, None)
    assert _is_as_drawn(studio)


async def _killed_at_create(studio: Studio, drop: str) -> None:
    """Let a run die while its creation is on the way: nothing after the commit of the intent happens."""
    studio.apply(ONE_ACCOUNT)
    studio.plan()
    studio.draw()
    timing: dict[str, Any] = {"drop": "before", "delay": 60} if drop == "before" else {"delay_after": 60}
    studio.simulator.control.add_fault(method="POST", path="/me/playlists$", **timing)
    run = asyncio.create_task(studio.sync())
    while not _arrived(studio, drop):  # noqa: ASYNC110 - the event happens in another server
        await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    studio.simulator.control.clear_faults()


def _arrived(studio: Studio, drop: str) -> bool:
    if drop == "after":
        return bool(studio.on_spotify())
    with studio.database.transaction() as session:
        return session.scalar(select(SyncIntent.id).where(SyncIntent.sent_at.is_not(None))) is not None


async def test_a_run_killed_between_creation_and_fill_fills_what_it_made(studio: Studio) -> None:
    fault = studio.simulator.control.add_fault(method="PUT", path="/items$", status=502)
    report = await studio.publish(ONE_POLICY)
    assert len(report.failed) == 3
    studio.simulator.control.remove_fault(fault)

    report = await studio.sync()

    assert studio.requests().count(CREATE) == 3
    assert report.changed == 3
    assert _is_as_drawn(studio)


async def test_a_write_whose_answer_was_lost_is_not_taken_for_an_edit(studio: Studio) -> None:
    await studio.publish(ONE_POLICY)
    studio.draw(force=True)
    fault = studio.simulator.control.add_fault(method="PUT", path="/items$", drop="after")
    assert len((await studio.sync()).failed) == 3
    studio.simulator.control.remove_fault(fault)
    studio.forget_requests()

    report = await studio.sync()

    assert ITEMS not in studio.requests()
    assert "drift_found" not in report.counts
    assert (report.changed, report.failed) == (3, [])
    assert (await studio.sync()).unchanged == 3


async def test_a_write_that_took_effect_is_done_although_every_answer_was_an_error(studio: Studio) -> None:
    await studio.publish(ONE_ACCOUNT)
    studio.draw(force=True)
    studio.simulator.control.add_fault(method="PUT", path="/items$", status=502, effect=True)
    studio.forget_requests()

    report = await studio.sync()

    assert (report.changed, report.failed) == (1, [])
    assert Counter(studio.requests()) == {LIST: 1, ITEMS: 6, READ: 1}
    assert _is_as_drawn(studio)
    assert (await studio.sync(force=True)).unchanged == 1


# ── taken over, late and twice ───────────────────────────────────────────────────────────────────────────────


def _abandon_leases(studio: Studio) -> None:
    """Somebody held every account's lease, and was not heard of for longer than it lasts."""
    with studio.database.transaction() as session:
        session.execute(delete(Lease))
        session.execute(
            insert(Lease),
            [
                {
                    "name": f"sync account {account_id}",
                    "holder": "a run that is gone",
                    "token": 1,
                    "expires_at": datetime(2026, 1, 1, tzinfo=UTC),
                }
                for account_id in studio.accounts
            ],
        )


async def test_a_write_that_escaped_from_a_run_that_was_replaced_is_found_and_healed(studio: Studio) -> None:
    await studio.publish(ONE_ACCOUNT)
    row = studio.playlists()[0]
    before = studio.tracks(row)
    studio.draw(force=True)
    _abandon_leases(studio)
    assert (await studio.sync()).changed == 1
    # The call that was in flight arrives: an older draw of ours, by no hand.
    studio.simulator.control.edit_playlist(str(row.spotify_id), items=before)

    assert (await studio.sync()).calls == 0, "not before the settle window is over"
    studio.advance(seconds=130)
    report = await studio.sync()

    assert (report.changed, report.calls, report.minimum_calls) == (1, 3, 3)
    assert "drift_found" not in report.counts
    assert _is_as_drawn(studio)
    studio.advance(seconds=130)
    again = await studio.sync()
    assert (again.changed, again.calls) == (0, 2), "what was healed is looked at once more"
    assert (await studio.sync()).calls == 0


async def test_after_a_takeover_only_what_was_in_work_is_read_back_and_once(studio: Studio) -> None:
    await studio.publish(ONE_POLICY)
    one = studio.playlists()[0]
    studio.draw(force=True, playlist_ids=[one.id])
    _abandon_leases(studio)
    await studio.sync()
    studio.advance(seconds=130)
    studio.forget_requests()

    report = await studio.sync()

    assert Counter(studio.requests()) == {LIST: 1, READ: 1}
    assert (report.changed, report.unchanged, report.calls, report.minimum_calls) == (0, 3, 2, 2)
    assert (await studio.sync()).calls == 0


async def test_a_listing_that_lags_for_longer_than_the_settle_window_is_healed_to_one(studio: Studio) -> None:
    studio.simulator.control.add_fault(kind="listing_lag", seconds=200)
    studio.simulator.control.add_fault(method="POST", path="/me/playlists$", drop="after", n=1)
    await studio.publish(ONE_ACCOUNT)
    studio.advance(seconds=130)
    await studio.sync()
    assert len(studio.on_spotify()) == 2, "the listing said that it did not exist"
    kept = studio.playlists()[0].spotify_id

    studio.advance(seconds=130)
    early = await studio.sync()
    assert "drift_found" not in early.counts, "a playlist that is not listed yet was not deleted"
    studio.advance(seconds=130)
    report = await studio.sync(force=True)

    assert report.counts["twins_removed"] == 1
    assert (report.calls, report.minimum_calls) == (3, 3)
    assert [each["id"] for each in studio.on_spotify()] == [kept]
    assert _is_as_drawn(studio)
    assert "twin removed" in _actions(studio, studio.playlists()[0].id)


async def test_a_playlist_with_our_marker_that_somebody_filled_otherwise_is_left_alone(
    studio: Studio,
) -> None:
    await studio.publish(ONE_ACCOUNT)
    control = studio.simulator.control
    ours = studio.on_spotify()[0]
    api = studio.client.as_account(studio.accounts[0])
    copy = await api.create_playlist("My copy", html.unescape(ours["description"]), public=True)
    control.edit_playlist(copy.id, items=_items(ours)[:3])

    await studio.sync(force=True)

    assert {each["id"] for each in studio.on_spotify()} == {ours["id"], copy.id}
    real = _by_id(studio)[copy.id]
    assert (real["name"], _items(real)) == ("My copy", _items(ours)[:3])


async def test_items_that_become_visible_late_are_not_written_again_and_again(studio: Studio) -> None:
    await studio.publish(ONE_ACCOUNT)
    studio.advance(minutes=10)
    studio.simulator.control.add_fault(kind="slow_items", seconds=60)
    renamed = ONE_ACCOUNT.replace('"Morning"', '"Good morning"')
    studio.apply(renamed)
    studio.draw(force=True)
    await studio.sync()  # items
    studio.apply(renamed.replace('"Good morning"', '"Good day"'))
    studio.draw(force=True)
    studio.forget_requests()

    for _ in range(3):
        await studio.sync(force=True)
        studio.advance(seconds=5)

    assert studio.requests().count(ITEMS) == 1
    assert "drift found" not in _actions(studio, studio.playlists()[0].id)
    studio.advance(seconds=130)
    await studio.sync()
    assert studio.requests().count(ITEMS) == 1
    assert _is_as_drawn(studio)


# ── read back ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_written_is_read_back_apart_from_the_minimum(studio: Studio) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    studio.apply()
    studio.plan()
    studio.draw()
    report = await studio.sync(read_back_share=1.0, sleep=sleep)

    assert (report.calls, report.minimum_calls, report.counts["read_back"]) == (12, 12, 6)
    assert Counter(studio.requests()) == {CREATE: 6, ITEMS: 6, READ: 6}
    assert pauses == [1.0] * 3
    assert report.notes == []
    studio.advance(minutes=5)
    assert (await studio.sync()).calls == 0
    with studio.database.transaction() as session:
        apart = select(ApiCalls.calls, ApiCalls.minimum).where(ApiCalls.use_case == "read_back")
        assert session.execute(apart).tuples().all() == [(2, 2)] * 3


async def test_what_is_visible_late_is_waited_for_and_not_written_again(studio: Studio) -> None:
    studio.simulator.control.add_fault(kind="slow_items", seconds=5)

    async def sleep(seconds: float) -> None:
        studio.advance(seconds=seconds)

    studio.apply(ONE_ACCOUNT)
    studio.plan()
    studio.draw()
    report = await studio.sync(read_back_share=1.0, sleep=sleep)

    assert report.notes == []
    assert Counter(studio.requests()) == {CREATE: 1, ITEMS: 1, READ: 3}, "after 1, 3 and 7 seconds"


async def test_a_write_that_did_not_last_is_mended_after_the_settle_window(studio: Studio) -> None:
    async def sleep(seconds: float) -> None:
        for each in studio.on_spotify():
            studio.simulator.control.edit_playlist(each["id"], items=[])

    studio.apply(ONE_ACCOUNT)
    studio.plan()
    studio.draw()
    report = await studio.sync(read_back_share=1.0, sleep=sleep)
    assert ["don't show what was written yet" in note for note in report.notes] == [True]
    assert (await studio.sync()).calls == 0

    studio.advance(seconds=130)
    report = await studio.sync()

    assert report.changed == 1
    assert _is_as_drawn(studio)


# ── edits by hand ────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_edit_by_hand_is_recorded_before_it_is_overwritten(studio: Studio) -> None:
    await studio.publish(ONE_POLICY)
    row = studio.playlists()[0]
    kept = studio.tracks(row)[:3]
    studio.simulator.control.edit_playlist(str(row.spotify_id), items=kept, name="Mine now")
    studio.draw(force=True)
    studio.forget_requests()

    report = await studio.sync()

    assert report.counts["drift_found"] == 1
    assert (report.calls, report.minimum_calls) == (3 + 1 + 3 + 1, 3 + 1 + 3 + 1)
    drift = next(each for each in studio.history(row.id) if each.action == "drift found")
    assert drift.reason == "changed by hand: items, name"
    assert drift.before is not None
    assert drift.after is not None
    assert (drift.before["name"], drift.after["name"]) == ("Morning", "Mine now")
    assert drift.after["items"] == kept
    assert _is_as_drawn(studio)
    assert _by_id(studio)[str(row.spotify_id)]["name"] == "Morning"


async def test_an_edit_is_found_without_anything_due_where_it_is_looked_for(studio: Studio) -> None:
    await studio.publish(ONE_POLICY)
    row = studio.playlists()[1]
    studio.simulator.control.edit_playlist(str(row.spotify_id), items=studio.tracks(row)[:2])

    assert (await studio.sync()).changed == 0
    report = await studio.sync(force=True)

    assert (report.changed, report.unchanged) == (1, 2)
    assert _actions(studio, row.id)[-2:] == ["drift found", "synced"]
    assert _is_as_drawn(studio)


async def test_a_playlist_that_its_owner_deleted_is_made_anew(studio: Studio) -> None:
    await studio.publish(ONE_POLICY)
    row = studio.playlists()[0]
    studio.simulator.control.edit_playlist(str(row.spotify_id), unfollow=True)
    studio.draw(force=True)
    studio.advance(hours=2)

    report = await studio.sync()

    again = studio.playlists()[0]
    assert again.spotify_id != row.spotify_id
    drift = next(each for each in studio.history(row.id) if each.action == "drift found")
    assert drift.before is not None
    assert drift.before["spotify_id"] == row.spotify_id
    assert _is_as_drawn(studio)
    assert (report.calls, report.minimum_calls) == (3 + 2 + 2, 3 + 2 + 2)


async def test_a_deleted_playlist_stays_so_where_its_policy_says_so(studio: Studio) -> None:
    await studio.publish(ONE_POLICY.replace("size: 20", "size: 20\n    on_missing: leave"))
    row = studio.playlists()[0]
    studio.simulator.control.edit_playlist(str(row.spotify_id), unfollow=True)
    studio.draw(force=True)
    studio.advance(hours=2)

    await studio.sync()
    studio.plan()
    studio.draw()
    await studio.sync()

    assert [each.status for each in studio.playlists()] == ["retired", "active", "active"]
    assert len(studio.on_spotify()) == 2


async def test_a_foreign_playlist_is_never_touched(studio: Studio) -> None:
    control = studio.simulator.control
    await studio.publish(ONE_POLICY)
    marker = _markers(studio)[0]
    mine = next(each for each in studio.on_spotify() if find_marker(each["description"]) == marker)
    with studio.database.transaction() as session:
        session.execute(update(SyncIntent).values(status="abandoned"))
        session.execute(update(Playlist).values(status="retired"))
    before = control.playlists()

    studio.plan()
    studio.draw()
    await studio.sync()

    after = {each["id"]: each for each in control.playlists()}
    assert after[mine["id"]]["snapshot_id"] == mine["snapshot_id"]
    assert len(after) == len(before) + 3


# ── trouble ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_account_without_consent_is_quarantined_and_the_others_are_done(studio: Studio) -> None:
    await studio.publish()
    studio.draw(force=True)
    studio.simulator.control.revoke("studio-2")
    studio.simulator.control.expire_access_tokens("studio-2")
    studio.advance(hours=2)

    report = await studio.sync()

    assert (report.changed, len(report.failed)) == (4, 2)
    assert {failure.kind for failure in report.failed} == {"AuthorizationLost"}
    assert studio.account(studio.accounts[1]).health == "quarantined"

    studio.forget_requests()
    before = studio.fingerprint()
    again = await studio.sync()
    after_once = studio.fingerprint()
    assert (again.changed, again.unchanged, studio.requests()) == (0, 4, [])
    assert len(again.failed) + len(again.deferred) == 2
    assert "studio-2" in (again.failed[0].reason if again.failed else again.deferred[0].reason)
    assert before != after_once, "that they were skipped is noted"
    await studio.sync()
    assert studio.fingerprint() == after_once, "but noted once"


async def test_an_account_that_always_fails_costs_the_others_nothing(studio: Studio) -> None:
    studio.simulator.control.add_fault(path="/v1/", user_id="studio-1", status=503)

    report = await studio.publish()

    assert report.changed == 4
    assert len(report.failed) + len(report.deferred) == 2
    assert len(studio.on_spotify()) == 4


async def test_a_spent_quota_puts_everything_off_and_the_next_run_goes_on(studio: Studio) -> None:
    studio.apply()
    studio.plan()
    studio.draw()
    quota = {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}
    fault = studio.simulator.control.add_fault(
        path="/v1/", status=429, body=quota, headers={"Retry-After": "48925"}, skip=2
    )

    report = await studio.sync(max_parallel_accounts=1)
    assert report.failed == []
    assert (report.changed, len(report.deferred)) == (1, 5)
    assert report.deferred_until is not None
    assert (report.deferred_until - studio.now()).total_seconds() > 40_000

    studio.simulator.control.remove_fault(fault)
    studio.forget_requests()
    assert len((await studio.sync()).deferred) == 5
    assert studio.requests() == []

    studio.advance(hours=14)
    report = await studio.sync()
    assert (report.changed, report.deferred) == (5, [])
    assert Counter(studio.requests()) == {CREATE: 5, ITEMS: 5}, "what was refused had no effect to look for"
    assert _is_as_drawn(studio)


async def test_two_runs_at_once_write_each_playlist_once(studio: Studio) -> None:
    studio.apply()
    studio.plan()
    studio.draw()

    reports = await asyncio.gather(studio.sync(), studio.sync())

    assert Counter(studio.requests()) == {CREATE: 6, ITEMS: 6}
    assert sum(report.changed for report in reports) == 6
    assert _is_as_drawn(studio)


async def test_a_run_that_lost_its_lease_stops_before_its_next_call(studio: Studio) -> None:
    studio.apply(ONE_POLICY)
    studio.plan()
    studio.draw()
    fault = studio.simulator.control.add_fault(method="POST", path="/me/playlists$", delay_after=1)
    run = asyncio.create_task(studio.sync(account_ids=studio.accounts[:1]))
    while not studio.on_spotify():  # noqa: ASYNC110 - the event happens in another server
        await asyncio.sleep(0.01)
    with studio.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE leases SET token = token + 1, holder = 'another run'")
    report = await run
    studio.simulator.control.remove_fault(fault)

    assert [failure.kind for failure in report.failed] == ["LeaseLost"]
    assert studio.requests() == [CREATE]
    assert studio.playlists()[0].spotify_id is None


# ── narrowing ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(studio: Studio) -> None:
    studio.apply()
    studio.plan()
    studio.draw()
    before = studio.fingerprint()

    report = await studio.sync(dry_run=True)

    assert (report.changed, report.calls, report.minimum_calls) == (6, 0, 12)
    assert {row["what"] for row in report.rows} == {"create, fill"}
    assert sum(int(row["calls"] or 0) for row in report.rows) == 12
    assert studio.requests() == []
    assert studio.fingerprint() == before


async def test_what_goes_beyond_the_days_budget_is_put_off_before_anything_is_called(studio: Studio) -> None:
    studio.apply()
    studio.plan()
    studio.draw()
    _set_budget(studio, 5)
    drawn = {draw.playlist_id: (draw.created_at, draw.id) for draw in studio.snapshots()}
    first = sorted(drawn, key=lambda playlist_id: (drawn[playlist_id][0], playlist_id))[:2]

    told = await studio.sync(dry_run=True)
    report = await studio.sync()

    assert (told.changed, len(told.deferred), told.minimum_calls) == (2, 4, 4)
    assert (report.changed, len(report.deferred), report.calls, report.minimum_calls) == (2, 4, 4, 4)
    assert sorted(each.id for each in studio.playlists() if each.spotify_id) == sorted(first)
    tomorrow = midnight(studio.now(), days=1)
    assert {(each.until, "budget of the app 'office'" in each.reason) for each in report.deferred} == {
        (tomorrow, True)
    }
    again = await studio.sync()
    assert (again.changed, len(again.deferred), again.calls) == (0, 4, 0)

    _set_budget(studio, 12)
    rest = await studio.sync()
    assert (rest.changed, rest.deferred, rest.calls) == (4, [], 8)


def _set_budget(studio: Studio, calls: int) -> None:
    with studio.database.transaction() as session:
        session.execute(update(SpotifyApp).values(calls_per_day=calls))


async def test_a_run_can_be_narrowed(studio: Studio) -> None:
    studio.apply()
    studio.plan()
    studio.draw()
    one = studio.playlists()[-1].id

    assert (await studio.sync(playlist_ids=[one])).changed == 1
    assert (await studio.sync(account_ids=studio.accounts[:1], policy="morning")).changed == 1
    limited = await studio.sync(limit=1)
    assert (limited.changed, limited.notes) == (1, ["3 more are due, beyond the limit of 1"])
    assert (await studio.sync()).changed == 3


async def test_progress_is_told_playlist_by_playlist(studio: Studio) -> None:
    studio.apply()
    studio.plan()
    studio.draw()
    told: list[tuple[int, int]] = []

    await studio.sync(progress=lambda done, total, **more: told.append((done, total)))

    assert sorted(told) == [(done, 6) for done in range(1, 7)]


async def test_a_track_that_became_unplayable_leaves_the_playlist(studio: Studio) -> None:
    await studio.publish(ONE_POLICY)
    row = studio.playlists()[0]
    gone = studio.tracks(row)[4].rpartition(":")[2]
    with studio.database.transaction() as session:
        session.execute(update(Track).where(Track.id == gone).values(playable=False))

    assert studio.draw().changed >= 1
    await studio.sync()

    assert all(f"spotify:track:{gone}" not in _items(each) for each in studio.on_spotify())
    assert _is_as_drawn(studio)


def test_the_two_policies_of_these_tests_are_valid() -> None:
    assert [policy.name for policy in parse_policies(TWO_POLICIES, "test").policies] == ["morning", "evening"]
    assert re.search(r"\$date", DATED_POLICY)

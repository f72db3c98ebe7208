"""From the queue to albums: each read once, in the fewest calls, whatever goes wrong in between."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from spotify_pipelines.spotify.ports import ALBUMS_BATCH
from spotify_pipelines.store import queue
from spotify_pipelines.store.calls import midnight
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import ApiCalls, Artist, SpotifyApp
from spotify_pipelines_tests.catalogue.shop import Shop, open_shop
from spotify_pipelines_tests.spotify.harness import APP, CLIENT_ID, SECRET, UNLIMITED
from spotify_pipelines_tests.support.simulator import RunningSimulator

UNKNOWN = "0000000000000000000000"


def album_ids(shop: Shop, count: int = 65) -> list[str]:
    return shop.simulator.control.album_ids(count)


def break_album(shop: Shop, album_id: str, **fault: object) -> int:
    """Spoil every answer that is about one album, alone or in a batch."""
    alone = shop.simulator.control.add_fault(method="GET", path=f"/albums/{album_id}$", **fault)
    shop.desk.apps.record_capability(APP, ALBUMS_BATCH, False, "read one by one in this test")
    return alone


def restrict(shop: Shop) -> None:
    """Make the app one that may not read albums in batches."""
    shop.simulator.control.add_client(CLIENT_ID, SECRET, limit=UNLIMITED, regime="development")


async def test_queued_albums_are_stored_as_spotify_describes_them(shop: Shop) -> None:
    ids = album_ids(shop)
    shop.enqueue(ids)
    report = await shop.ingest()
    albums = shop.stored_albums()
    assert set(albums) == set(ids)
    assert (report.requested, report.changed, report.failed, report.deferred) == (65, 65, [], [])
    assert shop.statuses() == {"ingested": 65}
    named = {each["id"]: each for each in shop.simulator.control.albums()}
    assert all(albums[album_id].name == named[album_id]["name"] for album_id in ids)
    with shop.database.transaction() as session:
        artists = set(session.scalars(select(Artist.id)))
    assert {artist for album in albums.values() for artist in album.artist_ids} == artists
    pages = {album_id: album.first_page or [] for album_id, album in albums.items()}
    assert all(len(pages[i]) == min(50, albums[i].total_tracks) > 0 for i in ids)


async def test_an_app_that_may_reads_twenty_albums_a_call(shop: Shop) -> None:
    shop.enqueue(album_ids(shop))
    report = await shop.ingest()
    assert (report.calls, report.minimum_calls) == (4, 4)
    assert len(shop.requests("/v1/albums")) == 4


async def test_another_app_finds_that_out_by_one_probe_and_reads_one_by_one(shop: Shop) -> None:
    restrict(shop)
    shop.enqueue(album_ids(shop))
    report = await shop.ingest()
    assert report.changed == 65
    assert (report.calls, report.minimum_calls) == (65 + 1, 65)
    assert shop.requests("/v1/albums").count("/v1/albums") == 1


async def test_the_catalogue_is_read_with_the_apps_own_token(shop: Shop) -> None:
    shop.enqueue(album_ids(shop))
    await shop.ingest()
    await shop.tracks()
    await shop.features("spotify")
    lines = shop.simulator.control.ledger(path="/v1/")
    assert {line["endpoint"] for line in lines} == {
        "/v1/albums",
        "/v1/albums/{id}/tracks",
        "/v1/audio-features",
    }
    assert {(line["client_id"], line["user_id"]) for line in lines} == {(CLIENT_ID, None)}


async def test_a_second_run_finds_nothing_to_do_and_asks_for_nothing(shop: Shop) -> None:
    shop.enqueue(album_ids(shop, 5))
    await shop.ingest()
    before = shop.simulator.control.ledger_position()
    report = await shop.ingest()
    assert (report.requested, report.calls, report.minimum_calls) == (0, 0, 0)
    assert shop.simulator.control.ledger_position() == before


async def test_a_known_album_that_is_queued_again_costs_no_call(shop: Shop) -> None:
    ids = album_ids(shop, 3)
    shop.enqueue(ids)
    await shop.ingest()
    with shop.database.transaction() as session:
        queue.failed(session, ids[0], kind="X", reason="x", now=shop.clock(), max_attempts=1, transient=True)
        queue.retry(session, now=shop.clock())
    report = await shop.ingest()
    assert (report.requested, report.unchanged, report.calls) == (1, 1, 0)
    assert shop.statuses() == {"ingested": 3}


async def test_force_reads_known_albums_again(shop: Shop) -> None:
    ids = album_ids(shop, 3)
    shop.enqueue(ids)
    await shop.ingest()
    await shop.tracks()
    shop.clock.forward(hours=1)
    report = await shop.ingest(force=True, album_ids=ids[:2])
    assert (report.requested, report.changed, report.calls) == (2, 2, 1)
    albums = shop.stored_albums()
    assert [albums[i].read_at == shop.clock() for i in ids] == [True, True, False]
    assert [albums[i].tracks_read_at is None for i in ids] == [True, True, False]


async def test_a_run_can_be_narrowed_by_number_and_by_name(shop: Shop) -> None:
    ids = album_ids(shop, 6)
    shop.enqueue(ids)
    assert (await shop.ingest(limit=2)).changed == 2
    assert set(shop.stored_albums()) == set(ids[:2])
    assert (await shop.ingest(album_ids=[ids[5], UNKNOWN])).changed == 1
    assert set(shop.stored_albums()) == {*ids[:2], ids[5]}


async def test_urls_are_queued_first_and_junk_among_them_is_reported(shop: Shop) -> None:
    good = f"https://open.spotify.com/album/{album_ids(shop, 1)[0]}?si=x"
    report = await shop.ingest(urls=[good, "https://open.spotify.com/track/x", "j" * 10_000_000])
    assert (report.requested, report.changed) == (3, 1)
    assert [failure.kind for failure in report.failed] == ["AlbumUrlError"] * 2
    assert "a track link" in report.failed[0].reason
    assert len(report.failed[1].item) < 100


async def test_an_album_that_does_not_exist_is_a_dead_letter_with_its_reason(shop: Shop) -> None:
    shop.enqueue([*album_ids(shop, 3), UNKNOWN])
    report = await shop.ingest()
    assert report.changed == 3
    (failure,) = report.failed
    assert (failure.item, failure.kind, failure.final) == (f"album {UNKNOWN}", "NotFound", True)
    assert f"albums retry {UNKNOWN}" in failure.reason
    assert (shop.queued(UNKNOWN).status, shop.queued(UNKNOWN).error_kind) == ("dead", "NotFound")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [({"status": 500}, "Unavailable"), ({"status": 200, "body": "{not json"}, "MalformedAnswer")],
    ids=["500 for ever", "no json"],
)
async def test_a_poisoned_album_is_held_back_and_given_up_at_last(
    shop: Shop, fault: dict[str, object], kind: str
) -> None:
    ids = album_ids(shop, 4)
    shop.enqueue(ids)
    break_album(shop, ids[1], **fault)
    report = await shop.ingest(max_attempts=2)
    assert (report.changed, [failure.kind for failure in report.failed]) == (3, [kind])
    assert (shop.queued(ids[1]).status, shop.queued(ids[1]).attempts) == ("failed", 1)
    assert (await shop.ingest(max_attempts=2)).requested == 0, "not before its time"
    shop.clock.forward(hours=1)
    report = await shop.ingest(max_attempts=2)
    assert (report.requested, [failure.final for failure in report.failed]) == (1, [True])
    assert shop.statuses() == {"ingested": 3, "dead": 1}


async def test_a_poisoned_album_that_recovers_is_read_after_all(shop: Shop) -> None:
    ids = album_ids(shop, 2)
    shop.enqueue(ids)
    fault = break_album(shop, ids[0], status=500)
    await shop.ingest()
    shop.simulator.control.remove_fault(fault)
    shop.clock.forward(hours=1)
    assert (await shop.ingest()).changed == 1
    assert (shop.queued(ids[0]).status, shop.queued(ids[0]).error) == ("ingested", None)


async def test_a_known_album_that_failed_when_it_was_read_again_is_tried_again(shop: Shop) -> None:
    [album] = album_ids(shop, 1)
    shop.enqueue([album])
    await shop.ingest()
    await shop.tracks()
    fault = break_album(shop, album, status=500)
    await shop.ingest(force=True)
    assert shop.queued(album).status == "failed"
    shop.simulator.control.remove_fault(fault)
    shop.clock.forward(hours=1)
    assert (await shop.ingest()).changed == 1
    assert shop.queued(album).status == "ingested"


async def test_one_album_that_spoils_a_batch_does_not_spoil_its_neighbours(shop: Shop) -> None:
    ids = album_ids(shop, 20)
    shop.enqueue(ids)
    shop.simulator.control.add_fault(method="GET", path="/v1/albums$", status=500)
    shop.simulator.control.add_fault(method="GET", path=f"/albums/{ids[7]}$", status=500)
    report = await shop.ingest()
    assert (report.changed, [failure.item for failure in report.failed]) == (19, [f"album {ids[7]}"])


async def test_an_answer_that_no_table_can_hold_costs_its_own_album_only(shop: Shop) -> None:
    ids = album_ids(shop, 3)
    shop.enqueue(ids)
    too_large = {"id": ids[1], "name": "x", "total_tracks": 2**40, "tracks": {}}
    no_text = {"id": ids[2], "name": "a\0b\ud800", "total_tracks": 1, "tracks": {}}
    break_album(shop, ids[1], status=200, body=json.dumps(too_large))
    break_album(shop, ids[2], status=200, body=json.dumps(no_text))
    report = await shop.ingest()
    assert [(failure.item, failure.kind) for failure in report.failed] == [(f"album {ids[1]}", "RowsRefused")]
    assert shop.stored_albums()[ids[2]].name == "ab?"


async def test_a_ban_defers_the_rest_and_the_next_run_reads_only_that(shop: Shop) -> None:
    shop.enqueue(album_ids(shop))
    # The batch after the first one meets the ban.
    shop.simulator.control.add_fault(
        method="GET",
        path="/v1/albums",
        status=429,
        skip=1,
        n=4,
        headers={"Retry-After": "50000"},
        body={"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}},
    )
    report = await shop.ingest()
    assert (report.requested, report.changed, len(report.deferred), report.failed) == (65, 20, 45, [])
    assert report.deferred_until is not None
    assert report.deferred_until - shop.clock() > timedelta(hours=10)
    assert shop.statuses() == {"ingested": 20, "queued": 45}
    with shop.database.transaction() as session:
        open_rows = queue.listing(session, statuses=["queued"])
    assert {(row.claimed_by, row.attempts) for row in open_rows} == {(None, 0)}
    assert report.minimum_calls == 1

    shop.simulator.control.clear_faults()
    shop.desk.end_ban()
    shop.desk.apps.known = type(shop.desk.apps.known)(
        APP, CLIENT_ID, calls_per_30s=UNLIMITED, capabilities={ALBUMS_BATCH: True}
    )
    again = await shop.ingest()
    assert (again.requested, again.changed, again.calls) == (45, 45, 3)


async def test_a_service_that_is_down_uses_up_no_attempts(shop: Shop) -> None:
    shop.enqueue(album_ids(shop, 30))
    shop.desk.apps.record_capability(APP, ALBUMS_BATCH, False, "read one by one in this test")
    shop.simulator.control.add_fault(method="GET", path="/v1/albums", status=503)
    report = await shop.ingest()
    assert (report.changed, len(report.deferred), report.failed) == (0, 30, [])
    assert {row.attempts for row in _rows(shop)} == {0}
    assert report.calls < 30 * 6, "it is left alone long before every album was tried"


async def test_a_service_that_goes_down_after_a_missing_album_is_left_alone_too(shop: Shop) -> None:
    ids = album_ids(shop, 30)
    shop.enqueue(ids)
    break_album(shop, ids[0], status=404)
    shop.simulator.control.add_fault(method="GET", path="/v1/albums", status=503)
    report = await shop.ingest()
    assert (report.changed, len(report.deferred), len(report.failed)) == (0, 29, 1)
    assert shop.statuses() == {"queued": 29, "dead": 1}


async def test_a_refused_app_fails_the_run_and_leaves_the_queue_as_it_was(shop: Shop) -> None:
    shop.enqueue(album_ids(shop, 25))
    shop.simulator.control.add_fault(
        method="GET",
        path="/v1/albums",
        status=403,
        body={
            "error": {
                "status": 403,
                "message": "Active premium subscription required for the owner of the app.",
            }
        },
    )
    report = await shop.ingest()
    assert (report.requested, report.changed) == (25, 0)
    assert len(report.failed) == 25
    assert shop.statuses() == {"queued": 25}
    assert {row.attempts for row in _rows(shop)} == {0}


async def test_a_run_that_is_killed_keeps_what_it_read_and_the_next_reads_the_rest(shop: Shop) -> None:
    shop.enqueue(album_ids(shop))

    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        await shop.ingest(progress=kill)
    assert shop.statuses() == {"ingested": 20, "queued": 45}
    report = await shop.ingest()
    assert (report.requested, report.changed, report.calls) == (45, 45, 3)
    assert len(shop.requests("/v1/albums")) == 4, "no album was asked for twice"


async def test_a_cancelled_run_keeps_what_it_paid_for_and_holds_nothing_back(
    database: Database, simulator: RunningSimulator, redis_url: str, key_prefix: str
) -> None:
    pausing = asyncio.Event()

    async def pause(seconds: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    async with open_shop(database, simulator, redis_url, key_prefix, sleep=pause) as shop:
        ids = album_ids(shop, 10)
        shop.enqueue(ids)
        fault = break_album(shop, ids[4], status=503)
        run = asyncio.create_task(shop.ingest())
        await pausing.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert set(shop.stored_albums()) == set(ids[:4])
        shop.simulator.control.remove_fault(fault)
        assert (await shop.ingest()).changed == 6


async def test_what_another_run_is_reading_is_left_to_it(shop: Shop) -> None:
    ids = album_ids(shop, 4)
    shop.enqueue(ids)
    with shop.database.transaction() as session:
        queue.claim(session, limit=1, run_id="other", now=shop.clock(), lease=timedelta(minutes=5))
    report = await shop.ingest()
    assert (report.changed, [each.item for each in report.deferred]) == (3, [f"album {ids[0]}"])
    assert "run other is reading it" in report.deferred[0].reason
    shop.clock.forward(minutes=5)
    assert (await shop.ingest()).changed == 1


async def test_two_runs_at_once_read_every_album_once(shop: Shop) -> None:
    shop.enqueue(album_ids(shop))
    reports = await asyncio.gather(shop.ingest(), shop.ingest())
    assert sum(report.changed for report in reports) == 65
    assert shop.statuses() == {"ingested": 65}


async def test_calls_and_their_minimum_are_recorded_for_the_run(shop: Shop) -> None:
    shop.enqueue(album_ids(shop))
    await shop.ingest()
    with shop.database.transaction() as session:
        (row,) = session.scalars(select(ApiCalls).where(ApiCalls.endpoint == "GET /albums"))
        assert (row.run_id, row.use_case, row.app_id) == ("run 1", "ingest_albums", APP)
        assert (row.calls, row.minimum) == (4, 4)


async def test_progress_reaches_the_total(shop: Shop) -> None:
    seen: list[tuple[int, int]] = []
    shop.enqueue(album_ids(shop, 45))
    await shop.ingest(progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (45, 45)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def _rows(shop: Shop) -> Sequence[queue.QueuedAlbum]:
    with shop.database.transaction() as session:
        return queue.listing(session)


async def test_what_goes_beyond_the_days_budget_is_put_off_and_the_queues_head_is_read(shop: Shop) -> None:
    ids = album_ids(shop, 6)
    shop.enqueue(ids)

    # Whether the app reads twenty at once is not known yet, so each album counts as a call.
    set_budget(shop, 3)
    report = await shop.ingest()
    assert set(shop.stored_albums()) == set(ids[:3])
    assert (report.requested, report.changed, report.calls) == (6, 3, 1)
    assert [deferral.item for deferral in report.deferred] == [f"album {id_}" for id_ in ids[3:]]
    assert {deferral.until for deferral in report.deferred} == {midnight(shop.clock(), days=1)}
    assert "budget of the app 'shop': 0 of 3 calls" in report.deferred[0].reason

    # Its one call is made; nothing of the rest was touched.
    set_budget(shop, 1)
    report = await shop.ingest()
    assert (report.requested, len(report.deferred), report.calls) == (3, 3, 0)
    assert shop.queued(ids[3]).attempts == 0

    set_budget(shop, 2)
    report = await shop.ingest()
    assert (report.changed, report.deferred, report.calls) == (3, [], 1)


async def test_known_albums_are_read_again_only_when_they_are_stale_by_the_setting(shop: Shop) -> None:
    ids = album_ids(shop, 4)
    shop.enqueue(ids[:2])
    await shop.ingest(stale_days=10)
    shop.clock.forward(days=6)
    shop.enqueue(ids[2:3])
    await shop.ingest(stale_days=10)
    before = {id_: album.read_at for id_, album in shop.stored_albums().items()}

    shop.clock.forward(days=6)
    shop.enqueue(ids[3:])
    assert (await shop.ingest(stale_days=10, album_ids=ids[2:3])).calls == 0
    report = await shop.ingest(stale_days=10)
    after = {id_: album.read_at for id_, album in shop.stored_albums().items()}

    assert (report.requested, report.changed, report.counts) == (3, 3, {"stale": 2})
    assert {id_ for id_ in before if after[id_] != before[id_]} == set(ids[:2])
    assert shop.statuses() == {"ingested": 4}
    shop.clock.forward(days=3650)
    assert (await shop.ingest()).requested == 0


async def test_a_stale_album_that_is_gone_stays_in_the_catalogue(shop: Shop) -> None:
    [album] = album_ids(shop, 1)
    shop.enqueue([album])
    await shop.ingest()
    shop.clock.forward(days=11)
    break_album(shop, album, status=404)
    report = await shop.ingest(stale_days=10)
    assert [failure.final for failure in report.failed] == [True]
    assert shop.statuses() == {"dead": 1}
    assert set(shop.stored_albums()) == {album}
    assert (await shop.ingest(stale_days=10)).requested == 0


def set_budget(shop: Shop, calls: int) -> None:
    with shop.database.transaction() as session:
        session.execute(update(SpotifyApp).values(calls_per_day=calls))

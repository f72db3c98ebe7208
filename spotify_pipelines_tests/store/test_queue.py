"""The album queue: every album is read by one worker, and no failure is forgotten or repeated for ever."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import chain
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.store import queue
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.queue import Claim, QueueCounts, QueuedAlbum
from spotify_pipelines.store.tables import Album
from spotify_pipelines.store.upserts import upsert

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
LEASE = timedelta(minutes=5)


def fill(database: Database, ids: Sequence[str]) -> QueueCounts:
    with database.transaction() as session:
        return queue.enqueue(session, [(f"spotify:album:{album}", album) for album in ids], now=NOW)


def claim(
    database: Database, run_id: str = "run", limit: int = 100, now: datetime = NOW, *, force: bool = False
) -> list[str]:
    with database.transaction() as session:
        claims = queue.claim(session, limit=limit, run_id=run_id, now=now, lease=LEASE, force=force)
    return [each.album_id for each in claims]


def fail(database: Database, album_id: str, *, transient: bool = True, now: datetime = NOW) -> queue.Attempt:
    with database.transaction() as session:
        return queue.failed(
            session,
            album_id,
            kind="Unavailable",
            reason="Spotify answered 503.",
            now=now,
            max_attempts=3,
            transient=transient,
        )


def row(database: Database, album_id: str) -> QueuedAlbum:
    with database.transaction() as session:
        return next(each for each in queue.listing(session) if each.album_id == album_id)


def know(database: Database, *ids: str) -> None:
    rows = [{"id": album, "name": album, "total_tracks": 1, "read_at": NOW} for album in ids]
    with database.transaction() as session:
        upsert(session, Album, rows, key=["id"])


def test_an_album_is_queued_once_however_often_it_is_added(database: Database) -> None:
    assert fill(database, ["b", "a"]) == QueueCounts(added=2, known=0)
    assert fill(database, ["a", "c", "b"]) == QueueCounts(added=1, known=2)


def test_albums_are_claimed_in_the_order_in_which_they_were_given(database: Database) -> None:
    fill(database, ["z", "a", "m"])
    fill(database, ["b"])
    assert claim(database, limit=3) == ["z", "a", "m"]
    assert claim(database) == ["z", "a", "m", "b"], "a run may take its own claims again"


def test_what_one_run_has_claimed_the_next_passes_by_until_the_claim_runs_out(database: Database) -> None:
    fill(database, ["a", "b"])
    assert claim(database, "first", limit=1) == ["a"]
    assert claim(database, "second", now=NOW) == ["b"]
    assert claim(database, "third", now=NOW + LEASE - timedelta(seconds=1)) == []
    assert claim(database, "fourth", now=NOW + LEASE) == ["a", "b"]


def test_a_claim_tells_what_to_read_and_how_often_it_failed(database: Database) -> None:
    fill(database, ["a"])
    fail(database, "a")
    with database.transaction() as session:
        claims = queue.claim(session, limit=1, run_id="r", now=NOW + timedelta(days=1), lease=LEASE)
    assert claims == [Claim("a", "spotify:album:a", 1)]


def test_two_workers_never_claim_the_same_album_and_together_claim_all(database: Database) -> None:
    workers, albums = 4, [f"album {number:03}" for number in range(200)]
    fill(database, albums)
    together = Barrier(workers)

    def work(worker: int) -> list[str]:
        mine: list[str] = []
        together.wait(timeout=20)
        while chunk := claim_new(f"worker {worker}"):
            mine += chunk
        return mine

    def claim_new(run_id: str) -> list[str]:
        with database.transaction() as session:
            claims = queue.claim(session, limit=7, run_id=run_id, now=NOW, lease=LEASE)
            queue.done(session, [each.album_id for each in claims], now=NOW)
        return [each.album_id for each in claims]

    with ThreadPoolExecutor(workers) as pool:
        claimed = list(pool.map(work, range(workers)))
    assert sorted(chain.from_iterable(claimed)) == albums


def test_a_row_that_another_transaction_holds_is_skipped_and_not_waited_for(database: Database) -> None:
    fill(database, ["a", "b"])
    with database.transaction() as session:
        held = queue.claim(session, limit=1, run_id="slow", now=NOW, lease=LEASE)
        assert claim(database, "quick") == ["b"]
    assert [each.album_id for each in held] == ["a"]


def test_a_read_album_leaves_the_queue_and_its_errors_are_forgotten(database: Database) -> None:
    fill(database, ["a"])
    fail(database, "a")
    with database.transaction() as session:
        assert queue.done(session, ["a"], now=NOW) == 1
    album = row(database, "a")
    assert (album.status, album.attempts, album.error, album.claimed_by) == ("ingested", 0, None, None)
    assert album.ingested_at == NOW
    assert claim(database, now=NOW + timedelta(days=30)) == []


def test_a_failed_album_is_held_back_and_tried_later(database: Database) -> None:
    fill(database, ["a"])
    claim(database)
    attempt = fail(database, "a")
    assert (attempt.attempts, attempt.final) == (1, False)
    assert claim(database, "next", now=attempt.next_attempt_at - timedelta(seconds=1)) == []
    assert claim(database, "next", now=attempt.next_attempt_at) == ["a"]
    album = row(database, "a")
    assert (album.status, album.error_kind, album.error) == ("failed", "Unavailable", "Spotify answered 503.")


def test_after_the_last_attempt_an_album_is_a_dead_letter(database: Database) -> None:
    fill(database, ["a"])
    assert [fail(database, "a").final for _ in range(3)] == [False, False, True]
    assert row(database, "a").status == "dead"
    assert claim(database, now=NOW + timedelta(days=365)) == []


def test_a_permanent_error_makes_a_dead_letter_at_once(database: Database) -> None:
    fill(database, ["a"])
    assert fail(database, "a", transient=False).final
    assert row(database, "a").status == "dead"


def test_a_released_claim_costs_no_attempt_and_is_free_at_once(database: Database) -> None:
    fill(database, ["a", "b"])
    claim(database, "banned")
    with database.transaction() as session:
        assert queue.release(session, ["a"], run_id="somebody else") == 0
        assert queue.release(session, ["a"], run_id="banned") == 1
    assert claim(database, "next") == ["a"]
    assert row(database, "a").attempts == 0


def test_a_retry_begins_anew_for_named_albums_or_for_all_that_failed(database: Database) -> None:
    fill(database, ["dead", "failed", "fine", "other"])
    fail(database, "dead", transient=False)
    fail(database, "failed")
    fail(database, "other")
    with database.transaction() as session:
        assert queue.retry(session, ["dead", "fine", "unknown"], now=NOW) == ["dead"]
        assert queue.retry(session, now=NOW) == ["failed", "other"]
        assert queue.status_counts(session) == {"queued": 4}
    album = row(database, "dead")
    assert (album.attempts, album.error, album.next_attempt_at) == (0, None, NOW)


def test_due_names_what_is_waiting_and_not_known_yet(database: Database) -> None:
    fill(database, ["known", "later", "new", "dead"])
    know(database, "known")
    fail(database, "later")
    fail(database, "dead", transient=False)
    with database.transaction() as session:
        assert queue.due(session, now=NOW) == ["new"]
        assert queue.due(session, now=NOW + timedelta(hours=1)) == ["new", "later"]
        assert queue.due(session, now=NOW + timedelta(hours=1), limit=1) == ["new"]
        assert queue.due(session, now=NOW, only=["known", "other"]) == []
        assert set(queue.due(session, now=NOW, force=True)) == {"known", "later", "new", "dead"}
        assert queue.due(session, now=NOW, only=["known"], force=True) == ["known"]


def test_queued_albums_that_are_known_are_ingested_without_reading_them(database: Database) -> None:
    fill(database, ["known", "new", "tracks failed"])
    know(database, "known", "tracks failed")
    fail(database, "tracks failed")
    with database.transaction() as session:
        assert queue.mark_known(session, now=NOW) == 1
        assert queue.status_counts(session) == {"ingested": 1, "queued": 1, "failed": 1}


def test_the_listing_shows_first_what_needs_a_person(database: Database) -> None:
    fill(database, ["queued", "dead", "failed", "fine"])
    fail(database, "dead", transient=False)
    fail(database, "failed")
    with database.transaction() as session:
        queue.done(session, ["fine"], now=NOW)
        assert [each.status for each in queue.listing(session)] == ["dead", "failed", "queued", "ingested"]
        held_back = queue.listing(session, statuses=["dead", "failed"])
        assert [each.album_id for each in held_back] == ["dead", "failed"]
        assert len(queue.listing(session, limit=2)) == 2


@given(st.integers(1, 10_000))
def test_waits_grow_with_every_attempt_up_to_a_day(attempts: int) -> None:
    delay = queue.retry_delay(attempts)
    assert timedelta(minutes=5) <= delay <= timedelta(days=1)
    assert queue.retry_delay(attempts + 1) >= delay


@pytest.mark.parametrize("transient", [True, False])
def test_a_failed_album_is_no_longer_claimed(database: Database, transient: bool) -> None:
    fill(database, ["a"])
    claim(database)
    fail(database, "a", transient=transient)
    assert row(database, "a").claimed_by is None

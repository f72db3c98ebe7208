"""Leases: one holder at a time, and nothing written by a holder that has been replaced."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from spotify_pipelines.store import leases
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.leases import Lease, LeaseLost
from spotify_pipelines.store.tables import Lease as LeaseRow

TTL = timedelta(minutes=1)


def acquire(database: Database, holder: str, name: str = "sync:1") -> Lease | None:
    with database.transaction() as session:
        return leases.acquire(session, name, holder, TTL)


def held(database: Database, holder: str) -> Lease:
    lease = acquire(database, holder)
    assert lease is not None
    return lease


@contextmanager
def hurried(database: Database) -> Iterator[Session]:
    """A transaction that waits for no lock."""
    with database.transaction() as session:
        session.execute(text("SET LOCAL lock_timeout = '100ms'"))
        yield session


def run_out(database: Database) -> None:
    """Let a minute pass, as the database sees it."""
    with database.transaction() as session:
        session.execute(update(LeaseRow).values(expires_at=text("clock_timestamp() - interval '1 second'")))


def test_a_held_lease_is_refused_to_others_and_to_its_own_holder(database: Database) -> None:
    held(database, "first")
    assert acquire(database, "second") is None
    assert acquire(database, "first") is None
    assert acquire(database, "second", name="sync:2") is not None


def test_a_lease_that_ran_out_goes_to_the_next_with_a_higher_token(database: Database) -> None:
    first = held(database, "first")
    run_out(database)
    second = held(database, "second")
    assert second.token > first.token


def test_who_takes_over_knows_from_whom(database: Database) -> None:
    first = held(database, "first")
    run_out(database)
    second = held(database, "second")
    with database.transaction() as session:
        leases.release(session, second)
    third = held(database, "third")
    assert (first.taken_from, second.taken_from, third.taken_from) == (None, "first", None)


def test_a_released_lease_is_free_and_its_token_still_grows(database: Database) -> None:
    first = held(database, "first")
    with database.transaction() as session:
        assert leases.release(session, first)
        assert not leases.release(session, first)
    assert held(database, "first").token > first.token


def test_a_lease_is_renewed_by_its_holder_even_if_it_ran_out_unnoticed(database: Database) -> None:
    lease = held(database, "first")
    run_out(database)
    with database.transaction() as session:
        renewed = leases.renew(session, lease, TTL)
    assert renewed.token == lease.token
    assert acquire(database, "second") is None


def test_who_was_replaced_can_neither_renew_nor_release_nor_write(database: Database) -> None:
    old = held(database, "first")
    run_out(database)
    new = held(database, "second")
    for attempt in (lambda s: leases.renew(s, old, TTL), lambda s: leases.guard(s, old)):
        with (
            pytest.raises(LeaseLost, match="first no longer holds the lease 'sync:1'"),
            database.transaction() as session,
        ):
            attempt(session)
    with database.transaction() as session:
        assert not leases.release(session, old)
        leases.guard(session, new)


def test_a_released_lease_guards_nothing(database: Database) -> None:
    lease = held(database, "first")
    with database.transaction() as session:
        leases.release(session, lease)
    with pytest.raises(LeaseLost), database.transaction() as session:
        leases.guard(session, lease)


def test_nobody_takes_over_while_a_guarded_transaction_is_open(database: Database) -> None:
    lease = held(database, "first")
    run_out(database)
    with database.transaction() as session:
        leases.guard(session, lease)
        with pytest.raises(OperationalError, match="lock timeout"), hurried(database) as other:
            leases.acquire(other, lease.name, "second", TTL)
    assert acquire(database, "second") is not None


def test_several_transactions_of_one_holder_may_be_guarded_at_once(database: Database) -> None:
    lease = held(database, "first")
    with database.transaction() as session, hurried(database) as other:
        leases.guard(session, lease)
        leases.guard(other, lease)


def test_of_many_who_want_it_at_once_one_gets_it(database: Database) -> None:
    many = 5
    together = Barrier(many)

    def want(number: int) -> Lease | None:
        together.wait(timeout=20)
        return acquire(database, f"holder {number}")

    with ThreadPoolExecutor(many) as pool:
        got = [lease for lease in pool.map(want, range(many)) if lease]
    assert len(got) == 1
    with database.transaction() as session:
        assert session.scalar(select(LeaseRow.holder)) == got[0].holder

"""The one lease that a sync holds on an account: kept alive while it works, checked with every write.

What belongs here: take it, renew it in the background, fence a transaction with it. What does not: what is
written under it. A worker that was paused for too long finds out at its next fence, before its next call.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.store import leases
from spotify_pipelines.store.database import Database

__all__ = ["TTL", "AccountLease", "hold_account", "hold_lease"]

_log = structlog.get_logger(__name__)

TTL = timedelta(seconds=90)
"""How long a worker may be silent until another takes its account over."""


class AccountLease:
    """The right to write to one account's playlists, for as long as the block around it lasts."""

    def __init__(self, database: Database, lease: leases.Lease) -> None:
        self._database = database
        self._lease = lease

    @property
    def taken_from(self) -> str | None:
        """The worker that let it run out, which may be at it still; None where it was given back."""
        return self._lease.taken_from

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction that commits only while the lease is ours.

        Raises:
            LeaseLost: somebody took over; nothing was written.
        """
        with self._database.transaction() as session:
            leases.guard(session, self._lease)
            yield session

    def check(self) -> None:
        """Stop here if the lease is not ours any more; for calls that no transaction precedes.

        Raises:
            LeaseLost: somebody took over.
        """
        with self.transaction():
            pass

    async def keep_alive(self) -> None:
        """Renew for ever; ends where the lease was lost, which the next fence reports."""
        while True:
            await asyncio.sleep(TTL.total_seconds() / 3)
            try:
                with self._database.transaction() as session:
                    leases.renew(session, self._lease, TTL)
            except leases.LeaseLost:
                return
            except Exception as error:
                # The lease lasts for two more tries; what needs it finds out by itself if they fail as well.
                _log.warning("lease.not_renewed", lease=self._lease.name, reason=type(error).__name__)


@asynccontextmanager
async def hold_account(
    database: Database, account_id: int, holder: str
) -> AsyncIterator[AccountLease | None]:
    """The account's lease until the end of the block; None where another worker has it."""
    async with hold_lease(database, f"sync account {account_id}", holder) as lease:
        yield lease


@asynccontextmanager
async def hold_lease(database: Database, name: str, holder: str) -> AsyncIterator[AccountLease | None]:
    """The lease of that name, renewed until the end of the block; None where another worker has it."""
    with database.transaction() as session:
        lease = leases.acquire(session, name, holder, TTL)
    if lease is None:
        yield None
        return
    held = AccountLease(database, lease)
    heartbeat = asyncio.create_task(held.keep_alive())
    try:
        yield held
    finally:
        heartbeat.cancel()
        with database.transaction() as session:
            leases.release(session, lease)

"""Exclusive rights that end by themselves: one holder at a time, and a token that fences the ones before.

What belongs here: take, keep, give back and prove a lease, all by the database's clock. What does not: what a
lease is for, and heartbeats (the holder renews). After Kleppmann, "How to do distributed locking" (2016): a
holder that was paused for longer than its lease finds out when it writes, in ``guard``.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.store.tables import Lease as LeaseRow

__all__ = ["Lease", "LeaseLost", "acquire", "guard", "release", "renew"]


class LeaseLost(ExplainedError):
    """Somebody else holds the lease now, or it was given back: stop writing under it."""

    def __init__(self, lease: "Lease") -> None:
        super().__init__(
            f"{lease.holder} no longer holds the lease '{lease.name}': it ran out and was taken over. Nothing "
            "more is written under it; the new holder goes on with the work."
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """A right that was had until ``expires_at`` (the database's time); ``token`` is higher for each holder.

    Attributes:
        taken_from: the holder before, where it let the lease run out: it may be dead, or just slow.
    """

    name: str
    holder: str
    token: int
    expires_at: datetime
    taken_from: str | None = None


def acquire(session: Session, name: str, holder: str, ttl: timedelta) -> Lease | None:
    """Take the lease for ``ttl`` if it is free or has run out; None while somebody holds it.

    A living lease is refused to its own holder as well: two attempts of one run must not work at once.
    """
    until = _in(ttl)
    # Locked, so that the holder before is known for sure. A lease that never was has none to lock.
    before = session.scalar(select(LeaseRow.holder).where(LeaseRow.name == name).with_for_update())
    statement = (
        insert(LeaseRow)
        .values(name=name, holder=holder, token=1, expires_at=until)
        .on_conflict_do_update(
            index_elements=[LeaseRow.name],
            set_={"holder": holder, "token": LeaseRow.token + 1, "expires_at": until},
            where=or_(LeaseRow.holder.is_(None), LeaseRow.expires_at <= func.clock_timestamp()),
        )
        .returning(LeaseRow.token, LeaseRow.expires_at)
    )
    row = session.execute(statement).one_or_none()
    return Lease(name, holder, row.token, row.expires_at, before) if row else None


def renew(session: Session, lease: Lease, ttl: timedelta) -> Lease:
    """Hold the lease for ``ttl`` from now on. One that ran out can be renewed while nobody has taken it.

    Raises:
        LeaseLost: somebody has.
    """
    expires_at = session.scalar(
        update(LeaseRow).where(_is_current(lease)).values(expires_at=_in(ttl)).returning(LeaseRow.expires_at)
    )
    if expires_at is None:
        raise LeaseLost(lease)
    return replace(lease, expires_at=expires_at)


def release(session: Session, lease: Lease) -> bool:
    """Give the lease back; False where it was lost already, which changes nothing."""
    released = session.scalar(
        update(LeaseRow)
        .where(_is_current(lease))
        .values(holder=None, expires_at=None)
        .returning(LeaseRow.name)
    )
    return released is not None


def guard(session: Session, lease: Lease) -> None:
    """Fence this transaction: what it writes is written by the holder, or not at all.

    The lease's row stays locked until the end of the transaction, so that nobody takes over in between. A lease
    that ran out and that nobody has taken passes: its token is still the newest.

    Raises:
        LeaseLost: somebody took over, or it was given back.
    """
    current = session.scalar(select(LeaseRow.token).where(_is_current(lease)).with_for_update(read=True))
    if current is None:
        raise LeaseLost(lease)


def _is_current(lease: Lease) -> ColumnElement[bool]:
    return (LeaseRow.name == lease.name) & (LeaseRow.token == lease.token) & (LeaseRow.holder == lease.holder)


def _in(ttl: timedelta) -> ColumnElement[datetime]:
    # Not now(): that is when the transaction began, which may be a while ago.
    return func.clock_timestamp(type_=sqltypes.DateTime(timezone=True)) + bindparam(
        "ttl", ttl, type_=sqltypes.Interval
    )

"""The queue of album URLs: who is reading which album, what failed, when it is tried again.

What belongs here: enqueue, claim, and what may become of a claim (done, failed, released, retried). What does
not: reading albums, parsing URLs. A claim ends by itself, so a killed run holds nothing back for long.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Update,
    case,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Album, AlbumSource
from spotify_pipelines.store.upserts import upsert

__all__ = [
    "Attempt",
    "Claim",
    "QueueCounts",
    "QueuedAlbum",
    "claim",
    "done",
    "due",
    "enqueue",
    "failed",
    "listing",
    "mark_known",
    "release",
    "requeue",
    "retry",
    "retry_delay",
    "status_counts",
]

_OPEN = ("queued", "failed")


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """What became of the albums that were handed in: new ones, and those the queue knew already."""

    added: int = 0
    known: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """An album that this run reads; ``attempts`` failed before."""

    album_id: str
    url: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a failed album: tried again at ``next_attempt_at``, or ``final`` (a dead letter)."""

    attempts: int
    final: bool
    next_attempt_at: datetime


@dataclass(frozen=True, slots=True)
class QueuedAlbum:
    """One row of the queue as operators see it."""

    album_id: str
    url: str
    status: str
    attempts: int
    error_kind: str | None
    error: str | None
    next_attempt_at: datetime
    claimed_by: str | None
    claimed_until: datetime | None
    added_at: datetime
    ingested_at: datetime | None
    tags: list[str]


def enqueue(session: Session, albums: Sequence[tuple[str, str]], *, now: datetime) -> QueueCounts:
    """Add (url as given, album id) pairs; an album that is in the queue already, in any state, stays as is."""
    first = now - timedelta(microseconds=len(albums))
    counts = upsert(
        session,
        AlbumSource,
        (
            # A microsecond apart, they are read in the order in which they were given.
            {
                "url": url,
                "album_id": album_id,
                "added_at": now,
                "next_attempt_at": first + timedelta(microseconds=place),
            }
            for place, (url, album_id) in enumerate(albums)
        ),
        key=["album_id"],
        update=[],
    )
    return QueueCounts(added=counts.inserted, known=counts.unchanged)


def requeue(
    session: Session, read_before: datetime, *, now: datetime, only: Collection[str] | None = None
) -> int:
    """Queue albums again that were last read before that time, behind all that wait; answers how many."""
    stale = exists().where(Album.id == AlbumSource.album_id, Album.read_at < read_before)
    query = update(AlbumSource).where(AlbumSource.status == "ingested", stale)
    if only is not None:
        query = query.where(AlbumSource.album_id.in_(only))
    return _rows_changed(session, query.values(status="queued", next_attempt_at=now))


def mark_known(session: Session, *, now: datetime, read_before: datetime | None = None) -> int:
    """Mark queued albums that are in the catalogue already as ingested, without any call; answers how many.

    Not those that were last read before ``read_before``.
    """
    known = _in_catalogue(read_before)
    return _rows_changed(
        session,
        update(AlbumSource)
        .where(AlbumSource.status == "queued", known)
        .values(status="ingested", ingested_at=now, error=None, error_kind=None),
    )


def due(
    session: Session,
    *,
    now: datetime,
    limit: int | None = None,
    only: Collection[str] | None = None,
    force: bool = False,
    read_before: datetime | None = None,
) -> list[str]:
    """Album ids to be read now, longest waiting first.

    Albums whose tracks are still to be read are not among them, unless they were last read before
    ``read_before``: what failed is the reading of those. ``force`` takes albums in any state, dead letters and
    ingested ones included.
    """
    query = select(AlbumSource.album_id).order_by(AlbumSource.next_attempt_at, AlbumSource.id).limit(limit)
    if not force:
        # One that is complete and failed nevertheless was being read again, by force.
        lacks_tracks = exists().where(Album.id == AlbumSource.album_id, Album.tracks_read_at.is_(None))
        if read_before is not None:
            lacks_tracks = lacks_tracks.where(Album.read_at >= read_before)
        query = query.where(AlbumSource.status.in_(_OPEN), AlbumSource.next_attempt_at <= now, ~lacks_tracks)
    if only is not None:
        query = query.where(AlbumSource.album_id.in_(only))
    return list(session.scalars(query))


def claim(
    session: Session,
    *,
    limit: int,
    run_id: str,
    now: datetime,
    lease: timedelta,
    only: Collection[str] | None = None,
    force: bool = False,
) -> list[Claim]:
    """Take up to ``limit`` albums for this run until ``now + lease``; others pass them by meanwhile.

    Without ``force`` only albums that are due (see ``due``). Rows that another run holds, by claim or in an
    open transaction, are skipped and not waited for.
    """
    free = or_(
        AlbumSource.claimed_until.is_(None),
        AlbumSource.claimed_until <= now,
        AlbumSource.claimed_by == run_id,
    )
    candidates = select(AlbumSource.id).where(free)
    if not force:
        candidates = candidates.where(AlbumSource.status.in_(_OPEN), AlbumSource.next_attempt_at <= now)
    if only is not None:
        candidates = candidates.where(AlbumSource.album_id.in_(only))
    candidates = (
        candidates.order_by(AlbumSource.next_attempt_at, AlbumSource.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    # Without MATERIALIZED the planner may run the subquery again, which would lock further rows.
    taken = candidates.cte("taken").prefix_with("MATERIALIZED")
    rows = session.execute(
        update(AlbumSource)
        .where(AlbumSource.id.in_(select(taken.c.id)))
        .values(claimed_by=run_id, claimed_until=now + lease)
        .returning(
            AlbumSource.album_id,
            AlbumSource.url,
            AlbumSource.attempts,
            AlbumSource.next_attempt_at,
            AlbumSource.id,
        )
        .execution_options(synchronize_session=False)
    ).all()
    return [
        Claim(row.album_id, row.url, row.attempts)
        for row in sorted(rows, key=lambda row: (row.next_attempt_at, row.id))
    ]


def done(session: Session, album_ids: Collection[str], *, now: datetime) -> int:
    """The albums are in the catalogue: out of the queue, errors forgotten. Answers how many rows changed."""
    return _rows_changed(
        session,
        update(AlbumSource)
        .where(
            AlbumSource.album_id.in_(album_ids),
            or_(AlbumSource.status != "ingested", AlbumSource.claimed_by.is_not(None)),
        )
        .values(
            status="ingested",
            ingested_at=now,
            attempts=0,
            error=None,
            error_kind=None,
            claimed_by=None,
            claimed_until=None,
        ),
    )


def failed(
    session: Session,
    album_id: str,
    *,
    kind: str,
    reason: str,
    now: datetime,
    max_attempts: int,
    transient: bool,
) -> Attempt:
    """Hold an album back with its reason, until a later try or, after the last one, as a dead letter.

    Args:
        kind: the error's class, for grouping.
        transient: trying again may help; otherwise it is a dead letter at once.
    """
    before = session.scalar(
        select(AlbumSource.attempts).where(AlbumSource.album_id == album_id).with_for_update()
    )
    attempts = (before or 0) + 1
    final = not transient or attempts >= max_attempts
    next_attempt_at = now + retry_delay(attempts)
    session.execute(
        update(AlbumSource)
        .where(AlbumSource.album_id == album_id)
        .values(
            status="dead" if final else "failed",
            attempts=attempts,
            error=reason,
            error_kind=kind,
            next_attempt_at=next_attempt_at,
            claimed_by=None,
            claimed_until=None,
        )
    )
    return Attempt(attempts, final, next_attempt_at)


def _in_catalogue(read_before: datetime | None) -> ColumnElement[bool]:
    """Whether an album of the queue is known, and was read after that time if one is given."""
    known = exists().where(Album.id == AlbumSource.album_id)
    return known if read_before is None else known.where(Album.read_at >= read_before)


def retry_delay(attempts: int) -> timedelta:
    """Time until the next try after ``attempts`` failed ones: 5 minutes, four times as long each, at most a day.

    >>> [str(retry_delay(n)) for n in (1, 2, 3, 9)]
    ['0:05:00', '0:20:00', '1:20:00', '1 day, 0:00:00']
    """
    return min(timedelta(minutes=5 * 4 ** min(attempts - 1, 10)), timedelta(days=1))


def release(session: Session, album_ids: Collection[str], *, run_id: str) -> int:
    """Give claims of this run back as if they had never been taken: no attempt is counted."""
    return _rows_changed(
        session,
        update(AlbumSource)
        .where(AlbumSource.album_id.in_(album_ids), AlbumSource.claimed_by == run_id)
        .values(claimed_by=None, claimed_until=None),
    )


def retry(session: Session, album_ids: Collection[str] | None = None, *, now: datetime) -> list[str]:
    """Queue failed albums and dead letters anew, from the first attempt; all of them, or the named ones.

    Answers the album ids that were queued, in the order of the queue.
    """
    query = (
        update(AlbumSource)
        .where(AlbumSource.status.in_(("failed", "dead")))
        .values(
            status="queued",
            attempts=0,
            error=None,
            error_kind=None,
            next_attempt_at=now,
            claimed_by=None,
            claimed_until=None,
        )
        .returning(AlbumSource.id, AlbumSource.album_id)
        .execution_options(synchronize_session=False)
    )
    if album_ids is not None:
        query = query.where(AlbumSource.album_id.in_(album_ids))
    return [album_id for _, album_id in sorted(tuple(row) for row in session.execute(query))]


def listing(
    session: Session,
    *,
    statuses: Collection[str] | None = None,
    only: Collection[str] | None = None,
    limit: int | None = None,
) -> list[QueuedAlbum]:
    """The queue, what needs a person first (dead, failed, queued, ingested), then newest first."""
    order: ColumnElement[int] = case({"dead": 0, "failed": 1, "queued": 2}, value=AlbumSource.status, else_=3)
    columns = [getattr(AlbumSource, name) for name in QueuedAlbum.__dataclass_fields__]
    query = select(*columns).order_by(order, AlbumSource.added_at.desc(), AlbumSource.id.desc()).limit(limit)
    if statuses is not None:
        query = query.where(AlbumSource.status.in_(statuses))
    if only is not None:
        query = query.where(AlbumSource.album_id.in_(only))
    return [QueuedAlbum(*row) for row in session.execute(query)]


def status_counts(session: Session) -> dict[str, int]:
    """Number of albums by status; absent: none."""
    query = select(AlbumSource.status, func.count()).group_by(AlbumSource.status)
    return dict(session.execute(query).tuples().all())


def _rows_changed(session: Session, statement: Update) -> int:
    result = session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", result).rowcount

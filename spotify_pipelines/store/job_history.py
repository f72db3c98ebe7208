"""The history of job runs: an idempotent upsert by run id, what has been written so far, and looking it up.

What belongs here: rows in and out. What does not: reading runs from Dagster (``defs.history``).
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from spotify_pipelines.settings import World
from spotify_pipelines.store.tables import Installation, JobRun

__all__ = [
    "RunRecord",
    "find_run",
    "find_runs",
    "known_updates",
    "newest_update",
    "save_runs",
    "statuses_of",
    "world_of_history",
]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as the run storage knows it; ``reconciled_at`` is when it last changed there."""

    run_id: str
    job_name: str
    trigger: str
    status: str
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    counts: dict[str, dict[str, float]] | None
    """What each asset of the run reported: requested, changed, failed …; None where none did."""
    reconciled_at: datetime

    @property
    def duration_seconds(self) -> float | None:
        """Time from start to end; None while it runs."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


def newest_update(session: Session) -> datetime | None:
    """The latest change that was written: reading goes on from there. It is read off the rows themselves."""
    return session.scalar(select(func.max(JobRun.reconciled_at)))


def known_updates(session: Session, run_ids: Collection[str]) -> dict[str, datetime]:
    """When those of the runs that are written last changed, by run id."""
    rows = session.execute(select(JobRun.run_id, JobRun.reconciled_at).where(JobRun.run_id.in_(run_ids)))
    return {row.run_id: row.reconciled_at for row in rows}


def statuses_of(session: Session, run_ids: Collection[str]) -> dict[str, str]:
    """The statuses of those of the runs that are written, by run id."""
    rows = session.execute(select(JobRun.run_id, JobRun.status).where(JobRun.run_id.in_(run_ids)))
    return {row.run_id: row.status for row in rows}


def world_of_history(session: Session) -> World:
    """The world whose runs this database keeps."""
    return World(session.scalars(select(Installation.world)).one())


def find_runs(
    session: Session,
    *,
    job: str | None = None,
    status: str | None = None,
    trigger: str | None = None,
    since: datetime | None = None,
    limit: int = 20,
) -> list[RunRecord]:
    """At most ``limit`` runs, newest first; ``since`` (aware UTC) looks at when they were queued."""
    query = select(JobRun).order_by(JobRun.queued_at.desc().nulls_last(), JobRun.run_id).limit(limit)
    wanted = ((JobRun.job_name, job), (JobRun.status, status), (JobRun.trigger, trigger))
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    if since is not None:
        query = query.where(JobRun.queued_at >= since)
    return [_record(run) for run in session.scalars(query)]


def find_run(session: Session, run_id: str) -> RunRecord | None:
    """The run of that id; None where it is not written."""
    run = session.get(JobRun, run_id)
    return None if run is None else _record(run)


def _record(run: JobRun) -> RunRecord:
    return RunRecord(**{name: getattr(run, name) for name in RunRecord.__dataclass_fields__})


def last_successes(session: Session) -> dict[str, datetime]:
    """When each job last ended in success, by name; absent: never."""
    query = (
        select(JobRun.job_name, func.max(JobRun.finished_at))
        .where(JobRun.status == "success", JobRun.finished_at.is_not(None))
        .group_by(JobRun.job_name)
        .order_by(JobRun.job_name)
    )
    return {name: ended for name, ended in session.execute(query) if ended is not None}


def written_runs(session: Session, run_ids: Collection[str]) -> set[str]:
    """Which of these runs are written as ended."""
    ended = select(JobRun.run_id).where(JobRun.run_id.in_(run_ids), JobRun.finished_at.is_not(None))
    return set(session.scalars(ended))


def save_runs(session: Session, runs: Iterable[RunRecord]) -> int:
    """Write runs, new or changed; an older state never replaces a newer one. Returns how many were written."""
    rows = [{**asdict(run), "duration_seconds": run.duration_seconds} for run in runs]
    if not rows:
        return 0
    new = insert(JobRun)
    upsert = new.on_conflict_do_update(
        index_elements=[JobRun.run_id],
        set_={name: new.excluded[name] for name in rows[0] if name != "run_id"},
        where=JobRun.reconciled_at < new.excluded.reconciled_at,
    ).returning(JobRun.run_id)
    return len(session.scalars(upsert, rows).all())

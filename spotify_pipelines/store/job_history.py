"""The history of job runs: an idempotent upsert by run id, and what has been written so far.

What belongs here: rows in and out. What does not: reading runs from Dagster (``defs.history``).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import JobRun

__all__ = ["RunRecord", "newest_update", "save_runs"]


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

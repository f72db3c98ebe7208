"""The weekly cleaning: old runs of frequent jobs leave Dagster's storage, old records leave the database.

What belongs here: which runs may go, and what the run shows of it. What does not: which rows may go
(``store.retention``), how long things are kept (settings).

Dagster has no retention for runs and their events: a job that starts every few minutes fills its storage for ever.
A run goes only once job history has it, and never one that an asset's newest event is in: the UI would forget it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import dagster as dg
from pydantic import Field

from spotify_pipelines.defs.assets.results import utc_now
from spotify_pipelines.defs.history import reconcile_job_history
from spotify_pipelines.defs.names import JOB_TAG, PRUNE_JOB, WORLD_TAG
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.settings import Settings, World
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.job_history import written_runs
from spotify_pipelines.store.retention import Freed, Past, prune

__all__ = ["FREQUENT_JOBS", "build_maintenance_job", "prune_runs"]

FREQUENT_JOBS = (
    "refresh_tokens",
    "metrics_snapshot",
    "ingest_albums_from_sources",
    "fetch_audio_features",
    "ensure_playlist_for_account",
    "reshuffle_due_playlists",
)
"""Jobs that start several times a day, by schedule or sensor. Runs of all others stay."""

_NEWEST = 20
"""So many runs of each job stay, however old they are."""
_PAGE = 100
_MEASURED = 20
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


class PruneConfig(dg.Config):
    """Narrows the cleaning; how long things are kept is a matter of settings (SPOTIFY_PIPELINES_KEEP_…_DAYS)."""

    dry_run: bool = Field(default=False, description="Say what would go; nothing is deleted")
    limit: int = Field(
        default=5_000, ge=1, description="At most so many runs; the next cleaning takes the rest"
    )


@dataclass(frozen=True, slots=True)
class _Line:
    what: str
    before: datetime
    freed: Freed


def build_maintenance_job(settings: Settings) -> dg.JobDefinition:
    """The job that prunes what is older than ``settings`` keep it."""

    @dg.op(
        name="prune",
        description="Deletes old runs of frequent jobs, call records, metric snapshots and validators.",
        out=dg.Out(dg.Nothing),
    )
    def prune_op(context: dg.OpExecutionContext, config: PruneConfig, postgres: PostgresResource) -> None:
        now = utc_now()
        runs_before = now - timedelta(days=settings.keep_runs_days)
        with postgres.open() as database:
            freed = prune_runs(
                context.instance,
                database,
                settings.world,
                runs_before,
                limit=config.limit,
                dry_run=config.dry_run,
            )
            lines = [_Line("runs", runs_before, freed), *_prune_rows(settings, database, now, config.dry_run)]
        _show(context, lines, dry_run=config.dry_run)

    @dg.job(
        name=PRUNE_JOB,
        description=(
            "Delete what only tells of the past and is older than it is kept: runs of frequent jobs, call records, "
            "metric snapshots, validators. Never what cooldowns, undo or intents need."
        ),
        tags={JOB_TAG: PRUNE_JOB, WORLD_TAG: settings.world.value},
    )
    def job() -> None:
        prune_op()

    return job


def prune_runs(
    instance: dg.DagsterInstance,
    database: Database,
    world: World,
    before: datetime,
    *,
    limit: int = 5_000,
    dry_run: bool = False,
) -> Freed:
    """Delete runs of frequent jobs of this world that ended before that time, oldest first, with events and logs.

    Returns:
        How many runs, and an estimate of their events' bytes: a few runs are measured, the others counted.
    """
    reconcile_job_history(instance, database)
    kept = _shown_runs(instance)
    found: list[str] = []
    for job in FREQUENT_JOBS:
        old = [run for run in _old_runs(instance, job, world, before) if run not in kept]
        for page in _pages(old):
            with database.transaction() as session:
                written = written_runs(session, page)
            found += [run for run in page if run in written]
    found = found[:limit]
    size = _estimated_bytes(instance, found)
    if not dry_run:
        for run_id in found:
            instance.delete_run(run_id)
            instance.compute_log_manager.delete_logs(prefix=[run_id])
    return Freed(len(found), size)


def _old_runs(instance: dg.DagsterInstance, job: str, world: World, before: datetime) -> list[str]:
    """Ids of a job's runs that ended before that time, oldest first, without the job's newest ones."""
    ours = {WORLD_TAG: world.value}
    newest = instance.get_runs(dg.RunsFilter(job_name=job, tags=ours), limit=_NEWEST)
    stay = {run.run_id for run in newest}
    records = instance.get_run_records(
        dg.RunsFilter(job_name=job, tags=ours, statuses=_FINISHED, updated_before=before), ascending=True
    )
    return [
        record.dagster_run.run_id
        for record in records
        if record.dagster_run.run_id not in stay and (record.end_time or 0) < before.timestamp()
    ]


def _shown_runs(instance: dg.DagsterInstance) -> set[str]:
    """Runs that hold the newest materialization or observation of an asset."""
    shown = set()
    for record in instance.get_asset_records():
        entry = record.asset_entry
        shown |= {
            each.run_id
            for each in (entry.last_materialization_record, entry.last_observation_record)
            if each is not None
        }
    return shown


def _estimated_bytes(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> int:
    step = max(1, len(run_ids) // _MEASURED)
    measured = [
        sum(len(dg.serialize_value(entry)) for entry in instance.all_logs(run_id))
        for run_id in islice(run_ids, 0, None, step)
    ]
    return round(sum(measured) / len(measured) * len(run_ids)) if measured else 0


def _pages(run_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(run_ids), _PAGE):
        yield run_ids[start : start + _PAGE]


def _prune_rows(settings: Settings, database: Database, now: datetime, dry_run: bool) -> Iterator[_Line]:
    kept_days = {
        Past.CALLS: settings.keep_calls_days,
        Past.METRICS: settings.keep_metrics_days,
        Past.VALIDATORS: settings.keep_validators_days,
    }
    for what, days in kept_days.items():
        before = now - timedelta(days=days)
        with database.transaction() as session:
            yield _Line(what.value, before, prune(session, what, before, dry_run=dry_run))


def _show(context: dg.OpExecutionContext, lines: Sequence[_Line], *, dry_run: bool) -> None:
    rows, size = sum(line.freed.rows for line in lines), sum(line.freed.bytes for line in lines)
    done = "would go" if dry_run else "went"
    told = ", ".join(f"{line.freed.rows:,} {line.what}" for line in lines)
    context.log.info(f"{told} {done}: about {size / 1_000_000:,.1f} MB.")
    context.add_output_metadata(
        {
            "dry_run": dry_run,
            "rows": rows,
            "bytes_estimate": size,
            **{line.what: line.freed.rows for line in lines},
            "freed": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "what": line.what,
                            "older than (UTC)": f"{line.before:%Y-%m-%d %H:%M}",
                            "rows": line.freed.rows,
                            "bytes (estimate)": line.freed.bytes,
                        }
                    )
                    for line in lines
                ]
            ),
        }
    )

"""Job history: what Dagster's run storage knows, written to a table that is kept for longer.

What belongs here: reading runs since the last one written, and who calls that. The reconciliation is what makes
it complete: a sensor does it each minute, the command line after its own runs. Run-status sensors only make it
prompt: their first tick starts at the newest event, and an exception in their body still advances their cursor.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import dagster as dg
import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.defs.default_status import sensor_status
from spotify_pipelines.defs.jobs import JOB_NAMES
from spotify_pipelines.defs.names import LOCATION_NAME, TRIGGER_TAG, WORLD_TAG
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.observability.logs import redact
from spotify_pipelines.settings import World
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.job_history import (
    RunRecord,
    known_updates,
    newest_update,
    save_runs,
    statuses_of,
    world_of_history,
)

__all__ = ["build_history_sensors", "missing_from_history", "reconcile_job_history"]

T = TypeVar("T")

# Runs are read again from a little before the newest one written: an event carries the time at which it happened,
# by the clock of the machine it happened on, and is stored a little later.
_OVERLAP = timedelta(minutes=10)
_PAGE = 100
# A tick of a sensor has a minute, and each run costs some 60 ms; what is left over is the next tick's.
_RUNS_A_TICK = 300
_LOOKS_BACK = timedelta(days=1)
_GRACE = timedelta(minutes=5)
_MOST_RUNS = 2_000
_TIE = timedelta(microseconds=1)
_AD_HOC = "__ASSET_JOB"
_FIGURES = (
    "requested",
    "changed",
    "unchanged",
    "failed",
    "deferred",
    "spotify_calls",
    "spotify_calls_minimum",
)
_STATUSES = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)

log = structlog.get_logger(__name__)


def reconcile_job_history(
    instance: dg.DagsterInstance, database: Database, *, at_most: int | None = None
) -> int:
    """Write the runs of our jobs that changed since the last reconciliation. Returns how many were written.

    Safe to call from anywhere, at any time, by several at once, and to be killed: runs are read in the order in
    which they changed, and each page is committed before the next, so that the newest row written is a watermark.

    Args:
        at_most: stop after the page that reaches so many runs; the next call goes on from there.
    """
    with database.transaction() as session:
        since = newest_update(session)
        world = world_of_history(session)
    written = seen = 0
    for page in _changed_runs(instance, since - _OVERLAP if since else None):
        ours = {
            r.dagster_run.run_id: (r, _utc(r.update_timestamp))
            for r in page
            if _is_ours(r.dagster_run, world)
        }
        with database.transaction() as session:
            known = known_updates(session, ours)
        new = [
            _describe(instance, record, changed_at)
            for run_id, (record, changed_at) in ours.items()
            if known.get(run_id) != changed_at
        ]
        with database.transaction() as session:
            written += save_runs(session, new)
        seen += len(new)
        if at_most is not None and seen >= at_most:
            break
    return written


def missing_from_history(
    instance: dg.DagsterInstance, session: Session, now: datetime
) -> list[dg.DagsterRun]:
    """Runs of our jobs that ended within a day before ``now`` (aware UTC) and are not written so, newest first.

    Those of the last minutes are not missed yet: the sensor looks once a minute.
    """
    world = world_of_history(session)
    records = instance.get_run_records(
        filters=dg.RunsFilter(updated_after=now - _LOOKS_BACK, statuses=list(_STATUSES)), limit=_MOST_RUNS
    )
    ended = {
        record.dagster_run.run_id: record.dagster_run
        for record in records
        if _utc(record.update_timestamp) < now - _GRACE and _is_ours(record.dagster_run, world)
    }
    written = statuses_of(session, ended)
    return [run for run_id, run in ended.items() if written.get(run_id) != run.status.value.lower()]


def _changed_runs(instance: dg.DagsterInstance, since: datetime | None) -> Iterator[list[dg.RunRecord]]:
    """Pages of runs in the order in which they changed. Dagster's own cursor goes by creation, so it is no help."""
    seen: set[tuple[str, datetime]] = set()
    size = _PAGE
    while True:
        records = instance.get_run_records(
            filters=dg.RunsFilter(updated_after=since),
            limit=size,
            order_by="update_timestamp",
            ascending=True,
        )
        page = [r for r in records if (r.dagster_run.run_id, r.update_timestamp) not in seen]
        seen.update((r.dagster_run.run_id, r.update_timestamp) for r in page)
        yield page
        if len(records) < size:
            return
        newest = _utc(records[-1].update_timestamp) - _TIE
        size = size if newest != since else size * 2  # more runs of one moment than fit a page
        since = newest


def _is_ours(run: dg.DagsterRun, world: World) -> bool:
    """Of our location and of this database's world: Dagster's storage is shared with others."""
    origin = run.remote_job_origin
    return (
        run.job_name in (*JOB_NAMES, _AD_HOC)
        and (origin is None or origin.location_name == LOCATION_NAME)
        and run.tags.get(WORLD_TAG, world.value) == world.value
    )


def _describe(instance: dg.DagsterInstance, record: dg.RunRecord, changed_at: datetime) -> RunRecord:
    run = record.dagster_run
    return RunRecord(
        run_id=run.run_id,
        job_name=run.job_name,
        trigger=_trigger(run),
        status=run.status.value.lower(),
        queued_at=_utc(record.create_timestamp),
        started_at=_from_epoch(record.start_time),
        finished_at=_from_epoch(record.end_time),
        error=_told(instance, run, _first_error) if run.status is dg.DagsterRunStatus.FAILURE else None,
        counts=_told(instance, run, _counts) if run.is_finished else None,
        reconciled_at=changed_at,
    )


def _told(
    instance: dg.DagsterInstance, run: dg.DagsterRun, tell: Callable[[dg.DagsterInstance, str], T | None]
) -> T | None:
    """What the run's events tell. One that can't be read must not keep all later runs out of the history."""
    try:
        return tell(instance, run.run_id)
    except Exception as error:
        log.warning("job_history.events_unreadable", run_id=run.run_id, error=repr(error))
        return None


def _trigger(run: dg.DagsterRun) -> str:
    if named := run.tags.get(TRIGGER_TAG):
        return named
    if "dagster/schedule_name" in run.tags:
        return "schedule"
    if "dagster/sensor_name" in run.tags:
        return "sensor"
    # Runs that the UI or the daemon launch know the code location they came from; `dagster … execute` has none.
    return "manual" if run.remote_job_origin else "cli"


def _first_error(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Class and first line of what made the run fail, of the step rather than of the run where there is one."""
    for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        for found in instance.get_records_for_run(run_id, of_type=kind, limit=1).records:
            event = found.event_log_entry.dagster_event
            if event is None:
                continue
            error = getattr(event.event_specific_data, "error", None)
            cause = getattr(error, "cause", None) or error
            text = cause.message if cause else event.message
            lines = (text or "").strip().splitlines()
            return str(redact(lines[0]))[:500] if lines else None
    return None


def _counts(instance: dg.DagsterInstance, run_id: str) -> dict[str, dict[str, float]] | None:
    """The figures of each asset's report, by asset."""
    found: dict[str, dict[str, float]] = {}
    cursor = None
    while True:
        answer = instance.get_records_for_run(
            run_id, cursor=cursor, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        for record in answer.records:
            materialized = record.event_log_entry.asset_materialization
            if materialized is None:
                continue
            values = {name: materialized.metadata.get(name) for name in _FIGURES}
            figures: dict[str, float] = {
                name: value.value
                for name, value in values.items()
                if isinstance(value, dg.IntMetadataValue) and value.value is not None
            }
            if figures:
                found[materialized.asset_key.to_user_string()] = figures
        if not answer.has_more:
            return found or None
        cursor = answer.cursor


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _from_epoch(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def build_history_sensors() -> list[dg.SensorDefinition]:
    """The sensor that reconciles each minute, and one per run status that does it at once."""
    return [_reconciler(), *(_on_status(status) for status in _STATUSES)]


def _reconciler() -> dg.SensorDefinition:
    @dg.sensor(
        name="job_history",
        minimum_interval_seconds=60,
        default_status=sensor_status(),
        description="Writes runs that changed since the last look into job_history; starts nothing.",
    )
    def reconcile(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SkipReason:
        with postgres.open() as database:
            written = reconcile_job_history(context.instance, database, at_most=_RUNS_A_TICK)
        return dg.SkipReason(f"{written} runs written.")

    return reconcile


def _on_status(status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=f"job_history_on_{status.value.lower()}",
        run_status=status,
        default_status=sensor_status(),
        monitor_all_code_locations=True,
        description=f"Writes a run into job_history when it is {status.value.lower()}.",
    )
    def write(context: dg.RunStatusSensorContext, postgres: PostgresResource) -> None:
        with postgres.open() as database:
            reconcile_job_history(context.instance, database, at_most=_RUNS_A_TICK)

    return write

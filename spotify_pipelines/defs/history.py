"""Job history: what Dagster's run storage knows, written to a table that is kept for longer.

What belongs here: reading runs since the last one written, and who calls that. The reconciliation is what makes
it complete: a sensor does it each minute, the command line after its own runs. Run-status sensors only make it
prompt: their first tick starts at the newest event, and an exception in their body still advances their cursor.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from spotify_pipelines.defs.jobs import JOB_NAMES
from spotify_pipelines.defs.names import TRIGGER_TAG
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.observability.logs import redact
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.job_history import RunRecord, newest_update, save_runs

__all__ = ["build_history_sensors", "reconcile_job_history"]

# Runs are read again from a little before the newest one written: storage times have many writers.
_OVERLAP = timedelta(minutes=2)
_PAGE = 200
_AD_HOC = "__ASSET_JOB"
_STATUSES = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


def reconcile_job_history(instance: dg.DagsterInstance, database: Database) -> int:
    """Write all runs of our jobs that changed since the last reconciliation. Returns how many were written.

    Safe to call from anywhere, at any time, by several at once.
    """
    with database.transaction() as session:
        since = newest_update(session)
    written = 0
    for page in _changed_runs(instance, since - _OVERLAP if since else None):
        with database.transaction() as session:
            written += save_runs(session, page)
    return written


def _changed_runs(instance: dg.DagsterInstance, since: datetime | None) -> Iterator[list[RunRecord]]:
    cursor = None
    while records := instance.get_run_records(
        filters=dg.RunsFilter(updated_after=since), limit=_PAGE, cursor=cursor, ascending=True
    ):
        cursor = records[-1].dagster_run.run_id
        ours = [r for r in records if r.dagster_run.job_name in (*JOB_NAMES, _AD_HOC)]
        yield [_describe(instance, record) for record in ours]


def _describe(instance: dg.DagsterInstance, record: dg.RunRecord) -> RunRecord:
    run = record.dagster_run
    return RunRecord(
        run_id=run.run_id,
        job_name=run.job_name,
        trigger=_trigger(run),
        status=run.status.value.lower(),
        queued_at=_utc(record.create_timestamp),
        started_at=_from_epoch(record.start_time),
        finished_at=_from_epoch(record.end_time),
        error=_first_error(instance, run.run_id) if run.status is dg.DagsterRunStatus.FAILURE else None,
        reconciled_at=_utc(record.update_timestamp),
    )


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
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Writes runs that changed since the last look into job_history; starts nothing.",
    )
    def reconcile(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SkipReason:
        with postgres.open() as database:
            written = reconcile_job_history(context.instance, database)
        return dg.SkipReason(f"{written} runs written.")

    return reconcile


def _on_status(status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=f"job_history_on_{status.value.lower()}",
        run_status=status,
        default_status=dg.DefaultSensorStatus.RUNNING,
        monitor_all_code_locations=True,
        description=f"Writes a run into job_history when it is {status.value.lower()}.",
    )
    def write(context: dg.RunStatusSensorContext, postgres: PostgresResource) -> None:
        with postgres.open() as database:
            reconcile_job_history(context.instance, database)

    return write

"""When the jobs run: one schedule a job, in UTC, running unless an operator switches it off."""

import dagster as dg

from spotify_pipelines.defs.default_status import schedule_status
from spotify_pipelines.defs.names import JOB_TAG

__all__ = ["CADENCE", "build_schedules"]

CADENCE = {
    "scale_playlists_daily": "0 2 * * *",
    "refresh_tokens": "*/30 * * * *",
    "ingest_albums_from_sources": "0 3 * * *",
    "fetch_audio_features": "30 3 * * *",
    "build_playlist_snapshot": "0 4 * * *",
    "ensure_playlist_for_account": "10 4 * * *",
    "reshuffle_due_playlists": "0 5 * * *",
    "metrics_snapshot": "0 * * * *",
    "prune_old_records": "0 1 * * 0",
}
"""Cron expression (UTC) by job name."""


def build_schedules() -> list[dg.ScheduleDefinition]:
    """One schedule per row of the cadence, named after its job."""
    return [_schedule(job, cron) for job, cron in CADENCE.items()]


def _schedule(job: str, cron: str) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{job}_schedule",
        job_name=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        description=f"Runs {job} at '{cron}' (UTC).",
        default_status=schedule_status(),
        tags={JOB_TAG: job},
    )

"""The one entry point that Dagster loads: everything from ``defs``, put together when it is asked for.

Nothing networked happens here, and no environment decides what exists.
"""

import dagster as dg

from spotify_pipelines.defs.alerts import build_alert_sensors
from spotify_pipelines.defs.assets import accounts, catalogue, metrics, playlists
from spotify_pipelines.defs.checks import CHECKS
from spotify_pipelines.defs.history import build_history_sensors
from spotify_pipelines.defs.jobs import build_jobs
from spotify_pipelines.defs.maintenance import build_maintenance_job
from spotify_pipelines.defs.resources import build_resources
from spotify_pipelines.defs.schedules import build_schedules
from spotify_pipelines.defs.sensors import build_sensors
from spotify_pipelines.observability.logs import configure_logging
from spotify_pipelines.settings import load_settings

__all__ = ["definitions"]


@dg.definitions
def definitions() -> dg.Definitions:
    """All assets, jobs, schedules, sensors and resources."""
    settings = load_settings()
    # Runs load these definitions too: their structured events go to the step's captured standard error.
    configure_logging(log_format=settings.log_format, level=settings.log_level)
    return dg.Definitions(
        assets=[*catalogue.ASSETS, *accounts.ASSETS, *playlists.ASSETS, *metrics.ASSETS],
        asset_checks=CHECKS,
        jobs=[*build_jobs(settings.world), build_maintenance_job(settings)],
        schedules=build_schedules(),
        sensors=[
            *build_sensors(feature_sources=bool(settings.feature_sources)),
            *build_history_sensors(),
            *build_alert_sensors(settings),
        ],
        resources=build_resources(settings),
        executor=dg.in_process_executor,
    )

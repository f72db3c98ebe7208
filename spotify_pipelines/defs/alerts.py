"""The two sensors that tell people: of runs that failed, and of incidents. They start nothing.

What belongs here: when it is looked, and where it is remembered (the sensor's cursor). What does not: what is worth
telling (``observability.incidents``) and how it is sent (``observability.delivery``).

No run-failure sensor of Dagster's: its body is called for each run, an error in it loses the run for good, and it
doesn't see what failed while the daemon was away. Job history has all that.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

import dagster as dg
from sqlalchemy.orm import Session

from spotify_pipelines.defs.assets.results import utc_now
from spotify_pipelines.defs.default_status import sensor_status
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.observability.alerts import Alert
from spotify_pipelines.settings import Settings

__all__ = ["build_alert_sensors"]

_NOBODY = "Nobody is to be told: set SPOTIFY_PIPELINES_ALERT_WEBHOOK_URL or SPOTIFY_PIPELINES_ALERT_EMAIL_TO."


def build_alert_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Both sensors, for the receivers that ``settings`` name."""
    return [
        _sensor(
            settings,
            name="alert_on_failed_runs",
            description="Tells people of runs that failed, by webhook and e-mail; starts nothing.",
            every_seconds=60,
            look=_failures,
        ),
        _sensor(
            settings,
            name="alert_on_incidents",
            description=(
                "Tells people of bans, accounts lost at once, apps that get no answer, ending consents and dead "
                "letters, by webhook and e-mail; starts nothing."
            ),
            every_seconds=300,
            look=_incidents,
        ),
    ]


def _failures(session: Session) -> list[Alert]:
    from spotify_pipelines.observability.incidents import find_failures

    return find_failures(session, utc_now())


def _incidents(session: Session) -> list[Alert]:
    from spotify_pipelines.accounts.consent import ALARM_BEFORE, WARN_BEFORE
    from spotify_pipelines.observability.incidents import find_incidents

    return find_incidents(session, utc_now(), consent_warns=WARN_BEFORE, consent_alarms=ALARM_BEFORE)


def _sensor(
    settings: Settings,
    *,
    name: str,
    description: str,
    every_seconds: int,
    look: Callable[[Session], Sequence[Alert]],
) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        description=description,
        minimum_interval_seconds=every_seconds,
        default_status=sensor_status(),
    )
    def alert(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SkipReason:
        from spotify_pipelines.observability.delivery import receivers
        from spotify_pipelines.observability.telling import Memory, tell

        named = receivers(settings)
        if not named:
            return dg.SkipReason(_NOBODY)
        with postgres.open() as database, database.transaction() as session:
            alerts = look(session)
        told = tell(
            alerts,
            named,
            Memory.from_json(context.cursor),
            world=settings.world,
            now=utc_now(),
            again_after=timedelta(hours=settings.alert_repeat_hours),
        )
        context.update_cursor(told.memory.to_json())
        return dg.SkipReason(f"{len(alerts)} alerts. {'; '.join(told.sentences)}.")

    return alert

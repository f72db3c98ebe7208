"""Sensors: work that is due between two ticks of the clock starts a run as soon as it is seen.

Each tick asks one indexed question, says why it skips, and starts at most one run. It does no work itself. A run
key is remembered for ever, so it carries a window of time: a run that died is followed by another one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from sqlalchemy.orm import Session

from spotify_pipelines.defs.names import JOB_TAG
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.store.due import (
    Due,
    albums_due,
    budget_until,
    cooldown_until,
    features_due,
    playlists_due,
    tokens_due,
)

__all__ = ["build_sensors"]

_RETRY_AFTER = timedelta(minutes=10)
"""Work that is still due so long after a run was started for it gets another run."""


@dataclass(frozen=True, slots=True)
class _Watch:
    name: str
    job: str
    what: str
    question: Callable[[Session, datetime], Due]
    every_seconds: int
    within_budget: bool = False
    """Its job can do nothing once the budgets are spent."""


def _tokens_before_next_look(session: Session, now: datetime) -> Due:
    # The refresh job takes what expires within five minutes; the next look is four minutes away.
    return tokens_due(session, now, timedelta(minutes=5))


_WATCHES = (
    _Watch("albums_queued", "ingest_albums_from_sources", "queued albums", albums_due, 60, True),
    _Watch("tracks_without_features", "fetch_audio_features", "tracks without features", features_due, 60),
    _Watch("tokens_expiring", "refresh_tokens", "expiring tokens", _tokens_before_next_look, 240),
    _Watch("playlists_due", "reshuffle_due_playlists", "playlists due", playlists_due, 60),
)


def build_sensors(*, feature_sources: bool = True) -> list[dg.SensorDefinition]:
    """One sensor per question; without any source of features, the one for them has nothing to start."""
    no_sources = "No source of audio features is configured (SPOTIFY_PIPELINES_FEATURE_SOURCES)."
    return [
        _sensor(watch, None if feature_sources or watch.question is not features_due else no_sources)
        for watch in _WATCHES
    ]


def _sensor(watch: _Watch, idle: str | None) -> dg.SensorDefinition:
    @dg.sensor(
        name=watch.name,
        job_name=watch.job,
        minimum_interval_seconds=watch.every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts {watch.job} when there are {watch.what}; looks every {watch.every_seconds} seconds.",
    )
    def look(
        context: dg.SensorEvaluationContext, postgres: PostgresResource
    ) -> dg.RunRequest | dg.SkipReason:
        if idle is not None:
            return dg.SkipReason(idle)
        now = datetime.now(UTC)
        with postgres.open() as database, database.transaction() as session:
            due = watch.question(session, now)
            if not due.count:
                return dg.SkipReason(f"No {watch.what}.")
            if until := cooldown_until(session, now):
                return dg.SkipReason(
                    f"{due} {watch.what}, but Spotify asked every app to wait until {until:%Y-%m-%d %H:%M} UTC."
                )
            if watch.within_budget and (until := budget_until(session, now)):
                return dg.SkipReason(
                    f"{due} {watch.what}, but the apps' budgets are spent until {until:%Y-%m-%d %H:%M} UTC."
                )
        window = int(now.timestamp() // _RETRY_AFTER.total_seconds())
        return dg.RunRequest(run_key=f"v1:{window}:{due.since}", tags={JOB_TAG: watch.job})

    return look

"""Sensors: work that is due between two ticks of the clock starts a run as soon as it is seen.

Each tick asks one indexed question, says why it skips, and starts at most one run. It does no work itself. What it
saw when it last started a run is its cursor: work that is still there gets another run only after a pause, which
grows while no run makes it less. So whatever keeps a run from doing its work, a sensor does not start runs for ever.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from sqlalchemy.orm import Session

from spotify_pipelines.defs.default_status import sensor_status
from spotify_pipelines.defs.names import JOB_TAG
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.store.due import (
    Due,
    albums_due,
    budget_until,
    cooldown_until,
    features_due,
    playlists_due,
    playlists_to_sync,
    tokens_due,
)

__all__ = ["Look", "build_sensors"]

_FIRST_PAUSE = timedelta(minutes=10)
_LONGEST_PAUSE = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Look:
    """What was due when a sensor last started a run: its cursor.

    Attributes:
        at: when that was (aware UTC).
        count: how many items were due.
        latest: since when the latest of them was.
        runs: runs that were started in a row without the work getting less.
    """

    at: datetime
    count: int
    latest: datetime | None
    runs: int = 1

    @property
    def next_run(self) -> datetime:
        """When work that is still due gets another run: 10 minutes on, twice that after each run, at most 4 hours."""
        doubled: int = 2 ** min(self.runs - 1, 10)
        return self.at + min(_FIRST_PAUSE * doubled, _LONGEST_PAUSE)

    def is_news(self, due: Due) -> bool:
        """Whether there is work that was not there at this look. Of more than can be counted nobody can tell."""
        if not due.is_counted:
            return False
        later = due.latest is not None and (self.latest is None or due.latest > self.latest)
        return due.count > self.count or later

    def followed_by(self, due: Due, now: datetime) -> "Look":
        """The look at which the next run is started."""
        stuck = due.count >= self.count and not self.is_news(due)
        return Look(now, due.count, due.latest, self.runs + 1 if stuck else 1)

    def to_cursor(self) -> str:
        """As the sensor's cursor."""
        values: dict[str, Any] = {"at": self.at.isoformat(), "count": self.count, "runs": self.runs}
        return json.dumps(values | {"latest": self.latest.isoformat() if self.latest else None})

    @classmethod
    def from_cursor(cls, cursor: str | None) -> "Look | None":
        """The look that a cursor holds; None where it holds none of ours, which costs one run at most."""
        try:
            values = json.loads(cursor or "")
            latest = values["latest"]
            return cls(
                datetime.fromisoformat(values["at"]),
                int(values["count"]),
                datetime.fromisoformat(latest) if latest else None,
                int(values["runs"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


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
    _Watch(
        "playlists_to_sync", "ensure_playlist_for_account", "playlists to be written", playlists_to_sync, 60
    ),
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
        default_status=sensor_status(),
        description=f"Starts {watch.job} when there are {watch.what}; looks every {watch.every_seconds} seconds.",
        tags={JOB_TAG: watch.job},
    )
    def look(
        context: dg.SensorEvaluationContext, postgres: PostgresResource
    ) -> dg.RunRequest | dg.SkipReason:
        if idle is not None:
            return dg.SkipReason(idle)
        now = datetime.now(UTC)
        with postgres.open() as database, database.transaction() as session:
            due = watch.question(session, now)
            reason = _why_not(session, watch, due, now)
        if not due.count and context.cursor:
            # All is done: whatever comes next is news.
            context.update_cursor("")
        if reason is not None:
            return dg.SkipReason(reason)
        last = Look.from_cursor(context.cursor)
        if last is not None and now < last.next_run and not last.is_news(due):
            return dg.SkipReason(
                f"{due} {watch.what}, none of them new since the run that was started at {last.at:%Y-%m-%d %H:%M} "
                f"UTC. What is left then gets another run at {last.next_run:%Y-%m-%d %H:%M} UTC."
            )
        this = last.followed_by(due, now) if last is not None else Look(now, due.count, due.latest)
        context.update_cursor(this.to_cursor())
        # A tick that breaks off before its cursor is stored asks for the same run again: the key tells.
        window = int(now.timestamp() // _FIRST_PAUSE.total_seconds())
        return dg.RunRequest(
            run_key=f"v2:{window}:{due.count}:{due.since}:{due.latest}", tags={JOB_TAG: watch.job}
        )

    return look


def _why_not(session: Session, watch: _Watch, due: Due, now: datetime) -> str | None:
    """Why nothing is started for what is due; None where something may be."""
    if not due.count:
        return f"No {watch.what}."
    if until := cooldown_until(session, now):
        return f"{due} {watch.what}, but Spotify asked every app to wait until {until:%Y-%m-%d %H:%M} UTC."
    if watch.within_budget and (until := budget_until(session, now)):
        return f"{due} {watch.what}, but the apps' budgets are spent until {until:%Y-%m-%d %H:%M} UTC."
    return None

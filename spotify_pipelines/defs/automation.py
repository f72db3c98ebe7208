"""Schedules and sensors as one list, with a switch for each: whether it is on, when it is next, what came of it.

What belongs here: reading and switching them on an instance, in the way in which Dagster's UI does, so that the
daemon obeys. What does not: who asks (``web``, ``cli``), and which schedules there are (``schedules``, ``sensors``).

States are stored under location, repository and name, not under the process that wrote them: a repository loaded
in this process switches what a daemon's code server runs.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import dagster as dg
import structlog
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.external import RemoteRepository, RemoteSchedule, RemoteSensor
from dagster._core.storage.tags import SCHEDULE_NAME_TAG, SENSOR_NAME_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from pydantic import Field

from spotify_pipelines.defs.instance import open_instance
from spotify_pipelines.defs.names import LOCATION_NAME, MODULE
from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.settings import find_root

if TYPE_CHECKING:
    from dagster._core.scheduler.instigation import InstigatorState

__all__ = [
    "Automation",
    "AutomationKind",
    "Automations",
    "LastRun",
    "Switched",
    "UnknownAutomationError",
    "list_automations",
    "open_automations",
    "switch",
]

log = structlog.get_logger(__name__)


class UnknownAutomationError(ExplainedError):
    """There is no schedule or sensor of that name; the text says which come near."""


class AutomationKind(StrEnum):
    """What starts runs by itself."""

    SCHEDULE = "schedule"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class LastRun:
    """One run that a schedule or sensor started."""

    run_id: str
    status: Annotated[str, Field(description="Dagster's, in small letters", examples=["success"])]
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: Annotated[float | None, Field(description="null until it has ended")]


@dataclass(frozen=True, slots=True)
class Automation:
    """A schedule or a sensor, as an operator sees it."""

    name: Annotated[str, Field(description="What `jobs/update` takes", examples=["refresh_tokens_schedule"])]
    kind: AutomationKind
    description: str
    job: Annotated[str | None, Field(description="The job it starts; null where it starts none")]
    cron: Annotated[
        str | None, Field(description="Of a schedule: five fields, in `zone`", examples=["*/30 * * * *"])
    ]
    zone: Annotated[str | None, Field(description="Of a schedule: IANA time zone", examples=["UTC"])]
    every_seconds: Annotated[int | None, Field(description="Of a sensor: least time between two looks")]
    running: Annotated[bool, Field(description="On or off; by its default in code until it is switched")]
    next_tick: Annotated[
        datetime | None, Field(description="null where it is off, or its sensor was not looked at in time")
    ]
    last_runs: Annotated[list[LastRun], Field(description="Runs that it started itself, newest first")]


@dataclass(frozen=True, slots=True)
class Switched:
    """What became of a switch; ``changed`` is false where it stood so already."""

    name: str
    kind: AutomationKind
    running: bool
    changed: bool


def list_automations(
    instance: dg.DagsterInstance, repository: RemoteRepository, *, now: datetime, runs: int = 5
) -> list[Automation]:
    """All schedules and sensors by name, schedules first, each with its last ``runs``."""
    states = {state.selector_id: state for state in instance.all_instigator_state()}
    schedules = sorted(repository.get_schedules(), key=lambda each: each.name)
    sensors = sorted(repository.get_sensors(), key=lambda each: each.name)
    looks = _last_looks(instance, sensors)
    return [
        *(
            _schedule(
                each,
                states.get(each.selector_id),
                _last_runs(instance, {SCHEDULE_NAME_TAG: each.name}, runs),
                now,
            )
            for each in schedules
        ),
        *(
            _sensor(
                each,
                states.get(each.selector_id),
                _last_runs(instance, {SENSOR_NAME_TAG: each.name}, runs if each.get_targets() else 0),
                looks,
                now,
            )
            for each in sensors
        ),
    ]


def switch(
    instance: dg.DagsterInstance, repository: RemoteRepository, name: str, *, running: bool, by: str
) -> Switched:
    """Switch a schedule or sensor on or off; one that stands so already is left alone. Recorded as an event.

    Args:
        by: who asked, for the event: ``api`` or ``cli``.

    Raises:
        UnknownAutomationError: there is none of that name.
    """
    schedules = {each.name: each for each in repository.get_schedules()}
    sensors = {each.name: each for each in repository.get_sensors()}
    found = schedules.get(name) or sensors.get(name)
    if found is None:
        raise UnknownAutomationError(_unknown(name, [*schedules.values(), *sensors.values()]))
    kind = AutomationKind.SCHEDULE if name in schedules else AutomationKind.SENSOR
    origin_id = found.get_remote_origin_id()
    stored = instance.get_instigator_state(origin_id, found.selector_id)
    changed = found.get_current_instigator_state(stored).is_running is not running
    if changed:
        _store(instance, found, origin_id, running=running)
    log.info("automation.switched", name=name, kind=kind.value, running=running, changed=changed, by=by)
    return Switched(name, kind, running, changed)


def _store(
    instance: dg.DagsterInstance, found: RemoteSchedule | RemoteSensor, origin_id: str, *, running: bool
) -> None:
    if isinstance(found, RemoteSchedule):
        if running:
            instance.start_schedule(found)
        else:
            instance.stop_schedule(origin_id, found.selector_id, found)
    elif running:
        instance.start_sensor(found)
    else:
        instance.stop_sensor(origin_id, found.selector_id, found)


@dataclass(frozen=True, slots=True)
class Automations:
    """An instance with our definitions, for those who would rather not know of either."""

    instance: dg.DagsterInstance
    repository: RemoteRepository

    def list(self) -> list[Automation]:
        """As ``list_automations``, now."""
        return list_automations(self.instance, self.repository, now=datetime.now(UTC))

    def switch(self, name: str, *, running: bool, by: str) -> Switched:
        """As ``switch``."""
        return switch(self.instance, self.repository, name, running=running, by=by)


@contextmanager
def open_automations() -> Iterator[Automations]:
    """The persistent instance, and our definitions loaded in this process: no code server has to be started.

    Raises:
        InstanceError: there is no instance.
    """
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(
            executable_path=sys.executable, module_name=MODULE, working_directory=str(find_root())
        ),
        location_name=LOCATION_NAME,
    )
    with open_instance() as instance, origin.create_location(instance) as location:
        yield Automations(instance, location.get_repository(SINGLETON_REPOSITORY_NAME))


def _schedule(
    schedule: RemoteSchedule, stored: "InstigatorState | None", last_runs: list[LastRun], now: datetime
) -> Automation:
    running = schedule.get_current_instigator_state(stored).is_running
    cron = schedule.cron_schedule
    return Automation(
        name=schedule.name,
        kind=AutomationKind.SCHEDULE,
        description=schedule.description or "",
        job=schedule.job_name,
        cron=cron if isinstance(cron, str) else ", ".join(cron),
        zone=schedule.execution_timezone or "UTC",
        every_seconds=None,
        running=running,
        next_tick=_utc(next(schedule.execution_time_iterator(now.timestamp()))) if running else None,
        last_runs=last_runs,
    )


def _sensor(
    sensor: RemoteSensor,
    stored: "InstigatorState | None",
    last_runs: list[LastRun],
    looks: Mapping[str, datetime],
    now: datetime,
) -> Automation:
    running = sensor.get_current_instigator_state(stored).is_running
    looked_at = looks.get(sensor.selector_id)
    following = looked_at + timedelta(seconds=sensor.min_interval_seconds) if looked_at else None
    return Automation(
        name=sensor.name,
        kind=AutomationKind.SENSOR,
        description=sensor.description or "",
        job=_targets(sensor)[0],
        cron=None,
        zone=None,
        every_seconds=sensor.min_interval_seconds,
        running=running,
        next_tick=following if running and following and following >= now else None,
        last_runs=last_runs,
    )


def _last_runs(instance: dg.DagsterInstance, tags: Mapping[str, str], limit: int) -> list[LastRun]:
    if not limit:
        return []
    # One query for each: Dagster's storage takes a limit per tag (bucket_by), and ignores it.
    records = instance.get_run_records(filters=dg.RunsFilter(tags=tags), limit=limit)
    return [_last_run(record) for record in records]


def _last_run(record: dg.RunRecord) -> LastRun:
    start, end = record.start_time, record.end_time
    return LastRun(
        run_id=record.dagster_run.run_id,
        status=record.dagster_run.status.value.lower(),
        started_at=None if start is None else datetime.fromtimestamp(start, UTC),
        finished_at=None if end is None else datetime.fromtimestamp(end, UTC),
        duration_seconds=None if start is None or end is None else end - start,
    )


def _last_looks(instance: dg.DagsterInstance, sensors: Sequence[RemoteSensor]) -> dict[str, datetime]:
    storage = instance.schedule_storage
    if storage is None or not storage.supports_batch_queries or not sensors:
        return {}
    ticks = storage.get_batch_ticks([each.selector_id for each in sensors], limit=1)
    return {
        selector: datetime.fromtimestamp(found[0].timestamp, UTC)
        for selector, found in ticks.items()
        if found
    }


def _targets(automation: RemoteSchedule | RemoteSensor) -> Sequence[str | None]:
    if isinstance(automation, RemoteSchedule):
        return [automation.job_name]
    return [target.job_name for target in automation.get_targets()] or [None]


def _unknown(name: str, automations: Sequence[RemoteSchedule | RemoteSensor]) -> str:
    starters = sorted(each.name for each in automations if name in _targets(each))
    if starters:
        return f"'{name}' is a job; it is started by {' and '.join(starters)}. Name one of these."
    return f"There is no schedule or sensor '{name}'. 'spotify-pipelines jobs list' shows all."


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)

"""When a playlist is drawn anew: the cycle that an instant falls into, by local days and a local time.

What belongs here: pure calendar arithmetic on an interval, a local time and a time zone. What does not: the
clock (callers pass ``now``) and anything that happens at a boundary.

A boundary is the local time on every n-th local date from the anchor. Where clocks are set forward and the
time does not exist, it moves forward with them (02:30 is 03:30 that day); where it happens twice, the first
counts (PEP 495, fold 0). So days of 23 and 25 hours neither skip nor repeat a cycle.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

__all__ = ["Cycle", "CycleError", "current_cycle", "days_between", "zone"]


class CycleError(ValueError):
    """An interval, zone or instant that no calendar can work with; the text says which."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """The period from ``starts_at`` to just before ``next_at``, both UTC.

    ``number`` counts from 0 for the cycle that starts on the anchor date; earlier ones are negative.
    """

    number: int
    starts_at: datetime
    next_at: datetime


def current_cycle(*, every_days: int, at: time, timezone: str, anchor: date, now: datetime) -> Cycle:
    """The cycle in which ``now`` (aware) lies: ``starts_at`` ≤ ``now`` < ``next_at``.

    Raises :class:`CycleError` for an interval below one day, an unknown time zone and a naive ``now``.
    """
    if every_days < 1:
        raise CycleError(f"a cycle lasts at least one day, got {every_days}")
    if now.tzinfo is None:
        raise CycleError("now must be an aware datetime")
    local = zone(timezone)

    def start(number: int) -> datetime:
        day = anchor + timedelta(days=number * every_days)
        return datetime.combine(day, at.replace(tzinfo=None, fold=0), local).astimezone(UTC)

    number = (now.astimezone(local).date() - anchor).days // every_days
    # The date alone is off by one before the local time of a boundary day, and where a zone skipped a day.
    while start(number) > now:
        number -= 1
    while start(number + 1) <= now:
        number += 1
    return Cycle(number, start(number), start(number + 1))


def days_between(earlier: datetime, later: datetime, timezone: str) -> int:
    """Local calendar days from one instant to another, so that a day of 23 hours is still a day.

    The age that a cooldown in days is measured in: from the start of the cycle a track was used in to the start
    of the cycle that draws now.
    """
    if earlier.tzinfo is None or later.tzinfo is None:
        raise CycleError("both instants must be aware datetimes")
    local = zone(timezone)
    return (later.astimezone(local).date() - earlier.astimezone(local).date()).days


def zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name; raises :class:`CycleError` if there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        # A folder of the database, an empty name and a path outside it fail each in their own way.
        raise CycleError(f"{name!r} is not an IANA time zone such as Europe/Berlin") from error

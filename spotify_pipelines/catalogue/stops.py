"""When to stop asking: errors that concern the whole app, and a service that answers nobody.

What belongs here: telling one item's trouble from everybody's. Pure. What does not: what is then done with
the items that are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from spotify_pipelines.spotify.errors import (
    AuthorizationLost,
    Forbidden,
    ForbiddenReason,
    QuotaExceeded,
    RateLimited,
    SpotifyError,
    Unavailable,
)

__all__ = ["OUTAGE", "Stop", "concerns_all", "outage", "stop_for"]

OUTAGE = 5
"""So many calls in a row that got no answer are no bad items but a bad service; a 404 is an answer."""
_AFTER_LIMIT = timedelta(minutes=1)
_AFTER_TROUBLE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why no more is asked in this run. Without ``until`` (aware UTC) a person has to act first."""

    kind: str
    reason: str
    until: datetime | None


def concerns_all(error: SpotifyError) -> bool:
    """Whether the error would meet every other item as well."""
    if isinstance(error, Forbidden):
        return error.reason is not ForbiddenReason.ENDPOINT_OR_OWNER
    return isinstance(error, QuotaExceeded | RateLimited | AuthorizationLost)


def stop_for(error: SpotifyError, *, now: datetime) -> Stop:
    """The stop that an error means which concerns all items."""
    kind = type(error).__name__
    if isinstance(error, QuotaExceeded):
        return Stop(kind, error.message, error.until)
    if isinstance(error, RateLimited):
        wait = max(timedelta(seconds=error.retry_after or 0), _AFTER_LIMIT)
        return Stop(kind, error.message, now + wait)
    if isinstance(error, AuthorizationLost | Forbidden):
        return Stop(kind, error.message, None)
    return Stop(kind, error.message, now + _AFTER_TROUBLE)


def outage(failures: Sequence[Unavailable], *, now: datetime) -> Stop | None:
    """The stop for a service that was unavailable ``OUTAGE`` times since it last gave any answer, else None."""
    if len(failures) < OUTAGE:
        return None
    reason = f"{len(failures)} calls in a row failed, the last one so: {failures[-1].message}"
    return Stop("Outage", reason, now + _AFTER_TROUBLE)

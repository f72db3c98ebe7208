"""When trouble is an app's and not its accounts', and when such an app is tried again: plain values, no clock.

What belongs here: telling an outage from an account in trouble, and the times of half-open probes. What does not:
rows (``app_incidents``), calls (``playlists.app_watch``), an account's own health (``health``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

__all__ = ["WHAT_TO_DO", "WINDOW", "IncidentKind", "Sightings", "Suspicion", "next_probe_at"]

WINDOW = timedelta(minutes=5)
"""Failures within so long of each other may be one thing."""
_LEAST = 3


class IncidentKind(StrEnum):
    """What can befall an app as a whole."""

    OUTAGE = "outage"
    """Its accounts all fail, for a reason that may pass."""
    PREMIUM = "premium"
    """Its owner has no Premium subscription any more: Spotify refuses all its accounts."""


WHAT_TO_DO: Mapping[IncidentKind, str] = {
    IncidentKind.OUTAGE: "Spotify fails for all accounts of the app. Nothing is to be done: one call tries it now "
    "and then, and the work goes on when it succeeds.",
    IncidentKind.PREMIUM: "The owner of the app has no Premium subscription any more. Renew it: one call tries it "
    "now and then, and the work goes on when it succeeds.",
}
"""What an incident means for a person."""

_WAITS = {
    IncidentKind.OUTAGE: (timedelta(minutes=1), timedelta(minutes=15)),
    IncidentKind.PREMIUM: (timedelta(minutes=15), timedelta(hours=6)),
}


def next_probe_at(kind: IncidentKind, probes: int, now: datetime, *, jitter: float) -> datetime:
    """When the app may be tried again after ``probes`` failed probes: each wait is twice the last, up to a bound.

    Args:
        jitter: 0 to 1; adds up to a tenth, so that apps that failed together don't come back together.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    >>> [(next_probe_at(IncidentKind.OUTAGE, n, noon, jitter=0) - noon).seconds // 60 for n in range(6)]
    [1, 2, 4, 8, 15, 15]
    """
    first, longest = _WAITS[kind]
    wait: timedelta = min(first * 2 ** min(probes, 10), longest)
    return now + wait * (1 + 0.1 * jitter)


class Suspicion(StrEnum):
    """How many accounts failed: whether that is an outage, one cheap call tells."""

    NONE = "none"
    SOME = "some"
    """Several in a row, and none that worked between them."""
    MOST = "most"
    """Most of the accounts, or all, and none that worked: that is nothing of theirs."""


@dataclass(slots=True)
class Sightings:
    """Accounts of one app that have failed since one last worked.

    Attributes:
        accounts: how many of the app are worked on.
        at_once: how many of them side by side at most.
    """

    accounts: int
    at_once: int
    _failing: dict[int, datetime] = field(default_factory=dict)

    @property
    def failing(self) -> frozenset[int]:
        """Accounts that have failed since one last worked."""
        return frozenset(self._failing)

    def worked(self) -> None:
        """One of them did what was asked: whatever the others have is their own."""
        self._failing.clear()

    def failed(self, account_id: int, now: datetime) -> Suspicion:
        """An account failed at ``now`` for a reason that may pass; what that makes of all that failed lately."""
        self._failing[account_id] = now
        self._failing = {id_: at for id_, at in self._failing.items() if now - at <= WINDOW}
        failing = len(self._failing)
        # One alone may as well have trouble of its own.
        if failing >= max(2, ceil(self.accounts / 2)) and failing >= min(self.accounts, _LEAST):
            return Suspicion.MOST
        side_by_side = min(self.accounts, self.at_once)
        return Suspicion.SOME if failing >= max(_LEAST, ceil(side_by_side / 2)) else Suspicion.NONE

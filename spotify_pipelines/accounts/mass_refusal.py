"""Many consents of one app refused at once: an incident of the app's rather than so many lost accounts.

What belongs here: when refusals are a mass, who asks Spotify again and when; a state machine over plain values.
What does not: the clock, rows (``incidents``), what it means for one account (``health``). Spotify once answered
``invalid_grant`` for most users by mistake: whoever believes it has to have every one of them consent again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

__all__ = ["LEAST", "SHARE", "WINDOW", "Ending", "Incident", "Refusal", "mass"]

WINDOW = timedelta(minutes=10)
"""Refusals within so long of each other may be one thing."""
LEAST = 3
SHARE = 0.2
"""More than this part of the app's accounts, and at least ``LEAST``, make an incident."""
_FIRST_PROBE = timedelta(minutes=10)
_LAST_PROBE = timedelta(hours=1)


class Ending(StrEnum):
    """How an incident came to its end."""

    CONFIRMED = "confirmed"
    """A person said that the consents are really gone."""
    RELEASED = "released"
    """A person said that Spotify was wrong."""
    RECOVERED = "recovered"
    """Spotify gave one of the refused accounts a token."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An account whose consent Spotify refused, and when (aware UTC)."""

    account_id: int
    at: datetime


def mass(
    refusals: Iterable[Refusal], connected: int, now: datetime, *, settled_at: datetime | None = None
) -> tuple[int, ...]:
    """The accounts of an incident, in the order of their refusals; none where there is no incident.

    Args:
        connected: how many accounts the app has, refused ones included.
        settled_at: when a person last confirmed refusals: those up to then are no news.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    >>> refused = [Refusal(id_, noon - timedelta(minutes=id_)) for id_ in (3, 2, 1)]
    >>> mass(refused, 14, noon), mass(refused, 15, noon)
    ((3, 2, 1), ())
    """
    since = max(filter(None, (now - WINDOW, settled_at)))
    recent = sorted((each.at, each.account_id) for each in refusals if since < each.at <= now)
    if len(recent) < LEAST or len(recent) <= SHARE * connected:
        return ()
    return tuple(account_id for _, account_id in recent)


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident that is going on.

    Attributes:
        account_ids: whose consents were refused.
        probes: how often one of them was tried meanwhile.
        next_probe_at: when the next one may be tried (aware UTC).
    """

    account_ids: tuple[int, ...]
    probes: int
    next_probe_at: datetime

    @classmethod
    def begun(cls, account_ids: tuple[int, ...], now: datetime) -> "Incident":
        """A new one: nobody is tried for a while."""
        return cls(account_ids, 0, now + _FIRST_PROBE)

    @property
    def prober(self) -> int | None:
        """Whose turn it is to be tried: each of them in turn, since some may really be lost."""
        return self.account_ids[self.probes % len(self.account_ids)] if self.account_ids else None

    def may_refresh(self, account_id: int, now: datetime) -> bool:
        """Whether this account's refresh token may be tried now. Accounts outside go on as ever."""
        if account_id not in self.account_ids:
            return True
        return account_id == self.prober and self.next_probe_at <= now

    def refused(self, account_id: int, now: datetime) -> "Incident":
        """Another account was refused: it joins. One of the incident's: that was a probe."""
        if account_id not in self.account_ids:
            return replace(self, account_ids=(*self.account_ids, account_id))
        return self.probed(now)

    def probed(self, now: datetime) -> "Incident":
        """A probe found out nothing better: the next one in turn, after twice the wait, an hour at most."""
        wait = min(_FIRST_PROBE * 2 ** min(self.probes + 1, 10), _LAST_PROBE)
        return replace(self, probes=self.probes + 1, next_probe_at=now + wait)

    def without(self, account_id: int) -> "Incident":
        """The account consented anew, or was disconnected: the others stay."""
        return replace(self, account_ids=tuple(each for each in self.account_ids if each != account_id))

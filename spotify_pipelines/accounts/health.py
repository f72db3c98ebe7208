"""Health of an account: a state machine over what happened to it, and the waves that accounts are worked in.

What belongs here: plain decisions over plain values. What does not: the clock, the database, Spotify's errors
(``outcomes`` reads those). Three states: ``ok``; ``degraded``, which goes on at a reduced pace after
transient trouble until it has proved itself; ``quarantined``, where only a person or Spotify can help, left alone
except for a probe now and then. What befalls an app with all its accounts is no account's health (``breaker``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

__all__ = [
    "ADVICE",
    "HEALS_AFTER",
    "QUIET",
    "Health",
    "HealthState",
    "Outcome",
    "Wave",
    "after",
    "healthy",
    "waves",
]


class HealthState(StrEnum):
    """What may be asked of an account."""

    OK = "ok"
    DEGRADED = "degraded"
    QUARANTINED = "quarantined"


class Outcome(StrEnum):
    """What happened to an account, as far as its health is concerned."""

    SUCCESS = "success"
    """The Web API did what was asked for this account."""
    TOKEN_GRANTED = "token_granted"  # noqa: S105 - the name of an outcome
    """A new access token came; it says nothing about what the Web API will do."""
    REAUTHORIZED = "reauthorized"
    """The user went through the consent again, and Spotify said who it is."""
    SECRET_READABLE = "secret_readable"  # noqa: S105
    """The vault opens all of the account's tokens (again)."""
    INCIDENT_OVER = "incident_over"
    """The mass refusal that the account was in has ended, and not by a confirmation."""
    TRANSIENT_FAILURE = "transient_failure"
    """A call failed in all its attempts for a reason that may pass."""
    TOKEN_FAILURE = "token_failure"  # noqa: S105
    """No new token came, for a reason that may pass."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105
    """Even a fresh token was answered with 401."""
    AUTHORIZATION_LOST = "authorization_lost"
    SCOPE_MISSING = "scope_missing"
    NOT_REGISTERED = "not_registered"
    PREMIUM_LAPSED = "premium_lapsed"
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105
    """The vault can't open the account's tokens."""
    INCIDENT = "incident"
    """Its consent was refused together with many of the same app's: that is taken for Spotify's mistake."""
    DISCONNECTED = "disconnected"
    """A person ended it: tokens and personal data are deleted."""


_DEGRADES_AFTER = {Outcome.TRANSIENT_FAILURE: 3, Outcome.TOKEN_FAILURE: 1, Outcome.TOKEN_REFUSED: 1}
"""Failures in a row until the account is degraded; without a token nothing else can succeed."""

_HEALED_BY: Mapping[Outcome, frozenset[Outcome]] = {
    Outcome.TRANSIENT_FAILURE: frozenset({Outcome.SUCCESS}),
    Outcome.TOKEN_FAILURE: frozenset({Outcome.SUCCESS, Outcome.TOKEN_GRANTED}),
    Outcome.TOKEN_REFUSED: frozenset({Outcome.SUCCESS}),
    # A call with a token from before the loss may still succeed: that proves nothing.
    Outcome.AUTHORIZATION_LOST: frozenset({Outcome.TOKEN_GRANTED}),
    # No cheap call shows whether a scope is back; only a new consent brings it.
    Outcome.SCOPE_MISSING: frozenset(),
    Outcome.NOT_REGISTERED: frozenset({Outcome.SUCCESS}),
    Outcome.PREMIUM_LAPSED: frozenset({Outcome.SUCCESS}),
    Outcome.SECRET_UNREADABLE: frozenset({Outcome.SUCCESS, Outcome.TOKEN_GRANTED, Outcome.SECRET_READABLE}),
    # Calls with tokens from before go on working: that is no sign that the accounts service is well again.
    Outcome.INCIDENT: frozenset({Outcome.TOKEN_GRANTED, Outcome.INCIDENT_OVER}),
    Outcome.DISCONNECTED: frozenset(),
}
_GOOD = frozenset(
    {
        Outcome.SUCCESS,
        Outcome.TOKEN_GRANTED,
        Outcome.REAUTHORIZED,
        Outcome.SECRET_READABLE,
        Outcome.INCIDENT_OVER,
    }
)
_SPECIFIC = frozenset({Outcome.SECRET_READABLE, Outcome.INCIDENT_OVER})
"""These end one reason, and say nothing where there is another or none."""

HEALS_AFTER = 3
"""Good outcomes in a row that make a degraded account ok again: one between failures is no recovery."""
QUIET = timedelta(minutes=30)
"""After so long without a failure a single good outcome will do."""
_FIRST_PROBE = timedelta(hours=1)
_LAST_PROBE = timedelta(hours=24)

ADVICE: Mapping[Outcome, str] = {
    Outcome.TRANSIENT_FAILURE: "Calls keep failing; it goes on at a reduced pace and heals by itself.",
    Outcome.TOKEN_FAILURE: "Spotify's accounts service gives no token just now; it is asked again by itself.",
    Outcome.TOKEN_REFUSED: "Spotify refuses even a fresh token; it is tried again by itself. If it stays, "
    "connect the account again.",
    Outcome.AUTHORIZATION_LOST: "Its user's consent is gone (revoked, ended after six months, or a changed "
    "password). Connect the account again with 'spotify-pipelines accounts connect'.",
    Outcome.SCOPE_MISSING: "The consent lacks a permission. Connect the account again with "
    "'spotify-pipelines accounts connect' and agree to all of them.",
    Outcome.NOT_REGISTERED: "The user is not on the app's list. Add them under User Management in Spotify's "
    "developer dashboard (at most five users in development mode).",
    Outcome.PREMIUM_LAPSED: "The account's user has no Premium subscription any more, and Spotify asks for one. "
    "Have it renewed; it is tried again by itself.",
    Outcome.SECRET_UNREADABLE: "Its stored tokens can't be opened. Put the missing key back into "
    "SPOTIFY_PIPELINES_VAULT_KEYS, or connect the account again.",
    Outcome.INCIDENT: "Spotify refused the consents of many accounts of its app at once, which is taken for "
    "Spotify's mistake: it is asked again now and then, one account at a time. 'spotify-pipelines apps incident' "
    "shows it; --confirm says that the consents are really gone.",
    Outcome.DISCONNECTED: "It was disconnected; its tokens and personal data are deleted.",
}
"""What each reason means for a person, and what to do."""


@dataclass(frozen=True, slots=True)
class Health:
    """An account's health.

    Attributes:
        state: what may be asked of it.
        reason: why it is not (quite) ok; None where all is well.
        since: when it came into this state (aware UTC).
        failures: failures in a row; in quarantine, including those of probes.
        next_probe_at: when a quarantined account may be tried; None: only a person can help.
        successes: good outcomes in a row while it is degraded.
        last_failure_at: when it last failed (aware UTC); None where all is well.
    """

    state: HealthState
    reason: Outcome | None
    since: datetime
    failures: int = 0
    next_probe_at: datetime | None = None
    successes: int = 0
    last_failure_at: datetime | None = None

    def probe_due(self, now: datetime) -> bool:
        """Quarantined, and the time to try has come."""
        return (
            self.state is HealthState.QUARANTINED
            and self.next_probe_at is not None
            and self.next_probe_at <= now
        )


def healthy(since: datetime) -> Health:
    """The health of an account that has just been connected."""
    return Health(HealthState.OK, None, since)


def after(health: Health, outcome: Outcome, now: datetime) -> Health:
    """The account's health once ``outcome`` has happened at ``now`` (aware UTC).

    Transient failures degrade and heal; only a lost right or an unreadable secret quarantines; what heals
    depends on the reason. An outcome that proves nothing about the reason leaves the health as it is. A degraded
    account is ok again after ``HEALS_AFTER`` good outcomes in a row, or one after a ``QUIET`` time; of a
    quarantined one, a single proof decides.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    >>> after(healthy(noon), Outcome.AUTHORIZATION_LOST, noon).state.value
    'quarantined'
    """
    if health.reason is Outcome.DISCONNECTED:
        return health
    if outcome in _GOOD:
        return _after_good(health, outcome, now)
    if outcome is Outcome.INCIDENT:
        return _in_incident(health, now)
    if outcome in _DEGRADES_AFTER:
        return _after_transient(health, outcome, now)
    return _quarantined(health, outcome, now)


def _after_good(health: Health, outcome: Outcome, now: datetime) -> Health:
    if outcome is not Outcome.REAUTHORIZED and health.reason and outcome not in _HEALED_BY[health.reason]:
        return health
    if outcome in _SPECIFIC and health.reason is None:
        return health
    if _has_to_prove_itself(health, outcome):
        health = replace(health, successes=health.successes + 1)
        if not _has_recovered(health, now):
            return health
    return Health(HealthState.OK, None, health.since if health.state is HealthState.OK else now)


def _has_to_prove_itself(health: Health, outcome: Outcome) -> bool:
    # A new consent, or the end of the very thing that degraded it, needs no repetition.
    return (
        outcome in (Outcome.SUCCESS, Outcome.TOKEN_GRANTED)
        and health.state is HealthState.DEGRADED
        and health.reason is not Outcome.INCIDENT
    )


def _has_recovered(health: Health, now: datetime) -> bool:
    was_quiet = health.last_failure_at is not None and now - health.last_failure_at >= QUIET
    return was_quiet or health.successes >= HEALS_AFTER


def _in_incident(health: Health, now: datetime) -> Health:
    """Degraded, not quarantined: what its living token can do goes on."""
    if health.reason is Outcome.INCIDENT:
        return health
    return Health(HealthState.DEGRADED, Outcome.INCIDENT, now, failures=1)


def _after_transient(health: Health, outcome: Outcome, now: datetime) -> Health:
    if health.reason is Outcome.INCIDENT:
        return health  # only its end, or a token, says that it is over
    health = replace(health, successes=0, last_failure_at=now)
    if health.state is HealthState.QUARANTINED:
        return _next_probe(replace(health, failures=health.failures + 1), now)
    failures = health.failures + 1
    if health.state is HealthState.DEGRADED:
        return replace(health, failures=failures, reason=outcome)
    if failures < _DEGRADES_AFTER[outcome]:
        return replace(health, failures=failures, reason=outcome)
    return replace(health, state=HealthState.DEGRADED, reason=outcome, since=now, failures=failures)


def _quarantined(health: Health, reason: Outcome, now: datetime) -> Health:
    if health.state is HealthState.QUARANTINED:
        again = replace(health, reason=reason, failures=health.failures + 1, last_failure_at=now)
        return _next_probe(again, now)
    lost = Health(HealthState.QUARANTINED, reason, now, failures=1, last_failure_at=now)
    return _next_probe(lost, now)


def _next_probe(health: Health, now: datetime) -> Health:
    """The same health with its next probe: an hour on, twice that after each failure, at most a day."""
    if health.reason is None or not _HEALED_BY[health.reason]:
        return replace(health, next_probe_at=None)
    wait = min(_FIRST_PROBE * 2 ** min(health.failures - 1, 10), _LAST_PROBE)
    return replace(health, next_probe_at=now + wait)


@dataclass(frozen=True, slots=True)
class Wave:
    """Accounts that are worked on together, after the wave before is done.

    Attributes:
        state: the health they share.
        account_ids: in the order in which to begin.
        concurrency: how many at once at most; None: as many as the settings allow.
        probe: try one cheap call first, and go on only where it succeeds.
    """

    state: HealthState
    account_ids: tuple[int, ...]
    concurrency: int | None = None
    probe: bool = False


def waves(accounts: Mapping[int, Health], now: datetime) -> tuple[Wave, ...]:
    """Healthy accounts first, then degraded ones one at a time, then quarantined ones due for a probe.

    Deterministic: by id; degraded ones with the fewest failures first, probes by how long they are due. Empty
    waves are left out; an account in no wave is to be left alone.
    """
    ok = sorted(id_ for id_, health in accounts.items() if health.state is HealthState.OK)
    degraded = sorted(
        (health.failures, id_) for id_, health in accounts.items() if health.state is HealthState.DEGRADED
    )
    probes = sorted(
        (health.next_probe_at, id_)
        for id_, health in accounts.items()
        if health.next_probe_at is not None and health.probe_due(now)
    )
    planned = (
        Wave(HealthState.OK, tuple(ok)),
        Wave(HealthState.DEGRADED, tuple(id_ for _, id_ in degraded), concurrency=1),
        Wave(HealthState.QUARANTINED, tuple(id_ for _, id_ in probes), concurrency=1, probe=True),
    )
    return tuple(wave for wave in planned if wave.account_ids)

"""Apps in trouble, seen from a run over their accounts: noticed, waited out, tried by one account, and eased back in.

What belongs here: carrying what lanes meet to the incidents of their apps, and the one cheap call that decides. What
does not: when trouble is an app's (``accounts.breaker``), its rows (``accounts.app_incidents``), the accounts' lanes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from spotify_pipelines.accounts import app_incidents as incidents
from spotify_pipelines.accounts.app_incidents import AppIncidentStanding
from spotify_pipelines.accounts.breaker import IncidentKind, Sightings, Suspicion
from spotify_pipelines.accounts.health import Outcome
from spotify_pipelines.accounts.outcomes import outcome_of
from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.spotify.errors import (
    AuthorizationLost,
    Forbidden,
    ForbiddenReason,
    QuotaExceeded,
    SpotifyError,
)
from spotify_pipelines.spotify.turns import Priority
from spotify_pipelines.store.database import Database

__all__ = ["AppWatch", "Blocked"]

_log = structlog.get_logger(__name__)
_PROBERS = 3
"""Accounts through which an app is tried at most where their own authorizations are in the way."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """An app may not be called before ``until`` (aware UTC)."""

    until: datetime
    reason: str


@dataclass(slots=True)
class AppWatch:
    """What a run knows of the apps of its accounts.

    Attributes:
        accounts: the accounts to be worked on by app, in the order of their waves.
        at_once: how many of them side by side at most.
        in_trouble: apps of which most accounts failed alike in this run: that says nothing about one of them.
    """

    database: Database
    client: SpotifyClient
    run_id: str
    now: Callable[[], datetime]
    accounts: Mapping[int, Sequence[int]] = field(default_factory=dict)
    at_once: int = 16
    in_trouble: set[int] = field(default_factory=set)
    _blocked: dict[int, Blocked] = field(default_factory=dict)
    _sightings: dict[int, Sightings] = field(default_factory=dict)
    _easing: dict[int, asyncio.Semaphore] = field(default_factory=dict)
    _asking: set[int] = field(default_factory=set)

    def blocked(self, app_id: int) -> Blocked | None:
        """Why and until when the app may not be called; None: it may."""
        found = self._blocked.get(app_id)
        return found if found is not None and found.until > self.now() else None

    def block(self, app_id: int, until: datetime, reason: str) -> None:
        """The app met a ban."""
        self._blocked[app_id] = Blocked(until, reason)

    async def try_those_in_trouble(self) -> None:
        """Of each app that has an incident: one cheap call by one account if its time has come; else it waits."""
        with self.database.transaction() as session:
            going_on = incidents.open_incidents(session)
        for app_id in sorted(going_on.keys() & self.accounts.keys()):
            self._wait_for(app_id, going_on[app_id])
            if self.blocked(app_id) is None:
                await self._try(app_id, going_on[app_id].probes)

    async def _try(self, app_id: int, probes: int) -> None:
        with self.database.transaction() as session:
            is_ours = incidents.claim_probe(session, app_id, self.now())
            standing = incidents.open_incidents(session).get(app_id)
        if not is_ours:
            if standing is not None:
                self._wait_for(app_id, standing)
            return
        error = await self._probe_app(app_id, probes)
        if isinstance(error, QuotaExceeded):
            self.block(app_id, error.until, str(error))
            return
        with self.database.transaction() as session:
            if error is None or _was_served(error):
                incidents.end(session, app_id, self.now(), self.run_id)
                self._easing[app_id] = asyncio.Semaphore(1)
                return
            standing = incidents.probe_failed(
                session, app_id, reason=str(error), now=self.now(), run_id=self.run_id
            )
        if standing is not None:
            self._wait_for(app_id, standing)

    async def _probe_app(self, app_id: int, probes: int) -> SpotifyError | None:
        """Ask through another account each time; through the next where one's own authorization is in the way."""
        accounts = self.accounts[app_id]
        error: SpotifyError | None = None
        for number in range(min(_PROBERS, len(accounts))):
            error = await self._probe(accounts[(probes + number) % len(accounts)])
            if not isinstance(error, AuthorizationLost):
                break
        return error

    async def failed(self, app_id: int, account_id: int, error: SpotifyError) -> None:
        """An account met trouble: the app is held back where that is no account's trouble."""
        if isinstance(error, Forbidden) and error.reason is ForbiddenReason.OWNER_PREMIUM:
            self._begin(app_id, IncidentKind.PREMIUM, error)
        elif outcome_of(error) is Outcome.TRANSIENT_FAILURE:
            suspicion = self._seen(app_id).failed(account_id, self.now())
            if suspicion is not Suspicion.NONE:
                await self._ask(app_id, suspicion, error)

    def worked(self, app_id: int) -> None:
        """An account of the app did what was asked."""
        self._seen(app_id).worked()

    @asynccontextmanager
    async def place(self, app_id: int) -> AsyncIterator[None]:
        """A place among the app's lanes: of an app just back one at first, one more after each that goes well."""
        easing = self._easing.get(app_id)
        if easing is None:
            yield
            return
        async with easing:
            yield
        if self.blocked(app_id) is None and not self._seen(app_id).failing:
            easing.release()

    async def _ask(self, app_id: int, suspicion: Suspicion, error: SpotifyError) -> None:
        """Several accounts failed in a row: a call, if possible of one that has not, shows whether the app did."""
        if app_id in self._asking or self.blocked(app_id) is not None:
            return
        accounts, failing = self.accounts.get(app_id, ()), self._seen(app_id).failing
        self._asking.add(app_id)
        try:
            found = await self._probe(min(accounts, key=lambda account_id: account_id in failing))
        finally:
            self._asking.discard(app_id)
        if found is not None and outcome_of(found) is Outcome.TRANSIENT_FAILURE:
            self._begin(app_id, IncidentKind.OUTAGE, error)
        elif found is None:
            if suspicion is Suspicion.MOST:
                # Reads work: what they all can't do is not for their health to tell.
                self.in_trouble.add(app_id)
                _log.warning("app.accounts_fail_alike", app_id=app_id, reason=str(error), run_id=self.run_id)
            self.worked(app_id)

    async def _probe(self, account_id: int) -> SpotifyError | None:
        try:
            await self.client.as_account(account_id, priority=Priority.DEGRADED).probe()
        except SpotifyError as error:
            return error
        return None

    def _begin(self, app_id: int, kind: IncidentKind, error: SpotifyError) -> None:
        if self.blocked(app_id) is not None:
            return
        with self.database.transaction() as session:
            standing = incidents.begin(
                session, app_id, kind, reason=str(error), now=self.now(), run_id=self.run_id
            )
        self.in_trouble.add(app_id)
        self._wait_for(app_id, standing)

    def _wait_for(self, app_id: int, standing: AppIncidentStanding) -> None:
        reason = f"its app has an incident ({standing.kind}): {standing.advice}"
        self._blocked[app_id] = Blocked(standing.next_probe_at, reason)

    def _seen(self, app_id: int) -> Sightings:
        number = len(self.accounts.get(app_id, ()))
        return self._sightings.setdefault(app_id, Sightings(number, self.at_once))


def _was_served(error: SpotifyError) -> bool:
    """Whether a probe was refused for the account's sake: then the app is served."""
    return isinstance(error, Forbidden) and error.reason is not ForbiddenReason.OWNER_PREMIUM

"""Credentials: access tokens for the client, refreshed by one process at a time.

What belongs here: the client's port ``Credentials``, that is, when to ask the token endpoint, and who does.
What does not: rows and secrets (``token_store``), which accounts to refresh ahead of time (``refresh``).

Why a lease, and not a locked row: a refresh token may be used by one process at a time, because a server that
rotates it may take a second use for theft. A row lock would have to be held while the accounts service
takes its time, in a transaction that is open meanwhile and blocks everybody who touches the account. A
lease is two short transactions around the call; that of a process that died expires; a process that was
frozen and comes back finds its lease gone and writes nothing. Within a process callers share one refresh,
which isn't cancelled with them: a rotated token that nobody stores is a lost account.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog
from pydantic import SecretStr

from spotify_pipelines.accounts.token_store import StoredTokens, TokenStore
from spotify_pipelines.accounts.vault import Vault
from spotify_pipelines.spotify.errors import AuthorizationLost, LostReason, SpotifyError
from spotify_pipelines.spotify.oauth import TokenEndpoint
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.leases import Lease, LeaseLost

__all__ = ["DatabaseCredentials", "Renewal"]

T = TypeVar("T")
_log = structlog.get_logger(__name__)

_MARGIN = timedelta(seconds=60)
_LOOK_AGAIN = 0.1
"""Seconds between two looks at whether another process has finished its refresh."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Renewal:
    """A token that was asked to live long enough; ``refreshed``: it is new, fetched by this process."""

    token: SecretStr
    expires_at: datetime
    refreshed: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What makes a token good enough: it lives past ``until`` and isn't the ``refused`` one."""

    until: datetime
    refused: str | None = None
    force: bool = False

    def satisfied_by(self, stored: StoredTokens) -> Renewal | None:
        token, expires_at = stored.access_token, stored.expires_at
        if token is None or expires_at is None or stored.doubtful:
            return None
        if expires_at <= self.until or token.get_secret_value() == self.refused:
            return None
        return Renewal(token, expires_at, refreshed=False)


class DatabaseCredentials:
    """Tokens of all apps and accounts of one database. Belongs to one event loop.

    Close it (``await credentials.aclose()``) before its token endpoint: a refresh under way is waited for.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        endpoint: TokenEndpoint,
        *,
        run_id: str | None = None,
        clock: Callable[[], datetime] = _utc_now,
        margin: timedelta = _MARGIN,
    ) -> None:
        """``margin``: a token that lives no longer than this is refreshed before it is used."""
        self._store = TokenStore(database, vault, clock)
        self._endpoint = endpoint
        self._run_id = run_id
        self._clock = clock
        self._margin = margin
        self._holder = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._app_tokens: dict[int, tuple[str, datetime]] = {}
        self._fetches: dict[int, asyncio.Task[str]] = {}
        self._renewals: dict[int, asyncio.Task[Renewal]] = {}

    async def aclose(self) -> None:
        """Let what is under way come to its end."""
        await asyncio.gather(*self._fetches.values(), *self._renewals.values(), return_exceptions=True)

    async def app_token(self, app_id: int, *, refused: str | None = None) -> str:
        """An app's own token (client credentials), kept in memory until shortly before it expires.

        Raises:
            AuthorizationLost: the app's id or secret is refused, missing or unreadable.
            SpotifyError: the accounts service has trouble; nothing is lost.
        """
        known = self._app_tokens.get(app_id)
        if known and known[0] != refused and known[1] > self._clock() + self._margin:
            return known[0]
        return await _shared(self._fetches, app_id, lambda: self._fetch_app_token(app_id))

    async def account_token(self, account_id: int, *, refused: str | None = None) -> str:
        """A user's token: the stored one while it lives, else a new one.

        Raises:
            AuthorizationLost: the consent is gone, the tokens are unreadable, or the app is refused; the text
                says what to do. The account is quarantined by then, unless the app is to blame.
            SpotifyError: the accounts service has trouble; the account is degraded, nothing is lost.
        """
        wanted = _Wanted(self._clock() + self._margin, refused)
        return (await self._renewal(account_id, wanted, self._run_id)).token.get_secret_value()

    async def renew(
        self, account_id: int, *, until: datetime, force: bool = False, run_id: str | None = None
    ) -> Renewal:
        """See to it that the account's token lives past ``until``; with ``force``, refresh it in any case.

        Raises:
            AuthorizationLost, SpotifyError: as ``account_token``.
        """
        return await self._renewal(account_id, _Wanted(until, force=force), run_id or self._run_id)

    async def _renewal(self, account_id: int, wanted: _Wanted, run_id: str | None) -> Renewal:
        if not wanted.force and account_id not in self._renewals:
            renewal = wanted.satisfied_by(self._store.tokens(account_id, run_id))
            if renewal:
                return renewal
        return await _shared(
            self._renewals, account_id, lambda: self._renew_alone(account_id, wanted, run_id)
        )

    async def _renew_alone(self, account_id: int, wanted: _Wanted, run_id: str | None) -> Renewal:
        """Wait for the claim, then refresh, unless whoever had it has stored a token that will do."""
        while True:
            claim = self._store.claim(account_id, self._holder)
            if claim is not None:
                try:
                    return await self._renew_under(claim, account_id, wanted, run_id)
                except LeaseLost:
                    # We were away for minutes, and somebody else did it: what they stored counts.
                    _log.warning("account.refresh_overtaken", account_id=account_id, run_id=run_id)
            await asyncio.sleep(_LOOK_AGAIN)

    async def _renew_under(
        self, claim: Lease, account_id: int, wanted: _Wanted, run_id: str | None
    ) -> Renewal:
        try:
            # Read after claiming: the holder before may just have stored a newer token.
            stored = self._store.tokens(account_id, run_id)
            renewal = wanted.satisfied_by(stored)
            if renewal and not wanted.force:
                return renewal
            return await self._refresh(claim, account_id, stored, run_id, force=wanted.force)
        finally:
            self._store.release(claim)

    async def _refresh(
        self, claim: Lease, account_id: int, stored: StoredTokens, run_id: str | None, *, force: bool
    ) -> Renewal:
        app = self._store.app_secret(stored.app_id)
        answer_was_lost = self._store.begin_refresh(account_id, claim, force=force)
        asked_at = self._clock()
        try:
            grant = await self._endpoint.refresh(
                app.client_id,
                app.client_secret,
                stored.refresh_token,
                app_id=stored.app_id,
                account_id=account_id,
            )
        except SpotifyError as error:
            told = self._store.refresh_failed(
                account_id, claim, error, run_id, answer_was_lost=answer_was_lost
            )
            if told is error:
                raise
            raise told from error
        self._store.replace(account_id, claim, grant, asked_at=asked_at, run_id=run_id)
        return Renewal(grant.access_token, asked_at + timedelta(seconds=grant.expires_in), refreshed=True)

    async def _fetch_app_token(self, app_id: int) -> str:
        app, asked_at = self._store.app_secret(app_id), self._clock()
        if app.client_secret is None:
            raise AuthorizationLost(
                "The app has no client secret, so it gets no token of its own. Add it with "
                "'spotify-pipelines apps add'.",
                reason=LostReason.APP_REFUSED,
                app_id=app_id,
            )
        try:
            grant = await self._endpoint.client_credentials(app.client_id, app.client_secret, app_id=app_id)
        except AuthorizationLost as error:
            raise self._store.app_refused(app_id, error) from error
        self._store.app_granted(app_id)
        token = grant.access_token.get_secret_value()
        self._app_tokens[app_id] = token, asked_at + timedelta(seconds=grant.expires_in)
        return token


async def _shared(
    under_way: dict[int, asyncio.Task[T]], key: int, work: Callable[[], Coroutine[Any, Any, T]]
) -> T:
    """The outcome of ``work``, done once for all who ask for ``key`` meanwhile, and not cancelled with them."""
    task = under_way.get(key)
    if task is None:
        task = under_way[key] = asyncio.create_task(work())
        task.add_done_callback(lambda _: under_way.pop(key, None))
    return await asyncio.shield(task)

"""What tests of accounts stand on: a database, a simulator with its clock, an app and users that are connected.

What belongs here: putting the real parts together, with pauses between attempts skipped. What does not: assertions.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy import select

from spotify_pipelines.accounts.connect import Desk
from spotify_pipelines.accounts.credentials import DatabaseCredentials
from spotify_pipelines.accounts.registry import add_app, load_account, save_account
from spotify_pipelines.accounts.vault import Vault, new_key
from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.caller import Caller
from spotify_pipelines.spotify.limiter import Limiter, connect_redis
from spotify_pipelines.spotify.models import Profile
from spotify_pipelines.spotify.oauth import TokenEndpoint, TokenGrant
from spotify_pipelines.spotify.transport import HttpTransport
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.tables import Account, AccountEvent, SpotifyApp
from spotify_pipelines_tests.support.simulator import RunningSimulator

CLIENT_ID = "office-app"
SECRET = "office-secret-nobody-may-see-0123456789"
KEY = new_key()
HOUR = timedelta(hours=1)


@dataclass
class Office:
    """A desk at which accounts are connected and refreshed, and a look at what really happened."""

    desk: Desk
    simulator: RunningSimulator
    app_id: int

    @property
    def database(self) -> Database:
        return self.desk.database

    @property
    def calls(self) -> CallLog:
        return self.desk.calls

    def now(self) -> datetime:
        """The simulator's time."""
        return self.desk.now()

    def advance(self, by: timedelta) -> None:
        self.simulator.control.advance(by.total_seconds())

    def connect(self, *users: str) -> list[int]:
        """Store users with tokens that the simulator really gave; their ids."""
        return [self._connect(user) for user in users]

    def _connect(self, user: str) -> int:
        self.simulator.control.add_user(user)
        minted = self.simulator.control.mint_tokens(CLIENT_ID, user)
        grant = TokenGrant(
            SecretStr(minted["access_token"]),
            3600,
            SecretStr(minted["refresh_token"]),
            tuple(minted["scope"].split()),
        )
        with self.database.transaction() as session:
            return save_account(
                session,
                self.desk.vault,
                app_id=self.app_id,
                name=None,
                profile=Profile(id=user),
                grant=grant,
                now=self.now(),
            ).id

    def credentials(
        self,
        *,
        vault: Vault | None = None,
        database: Database | None = None,
        endpoint: TokenEndpoint | None = None,
    ) -> DatabaseCredentials:
        """Credentials as another process would open them, with nothing in memory."""
        return DatabaseCredentials(
            database or self.database,
            vault or self.desk.vault,
            endpoint or self.desk.endpoint,
            clock=self.now,
        )

    def account(self, account_id: int) -> Account:
        with self.database.transaction() as session:
            return load_account(session, account_id)

    def app(self) -> SpotifyApp:
        with self.database.transaction() as session:
            return session.scalars(select(SpotifyApp).where(SpotifyApp.id == self.app_id)).one()

    def secrets(self, account_id: int) -> tuple[str, str]:
        """Access and refresh token in clear."""
        row, owner = self.account(account_id), f"account:{account_id}"
        assert row.access_token
        assert row.refresh_token
        return (
            self.desk.vault.open(row.access_token, owner=owner, purpose="access token"),
            self.desk.vault.open(row.refresh_token, owner=owner, purpose="refresh token"),
        )

    def events(self, account_id: int) -> Sequence[AccountEvent]:
        with self.database.transaction() as session:
            query = (
                select(AccountEvent).where(AccountEvent.account_id == account_id).order_by(AccountEvent.id)
            )
            return session.scalars(query).all()

    def token_requests(self, user: str | None = None) -> list[dict[str, Any]]:
        """Requests to the token endpoint that reached the simulator."""
        return self.simulator.control.ledger(path="/api/token", user=user)

    async def token_request_arrived(self, user: str) -> None:
        """Wait until a user's token request has had its effect; its answer may still be on the way."""
        while not self.token_requests(user):  # noqa: ASYNC110 - the event happens in another server
            await asyncio.sleep(0.01)


def simulator_time(simulator: RunningSimulator) -> Callable[[], datetime]:
    """A clock that goes as the simulator's does: what Spotify would say it is."""
    return lambda: datetime.fromtimestamp(simulator.control.clock()["timestamp"], UTC)


@asynccontextmanager
async def open_endpoint(settings: Settings, key_prefix: str, calls: CallLog) -> AsyncIterator[TokenEndpoint]:
    """The token endpoint as ``TokenEndpoint.open`` makes it, without the pauses between attempts."""

    async def at_once(seconds: float) -> None:
        """Don't wait."""

    redis = connect_redis(settings.require_redis_url())
    try:
        async with HttpTransport.open(time_limit=settings.request_timeout, use_proxies=False) as http:
            caller = Caller(
                http, Limiter(redis, key_prefix), calls, clock=lambda: datetime.now(UTC), sleep=at_once
            )
            yield TokenEndpoint(caller, settings.require_spotify_accounts_url())
    finally:
        await redis.aclose()


@asynccontextmanager
async def open_office(
    simulator: RunningSimulator, database_url: str, redis_url: str, key_prefix: str
) -> AsyncIterator[Office]:
    """An office with one app and no accounts."""
    settings = Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        spotify_api_url=simulator.api_url,
        spotify_accounts_url=simulator.accounts_url,
        reccobeats_url=simulator.reccobeats_url,
        request_timeout=5.0,
    )
    simulator.control.add_client(CLIENT_ID, SECRET, redirect_uris=["http://127.0.0.1:8910/callback"])
    database, vault, calls = Database(create_database_engine(database_url)), Vault([KEY]), CallLog()
    redis = connect_redis(redis_url)
    with database.transaction() as session:
        app_id = add_app(
            session, vault, name="office", client_id=CLIENT_ID, client_secret=SecretStr(SECRET)
        ).id
    try:
        async with open_endpoint(settings, key_prefix, calls) as endpoint:
            desk = Desk(
                settings,
                database,
                vault,
                endpoint,
                redis,
                calls,
                simulator_time(simulator),
                Limiter(redis, key_prefix),
            )
            yield Office(desk, simulator, app_id)
    finally:
        database.close()
        await redis.aclose()

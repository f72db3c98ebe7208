"""What tests of the client stand on: apps and credentials kept in memory, and an open client on a simulator.

What belongs here: the two ports in their simplest honest form, with a record of what they were asked and told.
What does not: assertions.
"""

import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import httpx
from pydantic import SecretStr

from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.caller import Caller
from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.spotify.errors import QuotaExceeded
from spotify_pipelines.spotify.limiter import Limiter, connect_redis
from spotify_pipelines.spotify.ports import AppProfile
from spotify_pipelines.spotify.routes import Routes
from spotify_pipelines.spotify.transport import HttpTransport
from spotify_pipelines_tests.support.simulator import RunningSimulator

ACCOUNT = 7
APP = 3
CLIENT_ID = "app"
SECRET = "a-secret-that-nobody-may-see"
UNLIMITED = 100_000


@dataclass
class MemoryApps:
    """Apps as they are known, in memory."""

    known: AppProfile = field(default_factory=lambda: AppProfile(APP, CLIENT_ID, calls_per_30s=UNLIMITED))
    evidence: list[tuple[str, bool, str]] = field(default_factory=list)
    cooldowns: list[QuotaExceeded] = field(default_factory=list)

    def profile(self, app_id: int, *, anew: bool = False) -> AppProfile:
        assert app_id == APP
        return self.known

    def account_app(self, account_id: int) -> int:
        assert account_id == ACCOUNT
        return APP

    def record_capability(self, app_id: int, capability: str, available: bool, evidence: str) -> None:
        self.evidence.append((capability, available, evidence))
        self.known = replace(self.known, capabilities={**self.known.capabilities, capability: available})

    def record_cooldown(self, app_id: int, ban: QuotaExceeded) -> list[str]:
        self.cooldowns.append(ban)
        self.known = replace(self.known, cooldown_until=ban.until)
        return [CLIENT_ID]


@dataclass
class MemoryCredentials:
    """Tokens handed out in order: the first one until it is refused, then the next."""

    account_tokens: list[str] = field(default_factory=lambda: ["account-token-1", "account-token-2"])
    app_tokens: list[str] = field(default_factory=lambda: ["app-token-1", "app-token-2"])
    refused: list[str] = field(default_factory=list)

    async def app_token(self, app_id: int, *, refused: str | None = None) -> str:
        return self._newest(self.app_tokens, refused)

    async def account_token(self, account_id: int, *, refused: str | None = None) -> str:
        return self._newest(self.account_tokens, refused)

    def _newest(self, tokens: list[str], refused: str | None) -> str:
        if refused is not None:
            self.refused.append(refused)
            if tokens[0] == refused and len(tokens) > 1:
                tokens.pop(0)
        return tokens[0]


@dataclass
class Sleeps:
    """Pauses that were asked for; none is taken."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@dataclass
class Desk:
    """An open client and everything around it that a test looks at."""

    client: SpotifyClient
    apps: MemoryApps
    credentials: MemoryCredentials
    calls: CallLog
    sleeps: Sleeps
    settings: Settings
    end_ban: Callable[[], None]
    """As if it were over in Redis, whose clock can't be moved; the client's other limits go with it."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def sandbox_settings(
    redis_url: str, api_url: str, accounts_url: str | None = None, reccobeats_url: str | None = None
) -> Settings:
    return Settings(
        _env_file=None,
        redis_url=SecretStr(redis_url),
        spotify_api_url=api_url,
        spotify_accounts_url=accounts_url or api_url,
        reccobeats_url=reccobeats_url or api_url,
        account_calls_per_30s=UNLIMITED,
        request_timeout=5.0,
    )


@asynccontextmanager
async def open_desk(
    redis_url: str,
    key_prefix: str,
    settings: Settings,
    *,
    apps: MemoryApps | None = None,
    credentials: MemoryCredentials | None = None,
    mounted: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> AsyncIterator[Desk]:
    """A client as ``SpotifyClient.open`` makes it, but with pauses between attempts recorded, not taken."""
    apps, credentials = apps or MemoryApps(), credentials or MemoryCredentials()
    sleeps, calls = Sleeps(), CallLog()
    redis = connect_redis(redis_url)
    try:
        async with HttpTransport.open(
            time_limit=settings.request_timeout, use_proxies=False, mounted=mounted
        ) as http:
            limiter = Limiter(redis, key_prefix)
            caller = Caller(
                http,
                limiter,
                calls,
                clock=clock,
                sleep=sleep or sleeps,
                rng=random.Random(1),
            )
            client = SpotifyClient(caller, Routes(settings, credentials, apps, clock), apps)

            def end_ban() -> None:
                caller.limiter = Limiter(redis, f"{secrets.token_hex(6)}:")

            yield Desk(client, apps, credentials, calls, sleeps, settings, end_ban)
            await limiter.aclose()
    finally:
        await redis.aclose()


def minted(simulator: RunningSimulator, user: str = "user1") -> MemoryCredentials:
    """A registered user's and an app's real tokens of the simulator, each followed by a spare one."""
    control = simulator.control
    accounts = [control.mint_tokens(CLIENT_ID, user)["access_token"] for _ in range(2)]
    with httpx.Client(base_url=simulator.accounts_url, trust_env=False) as http:
        apps = [
            http.post(
                "/api/token", data={"grant_type": "client_credentials"}, auth=(CLIENT_ID, SECRET)
            ).json()
            for _ in range(2)
        ]
    return MemoryCredentials(accounts, [grant["access_token"] for grant in apps])

"""The resources on the UI's Resources page: PostgreSQL, Redis and Spotify.

What belongs here: turning configuration into *our* database and client, opened for one run and closed after
it. Secrets come by ``dg.EnvVar``, because plain values are shown in the UI. Assets get these, never the
environment.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, SecretStr

from spotify_pipelines.settings import Settings, World

if TYPE_CHECKING:
    import redis.asyncio

    from spotify_pipelines.session import SpotifySession
    from spotify_pipelines.store.database import Database

__all__ = ["PostgresResource", "RedisResource", "SpotifyResource", "build_resources"]


class PostgresResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The application's PostgreSQL database, of one world."""

    url: str = Field(description="postgresql+psycopg://…, by environment variable: it holds a password")
    world: World = Field(description="A database of another world is refused")

    @contextmanager
    def open(self) -> Iterator["Database"]:
        """The database, checked to be of this world; at most five connections, closed at the end."""
        from spotify_pipelines.store.database import Database

        database = Database.open(Settings(world=self.world, database_url=SecretStr(self.url)))
        try:
            yield database
        finally:
            database.close()


class RedisResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Redis: holds the limiter's state, nothing that must survive."""

    url: str = Field(description="redis://…, by environment variable: it holds a password")

    @asynccontextmanager
    async def open(self) -> AsyncIterator["redis.asyncio.Redis"]:
        """A client with time-outs below a second: a frozen server must not freeze a run."""
        from spotify_pipelines.spotify.limiter import connect_redis

        client = connect_redis(self.url)
        try:
            yield client
        finally:
            await client.aclose()


class SpotifyResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Spotify's Web API, accounts service and ReccoBeats, with limits and the keys of the token vault."""

    postgres: dg.ResourceDependency[PostgresResource]
    redis: dg.ResourceDependency[RedisResource]
    vault_keys: str = Field(description="Fernet keys, comma separated, by environment variable")
    api_url: str = Field(description="Base URL of the Web API")
    accounts_url: str = Field(description="Base URL of the accounts service")
    reccobeats_url: str = Field(description="Base URL of ReccoBeats' API")
    feature_sources: list[str] = Field(description="Where audio features come from, in order")
    feature_retry_days: int = Field(description="A missing feature is asked for again after so many days")
    capability_days: int = Field(description="What was found out about an app holds for so many days")
    album_stale_days: int | None = Field(
        default=None, description="Known albums are read again after so many days; null: never"
    )
    ingest_max_attempts: int = Field(description="Tries until an album becomes a dead letter")
    app_calls_per_30s: int | None = Field(
        description="Calls of one app in 30 seconds, unless the app says otherwise; null: found out"
    )
    family_calls_per_30s: dict[str, int] = Field(
        default={},
        description="Calls of one app to a family of endpoints in 30 seconds, beside the app's limit",
    )
    developer_calls_per_30s: int | None = Field(
        default=None, description="Calls of all apps of one developer account in 30 seconds; null: no limit"
    )
    max_processes: int = Field(description="Processes that may call at once")
    account_calls_per_30s: int = Field(description="Calls of one account in 30 seconds")
    max_parallel_accounts: int = Field(description="Accounts worked on at once in one run")
    read_back_share: float = Field(description="Part of the written playlists that is read back, to be sure")
    request_timeout: float = Field(description="Seconds until a call is given up")

    def settings(self) -> Settings:
        """The settings that this resource was configured with."""
        return Settings(
            world=self.postgres.world,
            database_url=SecretStr(self.postgres.url),
            redis_url=SecretStr(self.redis.url),
            vault_keys=[SecretStr(key.strip()) for key in self.vault_keys.split(",") if key.strip()],
            spotify_api_url=self.api_url or None,
            spotify_accounts_url=self.accounts_url or None,
            reccobeats_url=self.reccobeats_url or None,
            feature_sources=self.feature_sources,
            feature_retry_days=self.feature_retry_days,
            capability_days=self.capability_days,
            album_stale_days=self.album_stale_days,
            ingest_max_attempts=self.ingest_max_attempts,
            app_calls_per_30s=self.app_calls_per_30s,
            family_calls_per_30s=self.family_calls_per_30s,
            developer_calls_per_30s=self.developer_calls_per_30s,
            max_processes=self.max_processes,
            account_calls_per_30s=self.account_calls_per_30s,
            max_parallel_accounts=self.max_parallel_accounts,
            read_back_share=self.read_back_share,
            request_timeout=self.request_timeout,
        )

    @asynccontextmanager
    async def open(self, run_id: str) -> AsyncIterator["SpotifySession"]:
        """Database, client and credentials for one run, closed at the end."""
        from spotify_pipelines.session import open_session

        async with self.redis.open() as redis_client:
            with self.postgres.open() as database:
                async with open_session(self.settings(), database, redis_client, run_id=run_id) as session:
                    yield session


def build_resources(settings: Settings) -> dict[str, dg.ConfigurableResource]:  # type: ignore[type-arg]
    """The three resources as ``settings`` describe them; secrets stay names of variables."""
    postgres = PostgresResource(url=dg.EnvVar("SPOTIFY_PIPELINES_DATABASE_URL"), world=settings.world)
    redis = RedisResource(url=dg.EnvVar("SPOTIFY_PIPELINES_REDIS_URL"))
    return {
        "postgres": postgres,
        "redis": redis,
        "spotify": SpotifyResource(
            postgres=postgres,
            redis=redis,
            vault_keys=dg.EnvVar("SPOTIFY_PIPELINES_VAULT_KEYS"),
            api_url=settings.spotify_api_url or "",
            accounts_url=settings.spotify_accounts_url or "",
            reccobeats_url=settings.reccobeats_url or "",
            feature_sources=settings.feature_sources,
            feature_retry_days=settings.feature_retry_days,
            capability_days=settings.capability_days,
            album_stale_days=settings.album_stale_days,
            ingest_max_attempts=settings.ingest_max_attempts,
            app_calls_per_30s=settings.app_calls_per_30s,
            family_calls_per_30s=settings.family_calls_per_30s,
            developer_calls_per_30s=settings.developer_calls_per_30s,
            max_processes=settings.max_processes,
            account_calls_per_30s=settings.account_calls_per_30s,
            max_parallel_accounts=settings.max_parallel_accounts,
            read_back_share=settings.read_back_share,
            request_timeout=settings.request_timeout,
        ),
    }

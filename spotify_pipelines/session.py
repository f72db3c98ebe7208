"""Everything that work on Spotify needs, opened together: database, vault, credentials, client.

What belongs here: putting the parts together from settings, in one place for Dagster's resources and the
command line alike. What does not: any decision but the one which app reads the catalogue.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import redis.asyncio
from sqlalchemy import ColumnElement

from spotify_pipelines.accounts.apps import DatabaseApps
from spotify_pipelines.accounts.capabilities import in_force
from spotify_pipelines.accounts.connect import Desk
from spotify_pipelines.accounts.credentials import DatabaseCredentials
from spotify_pipelines.accounts.registry import AppStanding, app_standings
from spotify_pipelines.accounts.vault import Vault
from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.client import CatalogueApi, SpotifyClient
from spotify_pipelines.spotify.features import FeatureSource, build_sources
from spotify_pipelines.spotify.limiter import Limiter
from spotify_pipelines.spotify.oauth import TokenEndpoint
from spotify_pipelines.spotify.ports import ALBUMS_BATCH
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.queries import count_rows
from spotify_pipelines.store.tables import Base

__all__ = ["NO_APP", "SpotifySession", "open_session"]

NO_APP = (
    "No Spotify app is registered yet, so nothing was asked of Spotify. 'spotify-pipelines apps add' registers "
    "one; 'spotify-pipelines demo' fills the sandbox."
)


def utc_now() -> datetime:
    """The clock of everything that is opened here, unless another is given."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SpotifySession:
    """One run's hold on the database and on Spotify; ``calls`` counts all that it asks."""

    settings: Settings
    database: Database
    client: SpotifyClient
    credentials: DatabaseCredentials
    calls: CallLog
    desk: Desk

    def catalogue(self) -> CatalogueApi | None:
        """The catalogue through the app that needs fewest calls; None where no app is registered.

        An app in a cooldown is taken last, one that reads albums twenty at a time (or may) first.
        """
        app_id = self._reading_app()
        return None if app_id is None else self.client.as_app(app_id)

    def feature_sources(self) -> list[FeatureSource]:
        """Where audio features come from, in order; without Spotify's own where no app is registered.

        Raises:
            SettingsError: the setting names a source that does not exist.
        """
        names = self.settings.feature_sources
        return build_sources(names, client=self.client, app_id=self._reading_app())

    def count(self, model: type[Base], *conditions: ColumnElement[bool]) -> int:
        """Rows of a table for which all ``conditions`` hold."""
        return count_rows(self.database, model, *conditions)

    def _reading_app(self) -> int | None:
        now, days = self.desk.now(), self.settings.capability_days
        with self.database.transaction() as session:
            apps = app_standings(session, now, capability_days=days)
        usable = [app for app in apps if app.has_secret]
        return min(usable, key=lambda app: _expense(app, now)).id if usable else None


def _expense(app: AppStanding, now: datetime) -> tuple[bool, bool, int]:
    reads_in_batches = in_force(app.capabilities, now).get(ALBUMS_BATCH, True)
    return app.cooldown_until is not None, not reads_in_batches, app.id


@asynccontextmanager
async def open_session(
    settings: Settings,
    database: Database,
    redis_client: redis.asyncio.Redis,
    *,
    run_id: str | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> AsyncIterator[SpotifySession]:
    """Open client and credentials over a database and a Redis that stay the caller's.

    Raises:
        SettingsError: an address is missing.
        VaultError: a key has the wrong shape.
    """
    calls = CallLog()
    apps = DatabaseApps(database, clock=clock, capability_days=settings.capability_days)
    limiter = Limiter(redis_client, settings.key_prefix, max_processes=settings.max_processes, memory=apps)
    vault = Vault(key.get_secret_value() for key in settings.vault_keys)
    async with TokenEndpoint.open(
        settings, redis=redis_client, calls=calls, clock=clock, limiter=limiter
    ) as endpoint:
        credentials = DatabaseCredentials(database, vault, endpoint, run_id=run_id, clock=clock)
        try:
            async with SpotifyClient.open(
                settings,
                redis=redis_client,
                credentials=credentials,
                apps=apps,
                calls=calls,
                clock=clock,
                limiter=limiter,
            ) as client:
                desk = Desk(
                    settings=settings,
                    database=database,
                    vault=vault,
                    endpoint=endpoint,
                    redis=redis_client,
                    calls=calls,
                    now=clock,
                    limiter=limiter,
                )
                yield SpotifySession(settings, database, client, credentials, calls, desk)
        finally:
            await credentials.aclose()
            await limiter.aclose()

"""A whole catalogue chain for tests: database, simulated Spotify, open client, and the three use cases.

What belongs here: opening them together and reading back what came out. What does not: assertions.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text

from spotify_pipelines.catalogue.features import fetch_features
from spotify_pipelines.catalogue.ingest import ingest_albums
from spotify_pipelines.catalogue.tracks import read_tracks
from spotify_pipelines.report import Report
from spotify_pipelines.spotify.client import CatalogueApi
from spotify_pipelines.spotify.features import FeatureSource, build_sources
from spotify_pipelines.store import queue
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.queue import QueuedAlbum
from spotify_pipelines.store.tables import Album, Track
from spotify_pipelines_tests.spotify.harness import (
    APP,
    CLIENT_ID,
    Desk,
    minted,
    open_desk,
    sandbox_settings,
    utc_now,
)
from spotify_pipelines_tests.support.simulator import RunningSimulator

__all__ = ["Clock", "Shop", "open_shop"]


@dataclass
class Clock:
    """A clock that stands still at the real time of its making until it is put forward."""

    time: datetime = field(default_factory=utc_now)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **by: float) -> None:
        """Let time pass."""
        self.time += timedelta(**by)


@dataclass
class Shop:
    """Everything a test of the catalogue works with."""

    database: Database
    simulator: RunningSimulator
    desk: Desk
    clock: Clock = field(default_factory=Clock)
    runs: int = 0

    def __post_init__(self) -> None:
        insert = (
            "INSERT INTO spotify_apps (id, name, client_id) OVERRIDING SYSTEM VALUE "
            "VALUES (:id, 'shop', :client_id)"
        )
        with self.database.transaction() as session:
            session.execute(text(f"{insert} ON CONFLICT DO NOTHING"), {"id": APP, "client_id": CLIENT_ID})

    @property
    def catalogue(self) -> CatalogueApi:
        """The simulated Spotify through the app, as listeners in Germany see it."""
        return self.desk.client.as_app(APP, market="DE")

    def sources(self, *names: str) -> list[FeatureSource]:
        """Sources of features by name, in order."""
        return build_sources(names, client=self.desk.client, app_id=APP)

    def enqueue(self, album_ids: Sequence[str]) -> None:
        """Put albums into the queue."""
        with self.database.transaction() as session:
            queue.enqueue(session, [(album, album) for album in album_ids], now=self.clock())

    async def ingest(self, **options: Any) -> Report:
        """Run ``ingest_albums`` as a run of its own."""
        return await ingest_albums(
            self.database, self.catalogue, self.desk.calls, run_id=self._run(), now=self.clock, **options
        )

    async def tracks(self, **options: Any) -> Report:
        """Run ``read_tracks`` as a run of its own."""
        return await read_tracks(
            self.database, self.catalogue, self.desk.calls, run_id=self._run(), now=self.clock, **options
        )

    async def features(self, *names: str, **options: Any) -> Report:
        """Run ``fetch_features`` with the named sources, as a run of its own."""
        return await fetch_features(
            self.database,
            self.sources(*names),
            self.desk.calls,
            run_id=self._run(),
            now=self.clock,
            **options,
        )

    def retry(self, album_ids: Sequence[str]) -> None:
        """Queue failed albums anew, as an operator would."""
        with self.database.transaction() as session:
            queue.retry(session, album_ids, now=self.clock())

    def queued(self, album_id: str) -> QueuedAlbum:
        """An album's row in the queue."""
        with self.database.transaction() as session:
            return queue.listing(session, only=[album_id])[0]

    def statuses(self) -> dict[str, int]:
        """Albums in the queue by status."""
        with self.database.transaction() as session:
            return queue.status_counts(session)

    def stored_albums(self) -> dict[str, Album]:
        """All albums by id."""
        with self.database.transaction() as session:
            return {album.id: album for album in session.scalars(select(Album))}

    def stored_tracks(self) -> dict[str, Track]:
        """All tracks by id."""
        with self.database.transaction() as session:
            return {track.id: track for track in session.scalars(select(Track))}

    def requests(self, path: str) -> list[str]:
        """Requests that the simulator has seen since the last reset, oldest first, whose path begins so."""
        return [entry["path"] for entry in self.simulator.control.ledger() if entry["path"].startswith(path)]

    def _run(self) -> str:
        self.runs += 1
        return f"run {self.runs}"


@asynccontextmanager
async def open_shop(
    database: Database,
    simulator: RunningSimulator,
    redis_url: str,
    key_prefix: str,
    *,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> AsyncIterator[Shop]:
    """A chain on ``simulator``; ``sleep`` is how the client pauses between attempts (by default not at all)."""
    settings = sandbox_settings(
        redis_url, simulator.api_url, simulator.accounts_url, simulator.reccobeats_url
    )
    credentials = minted(simulator)
    async with open_desk(redis_url, key_prefix, settings, credentials=credentials, sleep=sleep) as desk:
        yield Shop(database, simulator, desk)

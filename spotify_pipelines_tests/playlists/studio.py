"""The whole way from a policy to a playlist for tests: database, catalogue, simulated Spotify, connected accounts.

What belongs here: opening them together, running the use cases as runs of their own, and a look at what really
happened (the simulator's ledger and playlists). What does not: assertions.
"""

import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from spotify_pipelines.accounts.apps import DatabaseApps
from spotify_pipelines.accounts.credentials import DatabaseCredentials
from spotify_pipelines.playlists.apply import apply_policies
from spotify_pipelines.playlists.plan import plan_playlists
from spotify_pipelines.playlists.policies import parse_policies
from spotify_pipelines.playlists.snapshot import build_snapshots
from spotify_pipelines.playlists.sync import sync_playlists
from spotify_pipelines.report import Report
from spotify_pipelines.simulator.catalogue import Catalogue
from spotify_pipelines.spotify.caller import Caller
from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.spotify.limiter import Limiter
from spotify_pipelines.spotify.routes import Routes
from spotify_pipelines.spotify.transport import HttpTransport
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.playlists import tracks_of
from spotify_pipelines.store.tables import (
    Account,
    Album,
    Artist,
    Playlist,
    PlaylistHistory,
    PlaylistSnapshot,
    Track,
    TrackArtist,
)
from spotify_pipelines_tests.accounts.office import CLIENT_ID, SECRET, Office, open_office
from spotify_pipelines_tests.support.simulator import RunningSimulator

__all__ = ["TWO_POLICIES", "Studio", "empty", "open_studio", "stock"]

TWO_POLICIES = """
policies:
  - name: morning
    size: 20
    name_template: "Morning · $date"
    description_template: "$tracks tracks with $top_artists"
    cooldown: {draws: 1}
    reshuffle: {every_days: 7, at: "04:00", timezone: UTC}
  - name: evening
    size: 15
    name_template: "Evening"
    description_template: "From dusk on"
    reshuffle: {every_days: 7, at: "04:00", timezone: Europe/Berlin}
"""
UNLIMITED = 100_000


@dataclass
class Clock:
    """Real time, and what was skipped."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Studio:
    """Everything a test of playlists works with; its clock keeps step with the simulator's."""

    office: Office
    client: SpotifyClient
    clock: "Clock"
    caller: Caller
    accounts: list[int] = field(default_factory=list)
    runs: int = 0

    @property
    def database(self) -> Database:
        return self.office.database

    @property
    def simulator(self) -> RunningSimulator:
        return self.office.simulator

    def now(self) -> datetime:
        return self.clock()

    def advance(self, **by: float) -> None:
        """Let time pass, for Spotify and for us."""
        self.office.advance(timedelta(**by))
        self.clock.ahead += timedelta(**by)
        # Redis goes by its own clock, which can't be moved: what it holds is as good as over.
        self.caller.limiter = Limiter(self.office.desk.redis, f"{secrets.token_hex(6)}:")

    # ── use cases ────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, policies: str = TWO_POLICIES, *, prune: bool = False) -> Report:
        with self.database.transaction() as session:
            return apply_policies(session, parse_policies(policies, "test.yaml"), self.now(), prune=prune)

    def plan(self, **options: Any) -> Report:
        return _adds_up(plan_playlists(self.database, run_id=self.run(), now=self.now, **options))

    def draw(self, **options: Any) -> Report:
        return _adds_up(build_snapshots(self.database, run_id=self.run(), now=self.now, **options))

    async def sync(self, **options: Any) -> Report:
        return _adds_up(
            await sync_playlists(
                self.database, self.client, self.client.calls, run_id=self.run(), now=self.now, **options
            )
        )

    async def publish(self, policies: str = TWO_POLICIES) -> Report:
        """From the policy file to Spotify."""
        self.apply(policies)
        self.plan()
        self.draw()
        return await self.sync()

    def run(self) -> str:
        self.runs += 1
        return f"run-{self.runs}"

    # ── what is there ────────────────────────────────────────────────────────────────────────────────────

    def playlists(self) -> list[Playlist]:
        with self.database.transaction() as session:
            return list(session.scalars(select(Playlist).order_by(Playlist.id)))

    def history(self, playlist_id: int | None = None) -> list[PlaylistHistory]:
        query = select(PlaylistHistory).order_by(PlaylistHistory.id)
        if playlist_id is not None:
            query = query.where(PlaylistHistory.playlist_id == playlist_id)
        with self.database.transaction() as session:
            return list(session.scalars(query))

    def snapshots(self, playlist_id: int | None = None) -> list[PlaylistSnapshot]:
        query = select(PlaylistSnapshot).order_by(PlaylistSnapshot.id)
        if playlist_id is not None:
            query = query.where(PlaylistSnapshot.playlist_id == playlist_id)
        with self.database.transaction() as session:
            return list(session.scalars(query))

    def tracks(self, playlist: Playlist) -> list[str]:
        """What the playlist should hold, as URIs."""
        newest = self.snapshots(playlist.id)[-1]
        with self.database.transaction() as session:
            return [f"spotify:track:{track}" for track in tracks_of(session, newest.id)]

    def account(self, account_id: int) -> Account:
        return self.office.account(account_id)

    def on_spotify(self) -> list[dict[str, Any]]:
        """Playlists in the libraries of their owners, as they really are."""
        return [each for each in self.simulator.control.playlists() if each["followers"]]

    def requests(self) -> list[str]:
        """Web API requests about playlists since the last reset, as method and endpoint."""
        return [
            f"{entry['method']} {entry['endpoint']}"
            for entry in self.simulator.control.ledger()
            if entry["path"].startswith("/v1/")
        ]

    def forget_requests(self) -> None:
        self.simulator.control.clear_ledger()

    def fingerprint(self) -> dict[str, tuple[int, int | None]]:
        """Rows and newest change of every table that a use case may write to."""
        with self.database.transaction() as session:
            return {name: _fingerprint(session, name) for name in _WRITTEN}

    def retire_others(self, account_id: int, number: int) -> None:
        """Let an account's library hold playlists that we once kept."""
        retired = {
            "account_id": account_id,
            "policy_name": "old",
            "status": "retired",
            "anchor": date(2020, 1, 1),
        }
        with self.database.transaction() as session:
            session.execute(
                insert(Playlist),
                [{**retired, "sequence": each, "spotify_id": f"old{each}"} for each in range(number)],
            )


def _adds_up(report: Report) -> Report:
    """Whatever a test is about: every item of a report ends in exactly one way."""
    ends = report.changed + report.unchanged + len(report.failed) + len(report.deferred)
    assert report.requested == ends, report.sentence()
    return report


_WRITTEN = (
    "playlists",
    "playlist_snapshots",
    "playlist_snapshot_tracks",
    "playlist_history",
    "sync_intents",
    "leases",
    "api_calls",
    "account_events",
    "policies",
)


def _fingerprint(session: Session, table: str) -> tuple[int, int | None]:
    rows, newest = session.execute(text(f"SELECT count(*), max(xmin::text::bigint) FROM {table}")).one()
    return rows, newest


def empty(session: Session) -> None:
    """Everything but the catalogue is gone; all tracks can be played."""
    session.execute(
        text(
            "TRUNCATE spotify_apps, policies, covers, leases, api_calls, playlists, playlist_snapshots,"
            " sync_intents"
            " RESTART IDENTITY CASCADE"
        )
    )
    session.execute(update(Track).where(Track.playable.is_distinct_from(True)).values(playable=True))


def stock(session: Session, catalogue: Catalogue) -> None:
    """Store a whole catalogue as if it had been ingested; every track with features."""
    albums = [album for id_ in catalogue.album_ids(0, len(catalogue)) if (album := catalogue.album(id_))]
    tracks = [track for album in albums for track in album.tracks]
    artists = {artist.id: artist.name for track in tracks for artist in track.artists}
    now = datetime.now(UTC)
    session.execute(insert(Artist), [{"id": id_, "name": name} for id_, name in artists.items()])
    session.execute(
        insert(Album),
        [
            {
                "id": album.id,
                "name": album.name,
                "release_date": date(int(album.release_date[:4]), 1, 1),
                "total_tracks": len(album.tracks),
                "read_at": now,
                "tracks_read_at": now,
            }
            for album in albums
        ],
    )
    session.execute(
        insert(Track),
        [
            {
                "id": track.id,
                "album_id": track.album_id,
                "name": track.name,
                "disc_number": track.disc_number,
                "track_number": track.track_number,
                "duration_ms": track.duration_ms,
                "explicit": track.explicit,
                "playable": True,
                "audio_features": {"energy": round(random.Random(track.id).random(), 3)},
            }
            for track in tracks
        ],
    )
    session.execute(
        insert(TrackArtist),
        [
            {"track_id": track.id, "artist_id": artist.id, "position": position}
            for track in tracks
            for position, artist in enumerate(dict.fromkeys(track.artists))
        ],
    )


async def _at_once(seconds: float) -> None:
    """Pauses between attempts are not taken."""


@asynccontextmanager
async def open_studio(
    simulator: RunningSimulator,
    database_url: str,
    redis_url: str,
    key_prefix: str,
    accounts: Sequence[str] = ("studio-1", "studio-2", "studio-3"),
    *,
    sleep: Callable[[float], Awaitable[None]] = _at_once,
) -> AsyncIterator[Studio]:
    """A studio whose accounts are connected through one app without limits; ``sleep`` takes the pauses of retries."""
    async with open_office(simulator, database_url, redis_url, key_prefix) as office:
        simulator.control.add_client(
            CLIENT_ID, SECRET, limit=UNLIMITED, redirect_uris=["http://127.0.0.1:8910/callback"]
        )
        desk = office.desk
        with office.database.transaction() as session:
            session.execute(text("UPDATE spotify_apps SET calls_per_30s = :limit"), {"limit": UNLIMITED})
        clock = Clock()
        credentials = DatabaseCredentials(office.database, desk.vault, desk.endpoint, clock=clock)
        apps = DatabaseApps(office.database, clock=clock)
        try:
            async with HttpTransport.open(time_limit=5.0, use_proxies=False) as http:
                caller = Caller(
                    http,
                    Limiter(desk.redis, key_prefix),
                    desk.calls,
                    clock=clock,
                    sleep=sleep,
                    rng=random.Random(1),
                )
                settings = desk.settings.model_copy(update={"account_calls_per_30s": UNLIMITED})
                client = SpotifyClient(caller, Routes(settings, credentials, apps, clock), apps)
                yield Studio(office, client, clock, caller, office.connect(*accounts))
        finally:
            await credentials.aclose()

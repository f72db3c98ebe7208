"""Calls ÷ the fewest that could do it, in both regimes of the Web API; beside it spotipy, used as its examples do.

A hundred new albums of twelve tracks with their audio features, the same again; six playlists on three accounts:
created, unchanged, reshuffled. Both sides are counted on the simulator's ledger, the token endpoint apart; the
minimum is worked out here, from what there is to do. What an app may is known when the counting begins: finding it
out costs a development app two refusals, once.

spotipy's side is the script that everybody writes: each album, then its features; a playlist is made and filled. Run
again, it looks its playlists up by name and fills them anew: it keeps no state that tells that nothing has changed.
"""

import asyncio
import csv
import logging
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import spotipy
from pydantic import SecretStr

from bench.figures import Figure
from spotify_pipelines import services
from spotify_pipelines.accounts.registry import add_app, save_account
from spotify_pipelines.accounts.vault import Vault, new_key
from spotify_pipelines.catalogue.features import fetch_features
from spotify_pipelines.catalogue.ingest import ingest_albums
from spotify_pipelines.catalogue.tracks import read_tracks
from spotify_pipelines.observability.logs import configure_logging
from spotify_pipelines.playlists.apply import apply_policies
from spotify_pipelines.playlists.plan import plan_playlists
from spotify_pipelines.playlists.policies import parse_policies
from spotify_pipelines.playlists.snapshot import build_snapshots
from spotify_pipelines.playlists.sync import sync_playlists
from spotify_pipelines.report import Report
from spotify_pipelines.session import SpotifySession, open_session
from spotify_pipelines.settings import Settings
from spotify_pipelines.simulator.control_client import SimulatorControl
from spotify_pipelines.spotify.limiter import connect_redis
from spotify_pipelines.spotify.models import Profile
from spotify_pipelines.spotify.oauth import TokenGrant
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.migrate import upgrade
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

_ALBUMS, _TRACKS, _PLAYLISTS = 100, 12, 6
_USERS = ("ana", "ben", "cleo")
_REGIMES = ("extended", "development")
_UNLIMITED = 100_000
"""Calls in 30 seconds: calls are counted here, not waited for."""
_OURS, _THEIRS, _SECRET = "ours", "spotipy", "secret"
_POLICIES = """
policies:
  - {name: morning, size: 50, name_template: Morning, description_template: Until noon}
  - {name: evening, size: 100, name_template: Evening, description_template: From dusk on}
"""
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing to do, the fewest calls for it, and the calls of both sides by endpoint.

    Attributes:
        without_features: the fewest calls for one who gets no audio features; None where both get the same.
    """

    name: str
    minimum: int
    ours: Counter[str]
    theirs: Counter[str]
    without_features: int | None = None

    def figures(self) -> Iterator[Figure]:
        """Ours with a goal, theirs without."""
        yield _figure(self.name, self.ours, self.minimum, goal=True)
        if self.without_features is None:
            yield _figure(f"{self.name}, spotipy", self.theirs, self.minimum)
        else:
            name = f"{self.name}, spotipy without the features"
            yield _figure(name, self.theirs, self.without_features)


def _figure(name: str, calls: Counter[str], minimum: int, *, goal: bool = False) -> Figure:
    """A ratio, or the calls themselves where none was needed."""
    told = " + ".join(f"{number} {endpoint}" for endpoint, number in sorted(calls.items())) or "none"
    target = (1.0 if minimum else 0.0) if goal else None
    return Figure(
        f"{name}: calls ÷ minimum" if minimum else name,
        calls.total() / minimum if minimum else calls.total(),
        unit="" if minimum else "calls",
        at_most=target,
        at_least=target,
        detail=f"{calls.total()} ÷ {minimum}: {told}" if minimum else f"the minimum is 0: {told}",
    )


def figures() -> Iterator[Figure]:
    """Do the work in one regime after the other, each on services of its own."""
    configure_logging(level="ERROR")
    logging.getLogger("spotipy").setLevel(logging.CRITICAL)  # it prints whole URLs of what is refused
    for regime in _REGIMES:
        for part in _measure(regime):
            yield from part.figures()


def _measure(regime: str) -> list[_Part]:
    with TemporaryDirectory(prefix="bench-") as folder, _services(Path(folder)) as settings:
        catalogue = _write_catalogue(Path(folder) / "albums.csv")
        with running_simulator(Path(folder) / "simulator", catalogue_csv=catalogue) as simulator:
            control = simulator.control
            for client in (_OURS, _THEIRS):
                control.add_client(client, _SECRET, regime=regime, limit=_UNLIMITED)
            for user in _USERS:
                control.add_user(user)
            control.set_reccobeats_limit(_UNLIMITED)
            ours = asyncio.run(_with_us(settings, simulator))
            theirs = _with_spotipy(simulator, regime)
    in_batches = regime == "extended"
    albums = ceil(_ALBUMS / 20) if in_batches else _ALBUMS
    features = ceil(_ALBUMS * _TRACKS / (100 if in_batches else 40))
    parts = (
        (f"{_ALBUMS} new albums", albums + features, None if in_batches else albums),
        (f"the same {_ALBUMS} albums again", 0, None),
        ("six playlists created", 2 * _PLAYLISTS, None),
        ("six playlists unchanged", 0, None),
        ("six playlists reshuffled", len(_USERS) + _PLAYLISTS, None),
    )
    return [
        _Part(f"{regime}: {name}", least, our_calls, their_calls, without)
        for (name, least, without), our_calls, their_calls in zip(parts, ours, theirs, strict=True)
    ]


# ── ours ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _with_us(settings: Settings, simulator: RunningSimulator) -> list[Counter[str]]:
    """The use cases in the order of the job ``nightly``; calls of each part."""
    settings = settings.model_copy(
        update={
            "spotify_api_url": simulator.api_url,
            "spotify_accounts_url": simulator.accounts_url,
            "reccobeats_url": simulator.reccobeats_url,
            "account_calls_per_30s": _UNLIMITED,
        }
    )
    database = Database(create_database_engine(settings.require_database_url()))
    redis = connect_redis(settings.require_redis_url())
    try:
        _connect(database, settings, simulator.control)
        async with open_session(settings, database, redis, run_id="bench") as session:
            return await _parts(session, simulator.control)
    finally:
        await redis.aclose()
        database.close()


async def _parts(session: SpotifySession, control: SimulatorControl) -> list[Counter[str]]:
    known, *wanted = control.album_ids(_ALBUMS + 1)
    await _read(session, [known])
    counts = []
    for expected in (_ALBUMS, 0):
        mark = control.ledger_position()
        await _read(session, wanted, expected=expected)
        counts.append(_calls(control, mark))
    with session.database.transaction() as opened:
        apply_policies(opened, parse_policies(_POLICIES, "bench"), _now())
    _done(plan_playlists(session.database, run_id="bench", now=_now), _PLAYLISTS)
    for reshuffled, expected in ((False, _PLAYLISTS), (False, 0), (True, _PLAYLISTS)):
        mark = control.ledger_position()
        await _publish(session, reshuffled=reshuffled, expected=expected)
        counts.append(_calls(control, mark))
    return counts


async def _read(session: SpotifySession, album_ids: Sequence[str], *, expected: int = 1) -> None:
    """Albums, tracks and features, through the asset's own use cases."""
    catalogue = session.catalogue()
    assert catalogue is not None
    urls = [f"https://open.spotify.com/album/{album_id}" for album_id in album_ids]
    database, calls = session.database, session.calls
    _done(await ingest_albums(database, catalogue, calls, run_id="bench", now=_now, urls=urls), expected)
    _done(await read_tracks(database, catalogue, calls, run_id="bench", now=_now), expected)
    found = await fetch_features(database, session.feature_sources(), calls, run_id="bench", now=_now)
    if found.failed or found.deferred or found.requested != expected * _TRACKS:
        raise RuntimeError(f"The features were not all asked for: {found.sentence()}")


async def _publish(session: SpotifySession, *, reshuffled: bool, expected: int) -> None:
    drawn = build_snapshots(session.database, run_id="bench", now=_now, force=reshuffled)
    _done(drawn, expected)
    written = await sync_playlists(session.database, session.client, session.calls, run_id="bench", now=_now)
    _done(written, expected)


def _done(report: Report, expected: int) -> None:
    """Nothing counts that was not done."""
    if report.changed != expected or report.failed or report.deferred:
        raise RuntimeError(f"{expected} changes were expected: {report.sentence()} {report.failed[:1]}")


def _connect(database: Database, settings: Settings, control: SimulatorControl) -> None:
    """Register the app and the accounts, with tokens that the simulator really gave."""
    vault = Vault(key.get_secret_value() for key in settings.vault_keys)
    with database.transaction() as session:
        app = add_app(
            session,
            vault,
            name=_OURS,
            client_id=_OURS,
            client_secret=SecretStr(_SECRET),
            calls_per_30s=_UNLIMITED,
        )
        for user in _USERS:
            minted = control.mint_tokens(_OURS, user)
            grant = TokenGrant(
                SecretStr(minted["access_token"]),
                3600,
                SecretStr(minted["refresh_token"]),
                tuple(minted["scope"].split()),
            )
            save_account(
                session, vault, app_id=app.id, name=None, profile=Profile(id=user), grant=grant, now=_now()
            )


def _now() -> datetime:
    return datetime.now(UTC)


# ── spotipy's ────────────────────────────────────────────────────────────────────────────────────────────────


def _with_spotipy(simulator: RunningSimulator, regime: str) -> list[Counter[str]]:
    """The same parts by a script; calls of each."""
    control = simulator.control
    users = [_spotipy(simulator, user) for user in _USERS]
    wanted = control.album_ids(_ALBUMS + 1)[1:]
    tracks = [f"spotify:track:{track}" for track in _read_with_spotipy(users[0], wanted[:9])]
    parts: list[Callable[[], object]] = [
        *[lambda: _read_with_spotipy(users[0], wanted)] * 2,
        lambda: _create_with_spotipy(users, tracks, regime),
        lambda: _fill_with_spotipy(users, tracks),
        lambda: _fill_with_spotipy(users, random.Random(1).sample(tracks, len(tracks))),
    ]
    counts = []
    for part in parts:
        mark = control.ledger_position()
        part()
        counts.append(_calls(control, mark))
    return counts


def _spotipy(simulator: RunningSimulator, user: str) -> spotipy.Spotify:
    client = spotipy.Spotify(auth=simulator.control.mint_tokens(_THEIRS, user)["access_token"])
    client.prefix = f"{simulator.api_url}/"
    return client


def _read_with_spotipy(client: spotipy.Spotify, album_ids: Sequence[str]) -> list[str]:
    """Every album and, as long as Spotify gives them, the features of its tracks; the tracks."""
    found, has_features = [], True
    for album_id in album_ids:
        tracks = [track["id"] for track in client.album(album_id)["tracks"]["items"]]
        found += tracks
        if has_features:
            try:
                with warnings.catch_warnings(action="ignore"):
                    client.audio_features(tracks)
            except spotipy.SpotifyException:
                has_features = False
    return found


def _create_with_spotipy(users: Sequence[spotipy.Spotify], tracks: Sequence[str], regime: str) -> None:
    for client in users:
        me = client.current_user()["id"]
        for name in ("Morning", "Evening"):
            with warnings.catch_warnings(action="ignore"):
                made = (
                    client.user_playlist_create(me, name, description="From spotipy")
                    if regime == "extended"
                    else client.current_user_playlist_create(name, description="From spotipy")
                )
            client.playlist_add_items(made["id"], list(tracks[:100]))


def _fill_with_spotipy(users: Sequence[spotipy.Spotify], tracks: Sequence[str]) -> None:
    for client in users:
        mine = {playlist["name"]: playlist["id"] for playlist in client.current_user_playlists()["items"]}
        for name in ("Morning", "Evening"):
            client.playlist_replace_items(mine[name], list(tracks[:100]))


# ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _calls(control: SimulatorControl, after: int) -> Counter[str]:
    """What the ledger has since the mark, by endpoint; the token endpoint apart."""
    return Counter(
        f"{entry['method']} {entry['endpoint']}"
        for entry in control.ledger(after=after)
        if entry["path"].startswith(("/v1/", "/reccobeats/"))
    )


@contextmanager
def _services(folder: Path) -> Iterator[Settings]:
    """Settings of a migrated database and a Redis in ``folder``, removed afterwards."""
    settings = Settings(_env_file=None, state_dir=folder, vault_keys=[SecretStr(new_key())])
    try:
        endpoints = services.start(settings, skipped={"simulator": "runs in this process"}, throwaway=True)
        assert endpoints.postgres is not None
        assert endpoints.redis_url is not None
        url = endpoints.postgres.url("spotify_pipelines_sandbox")
        upgrade(url)
        yield settings.model_copy(
            update={"database_url": SecretStr(url), "redis_url": SecretStr(endpoints.redis_url)}
        )
    finally:
        services.purge(settings, folder)  # not just down: root's data may lie elsewhere


def _write_catalogue(path: Path) -> Path:
    """Albums of twelve tracks each, one more than are counted; Spotify has the features of all."""
    generator = random.Random(1)

    def new_id() -> str:
        # Ids are 128 bits: not every 22 signs are one, but all that begin so.
        return "1" + "".join(generator.choices(_BASE62, k=21))

    features = (
        "danceability",
        "energy",
        "speechiness",
        "acousticness",
        "instrumentalness",
        "liveness",
        "valence",
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        rows: csv.DictWriter[str] | None = None
        for number in range(_ALBUMS + 1):
            album = {
                "source": "bench",
                "album_id": new_id(),
                "album_name": f"Album {number}",
                "artist_id": new_id(),
                "artist_name": f"Artist {number}",
                "release_date": "2024-03-01",
            }
            for track in range(1, _TRACKS + 1):
                row = {
                    **album,
                    "track_id": new_id(),
                    "track_name": f"Track {track}",
                    "disc_number": "1",
                    "track_number": str(track),
                    "duration_ms": "200000",
                    "explicit": "False",
                    **{name: f"{generator.random():.3f}" for name in features},
                    **{"key": "7", "loudness": "-5.4", "mode": "1", "tempo": "117.9", "time_signature": "4"},
                    "feature_source": "spotify",
                }
                if rows is None:
                    rows = csv.DictWriter(file, list(row))
                    rows.writeheader()
                rows.writerow(row)
    return path

"""``demo``: the whole nightly chain on this machine, in the sandbox, on real servers; the data stay for playing.

What belongs here: the order of the steps, a progress display for a terminal, the summary. What does not: any of
the steps; each is what an operator would call by hand, and the run is an ordinary run of the job ``nightly``.
"""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.settings import Settings, World, find_root, load_settings

if TYPE_CHECKING:
    from spotify_pipelines.simulator.control_client import SimulatorControl
    from spotify_pipelines.store.database import Database
    from spotify_pipelines.store.overview import PlaylistOverview
    from spotify_pipelines.store.queries import CatalogueCounts

__all__ = ["demo", "register"]

_ALBUMS = 60
_ACCOUNTS = 3
_SEED = 2026
_JOB = "nightly"
_WRITES = ("POST", "PUT", "DELETE")

Step = Callable[[str], None]


class DemoError(ExplainedError):
    """The demo could not be finished; the text says at which step and where to look."""


def register(app: typer.Typer) -> None:
    """Add this module's command to the root app."""
    app.command()(demo)


def demo(
    catalogue: Annotated[
        Path | None,
        typer.Option(help="CSV of real albums; without one the simulator makes albums up.", metavar="CSV"),
    ] = None,
) -> None:
    """Fill the sandbox: three accounts, sixty albums, six playlists, all the way through Dagster.

    Starts what this machine lacks (as `up` does). Run it again to see that nothing is due.

    Example: spotify-pipelines demo --catalogue albums.csv
    """
    from spotify_pipelines.simulator.control_client import SimulatorControl
    from spotify_pipelines.store.database import Database

    started = time.monotonic()
    root = find_root()
    with _steps() as step:
        step("Starting PostgreSQL, Redis and the Spotify simulator")
        settings = _start(root, catalogue)
        database = Database.open(settings)
        try:
            with SimulatorControl(settings.require_spotify_accounts_url()) as spotify:
                step(f"Connecting {_ACCOUNTS} accounts")
                asyncio.run(_connect(settings, database))
                step(f"Queueing {_ALBUMS} albums, applying the example policies")
                _prepare(root, database, spotify)
                before = spotify.ledger_position()
                run_id = str(uuid.uuid4())
                _run(root, database, run_id, step)
                ledger = spotify.ledger(after=before)
            figures = _figures(database, run_id)
        finally:
            database.close()
    _show(figures, ledger, run_id, time.monotonic() - started)


def _start(root: Path, catalogue: Path | None) -> Settings:
    from spotify_pipelines import services
    from spotify_pipelines.store.migrate import upgrade

    wanted = services.settings_for(root, World.SANDBOX)
    made_up = {} if catalogue else {"albums": _ALBUMS, "seed": _SEED}
    services.up(wanted, root=root, catalogue=catalogue, **made_up)
    settings = load_settings(root)
    upgrade(settings.require_database_url(), settings.world)
    return settings


async def _connect(settings: Settings, database: "Database") -> None:
    from spotify_pipelines.accounts.sandbox import connect_sandbox
    from spotify_pipelines.session import open_session
    from spotify_pipelines.spotify.limiter import connect_redis

    redis = connect_redis(settings.require_redis_url())
    try:
        async with open_session(settings, database, redis) as session:
            await connect_sandbox(session.desk, count=_ACCOUNTS)
    finally:
        await redis.aclose()


def _prepare(root: Path, database: "Database", spotify: "SimulatorControl") -> None:
    from spotify_pipelines.playlists.apply import apply_policies
    from spotify_pipelines.playlists.policies import parse_policies
    from spotify_pipelines.store.queue import enqueue

    examples = root / "examples" / "policies.yaml"
    policies = parse_policies(examples.read_text(encoding="utf-8"), str(examples))
    albums = spotify.album_ids(limit=_ALBUMS)
    with database.transaction() as session:
        enqueue(
            session,
            [(f"https://open.spotify.com/album/{album}", album) for album in albums],
            now=datetime.now(UTC),
        )
        apply_policies(session, policies, datetime.now(UTC))


def _run(root: Path, database: "Database", run_id: str, step: Step) -> None:
    """Run the job in a process of its own, as its operators would, and show how far the tables are."""
    from dotenv import dotenv_values

    log = load_settings(root).state_dir / "demo.log"
    env = os.environ | {
        name: value for name, value in dotenv_values(root / ".env").items() if value is not None
    }
    with log.open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "spotify_pipelines.defs.launch", _JOB, "--run-id", run_id],
            cwd=root,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while True:
                step(f"Running the job '{_JOB}' in Dagster: {_standing(database)}")
                try:
                    code = run.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            run.terminate()
            run.wait()
            raise
    if code != 0:
        raise DemoError(
            f"The run {run_id} of the job '{_JOB}' failed. Its log is {log}; the UI ('make dev') shows the run "
            "step by step. What was committed stays: run the demo again to go on."
        )


def _standing(database: "Database") -> str:
    from spotify_pipelines.store.queries import catalogue_counts, count_rows
    from spotify_pipelines.store.tables import Playlist

    with database.transaction() as session:
        counts = catalogue_counts(session)
    on_spotify = count_rows(database, Playlist, Playlist.spotify_id.is_not(None))
    return (
        f"{counts.albums} albums, {counts.tracks} tracks, {sum(counts.features.values())} with features, "
        f"{on_spotify} playlists"
    )


@contextmanager
def _steps() -> Iterator[Step]:
    """A line on stderr that says what is being done; nothing where standard output is no terminal."""
    if not sys.stdout.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


@dataclass(frozen=True, slots=True)
class _Figures:
    counts: "CatalogueCounts"
    playlists: Sequence["PlaylistOverview"]
    minimum: int


def _figures(database: "Database", run_id: str) -> _Figures:
    from spotify_pipelines.store.calls import summarize
    from spotify_pipelines.store.overview import playlist_overviews
    from spotify_pipelines.store.queries import catalogue_counts

    with database.transaction() as session:
        recorded = summarize(session, since=datetime.fromtimestamp(0, UTC), run_id=run_id)
        minimum = sum(row.minimum for row in recorded if ": " not in row.endpoint)
        return _Figures(catalogue_counts(session), playlist_overviews(session), minimum)


def _show(figures: _Figures, ledger: list[dict[str, Any]], run_id: str, seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    counts = figures.counts
    calls = [entry for entry in ledger if entry["path"].startswith("/v1/")]
    writes = [entry for entry in calls if entry["method"] in _WRITES]
    # A file has no width: lines stay whole there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(f"[bold]{counts.albums} albums, {counts.tracks} tracks, {counts.artists} artists[/bold]")
    console.print(f"Audio features: {_list(counts.features)}; missing: {_reasons(counts.missing)}\n")
    table = Table("playlist", "account", "tracks", "artists", "largest artist", "smallest gap", box=None)
    for playlist in figures.playlists:
        drawn = playlist.figures or {}
        gap = drawn.get("smallest_gap")
        table.add_row(
            playlist.name or f"{playlist.policy} (not on Spotify yet)",
            playlist.account,
            str(drawn.get("tracks", 0)),
            str(drawn.get("artists", 0)),
            f"{drawn.get('largest_share', 0):.0%}",
            "no artist twice" if gap is None else str(gap),
        )
    console.print(table)
    console.print(
        f"\nSpotify calls: {len(calls)} (minimum {figures.minimum}), {len(writes)} of them writes. "
        f"Time: {seconds:.0f} s. Run: {run_id}"
    )
    if not writes:
        console.print("[bold]Nothing was due: nothing was written to Spotify.[/bold]")
    console.print("The UI: [bold]make dev[/bold], then http://127.0.0.1:3000")


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} ({reason})" for reason, count in counts.items()) or "none"

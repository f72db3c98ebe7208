"""``up``, ``down``, ``status`` and ``simulator``: the embedded services from the command line.

What belongs here: arguments and what is printed. What does not: which services start, and how
(``spotify_pipelines.services``); the simulator itself.
"""

import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_pipelines.settings import World, find_root, load_settings

if TYPE_CHECKING:
    from spotify_pipelines.services import ServiceStatus

__all__ = ["down", "register", "simulator", "status", "up"]

_Catalogue = Annotated[
    Path | None, typer.Option(help="CSV with albums and tracks for the simulator.", metavar="CSV")
]
_Albums = Annotated[int | None, typer.Option(help="Make up a catalogue of so many albums instead.", min=1)]
_Seed = Annotated[int | None, typer.Option(help="Seed of a made-up catalogue.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    for command in (up, down, status, simulator):
        app.command()(command)


def up(
    world: Annotated[World | None, typer.Option(help="sandbox: the simulator; live: Spotify itself.")] = None,
    catalogue: _Catalogue = None,
    albums: _Albums = None,
    seed: _Seed = None,
) -> None:
    """Start what this machine lacks: PostgreSQL, Redis, the Spotify simulator; bring the database up to date.

    Where they are goes into a marked block of .env, so that dagster and dg find them too. A server that you
    configured yourself is used as it is. Safe to repeat: what runs goes on running, and ports stay the same.

    Example: spotify-pipelines up --world sandbox --albums 200
    """
    from spotify_pipelines import services
    from spotify_pipelines.store.migrate import upgrade

    root = find_root()
    settings = services.settings_for(root, world)
    endpoints = services.up(settings, root=root, catalogue=catalogue, albums=albums, seed=seed)
    upgrade(load_settings(root).require_database_url(), settings.world)

    for note in endpoints.notes:
        typer.echo(note)
    if endpoints.postgres:
        _line("PostgreSQL", f"{endpoints.postgres.host}:{endpoints.postgres.port}")
    if endpoints.redis_url:
        _line("Redis", endpoints.redis_url.rpartition("@")[2].partition("/")[0])
    if endpoints.simulator_url:
        _line("Simulator", endpoints.simulator_url)
    for name, reason in endpoints.skipped.items():
        _line(_TITLES[name], f"not needed: {reason}")
    typer.echo(
        f"World '{settings.world}' is ready; {root / '.env'} says where everything is. UI: dagster dev"
    )


def down(
    remove_data: Annotated[
        bool, typer.Option("--remove-data", help="Also delete all they keep, and their block in .env.")
    ] = False,
) -> None:
    """Stop the embedded services. Their data stay, and so do their ports.

    Example: spotify-pipelines down
    """
    from spotify_pipelines import services

    root = find_root()
    settings = services.settings_for(root)
    stopped = services.purge(settings, root) if remove_data else services.down(settings)
    typer.echo(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")
    if remove_data:
        typer.echo(f"Deleted the services' data in {settings.state_dir} and their block in {root / '.env'}.")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Show which embedded services run, where, and since when. Exit code 1 if one doesn't.

    Example: spotify-pipelines status --json
    """
    from spotify_pipelines import services

    found = services.status(services.settings_for(find_root()))
    if as_json:
        document = {"version": 1, "services": [asdict(each) for each in found]}
        typer.echo(json.dumps(document, default=_plain, indent=2))
    else:
        for each in found:
            _line(_TITLES[each.name], _describe(each))
    if not all(each.running or each.note for each in found):
        raise typer.Exit(1)


def simulator(
    port: Annotated[int, typer.Option(help="Where to listen on 127.0.0.1.", min=1, max=65535)] = 8765,
    state: Annotated[
        Path | None, typer.Option(help="Folder of its state; by default one per port.", metavar="DIR")
    ] = None,
    catalogue: _Catalogue = None,
    albums: _Albums = None,
    seed: _Seed = None,
) -> None:
    """Run a Spotify on this machine in the foreground, apart from the supervised one that 'up' starts.

    Example: spotify-pipelines simulator --port 8765 --albums 200 --seed 7
    """
    from spotify_pipelines import services

    folder = state or services.settings_for(find_root()).state_dir / f"simulator-on-{port}"
    options = {
        "--port": port,
        "--state": folder,
        "--catalogue": catalogue,
        "--albums": albums,
        "--seed": seed,
    }
    given = [part for name, value in options.items() if value is not None for part in (name, str(value))]
    # In this process' place, so that signals reach it and its exit code is ours.
    os.execv(sys.executable, [sys.executable, "-m", "spotify_pipelines.simulator", *given])  # noqa: S606


_TITLES = {"postgres": "PostgreSQL", "redis": "Redis", "simulator": "Simulator"}


def _line(name: str, text: str) -> None:
    typer.echo(f"{name:<11} {text}")


def _describe(service: "ServiceStatus") -> str:
    if not service.running or service.since is None:
        return f"not needed: {service.note}" if service.note else "stopped"
    place = f"127.0.0.1:{service.port}, pid {service.pid}, version {service.version}"
    return f"running for {_age(service.since)} on {place}; {service.data_dir}"


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _age(since: datetime) -> str:
    minutes, seconds = divmod(int((datetime.now(UTC) - since).total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if number]
    return " ".join(parts[:2]) or f"{seconds} s"

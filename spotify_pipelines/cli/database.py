"""``db backup | restore | upgrade``: the database as a whole.

What belongs here: arguments and what is printed. What does not: what is done (``store.backup``, ``store.migrate``),
where PostgreSQL's programs are (``services``).
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from spotify_pipelines.cli.opening import open_database
from spotify_pipelines.cli.output import print_json
from spotify_pipelines.settings import load_settings

__all__ = ["register"]

_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    database = typer.Typer(help="The database as a whole.", no_args_is_help=True)
    for command in (backup, restore, upgrade):
        database.command()(command)
    app.add_typer(database, name="db")


def backup(
    file: Annotated[
        Path | None,
        typer.Argument(help="A new file; by default one named after world and time.", show_default=False),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Write the world's database to a file (pg_dump's custom format). Everything else may go on meanwhile.

    Tokens are in it as they are stored, encrypted; the keys are not. Keep the two apart. Dagster's own database, with
    the history of its runs, is not in it.

    Example: spotify-pipelines db backup /backups/live-2026-11-23.dump
    """
    from spotify_pipelines.services.binaries import find_postgres_client
    from spotify_pipelines.store.backup import back_up, server_major

    settings = load_settings()
    open_database(settings).close()  # is it there, and of this world?
    url = settings.require_database_url()
    place = file or Path(f"spotify_pipelines_{settings.world}_{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump")
    size = back_up(url, place, find_postgres_client("pg_dump", server_major(url)))
    if as_json:
        print_json({"file": str(place.resolve()), "bytes": size, "world": settings.world})
    else:
        typer.echo(f"The world '{settings.world}' is in {place} ({size / 1024:,.0f} KB).")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that 'db backup' has made.", show_default=False)],
    as_json: _Json = False,
) -> None:
    """Restore a backup into an empty database, and bring its tables up to date. Nothing is ever overwritten.

    The database is the one of SPOTIFY_PIPELINES_DATABASE_URL; its tables may be there, with nothing in them.

    Example: spotify-pipelines db restore /backups/live-2026-11-23.dump
    """
    from spotify_pipelines.services.binaries import find_postgres_client
    from spotify_pipelines.store import backup as store

    settings = load_settings()
    url = settings.require_database_url()
    program = find_postgres_client("pg_restore", store.server_major(url))
    found = store.restore(url, file, program, settings.world)
    if as_json:
        print_json({"file": str(file.resolve()), "world": found.world, "revision": found.revision})
    else:
        typer.echo(
            f"Restored the world '{found.world}' from {file}. 'spotify-pipelines keys check' tells whether its "
            "tokens can be read."
        )


def upgrade(as_json: _Json = False) -> None:
    """Bring the database's tables up to date; safe to repeat. 'spotify-pipelines up' does it, too.

    Example: spotify-pipelines db upgrade
    """
    from spotify_pipelines.store.migrate import upgrade as migrate

    settings = load_settings()
    before, now = migrate(settings.require_database_url(), settings.world)
    open_database(settings).close()
    if as_json:
        print_json({"before": before, "now": now})
    elif before == now:
        typer.echo(f"The tables are up to date (revision {now}).")
    else:
        typer.echo(f"The tables are at revision {now} now; before: {before or 'none'}.")

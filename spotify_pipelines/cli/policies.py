"""``policies check | apply | list | schema``: policy files and what is in force, from the command line.

What belongs here: reading the file, and what is printed. What does not: what a policy may say
(``playlists.policies``), versions (``playlists.apply``).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from spotify_pipelines.cli.output import Exit, plain, print_json, print_table
from spotify_pipelines.settings import load_settings

if TYPE_CHECKING:
    from spotify_pipelines.playlists.policies import PolicyFile
    from spotify_pipelines.store.database import Database

__all__ = ["register"]

_LARGEST_FILE = 1_000_000
_File = Annotated[Path, typer.Argument(metavar="FILE", help="YAML file with the key 'policies'.")]
_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    policies = typer.Typer(help="What playlists should be, from a reviewed YAML file.", no_args_is_help=True)
    for command in (check, apply, schema):
        policies.command()(command)
    policies.command("list")(list_)
    app.add_typer(policies, name="policies")


def check(file: _File) -> None:
    """Check a policy file and say what it asks for; nothing is stored, and no database is needed.

    Exit code 2: the file can't be taken; each problem is named with its line and the path of its key.

    Example: spotify-pipelines policies check examples/policies.yaml
    """
    from spotify_pipelines.playlists.policies import policy_digest

    found = _read(file)
    for policy in found.policies:
        typer.echo(f"{policy.name}: {policy.size} tracks every {policy.reshuffle.every_days} days")
        typer.echo(f"  digest {policy_digest(policy)[:12]}", err=True)


def apply(
    file: _File,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="End policies that are not in the file; the next plan retires theirs."),
    ] = False,
    as_json: _Json = False,
) -> None:
    """Put a policy file in force. What changed gets a new version and new draws; the rest stays as it is.

    Example: spotify-pipelines policies apply examples/policies.yaml
    """
    from spotify_pipelines.playlists.apply import apply_policies

    found = _read(file)
    with _open_database() as database, database.transaction() as session:
        report = apply_policies(session, found, datetime.now(UTC), prune=prune)
    if as_json:
        print_json({"policies": report.rows, "notes": report.notes})
        return
    for row in report.rows:
        typer.echo(f"{row['policy']}: {row['what']}")
    for note in report.notes:
        typer.echo(note, err=True)


def schema() -> None:
    """Print the JSON Schema of a policy file, for editors that check and complete YAML.

    Example: spotify-pipelines policies schema > policies.schema.json
    """
    from spotify_pipelines.playlists.policies import policies_json_schema

    typer.echo(json.dumps(policies_json_schema(), indent=2))


def list_(as_json: _Json = False) -> None:
    """Show the newest version of every policy, and how many playlists it has.

    Example: spotify-pipelines policies list
    """
    from spotify_pipelines.store import policies as store

    with _open_database() as database, database.transaction() as session:
        rows = store.newest_versions(session)
        playlists = store.playlist_counts(session)
    if as_json:
        print_json(
            {
                "policies": [
                    {
                        "name": row.name,
                        "version": row.version,
                        "in_force": row.active,
                        "since": row.created_at,
                        "playlists": playlists.get(row.name, 0),
                        "definition": row.definition,
                    }
                    for row in rows
                ]
            }
        )
        return
    if not rows:
        typer.echo("No policy is in force yet. 'spotify-pipelines policies apply FILE' puts some in force.")
        return
    print_table(
        ("Policy", "Version", "In force", "Since (UTC)", "Tracks", "Every (days)", "Playlists"),
        [
            (
                row.name,
                row.version,
                "yes" if row.active else "no",
                f"{row.created_at:%Y-%m-%d %H:%M}",
                row.definition.get("size"),
                row.definition.get("reshuffle", {}).get("every_days"),
                playlists.get(row.name, 0),
            )
            for row in rows
        ],
    )


def _read(file: Path) -> "PolicyFile":
    from spotify_pipelines.playlists.policies import PolicyError, parse_policies

    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)  # a pipe or a device doesn't tell its size
        if len(content) > _LARGEST_FILE:
            _refuse(f"{file} is larger than a megabyte; a policy file is a few pages of YAML.")
        return parse_policies(content, str(file))
    except OSError as error:
        _refuse(f"{file} can't be read: {error.strerror}.")
    except PolicyError as error:
        _refuse("\n".join(plain(line) for line in str(error).splitlines()))


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(Exit.WRONG_CALL)


@contextmanager
def _open_database() -> Iterator["Database"]:
    from spotify_pipelines.store.database import Database

    database = Database.open(load_settings())
    try:
        yield database
    finally:
        database.close()

"""``keys new | check | rotate``: the keys that encrypt tokens and client secrets in the database.

What belongs here: arguments and what is printed. What does not: what is done (``accounts.keys``). Keys are named by
their ids; the one command that shows a key is the one that makes it.
"""

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_pipelines.cli.opening import open_database, open_vault
from spotify_pipelines.cli.output import Exit, print_json, print_table
from spotify_pipelines.settings import load_settings

if TYPE_CHECKING:
    from spotify_pipelines.accounts.keys import KeysReport

__all__ = ["register"]

_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    keys = typer.Typer(help="Keys that encrypt tokens and client secrets.", no_args_is_help=True)
    for command in (new, check, rotate):
        keys.command()(command)
    app.add_typer(keys, name="keys")


def new() -> None:
    """Make a key and print it; nothing is stored. Whoever has it and the database has the accounts.

    Example: spotify-pipelines keys new > vault.key
    """
    from spotify_pipelines.accounts.vault import new_key

    typer.echo(new_key())


def check(as_json: _Json = False) -> None:
    """Try to open every stored secret. Exit code 1 if one can't be opened.

    Example: spotify-pipelines keys check
    """
    from spotify_pipelines.accounts.keys import check_keys

    settings = load_settings()
    with closing(open_database(settings)) as database:
        report = check_keys(database, open_vault(settings))
    _show(report, as_json)


def rotate(as_json: _Json = False) -> None:
    """Encrypt every stored secret anew with the first key; safe to repeat, and while everything else runs.

    Add the new key behind the old one and restart what runs; then put it in front, restart, and rotate: at no time
    does a process meet a secret that it can't open. Once 'keys check' counts none under the old key, it can go.

    Example: spotify-pipelines keys rotate
    """
    from spotify_pipelines.accounts.keys import rotate_keys

    settings = load_settings()
    with closing(open_database(settings)) as database:
        report = rotate_keys(database, open_vault(settings), datetime.now(UTC))
    _show(report, as_json)


def _show(report: "KeysReport", as_json: bool) -> None:
    if as_json:
        print_json({**asdict(report), "under_older_keys": report.under_older_keys})
    else:
        _print(report)
    if report.unreadable:
        raise typer.Exit(Exit.PARTLY)


def _print(report: "KeysReport") -> None:
    known = {name: "encrypts" if name == report.keys[0] else "decrypts" for name in report.keys}
    known |= {name: "missing" for name in report.by_key if name not in known}
    print_table(
        ("Key", "Use", "Secrets"), [(name, use, report.by_key.get(name, 0)) for name, use in known.items()]
    )
    if report.unreadable:
        typer.echo()
        print_table(("Can't be opened", "Because"), report.unreadable.items())
    if report.resealed:
        typer.echo(f"{report.resealed} of {report.secrets} secrets were encrypted anew.")
    elif report.under_older_keys > len(report.unreadable):
        typer.echo("Some are under an older key: 'spotify-pipelines keys rotate' encrypts them anew.")
    if report.healed:
        typer.echo(f"Out of quarantine, as their tokens open again: {', '.join(report.healed)}.")

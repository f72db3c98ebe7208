"""``accounts connect | list | show | health | reauthorize | disconnect``: whose playlists are kept, and how they are.

What belongs here: what is printed, asking before something is deleted. What does not: the way to the consent page
(``consent``), health and its reasons (``accounts.health``), what is deleted (``accounts.disconnect``).
"""

import json
import os
import sys
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_pipelines.cli.apps import print_incidents
from spotify_pipelines.cli.consent import connect, reauthorize
from spotify_pipelines.cli.opening import open_database
from spotify_pipelines.cli.output import Exit, minute, plain, print_json, print_table
from spotify_pipelines.settings import load_settings

if TYPE_CHECKING:
    from spotify_pipelines.accounts.registry import AccountStanding

__all__ = ["register"]

_EVENTS = 20
_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    accounts = typer.Typer(help="Spotify accounts whose playlists are kept.", no_args_is_help=True)
    accounts.command("connect")(connect)
    accounts.command("list")(list_accounts)
    accounts.command("show")(show_account)
    accounts.command("health")(health)
    accounts.command("reauthorize")(reauthorize)
    accounts.command("disconnect")(disconnect)
    app.add_typer(accounts, name="accounts")


def list_accounts(as_json: _Json = False) -> None:
    """Show the connected accounts.

    Example: spotify-pipelines accounts list
    """
    accounts = _standings()
    if as_json:
        print_json({"accounts": [asdict(account) for account in accounts]})
    elif not accounts:
        typer.echo("No account is connected yet. 'spotify-pipelines accounts connect' connects one.")
    else:
        print_table(
            ("Account", "Spotify user", "App", "Health", "Token until (UTC)", "Consent until"),
            [
                (
                    account.name,
                    account.spotify_user_id,
                    account.app,
                    account.health,
                    minute(account.token_expires_at),
                    _consent(account),
                )
                for account in accounts
            ],
        )


def health(as_json: _Json = False) -> None:
    """Show how every account is, why, and what to do. Exit code 1 if one, or its app, needs a person or is not well.

    Example: spotify-pipelines accounts health
    """
    from spotify_pipelines.accounts.registry import account_standings, app_standings

    now = datetime.now(UTC)
    with closing(open_database(load_settings())) as database, database.transaction() as session:
        accounts, apps = account_standings(session, now), app_standings(session, now)
    incidents = [app for app in apps if app.incident is not None]
    if as_json:
        print_json(
            {
                "accounts": [asdict(account) for account in accounts],
                "incidents": [{"app": app.name, **asdict(app.incident)} for app in incidents if app.incident],
            }
        )
    else:
        print_table(
            (
                *("Account", "Health", "Reason", "Since (UTC)", "Failures", "Next probe (UTC)"),
                *("Consent until", "What to do"),
            ),
            [
                (
                    account.name,
                    account.health,
                    account.reason,
                    minute(account.since),
                    account.failures or None,
                    minute(account.next_probe_at),
                    _consent(account),
                    account.advice,
                )
                for account in accounts
            ],
        )
        print_incidents(incidents)
    in_need = any(account.health != "ok" or account.consent in ("urgent", "ended") for account in accounts)
    if in_need or incidents:
        raise typer.Exit(Exit.PARTLY)


def show_account(
    name: Annotated[str, typer.Argument(help="Name or id of the account.", show_default=False)],
    as_json: _Json = False,
) -> None:
    """Show one account: its consent, its health with what to do, its playlists, and what happened last.

    Example: spotify-pipelines accounts show "Studio Berlin"
    """
    from spotify_pipelines.accounts.registry import account_standings, find_account
    from spotify_pipelines.store.disconnection import account_events, playlists_of

    with closing(open_database(load_settings())) as database, database.transaction() as session:
        row = find_account(session, name)
        [account] = account_standings(session, datetime.now(UTC), [row.id])
        playlists = Counter(each["status"] for each in playlists_of(session, row.id))
        events = account_events(session, row.id, limit=_EVENTS)
    if as_json:
        print_json({"account": asdict(account), "playlists": dict(playlists), "events": events})
        return
    print_table(
        ("Account", account.name),
        [
            ("Spotify user", account.spotify_user_id),
            ("Display name", account.display_name),
            ("App", account.app),
            ("Health", account.health),
            ("Since (UTC)", minute(account.since)),
            ("What to do", account.advice),
            ("Next probe (UTC)", minute(account.next_probe_at)),
            ("Token until (UTC)", minute(account.token_expires_at)),
            ("Consent until", _consent(account)),
            ("Scopes missing", ", ".join(account.missing_scopes)),
            ("Playlists", ", ".join(f"{number} {status}" for status, number in sorted(playlists.items()))),
        ],
    )
    typer.echo()
    print_table(
        ("When (UTC)", "What", "Health", "Why"),
        [(minute(each["at"]), each["event"], each["health_after"], each["reason"]) for each in events],
    )


def disconnect(
    name: Annotated[str, typer.Argument(help="Name or id of the account.", show_default=False)],
    *,
    export: Annotated[
        Path | None,
        typer.Option(help="First write what is stored about it to this new file.", metavar="FILE"),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Don't ask; without --export nothing is kept.")
    ] = False,
) -> None:
    """Delete an account's tokens and personal data, and retire its playlists. This can't be undone.

    Its playlists stay on Spotify; what they were made of stays here, without names. The history of Dagster's runs may
    still name the account until they are pruned.

    Example: spotify-pipelines accounts disconnect "Studio Berlin" --export studio-berlin.json
    """
    from spotify_pipelines.accounts.disconnect import disconnect_account, export_account
    from spotify_pipelines.accounts.registry import find_account

    with closing(open_database(load_settings())) as database:
        with database.transaction() as session:
            account = find_account(session, name)
        label = plain(account.name)
        if not yes:
            export = _ask_before_disconnecting(label, export)
        with database.transaction() as session:
            if export is not None:
                _write_export(export, export_account(session, account.id, datetime.now(UTC)))
                typer.echo(f"What was stored about it is in {export}.")
            playlists = disconnect_account(session, account.id, datetime.now(UTC))
    typer.echo(
        f"'{label}' is disconnected; {playlists} playlists are not kept any more. Its user can withdraw the consent "
        "itself at https://www.spotify.com/account/apps/"
    )


def _ask_before_disconnecting(label: str, export: Path | None) -> Path | None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask whether it is meant: give --yes.")
    if export is None:
        answer = typer.prompt("Export its data first, to which file (empty: no export)", default="", err=True)
        export = Path(answer) if answer.strip() else None
    typer.confirm(f"Delete the tokens and personal data of '{label}'?", abort=True, err=True)
    return export


def _write_export(file: Path, data: dict[str, Any]) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=2, default=lambda time: time.isoformat())
    try:
        with os.fdopen(
            os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as stream:
            stream.write(f"{text}\n")
    except OSError as error:
        raise typer.BadParameter(f"{plain(str(file))} can't be written: {error.strerror}.") from None


def _standings() -> "list[AccountStanding]":
    from spotify_pipelines.accounts.registry import account_standings

    with closing(open_database(load_settings())) as database, database.transaction() as session:
        return account_standings(session, datetime.now(UTC))


def _consent(account: "AccountStanding") -> str | None:
    if account.consent_ends_at is None:
        return None
    ends = f"{account.consent_ends_at:%Y-%m-%d}"
    return ends if account.consent == "fine" else f"{ends} ({account.consent})"

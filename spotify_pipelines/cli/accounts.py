"""``apps add | list | limit | probe``, ``accounts connect | list | health``: who may call Spotify, and how they are.

What belongs here: asking for secrets, sending people to the consent page and back, what is printed. What does not:
what is done with the answer (``accounts.connect``), health and its reasons (``accounts.health``).
"""

import asyncio
import os
import sys
import threading
import uuid
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr

from spotify_pipelines.cli.opening import open_database, open_vault
from spotify_pipelines.cli.output import Exit, console, plain, print_json, print_table
from spotify_pipelines.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spotify_pipelines.accounts.connect import Desk
    from spotify_pipelines.accounts.registry import AccountStanding, AppStanding
    from spotify_pipelines.spotify.oauth import AuthorizationRequest
    from spotify_pipelines.store.database import Database

__all__ = ["register"]

_SECRET_VARIABLE = "SPOTIFY_PIPELINES_CLIENT_SECRET"  # noqa: S105 - the name of a variable
_LONGEST_NAME = 100
_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    apps = typer.Typer(help="Apps of Spotify's developer dashboard.", no_args_is_help=True)
    apps.command("add")(add_app)
    apps.command("list")(list_apps)
    apps.command("limit")(limit_app)
    apps.command("probe")(probe_app)
    accounts = typer.Typer(help="Spotify accounts whose playlists are kept.", no_args_is_help=True)
    accounts.command("connect")(connect)
    accounts.command("list")(list_accounts)
    accounts.command("health")(health)
    app.add_typer(apps, name="apps")
    app.add_typer(accounts, name="accounts")


def _name(text: str | None) -> str | None:
    """Refuse what can't be stored or shown as a name."""
    if text is not None and not (text.strip() and text.isprintable() and len(text) <= _LONGEST_NAME):
        raise typer.BadParameter(
            f"a name has 1 to {_LONGEST_NAME} printable signs, and {plain(text[:40])!r} is none."
        )
    return text


def add_app(
    name: Annotated[str, typer.Argument(help="What you call it.", show_default=False, callback=_name)],
    client_id: Annotated[
        str, typer.Argument(help="The client id that the dashboard shows.", show_default=False)
    ],
    *,
    public: Annotated[
        bool, typer.Option("--public", help="It has no secret: accounts connect by PKCE alone.")
    ] = False,
    developer_account: Annotated[
        str | None,
        typer.Option(
            help="Whose it is: apps of one developer share a quota.", metavar="NAME", callback=_name
        ),
    ] = None,
    calls_per_30s: Annotated[
        int | None, typer.Option(help="Its rate limit, where known.", min=1, max=100_000)
    ] = None,
    calls_per_day: Annotated[
        int | None,
        typer.Option(
            help="Its budget: work beyond it waits for midnight UTC. 0: none.", min=0, max=100_000_000
        ),
    ] = None,
) -> None:
    """Register an app, or replace the secret of a known one.

    The secret is asked for, or taken from the variable SPOTIFY_PIPELINES_CLIENT_SECRET; never from the command
    line, which other users of the machine can read.

    Example: spotify-pipelines apps add studio 0123456789abcdef0123456789abcdef
    """
    from spotify_pipelines.accounts import registry

    if not (client_id.isascii() and client_id.isalnum() and len(client_id) <= _LONGEST_NAME):
        raise typer.BadParameter(
            f"{plain(client_id[:80])!r} is no client id: it is made of letters and digits only, 32 of them as a rule."
        )
    secret = None if public else _ask_for_secret()
    settings = load_settings()
    with closing(open_database(settings)) as database, database.transaction() as session:
        registry.add_app(
            session,
            open_vault(settings),
            name=name,
            client_id=client_id,
            client_secret=secret,
            developer_account=developer_account,
            calls_per_30s=calls_per_30s,
            calls_per_day=calls_per_day,
        )
    typer.echo(f"The app '{plain(name)}' is stored in the world '{settings.world}'.")


def list_apps(as_json: _Json = False) -> None:
    """Show the apps, what they may do, and any ban that is being waited out.

    Example: spotify-pipelines apps list --json
    """
    from spotify_pipelines.accounts.registry import app_standings

    settings, now = load_settings(), datetime.now(UTC)
    with closing(open_database(settings)) as database, database.transaction() as session:
        apps = app_standings(
            session,
            now,
            capability_days=settings.capability_days,
            calls_per_30s=settings.app_calls_per_30s,
        )
    if as_json:
        print_json({"apps": [asdict(app) for app in apps]})
        return
    if not apps:
        typer.echo("No app is registered yet. 'spotify-pipelines apps add' registers one.")
        return
    print_table(
        (
            *("App", "Client id", "Accounts", "Developer", "Calls/30 s", "Calls today"),
            *("No calls before (UTC)", "Because"),
        ),
        [
            (
                app.name,
                app.client_id if app.has_secret else f"{app.client_id} (public)",
                app.accounts,
                app.developer_account,
                f"{app.limit.calls_per_30s:g} ({app.limit.mode})",
                f"{app.calls_today} of {app.calls_per_day}" if app.calls_per_day else app.calls_today,
                _time(app.cooldown_until),
                app.cooldown_reason,
            )
            for app in apps
        ],
    )
    _print_limits(apps)
    _print_capabilities(apps, now)


def limit_app(
    name: Annotated[str, typer.Argument(help="Which app.", show_default=False)],
    calls_per_30s: Annotated[
        int | None,
        typer.Argument(help="Keep to so many calls in 30 seconds.", min=1, max=100_000, show_default=False),
    ] = None,
    *,
    learn: Annotated[
        bool, typer.Option("--learn", help="Find the limit by counting again, from what was learned before.")
    ] = False,
) -> None:
    """Fix an app's rate limit where it is known, or leave it to be found; running jobs follow within seconds.

    Example: spotify-pipelines apps limit studio 180
    """
    from spotify_pipelines.accounts.registry import fix_limit

    if (calls_per_30s is None) != learn:
        raise typer.BadParameter("give either a number of calls in 30 seconds, or --learn.")
    settings = load_settings()
    with closing(open_database(settings)) as database, database.transaction() as session:
        fix_limit(session, name, calls_per_30s)
    if calls_per_30s is not None:
        typer.echo(f"The app '{plain(name)}' makes at most {calls_per_30s} calls in 30 seconds.")
    elif settings.app_calls_per_30s is not None:
        typer.echo(
            f"The app '{plain(name)}' has no limit of its own any more, and keeps to that of "
            f"SPOTIFY_PIPELINES_APP_CALLS_PER_30S ({settings.app_calls_per_30s}). Unset it to have the limit found."
        )
    else:
        typer.echo(f"The limit of the app '{plain(name)}' is found by counting.")


def probe_app(
    name: Annotated[str, typer.Argument(help="Which app.", show_default=False)], as_json: _Json = False
) -> None:
    """Find out now what Spotify grants an app, by five calls at most; otherwise the first use finds out.

    Example: spotify-pipelines apps probe studio
    """
    from spotify_pipelines.accounts.probe import probe_app as probe
    from spotify_pipelines.accounts.registry import find_app
    from spotify_pipelines.session import open_session
    from spotify_pipelines.spotify.limiter import connect_redis

    settings = load_settings()

    async def ask() -> dict[str, bool]:
        redis = connect_redis(settings.require_redis_url())
        try:
            with closing(open_database(settings)) as database:
                with database.transaction() as session:
                    app_id = find_app(session, name).id
                async with open_session(settings, database, redis) as spotify:
                    run_id = f"cli-{uuid.uuid4()}"
                    return await probe(database, spotify.client, spotify.calls, app_id, run_id=run_id)
        finally:
            await redis.aclose()

    found = asyncio.run(ask())
    if as_json:
        print_json({"app": name, "capabilities": found})
        return
    for capability, available in found.items():
        typer.echo(f"{capability}: {'yes' if available else 'no'}")


def connect(
    *,
    app: Annotated[str | None, typer.Option("--app", help="Through which app, if there are several.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the account.", callback=_name)] = None,
    user: Annotated[
        str | None, typer.Option(help="Refuse everybody but this Spotify user id.", metavar="ID")
    ] = None,
    port: Annotated[int, typer.Option(help="Where to wait for the answer.", min=1, max=65535)] = 8910,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for it.", min=1, max=86_400)] = 300,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, and take the answer by pasting it.")
    ] = False,
) -> None:
    """Connect a Spotify account, or renew the consent of a connected one.

    Opens Spotify's consent page and waits on http://127.0.0.1:PORT/callback for its answer; that address has to
    be registered in the app's settings in the developer dashboard, exactly so.

    Example: spotify-pipelines accounts connect --app studio --name "Studio Berlin"
    """
    from spotify_pipelines.accounts.connect import complete_authorization
    from spotify_pipelines.accounts.registry import find_app

    settings, redirect_uri = load_settings(), f"http://127.0.0.1:{port}/callback"
    with closing(open_database(settings)) as database:
        with database.transaction() as session:
            through = find_app(session, app)
        request = asyncio.run(_request(settings, database, through.client_id, redirect_uri))
        typer.echo(
            f"Connecting an account through the app '{plain(through.name)}' in the world '{settings.world}'. The "
            f"app's settings must list the redirect URI {redirect_uri}",
            err=True,
        )
        # Not within an event loop: Ctrl-C has to end the wait at once.
        code = _pasted(request, redirect_uri) if no_browser else _awaited(request, redirect_uri, timeout)

        async def complete() -> "AccountStanding":
            async with _open_desk(settings, database) as desk:
                return await complete_authorization(
                    desk,
                    through.id,
                    code=code,
                    code_verifier=request.code_verifier,
                    redirect_uri=redirect_uri,
                    name=name,
                    expected_user=user,
                )

        account = asyncio.run(complete())
    if account.missing_scopes:
        typer.echo(f"Not agreed to: {', '.join(account.missing_scopes)}. Playlists need it.", err=True)
    typer.echo(
        f"Connected '{plain(account.name)}' (Spotify user {plain(account.spotify_user_id)}); the consent ends on "
        f"{account.consent_ends_at:%Y-%m-%d}."
    )


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
                    _time(account.token_expires_at),
                    _consent(account),
                )
                for account in accounts
            ],
        )


def health(as_json: _Json = False) -> None:
    """Show how every account is, why, and what to do. Exit code 1 if one needs a person or is not well.

    Example: spotify-pipelines accounts health
    """
    accounts = _standings()
    if as_json:
        print_json({"accounts": [asdict(account) for account in accounts]})
    else:
        print_table(
            ("Account", "Health", "Since (UTC)", "Next probe (UTC)", "Consent until", "What to do"),
            [
                (
                    account.name,
                    account.health,
                    _time(account.since),
                    _time(account.next_probe_at),
                    _consent(account),
                    account.advice,
                )
                for account in accounts
            ],
        )
    if any(account.health != "ok" or account.consent in ("urgent", "ended") for account in accounts):
        raise typer.Exit(Exit.PARTLY)


def _standings() -> "list[AccountStanding]":
    from spotify_pipelines.accounts.registry import account_standings

    with closing(open_database(load_settings())) as database, database.transaction() as session:
        return account_standings(session, datetime.now(UTC))


def _ask_for_secret() -> SecretStr:
    given = os.environ.get(_SECRET_VARIABLE)
    if given:
        return SecretStr(given)
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"There is no terminal to ask for the client secret: set {_SECRET_VARIABLE}, or give --public if the "
            "app has none."
        )
    return SecretStr(typer.prompt("Client secret", hide_input=True, err=True))


async def _request(
    settings: Settings, database: "Database", client_id: str, redirect_uri: str
) -> "AuthorizationRequest":
    async with _open_desk(settings, database) as desk:
        return desk.endpoint.authorize_url(client_id, redirect_uri=redirect_uri, show_dialog=True)


def _awaited(request: "AuthorizationRequest", redirect_uri: str, timeout: float) -> str:
    """Send the person to the consent page, wait for the browser to come back, and answer the code."""
    from spotify_pipelines.accounts.callback import await_redirect
    from spotify_pipelines.accounts.connect import ConsentDeclined, code_from_redirect

    def accept(address: str) -> str | ConsentDeclined:
        try:
            return code_from_redirect(address, request, redirect_uri)
        except ConsentDeclined as declined:
            return declined

    def listening() -> None:
        console(err=True).print(
            f"If no browser opens, open this address in one:\n{request.url}", soft_wrap=True
        )
        # Some browsers (those in a terminal) return only when they are closed.
        threading.Thread(target=webbrowser.open, args=(request.url,), daemon=True).start()

    answer = await_redirect(redirect_uri, accept, timeout=timeout, listening=listening)
    if isinstance(answer, ConsentDeclined):
        raise answer
    return answer


def _pasted(request: "AuthorizationRequest", redirect_uri: str) -> str:
    """Have the person do what the browser can't, and answer the code."""
    from spotify_pipelines.accounts.connect import code_from_redirect

    console(err=True).print(f"Open this address in a browser and agree:\n{request.url}", soft_wrap=True)
    typer.echo("The browser then shows an error page, since nobody answers there: that is fine.", err=True)
    address = str(typer.prompt("Paste the address of that page", err=True))
    return code_from_redirect(address, request, redirect_uri)


@asynccontextmanager
async def _open_desk(settings: Settings, database: "Database") -> "AsyncIterator[Desk]":
    from spotify_pipelines.session import open_session
    from spotify_pipelines.spotify.limiter import connect_redis

    redis = connect_redis(settings.require_redis_url())
    try:
        async with open_session(settings, database, redis) as session:
            yield session.desk
    finally:
        await redis.aclose()


def _print_limits(apps: "Sequence[AppStanding]") -> None:
    """Where each limit comes from, and when it is put to the test again."""
    typer.echo()
    print_table(
        ("App", "Limit", "How", "Because", "Found by counting", "Next look upward (UTC)"),
        [
            (
                app.name,
                f"{app.limit.calls_per_30s:g}",
                app.limit.mode,
                app.limit.evidence,
                None if app.limit.learned is None else f"{app.limit.learned:g}",
                "now" if app.limit.mode == "searching" else _time(app.limit.next_look),
            )
            for app in apps
        ],
    )


def _print_capabilities(apps: "Sequence[AppStanding]", now: datetime) -> None:
    """What Spotify grants each app as far as it was found out, by what evidence, and until when that is believed."""
    from spotify_pipelines.accounts.capabilities import PROBED

    rows = [
        (
            app.name,
            name,
            ("yes" if finding.available else "no") if finding.holds(now) else "to be found out again",
            _time(finding.at),
            _time(finding.expires_at),
            finding.evidence,
        )
        for app in apps
        for name, finding in sorted(app.capabilities.items())
    ]
    rows += [
        (app.name, name, "not found out yet", None, None, None)
        for app in apps
        for name in PROBED
        if name not in app.capabilities
    ]
    if rows:
        rows.sort(key=lambda row: row[:2])
        typer.echo()
        print_table(("App", "Capability", "Granted", "Found (UTC)", "Believed until (UTC)", "Evidence"), rows)


def _time(time: datetime | None) -> str | None:
    return f"{time:%Y-%m-%d %H:%M}" if time else None


def _consent(account: "AccountStanding") -> str | None:
    if account.consent_ends_at is None:
        return None
    ends = f"{account.consent_ends_at:%Y-%m-%d}"
    return ends if account.consent == "fine" else f"{ends} ({account.consent})"

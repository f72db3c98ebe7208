"""``apps add | list | limit | probe | incident``: client ids of the developer dashboard, and how Spotify treats them.

What belongs here: asking for secrets, what is printed. What does not: what is stored (``accounts.registry``), finding
out what an app may do (``accounts.probe``), what an incident is (``accounts.mass_refusal``).
"""

import asyncio
import os
import sys
import uuid
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr

from spotify_pipelines.cli.opening import open_database, open_vault
from spotify_pipelines.cli.output import Exit, checked_name, minute, plain, print_json, print_table
from spotify_pipelines.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spotify_pipelines.accounts.registry import AppStanding

__all__ = ["print_incidents", "register"]

_SECRET_VARIABLE = "SPOTIFY_PIPELINES_CLIENT_SECRET"  # noqa: S105 - the name of a variable
_LONGEST_ID = 100
_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    apps = typer.Typer(help="Apps of Spotify's developer dashboard.", no_args_is_help=True)
    apps.command("add")(add_app)
    apps.command("list")(list_apps)
    apps.command("limit")(limit_app)
    apps.command("probe")(probe_app)
    apps.command("incident")(show_incident)
    app.add_typer(apps, name="apps")


def add_app(
    name: Annotated[str, typer.Argument(help="What you call it.", show_default=False, callback=checked_name)],
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
            help="Whose it is: apps of one developer share a quota.", metavar="NAME", callback=checked_name
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
    secret_file: Annotated[
        Path | None, typer.Option(help="Read the client secret from this file.", metavar="FILE")
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Find out at once what Spotify grants it.")
    ] = True,
) -> None:
    """Register an app, or replace the secret of a known one, and find out what Spotify grants it.

    The secret is asked for, or taken from the variable SPOTIFY_PIPELINES_CLIENT_SECRET or from a file; never from the
    command line, which other users of the machine can read. Exit code 1 if the app is stored and the probe failed.

    Example: spotify-pipelines apps add studio 0123456789abcdef0123456789abcdef
    """
    from spotify_pipelines.accounts import registry

    if not (client_id.isascii() and client_id.isalnum() and len(client_id) <= _LONGEST_ID):
        raise typer.BadParameter(
            f"{plain(client_id[:80])!r} is no client id: it is made of letters and digits only, 32 of them as a rule."
        )
    if public and secret_file is not None:
        raise typer.BadParameter("an app with --public has no secret, so there is none to read from a file.")
    secret = None if public else _ask_for_secret(secret_file)
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
    if probe and not public:
        _probe_newcomer(settings, name)


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
                minute(app.cooldown_until),
                app.cooldown_reason,
            )
            for app in apps
        ],
    )
    print_incidents(apps)
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
    found = _probe(load_settings(), name)
    if as_json:
        print_json({"app": name, "regime": _regime(found), "capabilities": found})
        return
    for capability, available in found.items():
        typer.echo(f"{capability}: {'yes' if available else 'no'}")


def _regime(found: "Mapping[str, bool]") -> str:
    """What Spotify calls an app that it grants this."""
    return "extended quota" if found.get("albums_batch") else "development mode"


def _probe_newcomer(settings: Settings, name: str) -> None:
    """Say what the app may do; where that can't be found out, the first use will, and the app stays."""
    from spotify_pipelines.accounts.probe import ProbeFailed

    try:
        found = _probe(settings, name)
    except (ProbeFailed, SettingsError) as error:
        typer.echo(f"{error} 'spotify-pipelines apps probe {plain(name)}' tries again.", err=True)
        raise typer.Exit(Exit.PARTLY) from None
    granted = ", ".join(capability for capability, available in found.items() if available) or "nothing more"
    typer.echo(f"Spotify treats it as an app in {_regime(found)} (beyond the basics it grants: {granted}).")


def _probe(settings: Settings, name: str) -> dict[str, bool]:
    from spotify_pipelines.accounts.probe import probe_app as probe
    from spotify_pipelines.accounts.registry import find_app
    from spotify_pipelines.session import open_session
    from spotify_pipelines.spotify.limiter import connect_redis

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

    return asyncio.run(ask())


def show_incident(
    name: Annotated[
        str | None, typer.Argument(help="Which app; without it all incidents.", show_default=False)
    ] = None,
    *,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="The consents are really gone: quarantine the accounts.")
    ] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Spotify was wrong: use the accounts as ever, now.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Show, or end, an incident: so many consents of an app refused at once that Spotify seems to be mistaken.

    Meanwhile one of its accounts at a time is tried now and then; the first that gets a token ends it for all.

    Example: spotify-pipelines apps incident studio --release
    """
    from spotify_pipelines.accounts.incidents import end_incident, incident_standings
    from spotify_pipelines.accounts.mass_refusal import Ending

    if confirm and release:
        raise typer.BadParameter("--confirm says that the consents are gone, --release that they are not.")
    if (confirm or release) and name is None:
        raise typer.BadParameter("say of which app.")
    with closing(open_database(load_settings())) as database, database.transaction() as session:
        if name is not None and (confirm or release):
            ending = Ending.CONFIRMED if confirm else Ending.RELEASED
            ended = end_incident(session, name, ending, datetime.now(UTC))
            what = "are quarantined: connect them again" if confirm else "are used as ever"
            typer.echo(f"The incident of the app '{plain(name)}' has ended; {ended} accounts {what}.")
            return
        found = [each for each in incident_standings(session) if name in (None, each.app)]
    if as_json:
        print_json({"incidents": [asdict(each) for each in found]})
    elif not found:
        typer.echo("No incident is going on.")
    else:
        print_table(
            ("App", "Since (UTC)", "Refused", "Of", "Next try (UTC)", "With", "Accounts"),
            [
                (
                    each.app,
                    minute(each.began_at),
                    len(each.accounts),
                    each.connected,
                    minute(each.next_probe_at),
                    each.next_probe,
                    ", ".join(each.accounts),
                )
                for each in found
            ],
        )


def _ask_for_secret(file: Path | None) -> SecretStr:
    if file is not None:
        return _read_secret(file)
    given = os.environ.get(_SECRET_VARIABLE)
    if given:
        return SecretStr(given)
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"There is no terminal to ask for the client secret: set {_SECRET_VARIABLE}, or give --secret-file, or "
            "--public if the app has none."
        )
    return SecretStr(typer.prompt("Client secret", hide_input=True, err=True))


def _read_secret(file: Path) -> SecretStr:
    try:
        secret = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it holds other signs than those of a secret"
        raise typer.BadParameter(f"the file {plain(str(file))} can't be read: {why}.") from None
    if not secret or len(secret.split()) != 1:
        raise typer.BadParameter(
            f"the file {plain(str(file))} has to hold the client secret and nothing else."
        )
    return SecretStr(secret)


def print_incidents(apps: "Sequence[AppStanding]") -> None:
    """Trouble of whole apps: none of their accounts is to blame."""
    rows = [
        (
            app.name,
            app.incident.kind,
            minute(app.incident.since),
            app.incident.probes,
            minute(app.incident.next_probe_at),
            app.incident.reason,
            app.incident.advice,
        )
        for app in apps
        if app.incident is not None
    ]
    if rows:
        typer.echo()
        print_table(
            (
                *("App", "Incident", "Since (UTC)", "Failed probes", "Next probe (UTC)"),
                *("Because", "What to do"),
            ),
            rows,
        )


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
                "now" if app.limit.mode == "searching" else minute(app.limit.next_look),
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
            minute(finding.at),
            minute(finding.expires_at),
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

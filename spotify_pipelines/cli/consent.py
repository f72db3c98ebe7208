"""``accounts connect | reauthorize``: a person's way to Spotify's consent page and back.

What belongs here: opening the browser or printing the address, waiting or taking what is pasted. What does not: what
is done with the answer (``accounts.connect``), the page that the browser comes back to (``accounts.callback``).
"""

import asyncio
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_pipelines.cli.opening import open_database
from spotify_pipelines.cli.output import checked_name, console, plain
from spotify_pipelines.settings import Settings, load_settings

if TYPE_CHECKING:
    from spotify_pipelines.accounts.connect import Desk
    from spotify_pipelines.accounts.registry import AccountStanding
    from spotify_pipelines.spotify.oauth import AuthorizationRequest
    from spotify_pipelines.store.database import Database

__all__ = ["connect", "reauthorize"]

_Port = Annotated[int, typer.Option(help="Where to wait for the answer.", min=1, max=65535)]
_Timeout = Annotated[float, typer.Option(help="Seconds to wait for it.", min=1, max=86_400)]
_NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="Print the address, and take the answer by pasting it.")
]

_Covers = Annotated[
    bool, typer.Option("--covers", help="Also ask for leave to upload the covers that policies name.")
]


def connect(
    *,
    app: Annotated[str | None, typer.Option("--app", help="Through which app, if there are several.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the account.", callback=checked_name)] = None,
    user: Annotated[
        str | None, typer.Option(help="Refuse everybody but this Spotify user id.", metavar="ID")
    ] = None,
    port: _Port = 8910,
    timeout: _Timeout = 300,
    no_browser: _NoBrowser = False,
    covers: _Covers = False,
) -> None:
    """Connect a Spotify account, or renew the consent of a connected one.

    Opens Spotify's consent page and waits on http://127.0.0.1:PORT/callback for its answer; that address has to
    be registered in the app's settings in the developer dashboard, exactly so.

    Example: spotify-pipelines accounts connect --app studio --name "Studio Berlin"
    """
    from spotify_pipelines.accounts.registry import find_app

    settings = load_settings()
    with closing(open_database(settings)) as database:
        with database.transaction() as session:
            through = find_app(session, app)
        typer.echo(
            f"Connecting an account through the app '{plain(through.name)}' in the world '{settings.world}'.",
            err=True,
        )
        consent = _Consent(
            settings, database, through.id, through.client_id, port, timeout, no_browser, covers
        )
        account = consent.run(name=name, expected_user=user)
    _report(account)


def reauthorize(
    name: Annotated[str, typer.Argument(help="Name or id of the account.", show_default=False)],
    *,
    port: _Port = 8910,
    timeout: _Timeout = 300,
    no_browser: _NoBrowser = False,
    covers: _Covers = False,
) -> None:
    """Renew the consent of a connected account, for six months; the answer of any other user is refused.

    Example: spotify-pipelines accounts reauthorize "Studio Berlin"
    """
    from spotify_pipelines.accounts.registry import find_account, load_app
    from spotify_pipelines.store.covers import COVER_SCOPE

    settings = load_settings()
    with closing(open_database(settings)) as database:
        with database.transaction() as session:
            account = find_account(session, name)
            through = load_app(session, account.app_id)
        typer.echo(
            f"Renewing the consent of '{plain(account.name)}' (Spotify user {plain(account.spotify_user_id)}) in the "
            f"world '{settings.world}'. Be logged in as that user.",
            err=True,
        )
        # What was agreed to before is not given up by renewing it.
        covers = covers or COVER_SCOPE in account.scopes
        consent = _Consent(
            settings, database, through.id, through.client_id, port, timeout, no_browser, covers
        )
        renewed = consent.run(expected_account=account.id)
    _report(renewed)


def _report(account: "AccountStanding") -> None:
    if account.missing_scopes:
        typer.echo(f"Not agreed to: {', '.join(account.missing_scopes)}. Playlists need it.", err=True)
    typer.echo(
        f"Connected '{plain(account.name)}' (Spotify user {plain(account.spotify_user_id)}); the consent ends on "
        f"{account.consent_ends_at:%Y-%m-%d}."
    )


@dataclass(frozen=True)
class _Consent:
    """One person's way to the consent page and back."""

    settings: Settings
    database: "Database"
    app_id: int
    client_id: str
    port: int
    timeout: float
    no_browser: bool
    covers: bool

    def run(
        self,
        *,
        name: str | None = None,
        expected_user: str | None = None,
        expected_account: int | None = None,
    ) -> "AccountStanding":
        """Send the person, wait for the answer, store the account."""
        from spotify_pipelines.accounts.connect import complete_authorization

        redirect_uri = f"http://127.0.0.1:{self.port}/callback"
        request = asyncio.run(
            _request(self.settings, self.database, self.client_id, redirect_uri, covers=self.covers)
        )
        typer.echo(f"The app's settings must list the redirect URI {redirect_uri}", err=True)
        # Not within an event loop: Ctrl-C has to end the wait at once.
        if self.no_browser or (sys.stdin.isatty() and not _has_browser()):
            code = _pasted(request, redirect_uri)
        else:
            code = _awaited(request, redirect_uri, self.timeout)

        async def complete() -> "AccountStanding":
            async with _open_desk(self.settings, self.database) as desk:
                return await complete_authorization(
                    desk,
                    self.app_id,
                    code=code,
                    code_verifier=request.code_verifier,
                    redirect_uri=redirect_uri,
                    name=name,
                    expected_user=expected_user,
                    expected_account=expected_account,
                )

        return asyncio.run(complete())


def _has_browser() -> bool:
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


async def _request(
    settings: Settings, database: "Database", client_id: str, redirect_uri: str, *, covers: bool
) -> "AuthorizationRequest":
    from spotify_pipelines.spotify.oauth import SCOPES
    from spotify_pipelines.store.covers import COVER_SCOPE

    scopes = (*SCOPES, COVER_SCOPE) if covers else SCOPES
    async with _open_desk(settings, database) as desk:
        return desk.endpoint.authorize_url(
            client_id, redirect_uri=redirect_uri, scopes=scopes, show_dialog=True
        )


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

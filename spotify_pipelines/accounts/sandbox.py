"""The sandbox's accounts: made-up users of the simulator, connected exactly as real ones are.

What belongs here: an app and its users in the simulator, and its automatic approval instead of a person at a
browser. What does not: anything that a real account needs (``connect``).
"""

import asyncio
import http.client
import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

from pydantic import SecretStr

from spotify_pipelines.accounts.connect import ConnectError, Desk, code_from_redirect, complete_authorization
from spotify_pipelines.accounts.registry import AccountStanding, account_standings, add_app, app_standings
from spotify_pipelines.settings import World
from spotify_pipelines.simulator.control_client import ControlError, SimulatorControl

__all__ = ["REDIRECT_URI", "SANDBOX_APP", "connect_sandbox"]

REDIRECT_URI = "http://127.0.0.1:8910/callback"
"""Where consent pages send the browser back to by default."""
SANDBOX_APP = "sandbox"
CALLS_PER_30S = 300
"""What the simulator grants the app. It is known, so nothing has to be found out first."""
_NAMES = ("Harbour Lights", "Night Market", "Paper Planes", "Second Floor", "Slow Tides")


async def connect_sandbox(
    desk: Desk, *, count: int = 3, regime: str = "extended", run_id: str | None = None
) -> list[AccountStanding]:
    """Register the app 'sandbox' and connect ``count`` made-up users; those that are connected stay as they are.

    Every account goes the real way: authorization with PKCE and state, approved by the simulator itself, code,
    tokens, ``GET /me``.

    Args:
        regime: what the simulator grants the app, ``extended`` or ``development`` (at most five users).

    Raises:
        ConnectError: the world is not the sandbox, or the simulator refused.
    """
    if desk.settings.world is not World.SANDBOX:
        raise ConnectError(
            "Sandbox accounts live in the simulator, but the world is 'live'. Set SPOTIFY_PIPELINES_WORLD=sandbox."
        )
    users = {f"sandbox_{number}": _name(number) for number in range(1, count + 1)}
    known = _connected(desk, users)
    missing = [user for user in users if user not in known]
    if missing:
        app = await asyncio.to_thread(_prepare, desk, users, regime)
        for user in missing:
            await _connect(desk, app, user, users[user], run_id)
        known = _connected(desk, users)
    return [known[user] for user in users]


def _name(number: int) -> str:
    return _NAMES[number - 1] if number <= len(_NAMES) else f"Sandbox account {number}"


def _connected(desk: Desk, users: Collection[str]) -> dict[str, AccountStanding]:
    """The sandbox's accounts that may be used as they are, by Spotify's user id."""
    with desk.database.transaction() as session:
        return {
            account.spotify_user_id: account
            for account in account_standings(session, desk.now())
            if account.app == SANDBOX_APP
            and account.spotify_user_id in users
            and account.health != "quarantined"
        }


def _prepare(desk: Desk, users: dict[str, str], regime: str) -> tuple[int, str]:
    """The app and the users, in the simulator and (the app) in the database; the app's id and client id.

    The app gets a new secret each time: whoever made the old one may have lost it.
    """
    with desk.database.transaction() as session:
        known = next((app for app in app_standings(session, desk.now()) if app.name == SANDBOX_APP), None)
    client_id, secret = known.client_id if known else secrets.token_hex(16), secrets.token_hex(16)
    try:
        with SimulatorControl(desk.settings.require_spotify_accounts_url()) as control:
            control.add_client(
                client_id,
                secret,
                name="Sandbox",
                regime=regime,
                redirect_uris=[REDIRECT_URI],
                limit=CALLS_PER_30S,
            )
            for user, name in users.items():
                control.add_user(user, display_name=name)
    except ControlError as error:
        raise ConnectError(f"The simulator refused the sandbox's accounts. {error}") from error
    with desk.database.transaction() as session:
        app = add_app(
            session,
            desk.vault,
            name=SANDBOX_APP,
            client_id=client_id,
            client_secret=SecretStr(secret),
            calls_per_30s=CALLS_PER_30S,
        )
        return app.id, client_id


async def _connect(desk: Desk, app: tuple[int, str], user: str, name: str, run_id: str | None) -> None:
    app_id, client_id = app
    request = desk.endpoint.authorize_url(client_id, redirect_uri=REDIRECT_URI)
    address = await asyncio.to_thread(_approve, f"{request.url}&login_hint={user}")
    await complete_authorization(
        desk,
        app_id,
        code=code_from_redirect(address, request, REDIRECT_URI),
        code_verifier=request.code_verifier,
        redirect_uri=REDIRECT_URI,
        name=name,
        expected_user=user,
        run_id=run_id,
    )


def _approve(consent_page: str) -> str:
    """Open the simulator's consent page as a browser would, and answer the address it is sent back to."""
    parts = urlsplit(consent_page)
    browser = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        browser.request("GET", f"{parts.path}?{parts.query}")
        response = browser.getresponse()
        address = response.getheader("Location")
    except (OSError, http.client.HTTPException) as error:
        raise ConnectError(
            f"The simulator's consent page could not be opened ({type(error).__name__}). Is it running? "
            "'spotify-pipelines status' tells."
        ) from error
    finally:
        browser.close()
    if address is None:
        raise ConnectError(f"The simulator approved nothing: it answered {response.status}.")
    return address

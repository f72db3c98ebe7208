"""Connect an account: from the code that came back from Spotify's consent page to a stored, healthy account.

What belongs here: the use case, the reading of the address that the browser was sent back to, and the sandbox's
accounts, which go the same way. What does not: opening a browser, listening (``callback``), asking people (the
command line). Authorization Code with PKCE (RFC 7636) and state; also for apps without a secret.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import redis.asyncio
from pydantic import SecretStr

from spotify_pipelines.accounts.apps import DatabaseApps
from spotify_pipelines.accounts.incidents import leave_incident
from spotify_pipelines.accounts.registry import AccountStanding, account_standings, load_account, save_account
from spotify_pipelines.accounts.token_store import TokenStore
from spotify_pipelines.accounts.vault import Vault
from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.spotify.errors import AuthorizationLost, LostReason, SpotifyError
from spotify_pipelines.spotify.models import Profile
from spotify_pipelines.spotify.oauth import AuthorizationRequest, TokenEndpoint, TokenGrant
from spotify_pipelines.spotify.turns import CallLimiter, Priority
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.incidents import lock_app

__all__ = ["ConnectError", "ConsentDeclined", "Desk", "code_from_redirect", "complete_authorization"]

_NEWCOMER = 0
"""Stands for an account that has no row yet; ids in the database begin at 1."""


class ConnectError(ExplainedError):
    """The account could not be connected; the text says why and what to do. Nothing was stored."""


class ConsentDeclined(ConnectError):
    """The answer to our very request, and it is no: there is nothing more to wait for."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What connecting an account needs, all of one world; ``limiter`` is shared with other clients if given."""

    settings: Settings
    database: Database
    vault: Vault
    endpoint: TokenEndpoint
    redis: redis.asyncio.Redis
    calls: CallLog
    now: Callable[[], datetime]
    limiter: CallLimiter | None = None


def code_from_redirect(address: str, request: AuthorizationRequest, redirect_uri: str) -> str:
    """The authorization code in the ``address`` to which the browser was sent back.

    Raises:
        ConsentDeclined: it answers this request, but says no.
        ConnectError: it is not our redirect URI, or no answer to this request.
    """
    expected = urlsplit(redirect_uri)
    try:
        parts = urlsplit(address.strip())
    except ValueError:  # half an IPv6 address, for example
        parts = urlsplit("")
    if (parts.scheme, parts.netloc, parts.path) != (expected.scheme, expected.netloc, expected.path):
        raise ConnectError(
            f"That is not the address Spotify sends the browser back to: it begins with {redirect_uri}?code=… "
            "Copy the whole address from the browser after you have agreed."
        )
    answer = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if not hmac.compare_digest(answer.get("state", "").encode(), request.state.encode()):
        raise ConnectError(
            "The answer does not belong to this request (its state differs): it is from an earlier attempt, or "
            "from somebody else. Nothing was accepted. Start again."
        )
    if "error" in answer:
        said = (
            "the user declined" if answer["error"] == "access_denied" else f"it says '{answer['error'][:80]}'"
        )
        raise ConsentDeclined(f"Spotify gave no consent: {said}. Start again when you are ready to agree.")
    if not answer.get("code"):
        raise ConsentDeclined("Spotify's answer holds no code. Start again.")
    return answer["code"]


async def complete_authorization(
    desk: Desk,
    app_id: int,
    *,
    code: str,
    code_verifier: SecretStr,
    redirect_uri: str,
    name: str | None = None,
    expected_user: str | None = None,
    expected_account: int | None = None,
    run_id: str | None = None,
) -> AccountStanding:
    """Exchange the code, ask Spotify who consented, and store the account with its tokens sealed.

    Connecting a known user again renews its tokens and heals it.

    Args:
        name: what operators call the account; by default the user's display name.
        expected_user: Spotify id (or account id) of the user who is to consent; others are refused.
        expected_account: our id of the account whose consent is to be renewed; other users are refused.

    Raises:
        ConnectError: the code or the app was refused, or another user consented.
        RegistryError: another account has that name.
        VaultError: no key is configured.
    """
    authorized_at = desk.now()
    try:
        app = TokenStore(desk.database, desk.vault, desk.now).app_secret(app_id)
        grant = await desk.endpoint.exchange_code(
            app.client_id,
            app.client_secret,
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=code_verifier,
            app_id=app_id,
        )
        profile = await _who_consented(desk, app_id, grant)
    except SpotifyError as error:
        raise ConnectError(f"The account was not connected. {error}") from error
    if expected_user is not None and expected_user not in (profile.id, profile.account_id):
        raise ConnectError(
            f"The browser answered as '{profile.id}', but '{expected_user}' was to be connected. Log out of "
            "Spotify in the browser (https://accounts.spotify.com/logout) and start again."
        )
    if expected_account is not None:
        _refuse_others(desk, expected_account, profile)
    with desk.database.transaction() as session:
        lock_app(session, app_id)
        account = save_account(
            session,
            desk.vault,
            app_id=app_id,
            name=name,
            profile=profile,
            grant=grant,
            now=authorized_at,
            run_id=run_id,
        )
        leave_incident(session, account, desk.now())
        return account_standings(session, desk.now(), [account.id])[0]


def _refuse_others(desk: Desk, account_id: int, profile: Profile) -> None:
    """Compare by the key that never changes, where both sides have it."""
    with desk.database.transaction() as session:
        account = load_account(session, account_id)
    if account.spotify_account_id is not None and profile.account_id is not None:
        same = account.spotify_account_id == profile.account_id
    else:
        same = account.spotify_user_id == profile.id
    if not same:
        raise ConnectError(
            f"The browser answered as '{profile.id}', but '{account.name}' is the Spotify user "
            f"'{account.spotify_user_id}'. Nothing was changed. Log out of Spotify in the browser "
            "(https://accounts.spotify.com/logout) and start again."
        )


async def _who_consented(desk: Desk, app_id: int, grant: TokenGrant) -> Profile:
    newcomer = _Newcomer(app_id, grant, _apps(desk))
    async with SpotifyClient.open(
        desk.settings,
        redis=desk.redis,
        credentials=newcomer,
        apps=newcomer,
        calls=desk.calls,
        clock=desk.now,
        limiter=desk.limiter,
    ) as client:
        # A person is waiting.
        return await client.as_account(_NEWCOMER, priority=Priority.INTERACTIVE).me()


def _apps(desk: Desk) -> DatabaseApps:
    return DatabaseApps(desk.database, clock=desk.now, capability_days=desk.settings.capability_days)


class _Newcomer:
    """The client's view of a user who has tokens but no row yet."""

    def __init__(self, app_id: int, grant: TokenGrant, apps: DatabaseApps) -> None:
        self._app_id = app_id
        self._grant = grant
        self._apps = apps
        self.profile = apps.profile
        self.record_capability = apps.record_capability
        self.record_cooldown = apps.record_cooldown

    async def app_token(self, app_id: int, *, refused: str | None = None) -> str:
        raise NotImplementedError("a newcomer is asked about with its own token")

    async def account_token(self, account_id: int, *, refused: str | None = None) -> str:
        if refused is not None:
            raise AuthorizationLost(
                "Spotify refuses the token it has just given. Start again.",
                reason=LostReason.REFUSED_AFTER_REFRESH,
                app_id=self._app_id,
            )
        return self._grant.access_token.get_secret_value()

    def account_app(self, account_id: int) -> int:
        return self._app_id

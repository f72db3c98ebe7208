"""The accounts service: where tokens come from.

What belongs here: the token endpoint's three grants and the address that asks for consent (Authorization
Code with PKCE and state). What does not: keeping tokens, deciding when to refresh, locks (``accounts``).
Nothing of an answer's body but the standard error code ever reaches an exception.
"""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

import redis.asyncio
from pydantic import SecretStr

from spotify_pipelines.settings import Settings, World
from spotify_pipelines.spotify.accounting import CallLog, Service
from spotify_pipelines.spotify.caller import Caller, Request, Route
from spotify_pipelines.spotify.errors import MalformedAnswer
from spotify_pipelines.spotify.limiter import Limiter
from spotify_pipelines.spotify.retry import ambiguous
from spotify_pipelines.spotify.routes import require_own_world
from spotify_pipelines.spotify.transport import HttpTransport
from spotify_pipelines.spotify.turns import CallLimiter, Turn
from spotify_pipelines.spotify.verdict import Answer, Where, accounts_verdict, parse_json

__all__ = ["SCOPES", "AuthorizationRequest", "TokenEndpoint", "TokenGrant"]

SCOPES = ("playlist-modify-public", "playlist-modify-private", "playlist-read-private")
"""What playlists need; covers would need ``ugc-image-upload`` as well."""
TOKEN_CALLS_PER_30S = 100
"""The token endpoint's own limit is not published; this serves a thousand accounts in five minutes."""

_ENDPOINT = "POST /api/token"


@dataclass(frozen=True, slots=True)
class _Asker:
    """Whom tokens are asked for: the app as the accounts service knows it, and as we do, for the books."""

    client_id: str
    client_secret: SecretStr | None
    app_id: int | None = None
    account_id: int | None = None


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What the token endpoint gave.

    ``expires_in`` counts seconds from the answer. ``refresh_token`` is None where the old one stays valid.
    """

    access_token: SecretStr
    expires_in: int
    refresh_token: SecretStr | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """Where to send the user, and what to keep until they come back."""

    url: str
    state: str
    code_verifier: SecretStr


class TokenEndpoint:
    """Calls ``POST /api/token``, which has a limit of its own, apart from the Web API's.

    Every method raises ``AuthorizationLost`` (``CONSENT_GONE`` or ``APP_REFUSED``: terminal),
    ``BadRequest``, or, after bounded retries, ``RateLimited`` / ``QuotaExceeded`` / ``Unavailable`` /
    ``MalformedAnswer`` (transient: nothing is lost).
    """

    def __init__(self, caller: Caller, base_url: str) -> None:
        self._caller = caller
        self._base_url = base_url

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        redis: redis.asyncio.Redis,
        calls: CallLog | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        limiter: CallLimiter | None = None,
    ) -> AsyncIterator["TokenEndpoint"]:
        """An endpoint of the settings' world, closed at the end of the block.

        Raises:
            SettingsError: an address is missing, or is one of the other world.
        """
        require_own_world(settings)
        live = settings.world is World.LIVE
        async with HttpTransport.open(time_limit=settings.request_timeout, use_proxies=live) as http:
            own = Limiter(redis, settings.key_prefix, max_processes=settings.max_processes)
            turns = limiter or own
            caller = Caller(http, turns, calls if calls is not None else CallLog(), clock=clock)
            try:
                yield cls(caller, settings.require_spotify_accounts_url())
            finally:
                await own.aclose()

    async def client_credentials(
        self, client_id: str, client_secret: SecretStr, *, app_id: int | None = None
    ) -> TokenGrant:
        """A token of the app itself, for catalogue reads; it can't write playlists."""
        form = {"grant_type": "client_credentials"}
        return await self._grant(_Asker(client_id, client_secret, app_id), form)

    async def refresh(
        self,
        client_id: str,
        client_secret: SecretStr | None,
        refresh_token: SecretStr,
        *,
        app_id: int | None = None,
        account_id: int | None = None,
    ) -> TokenGrant:
        """A new access token, and perhaps a new refresh token (keep the old one where None).

        One at a time per account: two at once can end the session. That is the caller's lock to hold. For the same
        reason it is not sent again after an answer that says nothing: the first one may still be under way, or
        have replaced the token.

        Raises:
            Ambiguous: the token may be used up; wait until the first attempt must have ended.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token.get_secret_value()}
        asker = _Asker(client_id, client_secret, app_id, account_id)
        return await self._grant(asker, form, repeatable=False)

    async def exchange_code(
        self,
        client_id: str,
        client_secret: SecretStr | None,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: SecretStr,
        app_id: int | None = None,
    ) -> TokenGrant:
        """The first tokens of an account, for the code that came back from the consent page.

        Raises:
            Ambiguous: the code may be used up; ask for consent again.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier.get_secret_value(),
        }
        return await self._grant(_Asker(client_id, client_secret, app_id), form, repeatable=False)

    def authorize_url(
        self,
        client_id: str,
        *,
        redirect_uri: str,
        scopes: tuple[str, ...] = SCOPES,
        show_dialog: bool = False,
    ) -> AuthorizationRequest:
        """A consent page's address with a fresh state and PKCE challenge (S256, RFC 7636).

        Raises:
            ValueError: the redirect URI is none that Spotify takes (``localhost``, plain http elsewhere).
        """
        _check_redirect(redirect_uri)
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(64)
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": client_id,
            "scope": " ".join(scopes),
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge_method": "S256",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "show_dialog": str(show_dialog).lower(),
        }
        return AuthorizationRequest(
            f"{self._base_url}/authorize?{urlencode(query)}", state, SecretStr(verifier)
        )

    async def _grant(
        self, asker: "_Asker", form: Mapping[str, str], *, repeatable: bool = True
    ) -> TokenGrant:
        # A public client (PKCE) has no secret and names itself in the form.
        whole = form if asker.client_secret is not None else {**form, "client_id": asker.client_id}
        request = Request(_ENDPOINT, "/api/token", form=whole, repeatable=repeatable)
        answer = await self._caller.call(self._route(asker), request)
        where = Where(_ENDPOINT, asker.app_id, asker.account_id, status=answer.status)
        try:
            return _read_grant(answer, where)
        except MalformedAnswer as error:
            if repeatable:
                raise
            raise ambiguous(error) from None

    def _route(self, asker: "_Asker") -> Route:
        async def authorize(refused: str | None) -> tuple[dict[str, str], str | None]:
            if asker.client_secret is None:
                return {}, None
            pair = f"{asker.client_id}:{asker.client_secret.get_secret_value()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}, None

        return Route(
            service=Service.ACCOUNTS,
            base_url=self._base_url,
            app_id=asker.app_id,
            account_id=asker.account_id,
            turn=lambda: Turn(f"accounts-{asker.client_id}", TOKEN_CALLS_PER_30S),
            authorize=authorize,
            check_cooldown=lambda where: None,
            on_quota=lambda error: None,
            verdict=accounts_verdict,
        )


def _read_grant(answer: Answer, where: Where) -> TokenGrant:
    data = parse_json(answer, where)
    access, lifetime, refresh = data.get("access_token"), data.get("expires_in"), data.get("refresh_token")
    if not isinstance(access, str) or not access or not isinstance(lifetime, int):
        raise MalformedAnswer("the answer holds no access token. Try again later.", **where.facts())
    return TokenGrant(
        SecretStr(access),
        lifetime,
        SecretStr(refresh) if isinstance(refresh, str) and refresh else None,
        tuple(str(data.get("scope") or "").split()),
    )


def _check_redirect(redirect_uri: str) -> None:
    parts = urlsplit(redirect_uri)
    loopback = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1") and parts.port is not None
    if not loopback and not (parts.scheme == "https" and parts.hostname not in (None, "localhost")):
        raise ValueError(
            f"Spotify does not take the redirect URI {redirect_uri!r}: it has to be https, or "
            "http://127.0.0.1:PORT or http://[::1]:PORT ('localhost' is refused)."
        )

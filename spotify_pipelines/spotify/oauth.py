"""The accounts service: where tokens come from.

What belongs here: the token endpoint's three grants and the address that asks for consent (Authorization Code
with PKCE and state). What does not: keeping tokens, deciding when to refresh, locks (``accounts``). Nothing
of an answer's body but the standard error code ever reaches an exception.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import redis.asyncio
from pydantic import SecretStr

from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.accounting import CallLog

__all__ = ["SCOPES", "AuthorizationRequest", "TokenEndpoint", "TokenGrant"]

SCOPES = ("playlist-modify-public", "playlist-modify-private", "playlist-read-private")
"""What playlists need; covers would need ``ugc-image-upload`` as well."""


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

    Every method raises ``AuthorizationLost`` (``CONSENT_GONE`` or ``APP_REFUSED``: terminal), ``BadRequest``,
    or, after bounded retries, ``RateLimited`` / ``Unavailable`` / ``MalformedAnswer`` (transient: nothing is
    lost).
    """

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, *, redis: redis.asyncio.Redis, calls: CallLog | None = None
    ) -> AsyncIterator["TokenEndpoint"]:
        """An endpoint of the settings' world, closed at the end of the block."""
        yield cls()

    async def client_credentials(self, client_id: str, client_secret: SecretStr) -> TokenGrant:
        """A token of the app itself, for catalogue reads; it can't write playlists."""
        raise NotImplementedError

    async def refresh(
        self, client_id: str, client_secret: SecretStr | None, refresh_token: SecretStr
    ) -> TokenGrant:
        """A new access token, and perhaps a new refresh token (keep the old one where None).

        Not sent again after an ambiguous answer with a rotated token: the caller decides under its lock.
        """
        raise NotImplementedError

    async def exchange_code(
        self,
        client_id: str,
        client_secret: SecretStr | None,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: SecretStr,
    ) -> TokenGrant:
        """The first tokens of an account, for the code that came back from the consent page."""
        raise NotImplementedError

    def authorize(
        self,
        client_id: str,
        *,
        redirect_uri: str,
        scopes: tuple[str, ...] = SCOPES,
        show_dialog: bool = False,
    ) -> AuthorizationRequest:
        """A consent page's address with a fresh state and PKCE challenge (S256).

        Raises:
            ValueError: the redirect URI is none that Spotify takes (``localhost``, plain http elsewhere).
        """
        raise NotImplementedError

"""Authorization codes, access tokens and refresh tokens: issued, looked up, expired, revoked.

The rules of the protocol are in ``oauth``; here is what the tokens are. Times are simulated seconds since the
epoch. A refresh token dies six months after the user's authorization, however often it was used.
"""

import datetime as dt
import secrets
from calendar import monthrange
from dataclasses import dataclass

from spotify_pipelines.simulator.clock import as_datetime
from spotify_pipelines.simulator.database import Database

__all__ = ["ACCESS_TOKEN_LIFETIME", "AccessToken", "Code", "RefreshToken", "Tokens", "consent_end"]

ACCESS_TOKEN_LIFETIME = 3600
_CODE_LIFETIME = 600
_CONSENT_MONTHS = 6


@dataclass(frozen=True, slots=True)
class Code:
    """What the browser brings back from ``/authorize``; worth one exchange."""

    code: str
    client_id: str
    user_id: str
    scopes: frozenset[str]
    redirect_uri: str
    challenge: str | None
    expires_at: float
    used: bool


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token; ``user_id`` is None for an app's own."""

    token: str
    client_id: str
    user_id: str | None
    scopes: frozenset[str]
    expires_at: float


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """``is_public``: issued to a client without a secret (PKCE)."""

    token: str
    client_id: str
    user_id: str
    scopes: frozenset[str]
    authorized_at: float
    is_public: bool
    revoked: bool


def consent_end(authorized_at: float) -> float:
    """When the consent given at ``authorized_at`` ends: the same day six months on, or the month's last."""
    start = as_datetime(authorized_at)
    months = start.month - 1 + _CONSENT_MONTHS
    year, month = start.year + months // 12, months % 12 + 1
    day = min(start.day, monthrange(year, month)[1])
    return dt.datetime.combine(dt.date(year, month, day), start.timetz()).timestamp()


class Tokens:
    """All tokens of the accounts service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue_code(
        self,
        client_id: str,
        user_id: str,
        scopes: frozenset[str],
        *,
        redirect_uri: str,
        challenge: str | None,
        now: float,
    ) -> str:
        """A code for the exchange, good for ten minutes."""
        code = "AQ" + secrets.token_urlsafe(96)
        self._database.run(
            "INSERT INTO codes VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            *(code, client_id, user_id, _join(scopes), redirect_uri, challenge, now + _CODE_LIFETIME),
        )
        return code

    def find_code(self, code: str) -> Code | None:
        """The code as issued, used or not."""
        row = self._database.row("SELECT * FROM codes WHERE code = ?", code)
        return (
            None
            if row is None
            else Code(
                code=row["code"],
                client_id=row["client_id"],
                user_id=row["user_id"],
                scopes=_split(row["scopes"]),
                redirect_uri=row["redirect_uri"],
                challenge=row["challenge"],
                expires_at=row["expires_at"],
                used=bool(row["used"]),
            )
        )

    def use_code(self, code: Code) -> None:
        """Mark a code as spent."""
        self._database.run("UPDATE codes SET used = 1 WHERE code = ?", code.code)

    def issue_access(
        self, client_id: str, user_id: str | None, scopes: frozenset[str], now: float
    ) -> AccessToken:
        """A bearer token for an hour; those long expired are swept out."""
        self._database.run("DELETE FROM access_tokens WHERE expires_at < ?", now - 24 * ACCESS_TOKEN_LIFETIME)
        token = AccessToken(
            "BQ" + secrets.token_urlsafe(96), client_id, user_id, scopes, now + ACCESS_TOKEN_LIFETIME
        )
        self._database.run(
            "INSERT INTO access_tokens VALUES (?, ?, ?, ?, ?)",
            *(token.token, client_id, user_id, _join(scopes), token.expires_at),
        )
        return token

    def find_access(self, token: str) -> AccessToken | None:
        """The bearer token as issued, expired or not."""
        row = self._database.row("SELECT * FROM access_tokens WHERE token = ?", token)
        return (
            None
            if row is None
            else AccessToken(
                row["token"], row["client_id"], row["user_id"], _split(row["scopes"]), row["expires_at"]
            )
        )

    def issue_refresh(
        self, client_id: str, user_id: str, scopes: frozenset[str], authorized_at: float, *, is_public: bool
    ) -> RefreshToken:
        """A refresh token of the consent given at ``authorized_at``."""
        token = RefreshToken(
            "AQ" + secrets.token_urlsafe(96), client_id, user_id, scopes, authorized_at, is_public, False
        )
        self._database.run(
            "INSERT INTO refresh_tokens VALUES (?, ?, ?, ?, ?, ?, 0)",
            *(token.token, client_id, user_id, _join(scopes), authorized_at, is_public),
        )
        return token

    def find_refresh(self, token: str) -> RefreshToken | None:
        """The refresh token as issued, dead or not."""
        row = self._database.row("SELECT * FROM refresh_tokens WHERE token = ?", token)
        return (
            None
            if row is None
            else RefreshToken(
                token=row["token"],
                client_id=row["client_id"],
                user_id=row["user_id"],
                scopes=_split(row["scopes"]),
                authorized_at=row["authorized_at"],
                is_public=bool(row["is_public"]),
                revoked=bool(row["revoked"]),
            )
        )

    def revoke_refresh(self, token: str) -> None:
        """Kill one refresh token."""
        self._database.run("UPDATE refresh_tokens SET revoked = 1 WHERE token = ?", token)

    def revoke_user(self, user_id: str, client_id: str | None = None) -> int:
        """The user removes the app (or all apps) in the account settings; the number of refresh tokens killed."""
        self._database.run(
            "DELETE FROM access_tokens WHERE user_id = ?1 AND client_id = coalesce(?2, client_id)",
            user_id,
            client_id,
        )
        return self._database.run(
            "UPDATE refresh_tokens SET revoked = 1 WHERE user_id = ?1 AND client_id = coalesce(?2, client_id)"
            " AND NOT revoked",
            user_id,
            client_id,
        )

    def expire_access(self, user_id: str | None) -> int:
        """Let the user's access tokens (None: everybody's) expire at once; how many there were."""
        return self._database.run(
            "UPDATE access_tokens SET expires_at = 0 WHERE user_id = coalesce(?1, user_id)", user_id
        )


def _join(scopes: frozenset[str]) -> str:
    return " ".join(sorted(scopes))


def _split(scopes: str) -> frozenset[str]:
    return frozenset(scopes.split())

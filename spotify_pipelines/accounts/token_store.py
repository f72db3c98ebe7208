"""Tokens in the database: read in clear, replaced after a refresh, taken out of use when they are lost.

What belongs here: short transactions, each of which leaves tokens, health and events agreeing. What does
not: any call to Spotify, and when to make one (``credentials``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from pydantic import SecretStr
from sqlalchemy.orm import Session

from spotify_pipelines.accounts import incidents
from spotify_pipelines.accounts.health import ADVICE, Health, HealthState, Outcome
from spotify_pipelines.accounts.registry import (
    ACCESS_TOKEN,
    CLIENT_SECRET,
    REFRESH_TOKEN,
    account_owner,
    app_owner,
    health_of,
    load_account,
    load_app,
    record_health,
    store_tokens,
)
from spotify_pipelines.accounts.vault import Vault, VaultError
from spotify_pipelines.spotify.errors import (
    Ambiguous,
    AuthorizationLost,
    LostReason,
    SpotifyError,
    Unavailable,
)
from spotify_pipelines.spotify.oauth import TokenGrant
from spotify_pipelines.store import accounts as queries
from spotify_pipelines.store import leases
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.leases import Lease
from spotify_pipelines.store.tables import Account, AccountEvent, SpotifyApp

__all__ = ["SETTLE", "TOKEN_GRANTS", "AppSecret", "StoredTokens", "TokenStore"]

_log = structlog.get_logger(__name__)

TOKEN_GRANTS = "token_grants"  # noqa: S105 - the name of a capability
"""Capability of an app: the accounts service takes its client id and secret."""
_CLAIM = timedelta(seconds=180)
"""Longer than the token endpoint is tried at most (two minutes and a last attempt)."""
SETTLE = timedelta(seconds=60)
"""How long a refresh without an answer may still be under way: two of one token at once can end the session."""
_ANSWER_WAS_LOST = (
    "The answer to an earlier refresh was lost, and with it, it seems, the refresh token in it."
)


@dataclass(frozen=True, slots=True)
class AppSecret:
    """What an app shows the token endpoint; public apps (PKCE only) have no secret."""

    client_id: str
    client_secret: SecretStr | None


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """An account's tokens in clear, for as long as they are needed."""

    app_id: int
    access_token: SecretStr | None
    refresh_token: SecretStr
    expires_at: datetime | None
    doubtful: bool
    """The consent seemed to be gone, and this is the time to find out: use the refresh token only."""


class TokenStore:
    """Reads and writes tokens of one database with one vault."""

    def __init__(self, database: Database, vault: Vault, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    def app_secret(self, app_id: int) -> AppSecret:
        """An app's client id and secret.

        Raises:
            RegistryError: there is no such app.
            AuthorizationLost: the secret can't be read.
        """
        with self._database.transaction() as session:
            return self._open_app(load_app(session, app_id))

    def tokens(self, account_id: int, run_id: str | None) -> StoredTokens:
        """An account's tokens, if it may be asked for at all.

        Raises:
            RegistryError: there is no such account.
            AuthorizationLost: its consent is gone and no probe is due, or its secrets can't be read; then it
                is quarantined.
        """
        with self._database.transaction() as session:
            account = load_account(session, account_id)
            health = health_of(account)
            lost = health.state is HealthState.QUARANTINED and health.reason is Outcome.AUTHORIZATION_LOST
            if health.reason is Outcome.DISCONNECTED:
                raise _lost(account, ADVICE[Outcome.DISCONNECTED], LostReason.NO_CREDENTIALS)
            if lost and not health.probe_due(self._clock()):
                raise _lost(account, ADVICE[Outcome.AUTHORIZATION_LOST], LostReason.CONSENT_GONE)
            try:
                return self._open_account(account, doubtful=lost)
            except VaultError as error:
                unreadable = _lost(account, str(error), LostReason.NO_CREDENTIALS)
                self._quarantine_unreadable(session, account, health, str(error), run_id)
        raise unreadable

    def claim(self, account_id: int, holder: str) -> Lease | None:
        """The exclusive right to refresh the account's tokens, for a bounded time; None: somebody has it."""
        with self._database.transaction() as session:
            return leases.acquire(session, f"refresh:account:{account_id}", holder, _CLAIM)

    def release(self, claim: Lease) -> None:
        """Give that right back."""
        with self._database.transaction() as session:
            leases.release(session, claim)

    def begin_refresh(self, account_id: int, claim: Lease, *, force: bool) -> bool:
        """Commit, before the call, that the refresh token is about to be used.

        Args:
            force: also while an incident of the app lets other accounts go first.

        Returns:
            Whether the answer to an earlier refresh was lost, and with it perhaps a newer refresh token.

        Raises:
            Unavailable: the token is to be left alone for a while: after a lost answer until that call must have
                ended, in an incident until it is this account's turn.
            LeaseLost: somebody took over.
        """
        now = self._clock()
        with self._database.transaction() as session:
            leases.guard(session, claim)
            account = load_account(session, account_id)
            sent = account.refresh_sent_at
            if sent is not None and now < sent + SETTLE:
                raise _not_yet(
                    account, f"the answer to the refresh of {sent:%H:%M:%S} UTC was lost", sent + SETTLE
                )
            until = None if force else incidents.not_before(session, account, now)
            if until is not None:
                raise _not_yet(
                    account, "Spotify refused the consents of many accounts of its app at once", until
                )
            account.refresh_sent_at = now
            return sent is not None

    def replace(
        self, account_id: int, claim: Lease, grant: TokenGrant, *, asked_at: datetime, run_id: str | None
    ) -> None:
        """Store what a refresh gave, with its event and the account's health, in one transaction.

        Raises:
            LeaseLost: somebody took over, whose tokens are newer; nothing is written.
        """
        with self._database.transaction() as session:
            leases.guard(session, claim)
            incidents.consent_granted(session, load_account(session, account_id), self._clock(), run_id)
            account = load_account(session, account_id, lock=True)
            account.refresh_sent_at = None
            store_tokens(self._vault, account, grant, asked_at)
            session.add(
                AccountEvent(
                    account_id=account_id,
                    at=self._clock(),
                    event="token_refreshed",
                    reason="the refresh token was replaced" if grant.refresh_token else None,
                    run_id=run_id,
                )
            )
            record_health(session, account_id, Outcome.TOKEN_GRANTED, self._clock(), run_id)
        _log.info(
            "account.refreshed",
            account=account.name,
            account_id=account_id,
            rotated=grant.refresh_token is not None,
            run_id=run_id,
        )

    def refresh_failed(
        self,
        account_id: int,
        claim: Lease,
        error: SpotifyError,
        run_id: str | None,
        *,
        answer_was_lost: bool = False,
    ) -> SpotifyError:
        """Take down that a refresh failed, and answer the error to raise.

        A refused consent quarantines the account, unless so many are refused that it is an incident of the app; a
        refused app is marked and the account left as it is; anything else only degrades.

        Args:
            answer_was_lost: that of an earlier refresh, which explains a refusal.

        Raises:
            LeaseLost: somebody took over; what they find out counts.
        """
        with self._database.transaction() as session:
            leases.guard(session, claim)
            account = load_account(session, account_id)
            if not isinstance(error, Ambiguous):
                account.refresh_sent_at = None  # this answer, or that none was possible, is certain
                session.flush()
            if not isinstance(error, AuthorizationLost):
                incidents.refresh_failed(session, account, self._clock())
                record_health(session, account_id, Outcome.TOKEN_FAILURE, self._clock(), run_id)
                return error
            if error.reason is LostReason.APP_REFUSED:
                self._mark_app(session, account.app_id, str(error))
                return _app_lost(load_app(session, account.app_id))
            detail = f"{_ANSWER_WAS_LOST} {ADVICE[Outcome.AUTHORIZATION_LOST]}" if answer_was_lost else None
            outcome = incidents.consent_refused(session, account, self._clock(), run_id, detail=detail)
            if outcome is Outcome.INCIDENT:
                return _lost(account, ADVICE[outcome], LostReason.CONSENT_GONE)
            return _lost(account, detail or ADVICE[outcome], LostReason.CONSENT_GONE)

    def app_granted(self, app_id: int) -> None:
        """The accounts service took the app's secret: forget that it was once refused."""
        with self._database.transaction() as session:
            finding = load_app(session, app_id).capabilities.get(TOKEN_GRANTS)
            if finding and not finding.get("available"):
                self._put(session, app_id, available=True, evidence="a token was granted")

    def app_refused(self, app_id: int, error: SpotifyError) -> AuthorizationLost:
        """Mark the app whose id or secret was refused, and answer the error to raise."""
        with self._database.transaction() as session:
            self._mark_app(session, app_id, str(error))
            return _app_lost(load_app(session, app_id))

    def _mark_app(self, session: Session, app_id: int, evidence: str) -> None:
        self._put(session, app_id, available=False, evidence=evidence)
        _log.error("app.refused", app_id=app_id)

    def _put(self, session: Session, app_id: int, *, available: bool, evidence: str) -> None:
        at = self._clock().isoformat()
        finding = {"available": available, "at": at, "evidence": evidence}
        queries.put_capability(session, app_id, TOKEN_GRANTS, finding)

    def _open_app(self, app: SpotifyApp) -> AppSecret:
        if app.client_secret is None:
            return AppSecret(app.client_id, None)
        try:
            secret = self._vault.open(app.client_secret, owner=app_owner(app.id), purpose=CLIENT_SECRET)
        except VaultError as error:
            raise AuthorizationLost(
                f"The app '{app.name}' can't be used. {error}", reason=LostReason.APP_REFUSED, app_id=app.id
            ) from None
        return AppSecret(app.client_id, SecretStr(secret))

    def _open_account(self, account: Account, *, doubtful: bool) -> StoredTokens:
        owner = account_owner(account.id)
        if account.refresh_token is None:
            raise VaultError("No refresh token is stored: the account is to be connected again.")
        access = account.access_token and self._vault.open(
            account.access_token, owner=owner, purpose=ACCESS_TOKEN
        )
        return StoredTokens(
            app_id=account.app_id,
            access_token=SecretStr(access) if access else None,
            refresh_token=SecretStr(
                self._vault.open(account.refresh_token, owner=owner, purpose=REFRESH_TOKEN)
            ),
            expires_at=account.expires_at,
            doubtful=doubtful,
        )

    def _quarantine_unreadable(
        self, session: Session, account: Account, health: Health, detail: str, run_id: str | None
    ) -> None:
        # Every use of the account comes by here: only the first, and then each probe, is worth taking down.
        known = health.reason is Outcome.SECRET_UNREADABLE
        if not known or health.probe_due(self._clock()):
            record_health(
                session, account.id, Outcome.SECRET_UNREADABLE, self._clock(), run_id, detail=detail
            )


def _not_yet(account: Account, why: str, until: datetime) -> Unavailable:
    return Unavailable(
        f"The token of the account '{account.name}' is not refreshed before {until:%Y-%m-%d %H:%M:%S} UTC: {why}. "
        "It is tried again by itself.",
        endpoint="POST /api/token",
        account_id=account.id,
        app_id=account.app_id,
    )


def _lost(account: Account, advice: str, reason: LostReason) -> AuthorizationLost:
    return AuthorizationLost(
        f"The account '{account.name}' can't be used. {advice}",
        reason=reason,
        account_id=account.id,
        app_id=account.app_id,
    )


def _app_lost(app: SpotifyApp) -> AuthorizationLost:
    return AuthorizationLost(
        f"Spotify refuses the id or secret of the app '{app.name}', for all its accounts. Look them up in "
        "Spotify's developer dashboard and run 'spotify-pipelines apps add' again with the same name.",
        reason=LostReason.APP_REFUSED,
        app_id=app.id,
    )

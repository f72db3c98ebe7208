"""What the client asks about apps before every call, answered from memory; what it finds out, stored at once.

What belongs here: the client's ports ``Apps`` and ``LimitMemory`` over PostgreSQL. What does not: tokens
(``credentials``), probing. A cooldown that another process stored is known here within two seconds; until then
the shared limiter tells of it.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from spotify_pipelines.accounts.capabilities import DEFAULT_DAYS, Finding, findings, in_force
from spotify_pipelines.accounts.registry import RegistryError
from spotify_pipelines.spotify.errors import BanKind, QuotaExceeded
from spotify_pipelines.spotify.learning import LearnedLimit, Mode
from spotify_pipelines.spotify.ports import AppProfile
from spotify_pipelines.store import accounts as queries
from spotify_pipelines.store.cooldowns import save_cooldown
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import SpotifyApp

__all__ = ["DatabaseApps"]

_log = structlog.get_logger(__name__)
_FRESH_FOR = 2.0


class DatabaseApps:
    """Profiles of all apps of one database, read again when older than ``fresh_for`` seconds.

    Args:
        capability_days: what is found out holds for so long; then it is unknown again.
    """

    def __init__(
        self,
        database: Database,
        *,
        fresh_for: float = _FRESH_FOR,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        capability_days: int = DEFAULT_DAYS,
    ) -> None:
        self._database = database
        self._fresh_for = fresh_for
        self._clock = clock
        self._capability_days = capability_days
        self._profiles: dict[int, AppProfile] = {}
        self._app_of: dict[int, int] = {}
        self._stale_at = float("-inf")

    def profile(self, app_id: int, *, anew: bool = False) -> AppProfile:
        """The app as known now, cooldown included; ``anew``: as the database has it.

        Raises:
            RegistryError: there is no such app.
        """
        if anew or time.monotonic() >= self._stale_at or app_id not in self._profiles:
            self._read()
        if app_id not in self._profiles:
            raise RegistryError(
                f"There is no app with the id {app_id}; 'spotify-pipelines apps list' shows all."
            )
        return self._profiles[app_id]

    def account_app(self, account_id: int) -> int:
        """The app through which the account is connected.

        Raises:
            RegistryError: there is no such account.
        """
        if account_id not in self._app_of:
            with self._database.transaction() as session:
                self._app_of = queries.app_ids_by_account(session)
        if account_id not in self._app_of:
            raise RegistryError(
                f"There is no account with the id {account_id}; 'spotify-pipelines accounts list' shows all."
            )
        return self._app_of[account_id]

    def record_capability(self, app_id: int, capability: str, available: bool, evidence: str) -> None:
        """Remember what a probe or a refusal showed, with its date and expiry."""
        finding = Finding.made(available, evidence, self._clock(), self._capability_days)
        with self._database.transaction() as session:
            queries.put_capability(session, app_id, capability, finding.as_json())
        _log.info(
            "app.capability", app_id=app_id, capability=capability, available=available, evidence=evidence
        )
        self._read()

    def record_cooldown(self, app_id: int, ban: QuotaExceeded) -> list[str]:
        """Store a ban in Spotify's own words; a later deadline stays. Siblings share the one of a quota.

        Returns:
            The client ids that it holds back.
        """
        with self._database.transaction() as session:
            held = save_cooldown(
                session,
                app_id,
                kind=ban.kind,
                until=ban.until,
                observed_at=self._clock(),
                retry_after=ban.retry_after,
                endpoint=ban.endpoint or None,
                reason=ban.said or ban.message,
            )
        _log.warning(
            "app.cooldown_started",
            app_id=app_id,
            apps=held,
            kind=ban.kind.value,
            until=ban.until.isoformat(),
            retry_after=ban.retry_after,
            endpoint=ban.endpoint,
            reason=ban.said or ban.message,
        )
        self._read()
        own = self._profiles[app_id]
        return [own.client_id, *(self._siblings(own) if ban.kind is BanKind.QUOTA else ())]

    def learned_limit(self, app_id: int) -> LearnedLimit | None:
        """What was learned of the app's rate limit, whoever learned it."""
        with self._database.transaction() as session:
            row = queries.learned_limit(session, app_id)
            if row is None or row.mode not in set(Mode):
                return None
            probe_at = row.probe_at.timestamp() if row.probe_at else None
            now = self._clock().timestamp()
            return LearnedLimit.restored(row.calls_per_30s, Mode(row.mode), row.probed_from, probe_at, now)

    def record_learned_limit(self, app_id: int, learned: LearnedLimit, evidence: Mapping[str, Any]) -> None:
        """Store what was learned, with what it was concluded from."""
        with self._database.transaction() as session:
            queries.put_learned_limit(
                session,
                app_id,
                calls_per_30s=learned.limit,
                mode=learned.mode.value,
                probed_from=learned.probed_from,
                probe_at=datetime.fromtimestamp(learned.probe_at, UTC) if learned.probe_at else None,
                evidence=dict(evidence),
            )
        _log.info("app.limit_learned", app_id=app_id, limit=round(learned.limit, 1), mode=learned.mode.value)

    def _siblings(self, own: AppProfile) -> list[str]:
        return [
            other.client_id
            for other in self._profiles.values()
            if other is not own and own.developer_account and other.developer_account == own.developer_account
        ]

    def _read(self) -> None:
        with self._database.transaction() as session:
            self._profiles = {app.id: self._profile(app) for app in queries.apps(session)}
        self._stale_at = time.monotonic() + self._fresh_for

    def _profile(self, app: SpotifyApp) -> AppProfile:
        return AppProfile(
            app_id=app.id,
            client_id=app.client_id,
            calls_per_30s=app.calls_per_30s,
            cooldown_until=app.cooldown_until,
            developer_account=app.developer_account,
            capabilities=in_force(findings(app.capabilities, self._capability_days), self._clock()),
        )

"""The vault's keys over all stored secrets: which are in use, which secrets open, and sealing anew under the first.

What belongs here: the use cases behind ``keys check`` and ``keys rotate``. What does not: cryptography (``vault``),
where keys come from (``settings``). A rotation works row by row, each in a short transaction that locks the row: it
may run beside everything else, be killed, and be run again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.accounts.health import Outcome
from spotify_pipelines.accounts.registry import (
    ACCESS_TOKEN,
    CLIENT_SECRET,
    REFRESH_TOKEN,
    account_owner,
    app_owner,
    load_account,
    load_app,
    record_health,
)
from spotify_pipelines.accounts.vault import Vault, VaultError, sealed_with
from spotify_pipelines.store import secrets as store
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Account, SpotifyApp

__all__ = ["KeysReport", "check_keys", "rotate_keys"]

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class KeysReport:
    """What was found of all stored secrets.

    Attributes:
        keys: ids of the configured keys; the first one encrypts.
        secrets: how many there are.
        by_key: how many each key protects now, by its id; keys that are missing included.
        resealed: how many were sealed anew under the first key.
        unreadable: what can't be opened → why.
        healed: accounts whose secrets can be opened again.
    """

    keys: tuple[str, ...]
    secrets: int = 0
    by_key: dict[str, int] = field(default_factory=dict)
    resealed: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    healed: list[str] = field(default_factory=list)

    @property
    def under_older_keys(self) -> int:
        """Secrets that the first key does not protect."""
        return self.secrets - (self.by_key.get(self.keys[0], 0) if self.keys else 0)


def check_keys(database: Database, vault: Vault) -> KeysReport:
    """Try to open every stored secret, and count them by key; nothing is written."""
    return _walk(database, vault, rotate=False, now=None)


def rotate_keys(database: Database, vault: Vault, now: datetime) -> KeysReport:
    """Seal every secret anew that the first key does not protect yet; a second run changes nothing.

    What can't be opened stays as it is. Accounts that were quarantined because their secrets could not be opened,
    and whose secrets can be opened now, are healed.

    Raises:
        VaultError: no key is configured.
    """
    report = _walk(database, vault, rotate=True, now=now)
    _log.info("vault.rotated", resealed=report.resealed, secrets=report.secrets, key=report.keys[0])
    return report


@dataclass(frozen=True, slots=True)
class _Place:
    """One column of one row that holds a secret."""

    row: SpotifyApp | Account
    column: str
    owner: str
    purpose: str

    @property
    def sealed(self) -> bytes | None:
        value: bytes | None = getattr(self.row, self.column)
        return value


def _walk(database: Database, vault: Vault, *, rotate: bool, now: datetime | None) -> KeysReport:
    report = KeysReport(vault.key_ids)
    if rotate and not report.keys:
        vault.require_key()
    with database.transaction() as session:
        apps, accounts = store.apps_with_secrets(session), store.accounts_with_secrets(session)
    for app_id in apps:
        with database.transaction() as session:
            app = load_app(session, app_id, lock=rotate)
            _visit(_places_of_app(app), vault, report, rotate=rotate)
    for account_id in accounts:
        with database.transaction() as session:
            account = load_account(session, account_id, lock=rotate)
            readable = _visit(_places_of_account(account), vault, report, rotate=rotate)
            if now is not None and readable:
                _heal(session, account, now, report)
    return report


def _visit(places: Iterator[_Place], vault: Vault, report: KeysReport, *, rotate: bool) -> bool:
    """Open what lies in these places, and seal it anew if asked to; whether all of it could be opened."""
    readable = True
    for place in places:
        sealed = place.sealed
        if sealed is None:
            continue
        report.secrets += 1
        try:
            secret = vault.open(sealed, owner=place.owner, purpose=place.purpose)
        except VaultError as error:
            report.unreadable[f"{place.purpose} of {place.owner}"] = str(error)
            _count(report, sealed)
            readable = False
            continue
        if rotate and sealed_with(sealed) != report.keys[0]:
            sealed = vault.seal(secret, owner=place.owner, purpose=place.purpose)
            setattr(place.row, place.column, sealed)
            report.resealed += 1
        _count(report, sealed)
    return readable


def _count(report: KeysReport, sealed: bytes) -> None:
    key = sealed_with(sealed) or "unknown"
    report.by_key[key] = report.by_key.get(key, 0) + 1


def _places_of_app(app: SpotifyApp) -> Iterator[_Place]:
    yield _Place(app, "client_secret", app_owner(app.id), CLIENT_SECRET)


def _places_of_account(account: Account) -> Iterator[_Place]:
    yield _Place(account, "access_token", account_owner(account.id), ACCESS_TOKEN)
    yield _Place(account, "refresh_token", account_owner(account.id), REFRESH_TOKEN)


def _heal(session: Session, account: Account, now: datetime, report: KeysReport) -> None:
    if account.health_reason == Outcome.SECRET_UNREADABLE.value and account.refresh_token is not None:
        session.flush()
        record_health(session, account.id, Outcome.SECRET_READABLE, now, None, detail="its tokens open again")
        report.healed.append(account.name)

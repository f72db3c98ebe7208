"""The register of apps and accounts: who is connected, with which secrets, in what health.

What belongs here: adding and changing rows within the caller's transaction, secrets sealed on their way in,
and the standings that people are shown. What does not: calls to Spotify (``credentials``, ``connect``), SQL
(``store.accounts``), the rules of health (``health``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, count

import structlog
from pydantic import SecretStr
from sqlalchemy.orm import Session

from spotify_pipelines.accounts import health as rules
from spotify_pipelines.accounts.app_incidents import AppIncidentStanding, open_incidents
from spotify_pipelines.accounts.capabilities import DEFAULT_DAYS, Finding, findings
from spotify_pipelines.accounts.consent import ConsentLevel, consent_ends, consent_level
from spotify_pipelines.accounts.health import ADVICE, Health, HealthState, Outcome
from spotify_pipelines.accounts.limits import Learned, LimitStanding, limit_standing
from spotify_pipelines.accounts.vault import Vault
from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.spotify.models import Profile
from spotify_pipelines.spotify.oauth import SCOPES, TokenGrant
from spotify_pipelines.store import accounts as queries
from spotify_pipelines.store.calls import calls_today
from spotify_pipelines.store.cooldowns import bans, inherit_cooldown
from spotify_pipelines.store.tables import Account, AccountEvent, LearnedLimit, SpotifyApp

__all__ = [
    "AccountStanding",
    "AppStanding",
    "RegistryError",
    "account_owner",
    "account_standings",
    "add_app",
    "app_owner",
    "app_standings",
    "find_account",
    "find_app",
    "fix_limit",
    "health_of",
    "load_account",
    "load_app",
    "record_health",
    "save_account",
    "store_tokens",
]

ACCESS_TOKEN, REFRESH_TOKEN, CLIENT_SECRET = "access token", "refresh token", "client secret"
"""What a sealed secret is for; part of what the vault checks."""

_log = structlog.get_logger(__name__)


class RegistryError(ExplainedError):
    """An app or account is not there, or can't be stored as asked; the text says what to do."""


def app_owner(app_id: int) -> str:
    """The name under which the vault binds an app's secret."""
    return f"app:{app_id}"


def account_owner(account_id: int) -> str:
    """The name under which the vault binds an account's tokens."""
    return f"account:{account_id}"


def add_app(
    session: Session,
    vault: Vault,
    *,
    name: str,
    client_id: str,
    client_secret: SecretStr | None,
    developer_account: str | None = None,
    calls_per_30s: int | None = None,
    calls_per_day: int | None = None,
) -> SpotifyApp:
    """Register a client id of the developer dashboard, or change what is known of it.

    An app of the same name *and* client id is updated: adding it again is how a secret is replaced. What is
    None stays as it was.

    Args:
        calls_per_day: its budget; 0 takes an existing one away.

    Raises:
        RegistryError: the name belongs to another client id, or the client id to another name.
        VaultError: no key is configured.
    """
    for known in queries.apps(session):
        if (known.name == name) != (known.client_id == client_id):
            raise RegistryError(
                f"The app '{known.name}' has the client id {known.client_id} already. Choose another name, "
                f"or add the client id {known.client_id} under the name '{known.name}' to change it."
            )
    app = queries.app_named(session, name)
    if app is None:
        app = SpotifyApp(name=name, client_id=client_id)
        session.add(app)
        session.flush()
    if client_secret is not None:
        app.client_secret = vault.seal(
            client_secret.get_secret_value(), owner=app_owner(app.id), purpose=CLIENT_SECRET
        )
    app.developer_account = developer_account or app.developer_account
    app.calls_per_30s = calls_per_30s or app.calls_per_30s
    if calls_per_day is not None:
        app.calls_per_day = calls_per_day or None
    inherit_cooldown(session, app)
    session.flush()
    _log.info("app.saved", app=name, client_id=client_id)
    return app


def fix_limit(session: Session, name: str | None, calls_per_30s: int | None) -> SpotifyApp:
    """Fix the app's rate limit, or leave it to be found again (None); running processes know within seconds.

    What was learned is kept meanwhile: a search goes on from there.

    Raises:
        RegistryError: there is no such app, or several to choose from.
    """
    app = find_app(session, name)
    app.calls_per_30s = calls_per_30s
    session.flush()
    _log.info("app.limit_fixed", app=app.name, calls_per_30s=calls_per_30s)
    return app


def find_app(session: Session, name: str | None) -> SpotifyApp:
    """The app called ``name``; without a name, the only one there is.

    Raises:
        RegistryError: there is none, or several to choose from.
    """
    known = queries.apps(session)
    matching = [app for app in known if name in (None, app.name)]
    if len(matching) == 1:
        return matching[0]
    if not known:
        raise RegistryError("No app is registered yet. Add one with 'spotify-pipelines apps add'.")
    names = ", ".join(f"'{app.name}'" for app in known)
    if name is None:
        raise RegistryError(f"There are several apps ({names}). Say which with --app.")
    raise RegistryError(f"There is no app '{name}'; there is {names}.")


def find_account(session: Session, name: str) -> Account:
    """The account called ``name``, or with that id.

    Raises:
        RegistryError: there is none.
    """
    known = queries.accounts(session)
    by_name = next((account for account in known if account.name == name), None)
    found = by_name or next((account for account in known if str(account.id) == name), None)
    if found is None:
        raise RegistryError(
            f"There is no account '{name}'. 'spotify-pipelines accounts list' shows all."
            if known
            else "No account is connected yet. 'spotify-pipelines accounts connect' connects one."
        )
    return found


def load_app(session: Session, app_id: int, *, lock: bool = False) -> SpotifyApp:
    """The app's row; read anew and locked until the transaction's end if asked for.

    Raises:
        RegistryError: there is none.
    """
    app = session.get(SpotifyApp, app_id, with_for_update=lock or None, populate_existing=lock)
    if app is None:
        raise RegistryError(f"There is no app with the id {app_id}. 'spotify-pipelines apps list' shows all.")
    return app


def load_account(session: Session, account_id: int, *, lock: bool = False) -> Account:
    """The account's row, read anew; locked until the transaction's end if asked for.

    Raises:
        RegistryError: there is none.
    """
    account = session.get(Account, account_id, with_for_update=lock or None, populate_existing=lock)
    if account is None:
        raise RegistryError(
            f"There is no account with the id {account_id}. 'spotify-pipelines accounts list' shows all."
        )
    return account


def save_account(
    session: Session,
    vault: Vault,
    *,
    app_id: int,
    name: str | None,
    profile: Profile,
    grant: TokenGrant,
    now: datetime,
    run_id: str | None = None,
) -> Account:
    """Store a user who has just consented: a new account, or the known one with new tokens and good health.

    Args:
        name: what operators call it; None keeps the name, or takes the user's display name.
        profile: whom Spotify says the tokens belong to.
        grant: the answer to the authorization code.
        now: when the user consented; the consent ends six months later.

    Raises:
        RegistryError: another account has that name.
        VaultError: no key is configured.
    """
    account = queries.connected_account(session, app_id, profile.id, profile.account_id)
    is_new = account is None
    if account is None:
        account = Account(app_id=app_id, spotify_user_id=profile.id, name=_free_name(session, name, profile))
        account.health, account.health_since, account.failures = HealthState.OK.value, now, 0
        account.successes = 0
        session.add(account)
        session.flush()
    elif name is not None and name != account.name:
        account.name = _free_name(session, name, profile)
    account.spotify_user_id = profile.id
    account.spotify_account_id = profile.account_id or account.spotify_account_id
    account.display_name = profile.display_name
    account.authorized_at, account.consent_ends_at = now, consent_ends(now)
    account.refresh_sent_at = None  # that was about the old refresh token
    store_tokens(vault, account, grant, now)
    event = "connected" if is_new else "reauthorized"
    session.add(AccountEvent(account_id=account.id, at=now, event=event, run_id=run_id))
    session.flush()
    _log.info(f"account.{event}", account=account.name, account_id=account.id, scopes=account.scopes)
    record_health(session, account.id, Outcome.REAUTHORIZED, now, run_id)
    return account


def _free_name(session: Session, name: str | None, profile: Profile) -> str:
    """``name`` as asked for, or else one made of what Spotify says, so that it is nobody else's."""
    if name is None:
        shown = (profile.display_name or "").strip()
        numbered = (f"{profile.id} ({number})" for number in count(2))
        candidates = chain([shown] if shown else [], [profile.id], numbered)
        return next(candidate for candidate in candidates if not queries.name_is_taken(session, candidate))
    if queries.name_is_taken(session, name):
        raise RegistryError(f"Another account is called '{name}' already. Choose another name with --name.")
    return name


def store_tokens(vault: Vault, account: Account, grant: TokenGrant, asked_at: datetime) -> None:
    """Seal a grant into the account's row; without a new refresh token the old one stays.

    Args:
        asked_at: when the grant was asked for: its lifetime is counted from there, to be on the safe side.
    """
    owner = account_owner(account.id)
    account.access_token = vault.seal(
        grant.access_token.get_secret_value(), owner=owner, purpose=ACCESS_TOKEN
    )
    if grant.refresh_token is not None:
        account.refresh_token = vault.seal(
            grant.refresh_token.get_secret_value(), owner=owner, purpose=REFRESH_TOKEN
        )
    account.expires_at = asked_at + timedelta(seconds=grant.expires_in)
    if grant.scopes:
        account.scopes = sorted(grant.scopes)


def health_of(account: Account) -> Health:
    """The health that the row holds."""
    return Health(
        state=HealthState(account.health),
        reason=Outcome(account.health_reason) if account.health_reason else None,
        since=account.health_since,
        failures=account.failures,
        next_probe_at=account.next_probe_at,
        successes=account.successes,
        last_failure_at=account.last_failure_at,
    )


def record_health(
    session: Session,
    account_id: int,
    outcome: Outcome,
    now: datetime,
    run_id: str | None,
    *,
    detail: str | None = None,
    calls: int | None = None,
) -> Health:
    """Take down what happened to an account; a change of state leaves an event and a line in the log.

    Args:
        detail: a sentence on what happened, for the event; by default what the reason means.
        calls: calls that the run has made for the account, where it knows.

    Raises:
        RegistryError: there is no such account.
    """
    seen = health_of(load_account(session, account_id))
    if rules.after(seen, outcome, now) == seen:
        return seen  # the usual case, success after success, locks and writes nothing
    account = load_account(session, account_id, lock=True)
    before = health_of(account)
    after = rules.after(before, outcome, now)
    account.health, account.health_since, account.failures = after.state.value, after.since, after.failures
    account.health_reason = after.reason.value if after.reason else None
    account.next_probe_at = after.next_probe_at
    account.successes, account.last_failure_at = after.successes, after.last_failure_at
    if _is_news(before, after):
        detail = detail or (ADVICE[after.reason] if after.reason else None)
        event = AccountEvent(account_id=account.id, at=now, event="health_changed", run_id=run_id)
        event.cause, event.calls = outcome.value, calls
        event.health_before, event.health_after = before.state.value, after.state.value
        event.reason = f"{after.reason.value}: {detail}" if after.reason else detail
        session.add(event)
        _log.warning(
            "account.health_changed",
            account=account.name,
            account_id=account.id,
            before=before.state.value,
            after=after.state.value,
            reason=after.reason.value if after.reason else None,
            cause=outcome.value,
            calls=calls,
            next_probe_at=after.next_probe_at.isoformat() if after.next_probe_at else None,
            detail=detail,
            run_id=run_id,
        )
    session.flush()
    return after


def _is_news(before: Health, after: Health) -> bool:
    """Another state, or quarantined for another reason: then there is something else to do."""
    return before.state is not after.state or (
        after.state is HealthState.QUARANTINED and before.reason is not after.reason
    )


@dataclass(frozen=True, slots=True)
class AppStanding:
    """An app as people are shown it; of ``capabilities`` those that have expired are tried again.

    ``calls_per_30s`` is what was fixed for this app alone, ``limit`` what holds.
    """

    id: int
    name: str
    client_id: str
    has_secret: bool
    developer_account: str | None
    calls_per_30s: int | None
    limit: LimitStanding
    calls_per_day: int | None
    calls_today: int
    accounts: int
    capabilities: dict[str, Finding]
    cooldown_until: datetime | None
    cooldown_reason: str | None
    cooldown_kind: str | None
    incident: AppIncidentStanding | None


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """An account as people are shown it; ``advice`` says what its reason means and what to do."""

    id: int
    name: str
    app: str
    spotify_user_id: str
    display_name: str | None
    health: str
    reason: str | None
    advice: str | None
    since: datetime
    failures: int
    next_probe_at: datetime | None
    token_expires_at: datetime | None
    authorized_at: datetime | None
    consent_ends_at: datetime | None
    consent: ConsentLevel
    missing_scopes: tuple[str, ...]


def app_standings(
    session: Session,
    now: datetime,
    *,
    capability_days: int = DEFAULT_DAYS,
    calls_per_30s: int | None = None,
) -> list[AppStanding]:
    """All apps, by name; a cooldown that is over is left out.

    Args:
        calls_per_30s: the setting's limit for apps that have none of their own.
    """
    connected, made = queries.accounts_per_app(session), calls_today(session, now)
    learned = queries.learned_limits(session)
    standings, banned = [], {ban.app_id: ban for ban in bans(session, now)}
    in_trouble = open_incidents(session)
    for app in queries.apps(session):
        ban = banned.get(app.id)
        standings.append(
            AppStanding(
                id=app.id,
                name=app.name,
                client_id=app.client_id,
                has_secret=app.client_secret is not None,
                developer_account=app.developer_account,
                calls_per_30s=app.calls_per_30s,
                limit=limit_standing(app.calls_per_30s, calls_per_30s, _learned(learned.get(app.id))),
                calls_per_day=app.calls_per_day,
                calls_today=made.get(app.id, 0),
                accounts=connected.get(app.id, 0),
                capabilities=findings(app.capabilities, capability_days),
                cooldown_until=ban.until if ban else None,
                cooldown_reason=ban.reason if ban else None,
                cooldown_kind=ban.kind if ban else None,
                incident=in_trouble.get(app.id),
            )
        )
    return standings


def _learned(row: LearnedLimit | None) -> Learned | None:
    return None if row is None else Learned(**{name: getattr(row, name) for name in Learned.__slots__})


def account_standings(
    session: Session, now: datetime, account_ids: Sequence[int] = ()
) -> list[AccountStanding]:
    """These accounts, or all, by name."""
    apps = {app.id: app.name for app in queries.apps(session)}
    return [
        _standing(account, apps[account.app_id], now) for account in queries.accounts(session, account_ids)
    ]


def _standing(account: Account, app: str, now: datetime) -> AccountStanding:
    health = health_of(account)
    return AccountStanding(
        id=account.id,
        name=account.name,
        app=app,
        spotify_user_id=account.spotify_user_id,
        display_name=account.display_name,
        health=health.state.value,
        reason=health.reason.value if health.reason else None,
        advice=ADVICE[health.reason] if health.reason else None,
        since=health.since,
        failures=health.failures,
        next_probe_at=health.next_probe_at,
        token_expires_at=account.expires_at,
        authorized_at=account.authorized_at,
        consent_ends_at=account.consent_ends_at,
        consent=consent_level(account.consent_ends_at, now),
        missing_scopes=tuple(scope for scope in SCOPES if scope not in account.scopes),
    )

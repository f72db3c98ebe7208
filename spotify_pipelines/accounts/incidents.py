"""Mass refusals in the database: begun, probed and ended, with the health of the accounts in them.

What belongs here: steps within the caller's transaction, which leave incident, health and events agreeing. What does
not: when refusals are a mass and who is tried next (``mass_refusal``), SQL (``store.incidents``). Whoever changes an
incident holds the lock on its app, taken before any account's.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.accounts.health import ADVICE, Outcome
from spotify_pipelines.accounts.mass_refusal import WINDOW, Ending, Incident, Refusal, mass
from spotify_pipelines.accounts.registry import RegistryError, find_app, load_account, record_health
from spotify_pipelines.store import accounts as account_store
from spotify_pipelines.store import incidents as store
from spotify_pipelines.store.tables import Account, ConsentIncident

__all__ = [
    "IncidentStanding",
    "consent_granted",
    "consent_refused",
    "end_incident",
    "incident_standings",
    "leave_incident",
    "not_before",
    "refresh_failed",
]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IncidentStanding:
    """An incident that is going on, as people are shown it."""

    app: str
    began_at: datetime
    accounts: tuple[str, ...]
    connected: int
    probes: int
    next_probe_at: datetime
    next_probe: str | None


def incident_standings(session: Session) -> list[IncidentStanding]:
    """All incidents that are going on, by the name of their app."""
    going_on = store.open_incidents(session)
    standings = []
    for app in account_store.apps(session):
        row = going_on.get(app.id)
        if row is None:
            continue
        rows = account_store.accounts(session, row.account_ids) if row.account_ids else []
        names = {account.id: account.name for account in rows}
        prober = _state(row).prober
        standings.append(
            IncidentStanding(
                app=app.name,
                began_at=row.began_at,
                accounts=tuple(sorted(names.values())),
                connected=store.connected_accounts(session, app.id),
                probes=row.probes,
                next_probe_at=row.next_probe_at,
                next_probe=None if prober is None else names.get(prober),
            )
        )
    return standings


def consent_refused(
    session: Session, account: Account, now: datetime, run_id: str | None, *, detail: str | None = None
) -> Outcome:
    """Take down that Spotify refused the account's consent; answers what it is in, a quarantine or an incident.

    The refusal that makes a mass of those before it begins an incident, and all of them are released into it.
    """
    if account.health_reason == Outcome.AUTHORIZATION_LOST.value:
        # Lost before: its probe tells nothing new about the app.
        record_health(session, account.id, Outcome.AUTHORIZATION_LOST, now, run_id, detail=detail)
        return Outcome.AUTHORIZATION_LOST
    store.lock_app(session, account.app_id)
    row = store.open_incident(session, account.app_id)
    if row is not None:
        _write(row, _state(row).refused(account.id, now))
        record_health(session, account.id, Outcome.INCIDENT, now, run_id)
        return Outcome.INCIDENT
    record_health(session, account.id, Outcome.AUTHORIZATION_LOST, now, run_id, detail=detail)
    refused = mass(
        [Refusal(*each) for each in store.lost_since(session, account.app_id, now - WINDOW)],
        store.connected_accounts(session, account.app_id),
        now,
        settled_at=store.last_confirmed_at(session, account.app_id),
    )
    if account.id not in refused:
        return Outcome.AUTHORIZATION_LOST
    _begin(session, account.app_id, Incident.begun(refused, now), now, run_id)
    return Outcome.INCIDENT


def consent_granted(session: Session, account: Account, now: datetime, run_id: str | None) -> None:
    """A refresh gave a token: if the account is in an incident, its app has recovered."""
    if account.health_reason != Outcome.INCIDENT.value:
        return
    store.lock_app(session, account.app_id)
    row = store.open_incident(session, account.app_id)
    if row is not None and account.id in row.account_ids:
        _end(session, row, Ending.RECOVERED, now, run_id)


def refresh_failed(session: Session, account: Account, now: datetime) -> None:
    """A refresh failed for a reason that passes: if it was an incident's probe, the next one has its turn."""
    if account.health_reason != Outcome.INCIDENT.value:
        return
    store.lock_app(session, account.app_id)
    row = store.open_incident(session, account.app_id)
    if row is not None and account.id in row.account_ids:
        _write(row, _state(row).probed(now))


def not_before(session: Session, account: Account, now: datetime) -> datetime | None:
    """Until when the account's refresh token is left alone because of an incident; None: it may be used."""
    if account.health_reason != Outcome.INCIDENT.value:
        return None
    row = store.open_incident(session, account.app_id)
    if row is None or _state(row).may_refresh(account.id, now):
        return None
    return max(row.next_probe_at, now)


def leave_incident(session: Session, account: Account, now: datetime) -> None:
    """The account has consented anew, or goes: an incident with nobody left in it has ended."""
    store.lock_app(session, account.app_id)
    row = store.open_incident(session, account.app_id)
    if row is not None and account.id in row.account_ids:
        _write(row, _state(row).without(account.id))
        if not row.account_ids:
            row.ended_at, row.ending = now, Ending.RELEASED.value


def end_incident(
    session: Session, app_name: str, ending: Ending, now: datetime, *, run_id: str | None = None
) -> int:
    """A person's word: ``CONFIRMED`` quarantines all accounts of the incident, ``RELEASED`` heals them.

    Returns:
        How many accounts it was about.

    Raises:
        RegistryError: there is no such app, or no incident of it.
    """
    app = find_app(session, app_name)
    store.lock_app(session, app.id)
    row = store.open_incident(session, app.id)
    if row is None:
        raise RegistryError(
            f"No incident of the app '{app.name}' is going on. 'spotify-pipelines accounts health' shows what is "
            "wrong with single accounts."
        )
    return _end(session, row, ending, now, run_id)


def _begin(session: Session, app_id: int, incident: Incident, now: datetime, run_id: str | None) -> None:
    row = ConsentIncident(app_id=app_id, began_at=now, probes=0, next_probe_at=incident.next_probe_at)
    row.account_ids = list(incident.account_ids)
    session.add(row)
    for account_id in sorted(incident.account_ids):
        record_health(session, account_id, Outcome.INCIDENT, now, run_id)
    _log.error(
        "app.consents_refused_in_a_mass",
        app_id=app_id,
        accounts=len(incident.account_ids),
        next_probe_at=incident.next_probe_at.isoformat(),
        run_id=run_id,
    )


def _end(session: Session, row: ConsentIncident, ending: Ending, now: datetime, run_id: str | None) -> int:
    row.ended_at, row.ending = now, ending.value
    session.flush()
    outcome = Outcome.AUTHORIZATION_LOST if ending is Ending.CONFIRMED else Outcome.INCIDENT_OVER
    members = [
        account_id
        for account_id in sorted(row.account_ids)
        if load_account(session, account_id).health_reason == Outcome.INCIDENT.value
    ]
    for account_id in members:
        record_health(session, account_id, outcome, now, run_id, detail=_ENDED.get(ending))
    _log.warning(
        "app.mass_refusal_ended", app_id=row.app_id, accounts=len(members), ending=ending.value, run_id=run_id
    )
    return len(members)


_ENDED = {
    Ending.CONFIRMED: f"a person confirmed it. {ADVICE[Outcome.AUTHORIZATION_LOST]}",
    Ending.RELEASED: "a person ended the incident",
    Ending.RECOVERED: "Spotify gave an account of the incident a token",
}


def _state(row: ConsentIncident) -> Incident:
    return Incident(tuple(row.account_ids), row.probes, row.next_probe_at)


def _write(row: ConsentIncident, state: Incident) -> None:
    row.account_ids, row.probes, row.next_probe_at = (
        list(state.account_ids),
        state.probes,
        state.next_probe_at,
    )

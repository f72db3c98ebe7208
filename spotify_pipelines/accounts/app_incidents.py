"""Incidents of apps in the database: begun, tried by one process at a time, and ended.

What belongs here: steps within the caller's transaction, each with its line in the log. What does not: what is an
incident (``breaker``), SQL (``store.app_incidents``), the calls that try it (``playlists.app_watch``).

What keeps all processes from calling meanwhile is the app's cooldown, which every call looks at; the incident adds
why, since when, and who may try.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.accounts.breaker import WHAT_TO_DO, IncidentKind, next_probe_at
from spotify_pipelines.store import app_incidents as store
from spotify_pipelines.store.tables import AppIncident

__all__ = ["AppIncidentStanding", "begin", "claim_probe", "end", "open_incidents", "probe_failed"]

_log = structlog.get_logger(__name__)
_CLAIM = timedelta(minutes=2)
"""Longer than one call may take."""
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class AppIncidentStanding:
    """An incident that is going on, as people are shown it; ``probes`` have failed so far."""

    kind: IncidentKind
    reason: str
    since: datetime
    probes: int
    next_probe_at: datetime
    advice: str


def open_incidents(session: Session) -> dict[int, AppIncidentStanding]:
    """The incidents that are going on, by app id."""
    return {row.app_id: _standing(row) for row in store.open_incidents(session)}


def begin(
    session: Session, app_id: int, kind: IncidentKind, *, reason: str, now: datetime, run_id: str | None
) -> AppIncidentStanding:
    """Take down that the app is in trouble, and hold its calls back; one that is going on stays as it is."""
    app = store.lock_app(session, app_id)
    row = store.open_incident(session, app_id)
    if row is not None:
        return _standing(row)
    row = AppIncident(
        app_id=app_id,
        kind=kind.value,
        reason=reason[:_LONGEST_REASON],
        began_at=now,
        probes=0,
        next_probe_at=next_probe_at(kind, 0, now, jitter=_jitter(app_id, 0)),
        run_id=run_id,
    )
    session.add(row)
    session.flush()
    _hold_back(session, row)
    _log.error(
        "app.incident_began",
        app=app,
        app_id=app_id,
        kind=kind.value,
        reason=row.reason,
        next_probe_at=row.next_probe_at.isoformat(),
        run_id=run_id,
    )
    return _standing(row)


def claim_probe(session: Session, app_id: int, now: datetime) -> bool:
    """Whether the caller is the one to try the app now; for others its next probe is a while away."""
    store.lock_app(session, app_id)
    row = store.open_incident(session, app_id)
    if row is None or row.next_probe_at > now:
        return False
    row.next_probe_at = now + _CLAIM
    session.flush()
    return True


def probe_failed(
    session: Session, app_id: int, *, reason: str, now: datetime, run_id: str | None
) -> AppIncidentStanding | None:
    """The app was tried in vain: it waits for longer. None: somebody has ended the incident meanwhile."""
    app = store.lock_app(session, app_id)
    row = store.open_incident(session, app_id)
    if row is None:
        return None
    row.probes += 1
    row.next_probe_at = next_probe_at(
        IncidentKind(row.kind), row.probes, now, jitter=_jitter(app_id, row.probes)
    )
    session.flush()
    _hold_back(session, row)
    _log.warning(
        "app.incident_probed",
        app=app,
        app_id=app_id,
        kind=row.kind,
        probes=row.probes,
        found=reason[:_LONGEST_REASON],
        next_probe_at=row.next_probe_at.isoformat(),
        run_id=run_id,
    )
    return _standing(row)


def end(session: Session, app_id: int, now: datetime, run_id: str | None) -> None:
    """A call of the app succeeded: it is well again."""
    app = store.lock_app(session, app_id)
    row = store.open_incident(session, app_id)
    if row is None:
        return
    row.ended_at = now
    session.flush()
    _log.warning(
        "app.incident_ended",
        app=app,
        app_id=app_id,
        kind=row.kind,
        seconds=round((now - row.began_at).total_seconds()),
        probes=row.probes,
        run_id=run_id,
    )


def _hold_back(session: Session, row: AppIncident) -> None:
    store.hold_back(session, row.app_id, row.next_probe_at, f"{row.kind}: {row.reason}")


def _jitter(app_id: int, probes: int) -> float:
    return random.Random(f"{app_id}/{probes}").random()  # noqa: S311 - spreads apps, the same in every process


def _standing(row: AppIncident) -> AppIncidentStanding:
    kind = IncidentKind(row.kind)
    return AppIncidentStanding(
        kind, row.reason, row.began_at, row.probes, row.next_probe_at, WHAT_TO_DO[kind]
    )

"""From what is stored to what is worth a message: failed runs, bans, lost accounts, ending consents, dead letters.

What belongs here: the thresholds, and one alert for each. What does not: SQL (``store.incidents``), whether it was
told before, sending.

Many accounts lost at once are one incident: at least three and more than a fifth of an app's accounts, for the same
reason, within ten minutes. One account that is lost is shown by ``account_tokens``, and no reason to wake anybody.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from spotify_pipelines.observability.alerts import Alert, Kind
from spotify_pipelines.observability.logs import redact
from spotify_pipelines.store.cooldowns import bans
from spotify_pipelines.store.troubles import (
    dead_letters,
    ending_consents,
    failed_runs,
    lost_accounts,
    silent_apps,
)

__all__ = ["find_failures", "find_incidents"]

_LOOK_BACK = timedelta(hours=24)
_AT_ONCE = timedelta(minutes=10)
_MASS = 3
_MASS_SHARE = 0.2
_SILENCE = timedelta(minutes=30)
_SILENT_CALLS = 5
_WEEKLY = timedelta(days=7)


def find_failures(session: Session, now: datetime) -> list[Alert]:
    """Runs that failed in the last day before ``now`` (aware UTC); those with the same error are one alert."""
    alerts = []
    for failed in failed_runs(session, now - _LOOK_BACK):
        error = str(redact(failed.error or "no error was kept"))
        times = "once" if failed.count == 1 else f"{failed.count} times in 24 hours, last"
        # Numbers and ids differ from run to run, and the error is still the same.
        shape = "".join(sign for sign in error if not sign.isdigit())
        digest = hashlib.sha256(shape.encode()).hexdigest()[:12]
        alerts.append(
            Alert(
                Kind.RUN_FAILED,
                f"failed:{failed.job}:{digest}",
                f"{failed.job}, {times} at {failed.newest:%Y-%m-%d %H:%M} UTC: {error}",
                newest=failed.newest,
            )
        )
    return alerts


def find_incidents(
    session: Session, now: datetime, *, consent_warns: timedelta, consent_alarms: timedelta
) -> list[Alert]:
    """What is wrong at ``now`` (aware UTC) beyond a run.

    Args:
        consent_warns, consent_alarms: so long before their end, consents are worth a word, and are urgent.
    """
    return [
        *_bans(session, now),
        *_lost_accounts(session, now),
        *_silent_apps(session, now),
        *_ending_consents(session, now, consent_warns, consent_alarms),
        *_dead_letters(session),
    ]


def _bans(session: Session, now: datetime) -> list[Alert]:
    return [
        Alert(
            Kind.BAN,
            f"ban:{ban.app_id}",
            f"{ban.app}, until {ban.until:%Y-%m-%d %H:%M} UTC: {redact(ban.reason or 'no reason was given')}",
        )
        for ban in bans(session, now)
    ]


def _lost_accounts(session: Session, now: datetime) -> list[Alert]:
    alerts = []
    for lost in lost_accounts(session, now - _LOOK_BACK):
        at_once = _most_at_once(lost.lost_at)
        if at_once >= _MASS and at_once > _MASS_SHARE * lost.accounts_of_app:
            reason = lost.reason.replace("_", " ")
            line = (
                f"{len(lost.lost_at)} of {lost.accounts_of_app} accounts of the app {lost.app} are quarantined since "
                f"{lost.lost_at[0]:%Y-%m-%d %H:%M} UTC: {reason}"
            )
            alerts.append(
                Alert(Kind.ACCESS_LOST, f"lost:{lost.app_id}:{lost.reason}", line, newest=lost.lost_at[-1])
            )
    return alerts


def _most_at_once(times: Sequence[datetime]) -> int:
    """The most of these sorted times that lie within ten minutes."""
    return max(bisect_right(times, first + _AT_ONCE) - place for place, first in enumerate(times))


def _silent_apps(session: Session, now: datetime) -> list[Alert]:
    return [
        Alert(
            Kind.OUTAGE,
            f"outage:{silent.app_id}",
            f"{silent.app}: {silent.failed} calls failed in the last half hour, and none succeeded",
            newest=silent.newest,
        )
        for silent in silent_apps(session, now - _SILENCE, _SILENT_CALLS)
    ]


def _ending_consents(session: Session, now: datetime, warns: timedelta, alarms: timedelta) -> list[Alert]:
    alerts = []
    for consent in ending_consents(session, now + warns):
        urgent = consent.ends_at <= now + alarms
        verb = "ended" if consent.ends_at <= now else "ends"
        alerts.append(
            Alert(
                Kind.CONSENT_ENDS if urgent else Kind.CONSENT_ENDS_SOON,
                f"consent:{'urgent' if urgent else 'soon'}:{consent.account_id}",
                f"{consent.account}: {verb} {consent.ends_at:%Y-%m-%d %H:%M} UTC",
                # A month of daily reminders would teach people to look away.
                at_most_every=timedelta() if urgent else _WEEKLY,
            )
        )
    return alerts


def _dead_letters(session: Session) -> list[Alert]:
    return [
        Alert(
            Kind.DEAD_LETTERS,
            f"dead:{dead.kind}",
            f"{dead.count} for {dead.kind}, such as {dead.album_id}: {redact(dead.reason or 'no reason was kept')}",
        )
        for dead in dead_letters(session)
    ]

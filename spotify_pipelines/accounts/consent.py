"""How long a user's consent lasts, and when to speak up about its end.

What belongs here: calendar arithmetic over aware UTC times. What does not: asking for consent (``connect``).
Source: refresh tokens die six months after the user's authorization, and refreshing does not extend that.
"""

import calendar
from datetime import datetime, timedelta
from enum import StrEnum

__all__ = ["ALARM_BEFORE", "WARN_BEFORE", "ConsentLevel", "consent_ends", "consent_level"]

_MONTHS = 6
WARN_BEFORE = timedelta(days=30)
ALARM_BEFORE = timedelta(days=14)


class ConsentLevel(StrEnum):
    """How urgent it is to have the user consent again."""

    FINE = "fine"
    SOON = "soon"
    URGENT = "urgent"
    ENDED = "ended"


def consent_ends(authorized_at: datetime) -> datetime:
    """The same day and time six months on, or the last day of a month that lacks it.

    >>> from datetime import UTC
    >>> consent_ends(datetime(2026, 8, 31, 12, tzinfo=UTC)).isoformat()
    '2027-02-28T12:00:00+00:00'
    """
    months = authorized_at.month - 1 + _MONTHS
    year, month = authorized_at.year + months // 12, months % 12 + 1
    day = min(authorized_at.day, calendar.monthrange(year, month)[1])
    return authorized_at.replace(year=year, month=month, day=day)


def consent_level(ends_at: datetime | None, now: datetime) -> ConsentLevel:
    """``SOON`` from 30 days before the end, ``URGENT`` from 14; an unknown end is taken as fine."""
    if ends_at is None or ends_at - now > WARN_BEFORE:
        return ConsentLevel.FINE
    if ends_at <= now:
        return ConsentLevel.ENDED
    return ConsentLevel.URGENT if ends_at - now <= ALARM_BEFORE else ConsentLevel.SOON

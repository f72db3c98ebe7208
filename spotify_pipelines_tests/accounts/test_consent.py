"""Consent lasts six calendar months, and its end is announced."""

from datetime import UTC, datetime, timedelta

import pytest

from spotify_pipelines.accounts.consent import ConsentLevel, consent_ends, consent_level


@pytest.mark.parametrize(
    ("authorized", "ends"),
    [
        ((2026, 11, 23), (2027, 5, 23)),
        ((2026, 8, 31), (2027, 2, 28)),
        ((2027, 8, 31), (2028, 2, 29)),
        ((2026, 12, 31), (2027, 6, 30)),
        ((2026, 6, 30), (2026, 12, 30)),
    ],
)
def test_consent_ends_six_calendar_months_after_the_authorization(
    authorized: tuple[int, int, int], ends: tuple[int, int, int]
) -> None:
    assert consent_ends(datetime(*authorized, 9, 30, tzinfo=UTC)) == datetime(*ends, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "level"),
    [
        (timedelta(days=31), ConsentLevel.FINE),
        (timedelta(days=30), ConsentLevel.SOON),
        (timedelta(days=14, seconds=1), ConsentLevel.SOON),
        (timedelta(days=14), ConsentLevel.URGENT),
        (timedelta(seconds=1), ConsentLevel.URGENT),
        (timedelta(0), ConsentLevel.ENDED),
    ],
)
def test_the_end_of_consent_is_announced_a_month_before_and_becomes_urgent(
    left: timedelta, level: ConsentLevel
) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert consent_level(now + left, now) is level


def test_an_unknown_end_raises_no_alarm() -> None:
    assert consent_level(None, datetime(2026, 11, 23, tzinfo=UTC)) is ConsentLevel.FINE

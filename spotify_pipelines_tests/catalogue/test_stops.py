"""Telling one item's trouble from everybody's."""

from datetime import UTC, datetime, timedelta

import pytest

from spotify_pipelines.catalogue.stops import OUTAGE, concerns_all, outage, stop_for
from spotify_pipelines.spotify.errors import (
    AuthorizationLost,
    Forbidden,
    ForbiddenReason,
    LostReason,
    MalformedAnswer,
    NotFound,
    QuotaExceeded,
    RateLimited,
    SpotifyError,
    Unavailable,
)

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("error", "everybody"),
    [
        (QuotaExceeded("banned", until=TOMORROW), True),
        (RateLimited("slow down"), True),
        (AuthorizationLost("secret refused", reason=LostReason.APP_REFUSED), True),
        (Forbidden("Premium", reason=ForbiddenReason.OWNER_PREMIUM), True),
        (Forbidden("not this one", reason=ForbiddenReason.ENDPOINT_OR_OWNER), False),
        (NotFound("gone"), False),
        (Unavailable("503"), False),
        (MalformedAnswer("no json"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SpotifyError) else str(value),
)
def test_errors_of_the_app_concern_all_items(error: SpotifyError, everybody: bool) -> None:
    assert concerns_all(error) is everybody


def test_a_ban_lasts_until_it_ends_and_a_limit_for_a_minute_at_least() -> None:
    assert stop_for(QuotaExceeded("banned", until=TOMORROW), now=NOW).until == TOMORROW
    assert stop_for(RateLimited("slow down"), now=NOW).until == NOW + timedelta(minutes=1)
    slow = RateLimited("slow down")
    slow.retry_after = 100.0
    assert stop_for(slow, now=NOW).until == NOW + timedelta(seconds=100)


def test_a_lost_authorization_waits_for_a_person() -> None:
    lost = AuthorizationLost("secret refused", reason=LostReason.APP_REFUSED)
    assert stop_for(lost, now=NOW).until is None


def test_only_so_many_failures_in_a_row_are_an_outage() -> None:
    down = [Unavailable("503")] * OUTAGE
    assert outage(down[1:], now=NOW) is None
    stop = outage(down, now=NOW)
    assert stop is not None
    assert (stop.kind, stop.until) == ("Outage", NOW + timedelta(minutes=15))

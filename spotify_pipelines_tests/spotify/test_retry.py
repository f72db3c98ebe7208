"""The retry decision, as a table."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.spotify.errors import (
    Ambiguous,
    AuthorizationLost,
    BadRequest,
    Forbidden,
    ForbiddenReason,
    LostReason,
    MalformedAnswer,
    NotFound,
    QuotaExceeded,
    RateLimited,
    SpotifyError,
    Unavailable,
    is_transient,
)
from spotify_pipelines.spotify.retry import (
    DEADLINE,
    LONGEST_BAN,
    MAX_ATTEMPTS,
    GiveUp,
    Progress,
    Refresh,
    Retry,
    decide,
    parse_retry_after,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def limited(retry_after: float | None) -> RateLimited:
    error = RateLimited("429")
    error.retry_after = retry_after
    return error


def unavailable(*, sent: bool = True, retry_after: float | None = None) -> Unavailable:
    error = Unavailable("503")
    error.sent, error.retry_after = sent, retry_after
    return error


TOKEN_REFUSED = AuthorizationLost("401", reason=LostReason.REFUSED_AFTER_REFRESH)
PERMANENT: list[SpotifyError] = [
    QuotaExceeded("429", until=NOW),
    AuthorizationLost("gone", reason=LostReason.CONSENT_GONE),
    Forbidden("403", reason=ForbiddenReason.SCOPE),
    NotFound("404"),
    BadRequest("400"),
]


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("repeatable", [True, False])
def test_what_asking_again_cannot_mend_is_given_up_at_once(error: SpotifyError, repeatable: bool) -> None:
    decision = decide(error, repeatable=repeatable, progress=Progress(1), rng=random.Random(1))

    assert decision == GiveUp(error)


@pytest.mark.parametrize(
    ("error", "repeatable", "expected"),
    [
        (unavailable(sent=True), True, Retry),
        (unavailable(sent=False), True, Retry),
        (unavailable(sent=False), False, Retry),
        (limited(1), True, Retry),
        (limited(1), False, Retry),
        (TOKEN_REFUSED, True, Refresh),
        (TOKEN_REFUSED, False, Refresh),
        (unavailable(sent=True), False, Ambiguous),
        (MalformedAnswer("html"), False, Ambiguous),
        (MalformedAnswer("html"), True, MalformedAnswer),
    ],
)
def test_the_first_failure_decides_by_its_kind_and_the_call(
    error: SpotifyError, repeatable: bool, expected: type[object]
) -> None:
    decision = decide(error, repeatable=repeatable, progress=Progress(1), rng=random.Random(1))

    assert isinstance(decision.error if isinstance(decision, GiveUp) else decision, expected)


def test_a_second_refusal_of_the_token_is_no_third_try() -> None:
    decision = decide(
        TOKEN_REFUSED, repeatable=True, progress=Progress(2, refreshed=True), rng=random.Random(1)
    )

    assert decision == GiveUp(TOKEN_REFUSED)


@pytest.mark.parametrize("error", [unavailable(), limited(1), TOKEN_REFUSED], ids=["503", "429", "401"])
def test_the_sixth_attempt_is_the_last(error: SpotifyError) -> None:
    fifth = decide(error, repeatable=True, progress=Progress(MAX_ATTEMPTS - 1), rng=random.Random(1))
    sixth = decide(error, repeatable=True, progress=Progress(MAX_ATTEMPTS), rng=random.Random(1))

    assert not isinstance(fifth, GiveUp)
    assert isinstance(sixth, GiveUp)


@pytest.mark.parametrize("error", [unavailable(), limited(1)], ids=["503", "429"])
def test_the_deadline_ends_the_attempts(error: SpotifyError) -> None:
    assert isinstance(
        decide(error, repeatable=True, progress=Progress(2, spent=DEADLINE), rng=random.Random(1)), GiveUp
    )


def test_an_app_is_paused_even_by_the_429_that_is_given_up() -> None:
    decision = decide(
        limited(3), repeatable=True, progress=Progress(MAX_ATTEMPTS, limited=1), rng=random.Random(1)
    )

    assert isinstance(decision, GiveUp)
    assert decision.pause is not None
    assert decision.pause >= 3


@given(
    retry_after=st.none() | st.floats(0, 120),
    limited_before=st.integers(1, MAX_ATTEMPTS - 1),
    seed=st.integers(),
)
def test_a_limited_call_waits_no_less_than_asked_and_never_less_than_the_floor(
    retry_after: float | None, limited_before: int, seed: int
) -> None:
    progress = Progress(limited_before, limited=limited_before)
    decision = decide(limited(retry_after), repeatable=False, progress=progress, rng=random.Random(seed))

    wait = decision.pause if isinstance(decision, GiveUp | Retry) else None
    assert wait is not None
    assert wait >= max(retry_after or 0, 2 ** (limited_before - 1))
    assert wait <= 1.1 * max(5 if retry_after is None else retry_after, 2 ** (limited_before - 1)) + 0.2


@given(attempts=st.integers(1, MAX_ATTEMPTS - 1), seed=st.integers())
def test_back_off_is_spread_over_an_exponential_bound(attempts: int, seed: int) -> None:
    decision = decide(unavailable(), repeatable=True, progress=Progress(attempts), rng=random.Random(seed))

    assert isinstance(decision, Retry)
    assert 0 <= decision.after <= min(20, 0.5 * 2 ** (attempts - 1))


def test_a_503_that_names_a_time_is_obeyed() -> None:
    decision = decide(
        unavailable(retry_after=30), repeatable=True, progress=Progress(1), rng=random.Random(1)
    )

    assert isinstance(decision, Retry)
    assert decision.after >= 30


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3),
        (" 3 ", 3),
        ("1.5", 1.5),
        ("0", 0),
        ("-5", 0),
        ("1000000000", LONGEST_BAN),
        ("9" * 400, LONGEST_BAN),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_BAN),
        (None, None),
        ("", None),
        ("abc", None),
        ("٣", None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("Mon, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_every_shape(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, now=NOW) == seconds


@given(st.text() | st.integers().map(str) | st.floats().map(str) | st.datetimes().map(format_datetime))
def test_no_retry_after_header_breaks_us_or_stops_us_for_ever(header: str) -> None:
    seconds = parse_retry_after(header, now=NOW)

    assert seconds is None or 0 <= seconds <= LONGEST_BAN


def test_only_what_passes_by_itself_is_called_transient() -> None:
    assert all(is_transient(error) for error in (limited(1), unavailable(), PERMANENT[0], TOKEN_REFUSED))
    assert not any(is_transient(error) for error in [*PERMANENT[1:], ValueError()])

"""The retry decision, as a table."""

import random
from dataclasses import replace
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
    Decision,
    GiveUp,
    Progress,
    Refresh,
    Retry,
    decide,
    parse_retry_after,
)
from spotify_pipelines.spotify.verdict import Answer, Where, verdict

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


def test_a_503_that_names_a_time_beyond_the_deadline_is_not_asked_again_before_it() -> None:
    error = unavailable(retry_after=DEADLINE + 1)

    assert decide(error, repeatable=True, progress=Progress(1), rng=random.Random(1)) == GiveUp(error)


QUOTA = b'{"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}'
ROWS: list[tuple[str, Answer, str, str]] = [
    # What came, the answer, and what is done about a read or write, and about a create or append.
    ("429, short", Answer(429, {"retry-after": "2"}, b""), "pause", "pause"),
    ("429, zero", Answer(429, {"retry-after": "0"}, b""), "pause", "pause"),
    ("429, no time", Answer(429, {}, b""), "pause", "pause"),
    ("429, quota", Answer(429, {}, QUOTA), "QuotaExceeded", "QuotaExceeded"),
    ("429, quota, short", Answer(429, {"retry-after": "2"}, QUOTA), "QuotaExceeded", "QuotaExceeded"),
    ("429, long", Answer(429, {"retry-after": "121"}, b""), "QuotaExceeded", "QuotaExceeded"),
    ("500", Answer(500, {}, b""), "again", "Ambiguous"),
    ("502", Answer(502, {}, b"<html>"), "again", "Ambiguous"),
    ("503", Answer(503, {"retry-after": "2"}, b""), "again", "Ambiguous"),
    ("504", Answer(504, {}, b""), "again", "Ambiguous"),
    ("408", Answer(408, {}, b""), "again", "Ambiguous"),
    ("401", Answer(401, {}, b""), "refresh", "refresh"),
    ("400", Answer(400, {}, b""), "BadRequest", "BadRequest"),
    ("403", Answer(403, {}, b""), "Forbidden", "Forbidden"),
    ("404", Answer(404, {}, b""), "NotFound", "NotFound"),
]


@pytest.mark.parametrize(
    ("answer", "repeated", "created"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_each_answer_is_treated_as_the_table_says(answer: Answer, repeated: str, created: str) -> None:
    error = verdict(answer, Where("GET /me"), now=NOW)
    assert error is not None

    assert told(decide(error, repeatable=True, progress=Progress(1), rng=random.Random(1))) == repeated
    assert told(decide(error, repeatable=False, progress=Progress(1), rng=random.Random(1))) == created


def told(decision: Decision) -> str:
    """A decision in the words of the table."""
    match decision:
        case GiveUp():
            return type(decision.error).__name__
        case Refresh():
            return "refresh"
        case Retry():
            return "again" if decision.pause is None else "pause"


@given(
    outcomes=st.lists(
        st.tuples(
            st.one_of(
                st.none() | st.floats(0, 120),
                st.just("503"),
                st.just("401"),
            ),
            st.floats(0, 30),
        ),
        min_size=MAX_ATTEMPTS + 2,
        max_size=MAX_ATTEMPTS + 2,
    ),
    seed=st.integers(),
)
def test_whatever_comes_a_call_ends_within_its_attempts_and_starts_none_after_its_deadline(
    outcomes: list[tuple[float | str | None, float]], seed: int
) -> None:
    rng, progress, started_at, refreshes = random.Random(seed), Progress(0), 0.0, 0
    for what, flight in outcomes:
        started_at = progress.spent
        error = {"503": unavailable(), "401": TOKEN_REFUSED}.get(str(what)) or limited(what)  # type: ignore[arg-type]
        progress = replace(
            progress,
            attempts=progress.attempts + 1,
            spent=progress.spent + flight,
            limited=progress.limited + isinstance(error, RateLimited),
        )
        decision = decide(error, repeatable=True, progress=progress, rng=rng)
        if isinstance(decision, GiveUp):
            break
        if isinstance(decision, Refresh):
            refreshes, progress = refreshes + 1, replace(progress, refreshed=True)
        else:
            progress = replace(progress, spent=progress.spent + decision.after)

    assert isinstance(decision, GiveUp)
    assert progress.attempts <= MAX_ATTEMPTS
    assert started_at <= DEADLINE
    assert refreshes <= 1


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

"""The bucket's arithmetic: no window is ever fuller than the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.spotify.pace import JITTER, WINDOW, Bucket, Pace


def fullest(times: list[float], window: float = WINDOW) -> int:
    """Most calls in any window of so many seconds."""
    ordered = sorted(times)
    return max((sum(start <= time < start + window for time in ordered) for start in ordered), default=0)


@given(
    limit=st.integers(1, 120),
    gaps=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 7.0, 40.0]), min_size=1, max_size=200),
    delays=st.lists(st.floats(0, JITTER), min_size=1, max_size=20),
)
def test_no_window_goes_over_the_limit_however_calls_come_and_are_delayed(
    limit: int, gaps: list[float], delays: list[float]
) -> None:
    pace = Pace.of(limit)
    bucket, now, sent = Bucket.empty(pace, 0.0), 0.0, []
    for number, gap in enumerate(gaps):
        now += gap
        at = bucket.free_at(pace, now)
        bucket.take(pace, now)
        sent.append(at + delays[number % len(delays)])

    assert fullest(sent) <= limit


@pytest.mark.parametrize("limit", [1, 2, 10, 19, 20, 90, 300])
def test_the_worst_case_fills_a_window_to_the_limit_and_no_further(limit: int) -> None:
    """A full bucket under a demand without end, whose first calls are the only late ones."""
    pace = Pace.of(limit)
    bucket, now, sent = Bucket.empty(pace, -100.0), 0.0, []
    while now < 3 * WINDOW:
        at = bucket.free_at(pace, now)
        bucket.take(pace, now)
        # Just short of the allowance: on it, the call after the last one falls on the window's very edge.
        sent.append(max(at, 0.999 * JITTER))
        now = at

    assert limit - 1 <= fullest(sent) <= limit


@pytest.mark.parametrize("limit", [1, 2, 10, 90, 3000])
def test_a_steady_flow_uses_most_of_the_limit(limit: int) -> None:
    assert WINDOW / Pace.of(limit).interval >= 0.85 * limit


def test_a_quiet_spell_is_worth_a_tenth_of_the_limit() -> None:
    pace = Pace.of(90)
    bucket = Bucket.empty(pace, 0.0)

    turns = []
    for _ in range(20):
        turns.append(bucket.free_at(pace, 100.0))
        bucket.take(pace, 100.0)

    assert [turn == pytest.approx(100.0) for turn in turns].count(True) == 9


def test_what_is_given_back_is_free_again_unless_somebody_came_after() -> None:
    pace = Pace.of(30)
    bucket = Bucket.empty(pace, 0.0)
    untouched = bucket.tat
    first = bucket.take(pace, 0.0)
    second = bucket.take(pace, 0.0)

    bucket.give_back(pace, first)
    assert bucket.tat == second
    bucket.give_back(pace, second)
    assert bucket.tat == pytest.approx(untouched + pace.interval)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        Pace.of(limit)

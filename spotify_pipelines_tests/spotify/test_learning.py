"""The estimator of an unknown limit, against a server that counts exactly."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.spotify.learning import CAUTIOUS, PROBE_AFTER, Evidence, LearnedLimit, Mode

COUNTS = st.integers(0, 5000)


def saturate(
    limit: int, state: LearnedLimit, *, seconds: int, now: float = 0.0
) -> tuple[LearnedLimit, int, float]:
    """Calls as fast as the state allows, against a window of ``limit``: the state, episodes, and the time."""
    sent: deque[float] = deque()
    episodes, end = 0, now + seconds
    while now < end:
        now += 30 / state.limit
        if len(sent) >= int(state.limit):
            now = max(now, sent[len(sent) - int(state.limit)] + 30.001)
        while sent and sent[0] <= now - 30:
            sent.popleft()
        if len(sent) >= limit:
            episodes += 1
            state = state.after_refusal(Evidence(len(sent), len(sent), test=False), now)
            now += 3
            continue
        sent.append(now)
        is_full = len(sent) >= state.fullness * int(state.limit)
        state = state.after_calls(int(is_full), 60.0 if is_full else 0.0, now)
    return state, episodes, now


@pytest.mark.parametrize("limit", [31, 90, 300, 1000])
def test_an_unknown_limit_is_found_after_one_episode(limit: int) -> None:
    state, episodes, _ = saturate(limit, LearnedLimit.unknown(0.0), seconds=600)

    assert episodes == 1
    assert state.limit == pytest.approx(limit, rel=0.02)
    assert state.mode is Mode.STEADY


def test_a_raised_limit_is_found_at_the_next_probe() -> None:
    state, _, now = saturate(90, LearnedLimit.unknown(0.0), seconds=600)
    state, _, now = saturate(180, state, seconds=int(PROBE_AFTER) + 900, now=now)

    assert state.limit == pytest.approx(180, rel=0.1)


def test_an_unchanged_limit_costs_one_episode_an_hour() -> None:
    state, _, now = saturate(90, LearnedLimit.unknown(0.0), seconds=600)
    state, episodes, _ = saturate(90, state, seconds=int(PROBE_AFTER) + 300, now=now)

    assert episodes == 1
    assert state.limit == pytest.approx(90, rel=0.05)


def test_nothing_is_tried_without_demand() -> None:
    steady = LearnedLimit.unknown(0.0).after_refusal(Evidence(50, 50, False), 100.0)

    assert steady.after_calls(5, 20.0, 100.0 + 2 * PROBE_AFTER) == steady
    assert steady.after_calls(5, 31.0, 100.0 + PROBE_AFTER - 1) == steady
    assert steady.after_calls(5, 31.0, 100.0 + PROBE_AFTER).mode is Mode.SEARCH


def test_a_refused_test_call_means_that_the_limit_fell() -> None:
    steady = LearnedLimit.unknown(0.0).after_refusal(Evidence(100, 100, False), 100.0)
    fallen = steady.after_refusal(Evidence(60, 60, True), 110.0)

    assert fallen.limit == 30
    assert fallen.mode is Mode.SEARCH


@given(
    events=st.lists(
        st.one_of(
            st.tuples(st.just("passed"), COUNTS, st.floats(0, 1000)),
            st.tuples(st.just("refused"), COUNTS, st.floats(0, 1000)),
            st.tuples(st.just("tested"), COUNTS, st.floats(0, 1000)),
        )
    )
)
def test_a_refusal_never_raises_a_kept_limit_and_no_limit_is_below_one(
    events: list[tuple[str, int, float]],
) -> None:
    state, now = LearnedLimit.unknown(0.0), 0.0
    for event, calls, passes in events:
        now += passes
        before = state
        if event == "passed":
            state = state.after_calls(calls, passes, now)
            assert before.limit <= state.limit <= before.limit + calls
        else:
            state = state.after_refusal(Evidence(calls, calls, event == "tested"), now)
            assert state.limit <= max(1.0, calls)
            if before.mode is Mode.STEADY:
                assert state.limit < before.limit or state.limit == 1
            assert state.probe_at == now + PROBE_AFTER
        assert state.limit >= 1
        assert LearnedLimit.from_fields(state.fields()) == state


def test_what_is_restored_goes_on_where_it_was() -> None:
    steady = LearnedLimit.restored(77.0, Mode.STEADY, None, 5000.0, now=100.0)

    assert (steady.limit, steady.mode, steady.probe_at) == (77.0, Mode.STEADY, 5000.0)
    assert LearnedLimit.unknown(0.0).limit == CAUTIOUS

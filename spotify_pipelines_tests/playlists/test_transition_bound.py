"""The bound is held against the cheapest of all permutations."""

from itertools import pairwise, permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spotify_pipelines.playlists.transition_bound import one_tree_bound

Costs = NDArray[np.int64]


@st.composite
def symmetric_costs(draw: st.DrawFn, least: int = 0, most: int = 6) -> Costs:
    n = draw(st.integers(least, most))
    upper = np.zeros((n, n), dtype=np.int64)
    for row in range(n):
        for column in range(row + 1, n):
            upper[row, column] = draw(st.integers(0, 1_000_000))
    return upper + upper.T


def cheapest(costs: Costs, clashing: NDArray[np.bool_] | None = None) -> int | None:
    """Cost of the cheapest path, without steps between clashing ones; None if there is no such path."""
    sums = [
        sum(int(costs[a, b]) for a, b in pairwise(path))
        for path in permutations(range(len(costs)))
        if clashing is None or not any(clashing[a, b] for a, b in pairwise(path))
    ]
    return min(sums, default=None)


@settings(max_examples=60, deadline=None)
@given(symmetric_costs(), st.integers(0, 3_000_000))
def test_no_order_costs_less_than_the_bound(costs: Costs, above: int) -> None:
    best = cheapest(costs)
    assert best is not None
    assert 0 <= one_tree_bound(costs, best + above) <= best


@settings(max_examples=60, deadline=None)
@given(symmetric_costs(2), st.data())
def test_no_order_that_keeps_clashing_tracks_apart_costs_less_than_its_bound(
    costs: Costs, data: st.DataObject
) -> None:
    group = np.array([data.draw(st.integers(0, 2)) for _ in costs])
    clashing = group[:, None] == group[None, :]
    best = cheapest(costs, clashing)
    if best is not None:
        assert one_tree_bound(costs, best, clashing=clashing) <= best


def test_on_points_of_a_line_the_bound_is_met() -> None:
    points = np.array([3, 9, 1, 4, 7, 20])
    costs = np.abs(points[:, None] - points[None, :])
    assert one_tree_bound(costs, 25) == 19 == cheapest(costs)


def test_where_a_tree_is_cheaper_than_any_path_prices_raise_the_bound() -> None:
    star = np.full((6, 6), 1_900_000)
    star[0, :] = star[:, 0] = 1_000_000
    np.fill_diagonal(star, 0)
    best = cheapest(star)
    assert best is not None
    assert one_tree_bound(star, best, rounds=1) == 5_000_000 < one_tree_bound(star, best) <= best


def test_fewer_than_two_tracks_have_no_transitions() -> None:
    for n in (0, 1):
        assert one_tree_bound(np.zeros((n, n), dtype=np.int64), 0) == 0

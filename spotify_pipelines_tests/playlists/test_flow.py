"""Local search: never dearer, never closer, nothing fixed moved; and as good as brute force where that can tell."""

from collections.abc import Sequence
from itertools import pairwise, permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spotify_pipelines.playlists.figures import neighbours, smallest_gap
from spotify_pipelines.playlists.flow import follow
from spotify_pipelines.playlists.randomness import BitSource, derive_seed
from spotify_pipelines.playlists.spacing import Spacing

Costs = NDArray[np.int64]


def random_costs(n: int, seed: bytes, *, width: int | None = None) -> Costs:
    """Symmetric costs of n tracks; with ``width``, what n tracks cost at so many slots."""
    bits = BitSource(derive_seed("costs", seed))
    table = np.array([[bits.below(1_000_000) for _ in range(width or n)] for _ in range(n)], dtype=np.int64)
    if width is not None:
        return table
    upper = np.triu(table, 1)
    return upper + upper.T


def cost_of(order: Sequence[int], costs: Costs, places: Costs | None = None) -> int:
    steps = sum(int(costs[a, b]) for a, b in pairwise(order))
    return steps + (
        0 if places is None else sum(int(places[track, slot]) for slot, track in enumerate(order))
    )


def clashing_sets(artists: Sequence[str]) -> list[set[int]]:
    return [
        {other for other, name in enumerate(artists) if name == mine and other != track}
        for track, mine in enumerate(artists)
    ]


@settings(max_examples=150, deadline=None)
@given(
    st.text("abcd", min_size=1, max_size=12),
    st.binary(max_size=4),
    st.sets(st.integers(0, 11), max_size=4),
    st.booleans(),
)
def test_a_followed_order_is_a_permutation_that_keeps_gap_and_fixed_slots_and_costs_no_more(
    artists: str, seed: bytes, fixed: set[int], shaped: bool
) -> None:
    n = len(artists)
    costs, places = random_costs(n, seed), random_costs(n, seed, width=n) if shaped else None
    start = list(range(n))
    gap = smallest_gap([(artist,) for artist in artists])
    spacing = Spacing(clashing_sets(artists), gap or 1)

    order = follow(start, costs, spacing=spacing, fixed=fixed, bits=BitSource(seed), places=places, kicks=5)

    assert sorted(order) == start
    assert smallest_gap([(artists[track],) for track in order]) == gap
    assert all(order[slot] == slot for slot in fixed if slot < n)
    assert cost_of(order, costs, places) <= cost_of(start, costs, places)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.sampled_from(["abcdefg", "abacadae", "aabbccd", "abcabcd"]), st.binary(max_size=4), st.booleans())
def test_seven_tracks_come_near_the_cheapest_order_that_keeps_the_gap(
    artists: str, seed: bytes, shaped: bool
) -> None:
    artists = artists[:7]
    n = len(artists)
    costs, places = random_costs(n, seed), random_costs(n, seed, width=n) if shaped else None
    gap = smallest_gap([(artist,) for artist in artists])
    cheapest = min(
        cost_of(order, costs, places)
        for order in permutations(range(n))
        if order[0] == 0 and smallest_gap([(artists[track],) for track in order]) == gap
    )
    found = follow(
        range(n),
        costs,
        spacing=Spacing(clashing_sets(artists), gap or 1),
        fixed={0},
        bits=BitSource(seed),
        places=places,
        kicks=60,
    )
    assert cost_of(found, costs, places) <= 1.25 * cheapest


def test_kicks_only_ever_help() -> None:
    costs = random_costs(40, b"kicks")
    free = Spacing([set[int]() for _ in range(40)], 1)
    found = [
        cost_of(follow(range(40), costs, spacing=free, fixed={0}, bits=BitSource(b""), kicks=kicks), costs)
        for kicks in (0, 10, 60)
    ]
    assert found[0] >= found[1] >= found[2]
    assert found[0] > found[2]


def test_where_neighbours_are_unavoidable_a_flow_adds_none() -> None:
    artists = "aabacadaeafaag"
    costs = random_costs(len(artists), b"x")
    start = list(range(len(artists)))
    before = neighbours([(artist,) for artist in artists])
    order = follow(
        start,
        costs,
        spacing=Spacing(clashing_sets(artists), 1, most_neighbours=before),
        fixed={0},
        bits=BitSource(b""),
    )
    assert cost_of(order, costs) < cost_of(start, costs)
    assert 1 <= neighbours([(artists[track],) for track in order]) <= before


def test_an_order_that_is_fixed_everywhere_stays() -> None:
    costs = random_costs(8, b"y")
    free = Spacing([set[int]() for _ in range(8)], 1)
    assert follow(range(8), costs, spacing=free, fixed=range(8), bits=BitSource(b"")) == list(range(8))

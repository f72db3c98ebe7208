"""Figures are recomputed here by brute force from their definitions."""

from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.playlists.figures import (
    cap_excess,
    jaccard,
    largest_artist,
    neighbour_bound,
    neighbours,
    smallest_gap,
    smallest_reuse,
    snapshot_figures,
)

credit_lists = st.lists(st.lists(st.sampled_from("abcde"), max_size=3).map(tuple), max_size=12)


@given(credit_lists)
def test_the_smallest_gap_is_the_least_distance_over_all_pairs_that_share_an_artist(
    credits_: list[tuple[str, ...]],
) -> None:
    distances = [
        j - i for i, j in combinations(range(len(credits_)), 2) if set(credits_[i]) & set(credits_[j])
    ]
    assert smallest_gap(credits_) == min(distances, default=None)
    assert neighbours(credits_) == distances.count(1)


@given(st.lists(st.sampled_from("abc"), max_size=6))
def test_with_one_artist_per_track_the_neighbour_bound_is_reached_by_some_order(artists: list[str]) -> None:
    best = min(neighbours([(a,) for a in order]) for order in permutations(artists))
    assert best == neighbour_bound([(a,) for a in artists])


@given(credit_lists)
def test_no_order_of_tracks_with_guests_beats_the_neighbour_bound(credits_: list[tuple[str, ...]]) -> None:
    assert neighbours(credits_) >= neighbour_bound(credits_)


def test_an_artist_credited_twice_on_one_track_counts_once() -> None:
    assert largest_artist([("a", "a"), ("b",), ("b",)]) == ("b", 2)
    assert smallest_gap([("a", "a"), ("b",)]) is None


def test_the_largest_artist_is_the_smallest_name_among_equals() -> None:
    assert largest_artist([("z",), ("m",), ("m",), ("z",)]) == ("m", 2)
    assert largest_artist([(), ()]) is None


@pytest.mark.parametrize(("cap", "excess"), [(None, 0), (1, 3), (2, 1), (3, 0)])
def test_cap_excess_counts_members_beyond_the_cap_in_every_group(cap: int | None, excess: int) -> None:
    assert cap_excess(["a", "a", "a", "b", "b", "c"], cap) == excess


def test_smallest_reuse_looks_only_at_tracks_used_before() -> None:
    assert smallest_reuse(["a", "b", "c"], {"b": 9, "c": 4, "unrelated": 1}) == 4
    assert smallest_reuse(["a"], {"b": 9}) is None


def test_jaccard_is_common_over_all() -> None:
    assert jaccard("abc", "bcd") == 0.5
    assert jaccard("", "") == 1.0
    assert jaccard("a", "") == 0.0


def test_snapshot_figures_put_everything_together() -> None:
    figures = snapshot_figures(
        ["t1", "t2", "t3", "t4"],
        [("a",), ("a", "b"), ("c",), ("a",)],
        albums=["x", "x", None, "x"],
        artist_cap=2,
        album_cap=2,
        ages={"t3": 12, "t1": 30},
    )
    assert (figures.tracks, figures.artists, figures.largest_artist, figures.largest_share) == (
        4,
        3,
        "a",
        0.75,
    )
    assert (figures.smallest_gap, figures.neighbours, figures.neighbour_bound) == (1, 1, 1)
    assert (figures.artist_excess, figures.album_excess, figures.smallest_reuse) == (1, 1, 12)


def test_an_empty_snapshot_has_figures_too() -> None:
    figures = snapshot_figures([], [])
    assert (figures.tracks, figures.largest_share, figures.smallest_gap) == (0, 0.0, None)

"""Figures of an order are recomputed here from their definitions."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.playlists.order import OrderTrack, arrange
from spotify_pipelines.playlists.order_figures import order_figures, prefix_deviation
from spotify_pipelines.playlists.randomness import derive_seed
from spotify_pipelines.playlists.transitions import FLOWS, SCALE, UNKNOWN, Flow, Sound, transition_costs
from spotify_pipelines_tests.support.reference_lists import REFERENCE, with_sounds

credit_lists = st.lists(st.lists(st.sampled_from("abcde"), max_size=3).map(tuple), max_size=12)


def figures_of(tracks: list[OrderTrack], flow: Flow) -> tuple[float | None, float | None, float | None]:
    made = arrange(tracks, seed=b"figures", flow=flow)
    by_id = {track.track_id: track for track in tracks}
    placed = [by_id[track_id] for track_id in made.track_ids]
    found = order_figures([t.artists for t in placed], [t.sound for t in placed], "rise", gap=made.gap)
    return found.transition_cost, found.transition_bound, found.shape_deviation


@given(credit_lists)
def test_the_prefix_deviation_is_the_largest_over_all_artists_and_prefixes(
    credits_: list[tuple[str, ...]],
) -> None:
    n = len(credits_)
    deviations = [
        abs(sum(artist in names for names in credits_[:p]) - Fraction(p * total, n))
        for artist in "abcde"
        for total in [sum(artist in names for names in credits_)]
        for p in range(n)
    ]
    assert prefix_deviation(credits_) == pytest.approx(float(max(deviations, default=0)))


def test_a_block_at_the_front_deviates_most_and_an_even_spread_least() -> None:
    assert prefix_deviation([("a",)] * 5 + [("b",)] * 5) == 2.5
    assert prefix_deviation([("a",), ("b",)] * 5) == 0.5


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), min_size=2, max_size=8))
def test_transitions_cost_what_they_cost_and_never_less_than_their_bound(
    tracks: list[tuple[str, float]],
) -> None:
    sounds = [Sound(energy=energy) for _, energy in tracks]
    costs = transition_costs(sounds)
    found = order_figures([(artist,) for artist, _ in tracks], sounds, "smooth", gap=1)
    total = sum(int(costs[a, b]) for a, b in pairwise(range(len(tracks))))
    assert found.transition_cost is not None
    assert found.transition_bound is not None
    assert found.transition_cost == pytest.approx(total / SCALE / (len(tracks) - 1), abs=1e-4)
    assert 0 <= found.transition_bound <= found.transition_cost


@pytest.mark.parametrize("name", ["typical", "30 of 50", "guests"])
def test_flows_bring_transitions_near_their_bound_and_energies_into_shape(name: str) -> None:
    tracks = with_sounds(REFERENCE[name], derive_seed(name))
    plain_cost, _, plain_shape = figures_of(tracks, "none")
    smooth_cost, smooth_bound, _ = figures_of(tracks, "smooth")
    rise_cost, _, rise_shape = figures_of(tracks, "rise")
    assert None not in (plain_cost, plain_shape, smooth_cost, smooth_bound, rise_cost, rise_shape)
    assert smooth_cost < 1.35 * smooth_bound  # type: ignore[operator]
    assert smooth_cost < rise_cost < plain_cost  # type: ignore[operator]
    assert rise_shape < 0.15 < plain_shape  # type: ignore[operator]


@pytest.mark.parametrize("flow", FLOWS)
def test_few_or_unknown_tracks_have_figures_without_nan(flow: Flow) -> None:
    for n in range(4):
        found = order_figures([("a",)] * n, [UNKNOWN] * n, flow, gap=1)
        for value in (found.prefix_deviation, found.transition_cost, found.shape_deviation):
            assert value is None or math.isfinite(value)
        assert (found.transition_cost is None) == (flow == "none" or n < 2)

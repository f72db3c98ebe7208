"""Flows beside what is possible: the 1-tree bound on the typical list, the best of long runs on the others.

What belongs here: how small the transitions come out. What does not: gaps, chance and time (``order``).
"""

import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure
from spotify_pipelines.playlists.flow import follow
from spotify_pipelines.playlists.order import Arrangement, OrderTrack, arrange
from spotify_pipelines.playlists.order_figures import order_figures
from spotify_pipelines.playlists.randomness import BitSource, derive_seed
from spotify_pipelines.playlists.spacing import Spacing
from spotify_pipelines.playlists.transition_bound import one_tree_bound
from spotify_pipelines.playlists.transitions import Flow, transition_costs
from spotify_pipelines_tests.support.reference_lists import REFERENCE, with_sounds

__all__ = ["flow_figures"]

Costs = NDArray[np.int64]

_SOUNDS, _SEEDS = 200, 8
_LISTS_OF_SOUNDS = 5
_LONG_RUNS, _LONG_KICKS = 6, 300
_ROUNDS = 150
_BESIDE: tuple[Flow, Flow] = ("smooth", "none")


def flow_figures() -> Iterator[Figure]:
    """Smooth against the bound, smooth against long runs, and how well shapes are met."""
    yield from _beside_one_tree()
    yield from _beside_long_runs()
    yield _shapes()


def _beside_one_tree() -> Iterator[Figure]:
    ratios, plain = [], []
    for number in range(_SOUNDS):
        tracks = with_sounds(REFERENCE["typical"], derive_seed("typical", number))
        costs = _costs(tracks)
        made, random_order = (
            _cost(arrange(tracks, seed=derive_seed("flow", number), flow=flow), tracks, costs)
            for flow in _BESIDE
        )
        bound = one_tree_bound(costs, made, rounds=_ROUNDS)
        ratios.append(made / bound)
        plain.append(random_order / bound)
    said = f"{_SOUNDS} lists of sounds, gap half; the same orders without flow {statistics.mean(plain):.2f}"
    yield Figure(
        "smooth ÷ 1-tree bound, typical list: mean", statistics.mean(ratios), at_most=1.10, detail=said
    )
    yield Figure("… the worst of them", max(ratios), at_most=1.20)


def _beside_long_runs() -> Iterator[Figure]:
    found: dict[str, list[float]] = {name: [] for name in REFERENCE if name != "typical"}
    for name, ratios in found.items():
        for number in range(_LISTS_OF_SOUNDS):
            tracks = with_sounds(REFERENCE[name], derive_seed(name, number))
            costs = _costs(tracks)
            best = min(_long_run(tracks, costs, seed) for seed in range(_LONG_RUNS))
            for seed in range(_SEEDS):
                ratios.append(_cost(_smooth(tracks, 1_000 + seed), tracks, costs) / best)
    means = {name: statistics.mean(ratios) for name, ratios in found.items()}
    said = "; ".join(f"{name} {value:.2f} (worst {max(found[name]):.2f})" for name, value in means.items())
    with_caps = {name for name in means if name.startswith("guests, caps")}
    yield Figure(
        "smooth ÷ best of long runs, mean of each other list: the worst",
        max(value for name, value in means.items() if name not in with_caps),
        at_most=1.10,
        detail=f"{_LONG_RUNS} runs of {_LONG_KICKS} kicks on {_LISTS_OF_SOUNDS} lists of sounds: {said}",
    )
    yield Figure("… capped lists with guests", max(means[name] for name in with_caps), at_most=1.25)


def _shapes() -> Figure:
    shaped: tuple[Flow, ...] = ("rise", "fall", "wave")
    flows: tuple[Flow, ...] = ("none", *shaped)
    off: dict[Flow, list[float]] = {flow: [] for flow in flows}
    cost: dict[Flow, list[float]] = {flow: [] for flow in flows}
    for number in range(20):
        tracks = with_sounds(REFERENCE["typical"], derive_seed("shape", number))
        by_id = {track.track_id: track for track in tracks}
        for flow in flows:
            made = _smooth(tracks, number, flow)
            placed = [by_id[track_id] for track_id in made.track_ids]
            credits_, sounds = [track.artists for track in placed], [track.sound for track in placed]
            figures = order_figures(credits_, sounds, "rise" if flow == "none" else flow, gap=made.gap)
            off[flow].append(figures.shape_deviation or 0.0)
            cost[flow].append((figures.transition_cost or 0.0) / (figures.transition_bound or 1.0))
    return Figure(
        "mean distance from the shape of a flow, in ranks 0 to 1, typical list: the worst of three",
        max(statistics.mean(off[flow]) for flow in shaped),
        detail=f"random order {statistics.mean(off['none']):.2f}; "
        + ", ".join(
            f"{flow} {statistics.mean(off[flow]):.2f} at transitions ÷ bound {statistics.mean(cost[flow]):.2f}"
            for flow in shaped
        ),
    )


def _smooth(tracks: Sequence[OrderTrack], number: int, flow: Flow = "smooth") -> Arrangement:
    return arrange(tracks, seed=derive_seed("flow", number), flow=flow)


def _costs(tracks: Sequence[OrderTrack]) -> Costs:
    return transition_costs([track.sound for track in tracks])


def _cost(
    made: Arrangement,
    tracks: Sequence[OrderTrack],
    costs: Costs,
) -> int:
    index = {track.track_id: place for place, track in enumerate(tracks)}
    return sum(int(costs[index[one], index[other]]) for one, other in pairwise(made.track_ids))


def _long_run(tracks: Sequence[OrderTrack], costs: Costs, seed: int) -> int:
    """What many kicks make of an order, under the same gap."""
    made = _smooth(tracks, seed, "none")
    index = {track.track_id: place for place, track in enumerate(tracks)}
    clashing = [
        {o for o, other in enumerate(tracks) if o != t and set(other.artists) & set(track.artists)}
        for t, track in enumerate(tracks)
    ]
    order = follow(
        [index[track_id] for track_id in made.track_ids],
        costs,
        spacing=Spacing(clashing, made.target or 1, most_neighbours=made.neighbours),
        fixed={0},
        bits=BitSource(derive_seed("long run", seed)),
        kicks=_LONG_KICKS,
    )
    return sum(int(costs[one, other]) for one, other in pairwise(order))

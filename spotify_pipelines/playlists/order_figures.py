"""Figures of an order: how evenly it spreads its artists and how well it follows its flow, beside their bounds.

What belongs here: what can be recomputed from tracks in playing order. What does not: gaps and neighbours, which
go for every playlist (``figures``), making orders (``order``).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spotify_pipelines.playlists.transition_bound import ROUNDS, one_tree_bound
from spotify_pipelines.playlists.transitions import (
    PLACE_SCALE,
    SCALE,
    Flow,
    Sound,
    place_costs,
    transition_costs,
)

__all__ = ["OrderFigures", "order_figures", "prefix_deviation"]

Credits = Sequence[Collection[str]]


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """How one order came out.

    ``prefix_deviation``: see :func:`prefix_deviation`. ``transition_cost`` is the mean cost of a transition, 0 to
    1, and ``transition_bound`` what no order of these tracks goes below; both None for fewer than two tracks and
    without a flow. ``shape_deviation`` is how far tracks are on average from where the shape of the flow wants
    their energy, in ranks from 0 to 1 (a random order: 0.33); None for flows without a shape.
    """

    prefix_deviation: float
    transition_cost: float | None = None
    transition_bound: float | None = None
    shape_deviation: float | None = None


def order_figures(
    credits_: Credits, sounds: Sequence[Sound], flow: Flow, *, gap: int | None, rounds: int = ROUNDS
) -> OrderFigures:
    """The figures of tracks in playing order; ``gap`` is the order's.

    With a gap of 2 or more, or where no artist repeats, the bound is that of orders without same-artist
    neighbours. About 10 ms for 50 tracks with a flow.
    """
    deviation = round(prefix_deviation(credits_), 4)
    if flow == "none" or len(sounds) < 2:
        return OrderFigures(deviation)
    costs, places = transition_costs(sounds), place_costs(flow, sounds)
    reached = sum(int(costs[slot, slot + 1]) for slot in range(len(sounds) - 1))
    apart = _clashing(credits_) if gap is None or gap > 1 else None
    bound = one_tree_bound(costs, reached, clashing=apart, rounds=rounds)
    unit = SCALE * (len(sounds) - 1)
    return OrderFigures(
        deviation,
        transition_cost=round(reached / unit, 4),
        transition_bound=round(bound / unit, 4),
        shape_deviation=None if places is None else round(float(places.diagonal().mean()) / PLACE_SCALE, 4),
    )


def prefix_deviation(credits_: Credits) -> float:
    """How far any artist is ever ahead of or behind an even spread, in tracks.

    The largest |tracks by the artist among the first p − p · c ÷ n| over all artists and p, c being the artist's
    tracks of n. Tijdeman (1980, the chairman assignment problem): with one artist per track some order stays
    below 1; a block of one artist at the front reaches c · (1 − c ÷ n).
    """
    n = len(credits_)
    counts = Counter(artist for names in credits_ for artist in set(names))
    seen: Counter[str] = Counter()
    worst = 0
    for slot, names in enumerate(credits_):
        for artist in set(names):
            # An artist is most behind just before a track of its own, and most ahead just after it.
            before = seen[artist] * n - slot * counts[artist]
            after = (seen[artist] + 1) * n - (slot + 1) * counts[artist]
            worst = max(worst, abs(before), abs(after))
            seen[artist] += 1
    return worst / n if n else 0.0


def _clashing(credits_: Credits) -> NDArray[np.bool_]:
    sets = [set(names) for names in credits_]
    return np.array([[not one.isdisjoint(other) for other in sets] for one in sets], dtype=np.bool_)

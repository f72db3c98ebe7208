"""The figures of all draws of a run as a few numbers that plot over time, and which draws are the worst.

What belongs here: sums, means and an order of merit over stored figures. What does not: the figures of one draw
(``draw``), showing them.

A figure that a draw does not have (no artist repeats, no flow, an older release) counts for nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

__all__ = ["KEYS", "badness", "ratio", "summary"]

Figures = Mapping[str, Any]

KEYS: Final = (
    "tracks",
    "size_asked",
    "size_bound",
    "relaxed",
    "artist_excess",
    "artist_excess_bound",
    "album_excess",
    "album_excess_bound",
    "cooldown_shortfall",
    "cooldown_shortfall_bound",
    "smallest_reuse",
    "longest_reuse_days",
    "smallest_gap",
    "gap_target",
    "gap_bound",
    "neighbours",
    "neighbour_bound",
    "transition_cost",
    "transition_bound",
    "jaccard_with_last",
)
"""The figures that are read here, and shown of the worst draws."""


def summary(draws: Sequence[Figures]) -> dict[str, int | float]:
    """What the draws of a run came to; a number that none of them has is left out."""
    gaps = _known(ratio(each, "smallest_gap", "gap_target") for each in draws)
    transitions = _known(ratio(each, "transition_cost", "transition_bound") for each in draws)
    reuses = _known(each.get("smallest_reuse") for each in draws)
    likeness = _known(each.get("jaccard_with_last") for each in draws)
    found: dict[str, int | float | None] = {
        "draws": len(draws),
        "tracks_drawn": _sum(draws, "tracks"),
        "tracks_short_of_feasible": sum(
            max(0, (each.get("size_bound") or 0) - (each.get("tracks") or 0)) for each in draws
        ),
        "relaxed_tracks": _sum(draws, "relaxed"),
        "cap_excess": _sum(draws, "artist_excess") + _sum(draws, "album_excess"),
        "cooldown_shortfall": _sum(draws, "cooldown_shortfall"),
        "cooldown_shortfall_bound": _sum(draws, "cooldown_shortfall_bound"),
        "smallest_reuse_days": min(reuses, default=None),
        "gap_by_target_mean": _mean(gaps),
        "gap_by_target_min": min(gaps, default=None),
        "neighbours_beyond_bound": _sum(draws, "neighbours") - _sum(draws, "neighbour_bound"),
        "transitions_by_bound_mean": _mean(transitions),
        "transitions_by_bound_max": max(transitions, default=None),
        "likeness_to_last_mean": _mean(likeness),
    }
    return {name: value for name, value in found.items() if value is not None}


def badness(figures: Figures) -> tuple[float, ...]:
    """Larger for worse draws: short ones first, then what broke caps and cooldowns most, then gaps and likeness."""

    def get(name: str) -> float:
        return figures.get(name) or 0

    gap = ratio(figures, "smallest_gap", "gap_target")
    return (
        get("size_asked") - get("tracks"),
        get("artist_excess") + get("album_excess"),
        get("cooldown_shortfall"),
        get("relaxed"),
        -1 if gap is None else -gap,
        get("neighbours") - get("neighbour_bound"),
        get("jaccard_with_last"),
    )


def ratio(figures: Figures, name: str, bound: str) -> float | None:
    """A figure by its bound or target; None without either."""
    value, limit = figures.get(name), figures.get(bound)
    return None if value is None or not limit else round(value / limit, 4)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return round(math.fsum(values) / len(values), 4) if values else None


def _sum(draws: Sequence[Figures], name: str) -> int:
    return sum(each.get(name) or 0 for each in draws)

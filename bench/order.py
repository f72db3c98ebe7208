"""Orders of the reference lists beside their exact bounds, beside how others shuffle, and how long they take.

``python -m bench order``; ``python -m bench.order digest`` prints only the digest of 1,000 orders, which has to be
the same on every Python and machine. ~6 minutes on an idle core, half of them in the integer programmes.
"""

import math
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bench.exact_gap import widest_gap
from bench.figures import Figure
from bench.order_flows import flow_figures
from bench.shufflers import SHUFFLERS, Credits, Shuffler, fisher_yates
from spotify_pipelines.playlists.figures import neighbour_bound, neighbours, smallest_gap
from spotify_pipelines.playlists.order import OrderTrack, arrange, gap_bound
from spotify_pipelines.playlists.randomness import BitSource, derive_seed
from spotify_pipelines.playlists.transitions import FLOWS, Flow, transition_costs
from spotify_pipelines_tests.support.reference_lists import (
    REFERENCE,
    SINGLE_CREDIT,
    order_digest,
    with_guests,
    with_sounds,
)

_SEEDS = 1_000
_BEST_SEEDS = 25
_TIMED = 200
_TIMED_FLOWS = 25
_SOLVER_SECONDS = 40.0


def figures() -> Iterator[Figure]:
    """Bounds, chance, others side by side, widest gaps, flows, time, digest."""
    days = {name: _days(_ours(tracks), tracks) for name, tracks in REFERENCE.items()}
    yield from _beside_bounds(days)
    yield from _chance(days)
    yield from _side_by_side(days)
    yield from _widest()
    yield from flow_figures()
    yield from _time()
    yield Figure("orders in the digest", 1_000, "orders", detail=order_digest(1_000))


# ── a thousand days of each list ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Days:
    """What a thousand orders of one list came to."""

    excess: list[int]
    gaps: list[int | None]
    openers: Counter[int]
    rho: list[float]

    def entropy(self) -> float:
        """Of the opening track, in bits."""
        total = self.openers.total()
        return -sum(count / total * math.log2(count / total) for count in self.openers.values())


_Maker = Callable[[bytes], list[int]]


def _ours(tracks: Sequence[OrderTrack]) -> _Maker:
    index = {track.track_id: place for place, track in enumerate(tracks)}
    return lambda seed: [index[track_id] for track_id in arrange(tracks, seed=seed).track_ids]


def _theirs(shuffle: Shuffler, credits_: Credits) -> _Maker:
    return lambda seed: shuffle(credits_, BitSource(seed))


def _days(make: _Maker, tracks: Sequence[OrderTrack]) -> _Days:
    credits_ = [track.artists for track in tracks]
    bound = neighbour_bound(credits_)
    orders = [make(derive_seed("day", number)) for number in range(_SEEDS + 1)]
    played = [[credits_[track] for track in order] for order in orders[:_SEEDS]]
    return _Days(
        excess=[neighbours(each) - bound for each in played],
        gaps=[smallest_gap(each) for each in played],
        openers=Counter(order[0] for order in orders[:_SEEDS]),
        rho=[_spearman(one, other) for one, other in pairwise(orders)],
    )


def _spearman(one: list[int], other: list[int]) -> float:
    n = len(one)
    places = np.argsort(one), np.argsort(other)
    return 1 - 6 * int(((places[0] - places[1]) ** 2).sum()) / (n * (n * n - 1))


def _half(tracks: Sequence[OrderTrack]) -> int:
    bound = gap_bound([track.artists for track in tracks]) or 1
    return 1 if bound < 2 else max(2, -(-bound // 2))


def _beside_bounds(days: dict[str, _Days]) -> Iterator[Figure]:
    ratios = [(gap or 0) / _half(REFERENCE[name]) for name, each in days.items() for gap in each.gaps]
    yield Figure(
        f"neighbours − bound, {len(days)} lists × {_SEEDS:,} seeds: the most",
        max(max(each.excess) for each in days.values()),
        at_most=0,
    )
    yield Figure("gap ÷ target (half): the least", min(ratios), at_least=1)
    yield Figure("… the most", max(ratios), at_most=1)


def _chance(days: dict[str, _Days]) -> Iterator[Figure]:
    can_open = {name: _can_open(tracks) for name, tracks in REFERENCE.items()}
    shares = {name: each.entropy() / math.log2(can_open[name]) for name, each in days.items()}
    yield Figure(
        "entropy of the opening track ÷ log2(tracks that can open): the least",
        min(shares.values()),
        at_least=0.97,
        detail="; ".join(f"{name} {share:.3f} of {can_open[name]}" for name, share in shares.items()),
    )
    yield Figure(
        "between days, |mean ρ|: the most",
        max(abs(statistics.mean(each.rho)) for each in days.values()),
        at_most=0.05,
    )
    sizes = {name: statistics.mean(map(abs, each.rho)) for name, each in days.items()}
    said = "; ".join(f"{name} {size:.3f}" for name, size in sizes.items())
    with_guests_ = [size for name, size in sizes.items() if name.startswith("guests")]
    yield Figure(
        "between days, mean |ρ|, one artist per track: the most",
        max(_without(sizes)),
        at_most=0.14,
        detail=said,
    )
    yield Figure("… with guests", max(with_guests_), at_most=0.18)


def _without(sizes: dict[str, float]) -> list[float]:
    return [size for name, size in sizes.items() if name in SINGLE_CREDIT]


def _can_open(tracks: Sequence[OrderTrack]) -> int:
    """How many tracks can open an order that keeps the target and has no neighbours beyond the bound."""
    found = 0
    for track in tracks:
        made = arrange(tracks, seed=b"opens", pinned={track.track_id: 0})
        found += made.gap == _half(tracks) and made.neighbours == made.neighbour_bound
    return found


def _side_by_side(days: dict[str, _Days]) -> Iterator[Figure]:
    for name, shuffle in SHUFFLERS.items():
        told = []
        worst = 0.0
        for list_name, tracks in REFERENCE.items():
            credits_ = [track.artists for track in tracks]
            made = _days(_theirs(shuffle, credits_), tracks)
            clashing = sum(excess > 0 for excess in made.excess) / _SEEDS
            gap = statistics.mean(gap or 0 for gap in made.gaps) / _half(tracks)
            size = statistics.mean(map(abs, made.rho))
            worst = max(worst, clashing)
            told.append(
                f"{list_name}: {clashing:.0%} with needless neighbours, gap ÷ half {gap:.2f}, "
                f"openers {made.entropy():.2f} bit ({days[list_name].entropy():.2f}), |ρ| {size:.2f}"
            )
        yield Figure(
            f"{name}: share of orders with needless neighbours, worst list", worst, detail="\n    ".join(told)
        )


# ── the widest gap ───────────────────────────────────────────────────────────────────────────────────────────


def _widest() -> Iterator[Figure]:
    worst, told = 1.0, []
    capped = {
        f"guests {k}, caps of {cap}": with_guests(f"exact {k}", cap=cap) for cap in (2, 3) for k in range(3)
    }
    for name, tracks in (REFERENCE | capped).items():
        made = [arrange(tracks, gap="best", seed=derive_seed(seed)) for seed in range(_BEST_SEEDS)]
        targets = [each.target or 1 for each in made]
        bound = made[0].upper_bound or 1
        if min(targets) == bound:
            continue
        credits_ = [track.artists for track in tracks]
        exact, proved = widest_gap(credits_, at_least=max(targets), at_most=bound, seconds=_SOLVER_SECONDS)
        worst = min(worst, min(targets) / exact)
        told.append(
            f"{name}: {min(targets)} to {max(targets)}, {'exact' if proved else 'best known'} {exact}, bound {bound}"
        )
    yield Figure(
        f"widest gap (best, {_BEST_SEEDS} seeds) ÷ exact: the least",
        worst,
        at_least=0.85,
        detail="; ".join(told) + "; on all other lists it is the bound",
    )


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _time() -> Iterator[Figure]:
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; seconds of CPU"
    plain = {name: _median(_arranging(tracks), _TIMED) for name, tracks in REFERENCE.items()}
    credits_ = [track.artists for track in REFERENCE["typical"]]
    uniform = _median(lambda s: fisher_yates(credits_, BitSource(s)), _TIMED)
    yield Figure(
        "order of 50, slowest list, median in ms",
        max(plain.values()),
        at_most=3,
        detail=f"{load}; Fisher–Yates {uniform:.2f}; " + _listed(plain),
    )
    flowing = {
        f"{flow}, {name}": _median(_arranging(with_sounds(tracks, b"time"), flow), _TIMED_FLOWS)
        for flow in FLOWS[1:]
        for name, tracks in REFERENCE.items()
    }
    costs = transition_costs([track.sound for track in with_sounds(REFERENCE["typical"], b"time")])
    two_opt = _median(lambda s: _plain_two_opt(costs, s), _TIMED_FLOWS)
    yield Figure(
        "order of 50 with a flow, slowest list and flow, median in ms",
        max(flowing.values()),
        at_most=60,
        detail=f"{load}; 2-opt without a gap {two_opt:.1f}; " + _listed(flowing),
    )


def _arranging(tracks: Sequence[OrderTrack], flow: Flow = "none") -> Callable[[bytes], object]:
    return lambda seed: arrange(tracks, seed=seed, flow=flow)


def _listed(times: dict[str, float]) -> str:
    return "; ".join(f"{name} {value:.1f}" for name, value in times.items())


def _median(work: Callable[[bytes], object], times: int) -> float:
    """Median milliseconds of CPU, which other work on the machine lengthens least."""
    took = []
    for number in range(times):
        started = time.process_time()
        work(derive_seed("time", number))
        took.append(time.process_time() - started)
    return statistics.median(took) * 1_000


def _plain_two_opt(matrix: NDArray[np.int64], seed: bytes) -> list[int]:
    """Textbook 2-opt from a uniform order, every pair of edges until none helps: what one would write first."""
    costs = matrix.tolist()
    order = list(range(len(costs)))
    BitSource(seed).shuffle(order)
    better = True
    while better:
        better = False
        for first in range(1, len(order) - 1):
            for last in range(first + 1, len(order) - 1):
                a, b, c, d = order[first - 1], order[first], order[last], order[last + 1]
                if costs[a][c] + costs[b][d] < costs[a][b] + costs[c][d]:
                    order[first : last + 1] = order[first : last + 1][::-1]
                    better = True
    return order


if __name__ == "__main__":
    if sys.argv[1:] != ["digest"]:
        sys.exit(__doc__)
    print(order_digest(1_000))

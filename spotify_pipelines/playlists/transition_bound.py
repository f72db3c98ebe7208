"""How little the transitions of a list can cost in all: a bound from below that no order can beat.

What belongs here: the 1-tree bound of Held & Karp (1970), for a path. What does not: costs (``transitions``),
finding a path (``flow``).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUNDS", "one_tree_bound"]

Costs = NDArray[np.int64]

ROUNDS: Final = 40
"""Enough to come within a few per cent of the bound's limit; 50 tracks take about 15 ms."""

_PATIENCE: Final = 6
_FORBIDDEN: Final = 10_000_000


def one_tree_bound(
    costs: Costs, reached: int, *, clashing: NDArray[np.bool_] | None = None, rounds: int = ROUNDS
) -> int:
    """The least sum of transitions that any order of the tracks can have; 0 for fewer than two.

    A path through n tracks, closed by a stop that costs nothing to reach, is a tour; a tour is a 1-tree (a
    spanning tree, and two more edges at that stop) in which every vertex has degree 2. The cheapest 1-tree is
    therefore a bound, and prices on tracks with too many edges, paid back in the end, raise it: each of
    ``rounds`` walks up the subgradient towards ``reached``, the cost of an order that exists. Gap, opener and
    pins are not considered, so that the bound is true with and without them. ``clashing`` marks pairs that may
    not stand side by side: then it holds for orders that keep to this (gap ≥ 2) and is tighter. O(rounds · n²).
    """
    n = len(costs)
    if n < 2:
        return 0
    weights = costs if clashing is None else np.where(clashing, _FORBIDDEN, costs)
    price = np.zeros(n, dtype=np.int64)
    best, halvings, failures = 0, 0, 0
    for _ in range(rounds):
        total, degree = _cheapest_one_tree(weights, price)
        if total > best:
            best, failures = total, 0
        else:
            failures += 1
            halvings += failures % _PATIENCE == 0
        excess = degree - 2
        norm = int((excess * excess).sum())
        if best >= reached or norm == 0:
            break
        price += excess * (2 * (reached - total) // (norm << halvings))
    return min(best, reached)


def _cheapest_one_tree(weights: Costs, price: Costs) -> tuple[int, Costs]:
    """Cost of the cheapest 1-tree under ``price``, with the prices paid back, and each track's degree in it.

    The tree by Prim's algorithm; the stop that closes the tour takes the two cheapest tracks.
    """
    n = len(weights)
    priced = weights + price[:, None] + price[None, :]
    far = np.iinfo(np.int64).max
    degree = np.zeros(n, dtype=np.int64)
    reach = priced[0].copy()
    parent = np.zeros(n, dtype=np.int64)
    reach[0] = far
    taken = np.zeros(n, dtype=np.bool_)
    taken[0] = True
    total = 0
    for _ in range(n - 1):
        nearest = int(reach.argmin())
        total += int(reach[nearest])
        degree[nearest] += 1
        degree[parent[nearest]] += 1
        taken[nearest] = True
        reach[nearest] = far
        row = priced[nearest]
        closer = (row < reach) & ~taken
        reach[closer] = row[closer]
        parent[closer] = nearest
    ends = np.argsort(price, kind="stable")[:2]
    degree[ends] += 1
    return total + int(price[ends].sum()) - 2 * int(price.sum()), degree

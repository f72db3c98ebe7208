"""Lets the transitions of an order follow a flow, by local search under the distances that it has to keep.

What belongs here: the search. What does not: what a transition costs (``transitions``), which distances there are
(``spacing``), the order to begin with (``order``).

2-opt and Or-opt over neighbour lists (Lin & Kernighan 1973; Or 1976; Bentley 1992), exchanges of two tracks, which
disturb distances least, and kicks by double bridge (Martin, Otto & Felten 1991). Whatever would break a distance or
move a fixed slot is no move. The number of kicks is fixed and costs are integers: the same seed, the same order.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate, pairwise
from operator import getitem
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotify_pipelines.playlists.randomness import BitSource
from spotify_pipelines.playlists.spacing import Spacing

__all__ = ["KICKS", "SHAPED_KICKS", "follow"]

KICKS: Final = 30
SHAPED_KICKS: Final = 20
"""Fewer, since each takes longer where places cost something."""

_NEAREST: Final = 8
_LONGEST_BLOCK: Final = 3
_LONGEST_KICKED: Final = 12
_PROPOSALS: Final = 8
_DISTURBED: Final = 10

Costs = NDArray[np.int64]


def follow(
    order: Sequence[int],
    costs: Costs,
    *,
    spacing: Spacing,
    fixed: Collection[int],
    bits: BitSource,
    places: Costs | None = None,
    kicks: int | None = None,
) -> list[int]:
    """An order of the tracks 0 to n − 1 that costs no more than ``order``, usually far less.

    Args:
        order: keeps ``spacing``; so does the result.
        costs: of each transition, symmetric.
        fixed: slots whose track stays: the opener's and the pinned ones.
        places: what each track (row) costs at each slot (column), for flows that have a shape.
        kicks: how often the order is shaken and mended, the better one being kept; None: :data:`KICKS`, with
            places :data:`SHAPED_KICKS`.
    """
    if len(order) < 3:
        return list(order)
    search = _Search(order, costs, places, spacing, fixed)
    search.descend(order)
    for _ in range((KICKS if places is None else SHAPED_KICKS) if kicks is None else kicks):
        before, cost = search.order[:], search.cost
        search.descend(search.kick(bits))
        if search.cost > cost:
            search.restore(before, cost)
    return search.order[:-1]


class _Search:
    """An order and its cost, improved move by move.

    ``order`` has one slot more than there are tracks: the stop before the first and after the last, which is
    reached at no cost. So no move has to ask whether it touches an end.
    """

    def __init__(
        self,
        order: Sequence[int],
        costs: Costs,
        places: Costs | None,
        spacing: Spacing,
        fixed: Collection[int],
    ) -> None:
        self.n = len(order)
        self.cost = 0
        """Relative to the order at the beginning."""
        self.order = [*order, self.n]
        self.position = [0] * self.n
        self.distance: list[list[int]] = np.pad(costs, (0, 1)).tolist()
        self.near = [
            [other for other in others if other != track][:_NEAREST]
            for track, others in enumerate(np.argsort(costs, axis=1, kind="stable").tolist())
        ]
        self.places: list[list[int]] | None = None
        self.fitting: list[list[int]] = [[]] * self.n
        if places is not None:
            self.places = [*places.tolist(), []]  # the stop has no places
            self.fitting = np.argsort(places, axis=1, kind="stable")[:, :_NEAREST].tolist()
        self.misplaced_before: list[int] = []
        self._locate(0, self.n - 1)
        self.spacing = spacing
        self.is_fixed = [slot in fixed for slot in range(self.n)]
        self.fixed_before: list[int] = [0, *accumulate(self.is_fixed)]
        self.waiting: dict[int, None] = {}

    def restore(self, order: list[int], cost: int) -> None:
        """Back to what it was."""
        self.order, self.cost = order, cost
        self._locate(0, self.n - 1)

    def descend(self, tracks: Iterable[int]) -> None:
        """Improve around ``tracks``, and around whatever that moves, until no move helps."""
        self.waiting = dict.fromkeys(tracks)
        while self.waiting:
            track = next(iter(self.waiting))
            if not (self._turn_stretch(track) or self._move_block(track) or self._exchange(track)):
                del self.waiting[track]

    def kick(self, bits: BitSource) -> list[int]:
        """Disturb the order at random where it keeps its distances; the tracks around which it changed."""
        return self._swap_blocks(bits) or self._swap_tracks(bits)

    def _swap_blocks(self, bits: BitSource) -> list[int]:
        """Let two adjacent blocks change places, if a proposal is possible (on a tour, a double bridge)."""
        for _ in range(_PROPOSALS):
            first = bits.below(self.n - 1)
            middle = first + 1 + bits.below(_LONGEST_KICKED)
            end = middle + 1 + bits.below(_LONGEST_KICKED)
            if end > self.n or self._any_fixed(first, end - 1):
                continue
            blocks = self.order[middle:end] + self.order[first:middle]
            change = self._edges(first, blocks) - self._edges(first, self.order[first:end])
            if self._replace(first, blocks, change, least_gain=None):
                seam = first + end - middle
                return self._at(first - 1, first, seam - 1, seam, end - 1, end)
        return []

    def _swap_tracks(self, bits: BitSource) -> list[int]:
        """Let some pairs of tracks change places: where gaps are wide, hardly any block can move."""
        disturbed: list[int] = []
        for _ in range(_PROPOSALS):
            here, there = bits.below(self.n), bits.below(self.n)
            if abs(here - there) > 1 and not (self.is_fixed[here] or self.is_fixed[there]):
                if self._swap(here, there, self._exchange_costs(here, there)):
                    disturbed += self._at(here - 1, here, here + 1, there - 1, there, there + 1)
                if len(disturbed) >= _DISTURBED:
                    break
        return disturbed

    def _turn_stretch(self, track: int) -> bool:
        """2-opt: turn round what lies between the track and a near one, so that they meet."""
        order, distance = self.order, self.distance
        here = self.position[track]
        row = distance[track]
        worst = max(row[order[here - 1]], row[order[here + 1]])
        for other in self.near[track]:
            if row[other] >= worst:
                return False
            there = self.position[other]
            low, high = (here, there) if here < there else (there, here)
            for first, last in ((low + 1, high), (low, high - 1)):
                if first >= last or self._any_fixed(first, last):
                    continue
                before, start, end, after = order[first - 1], order[first], order[last], order[last + 1]
                change = distance[before][end] + distance[start][after]
                change -= distance[before][start] + distance[end][after]
                if change < 0 and self._replace(first, order[first : last + 1][::-1], change):
                    return True
        return False

    def _move_block(self, track: int) -> bool:
        """Or-opt: take out a block of up to three that ends in the track, put this end next to a near one."""
        order, distance = self.order, self.distance
        here = self.position[track]
        row = distance[track]
        for first, last in _blocks_at(here, self.n):
            if self._any_fixed(first, last):
                continue
            before, after = order[first - 1], order[last + 1]
            tail = order[last] if here == first else order[first]
            saved = distance[before][order[first]] + distance[order[last]][after] - distance[before][after]
            for other in self.near[track]:
                if row[other] >= saved:
                    break
                there = self.position[other]
                for beyond in (there - 1, there + 1):
                    if first <= there <= last or first <= beyond <= last:
                        continue
                    third = order[beyond]
                    change = row[other] + distance[tail][third] - distance[other][third] - saved
                    if change < 0 and self._insert((first, last), there, beyond, track, change):
                        return True
        return False

    def _insert(self, ends: tuple[int, int], there: int, beyond: int, head: int, change: int) -> bool:
        """Move the block with these ends between two adjacent slots, its ``head`` to the side of ``there``."""
        first, last = ends
        block = self.order[first : last + 1]
        if (block[0] == head) != (there < beyond):
            block.reverse()
        if there > last:
            end = min(there, beyond)
            start, new = first, self.order[last + 1 : end + 1] + block
        else:
            start = max(there, beyond)
            new = block + self.order[start:first]
        if self._any_fixed(start, start + len(new) - 1):
            return False
        return self._replace(start, new, change)

    def _exchange(self, track: int) -> bool:
        """Let the track change places with one beside a near one, or with one that stands where it fits."""
        here = self.position[track]
        if self.is_fixed[here]:
            return False
        beside = (self.position[other] + step for other in self.near[track] for step in (-1, 1))
        for there in (*beside, *self.fitting[track]):
            if 0 <= there < self.n and abs(there - here) > 1 and not self.is_fixed[there]:
                change = self._exchange_costs(here, there)
                if change < 0 and self._swap(here, there, change):
                    return True
        return False

    def _exchange_costs(self, here: int, there: int) -> int:
        order, distance = self.order, self.distance
        one, other = order[here], order[there]
        ones, others = distance[one], distance[other]
        a, b, c, d = order[here - 1], order[here + 1], order[there - 1], order[there + 1]
        change = others[a] + others[b] + ones[c] + ones[d] - ones[a] - ones[b] - others[c] - others[d]
        if self.places is not None:
            mine, its = self.places[one], self.places[other]
            change += mine[there] + its[here] - mine[here] - its[there]
        return change

    def _swap(self, here: int, there: int, change: int) -> bool:
        order = self.order
        one, other = order[here], order[there]
        order[here], order[there] = other, one
        if self.spacing.kept(order, here, here) and self.spacing.kept(order, there, there):
            self._count(change, here, here)
            self._count(0, there, there)
            return True
        order[here], order[there] = one, other
        return False

    def _replace(self, first: int, new: list[int], change: int, *, least_gain: int | None = 1) -> bool:
        """Put ``new`` into the slots from ``first`` on, if that gains enough and keeps the distances."""
        last = first + len(new) - 1
        old = self.order[first : last + 1]
        if self.places is not None:
            misplaced = self.misplaced_before[last + 1] - self.misplaced_before[first]
            if least_gain is not None and misplaced - change < least_gain:
                return False  # not even if the new ones stood ideally
            change += sum(map(getitem, map(self.places.__getitem__, new), range(first, last + 1))) - misplaced
        if least_gain is not None and -change < least_gain:
            return False
        self.order[first : last + 1] = new
        if self.spacing.kept(self.order, first, last):
            self._count(change, first, last)
            return True
        self.order[first : last + 1] = old
        return False

    def _count(self, change: int, first: int, last: int) -> None:
        """Take down a move that was made; whatever has new neighbours is to be looked at again."""
        self.cost += change
        self._locate(first, last)
        for track in self._at(first - 1, first, first + 1, last - 1, last, last + 1):
            self.waiting[track] = None

    def _at(self, *slots: int) -> list[int]:
        """The tracks at the slots that there are."""
        return [self.order[slot] for slot in slots if 0 <= slot < self.n]

    def _locate(self, first: int, last: int) -> None:
        """Bring up to date what is known of the slots from ``first`` to ``last``."""
        for slot in range(first, last + 1):
            self.position[self.order[slot]] = slot
        if self.places is not None:
            self.misplaced_before = [
                0,
                *accumulate(map(getitem, map(self.places.__getitem__, self.order), range(self.n))),
            ]

    def _any_fixed(self, first: int, last: int) -> bool:
        return self.fixed_before[last + 1] > self.fixed_before[first]

    def _edges(self, first: int, tracks: list[int]) -> int:
        """What the transitions cost if ``tracks`` stand at the slots from ``first`` on."""
        around = [self.order[first - 1], *tracks, self.order[first + len(tracks)]]
        return sum(self.distance[one][other] for one, other in pairwise(around))


def _blocks_at(slot: int, n: int) -> list[tuple[int, int]]:
    """First and last slots of all blocks that begin or end at ``slot``, the short ones first."""
    longer = range(1, _LONGEST_BLOCK)
    ending = [(slot - length, slot) for length in longer if slot >= length]
    starting = [(slot, slot + length) for length in longer if slot + length < n]
    return [(slot, slot), *ending, *starting]

"""Whether an order still keeps its distances after a change: asked thousands of times by a search, so in bits.

What belongs here: the check. What does not: making or changing orders (``order``, ``flow``).
"""

from collections.abc import Collection, Sequence

__all__ = ["Spacing"]


class Spacing:
    """The distances that an order of tracks 0 to n − 1 has to keep.

    Args:
        clashing: for each track, the tracks that share an artist with it.
        gap: the least distance between clashing tracks, which has to be met exactly by at least one pair, so
            that the gap of the order stays the one that is stored beside it.
        most_neighbours: with a gap of 1, how many neighbours may clash; None: any number.
    """

    __slots__ = ("_any_clash", "_bit", "_clash", "_gap", "_most", "_n")

    def __init__(
        self, clashing: Sequence[Collection[int]], gap: int, *, most_neighbours: int | None = None
    ) -> None:
        self._n = len(clashing)
        self._bit = [1 << track for track in range(self._n)]
        self._clash = [sum(self._bit[other] for other in others) for others in clashing]
        self._any_clash = any(self._clash)
        self._gap = gap
        self._most = self._n if most_neighbours is None else most_neighbours

    def kept(self, order: Sequence[int], first: int, last: int) -> bool:
        """Whether ``order`` still keeps to it after its slots ``first`` to ``last`` were changed.

        ``order`` may be longer than the list. O(n), a few microseconds for 50.
        """
        if not self._any_clash:
            return True
        if self._gap == 1:
            return 1 <= self._neighbours(order) <= self._most
        return self._apart(order, max(0, first - self._gap + 1), last) and self._is_met(order)

    def _apart(self, order: Sequence[int], first: int, last: int) -> bool:
        """Whether no clashing pair that begins within ``first`` … ``last`` is closer than the gap."""
        n, gap, bit, clash = self._n, self._gap, self._bit, self._clash
        ahead = 0
        for track in order[first + 1 : min(n, first + gap)]:
            ahead |= bit[track]
        for slot in range(first, min(last, n - 2) + 1):
            if clash[order[slot]] & ahead:
                return False
            ahead ^= bit[order[slot + 1]]
            if slot + gap < n:
                ahead |= bit[order[slot + gap]]
        return True

    def _is_met(self, order: Sequence[int]) -> bool:
        """Whether some clashing pair stands at exactly the gap."""
        bit, clash, gap = self._bit, self._clash, self._gap
        return any(clash[order[slot]] & bit[order[slot + gap]] for slot in range(self._n - gap))

    def _neighbours(self, order: Sequence[int]) -> int:
        bit, clash, count = self._bit, self._clash, 0
        for slot in range(self._n - 1):
            if clash[order[slot]] & bit[order[slot + 1]]:
                count += 1
        return count

"""Orders from first to last slot under a gap: whether there is one, and random ones.

What belongs here: filling slots one after the other, without going back. What does not: which gap and which opener
to try, improving what came out (``order``).

Tracks that credit the same repeating artists are interchangeable and form a class; walks place classes, which are
few. Sets of classes are kept as bits of an integer.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from spotify_pipelines.playlists.randomness import BitSource

__all__ = ["Walks"]

_Choice = Callable[[list[int], list[int], list[int]], int]
"""Of the classes that may stand at a slot, one; told how many tracks each class and each artist still has."""


class Walks:
    """All ways through one list.

    Args:
        classes: the artists (0, 1, …) that the tracks of each class credit.
        sizes: tracks of each class.
        pins: class by slot.
    """

    def __init__(
        self,
        classes: Sequence[tuple[int, ...]],
        sizes: Sequence[int],
        pins: Mapping[int, int],
        bits: BitSource,
    ) -> None:
        self._classes, self._pins, self._bits = classes, pins, bits
        self._sizes = list(sizes)
        for kind in pins.values():
            self._sizes[kind] -= 1
        self._n = sum(sizes)
        artists = 1 + max((artist for names in classes for artist in names), default=-1)
        self._count = [0] * artists
        self._with_artist = [0] * artists
        for kind, names in enumerate(classes):
            for artist in names:
                self._count[artist] += sizes[kind]
                self._with_artist[artist] |= 1 << kind
        self._clashing = [0] * len(classes)
        for kind, names in enumerate(classes):
            for artist in names:
                self._clashing[kind] |= self._with_artist[artist]
        self._priority = list(range(len(classes)))

    def most_remaining_first(self, gap: int, opener: int | None) -> list[int] | None:
        """Classes by slot, those first whose artists have most left; None if that gets stuck.

        With one artist per track it gets stuck only where no order has this gap. With several it may miss one;
        ties fall at random, so that another call may find it.
        """
        self._bits.shuffle(self._priority)

        def choose(ready: list[int], _left: list[int], remaining: list[int]) -> int:
            return max(ready, key=lambda kind: (*self._need(kind, remaining), self._priority[kind]))

        return self._walk(gap, opener, choose)

    def at_random(self, gap: int, opener: int | None, *, picks: int = 1) -> list[int] | None:
        """Classes by slot, each that of a uniform track that may stand there; None if that gets stuck.

        With several ``picks`` at each slot it is the one among them whose artists have most left: less random,
        and less often stuck.
        """

        def choose(ready: list[int], left: list[int], remaining: list[int]) -> int:
            if len(ready) == 1:
                return ready[0]
            upto = list(accumulate(left[kind] for kind in ready))
            picked = [ready[bisect_right(upto, self._bits.below(upto[-1]))] for _ in range(picks)]
            return max(picked, key=lambda kind: self._need(kind, remaining)) if picks > 1 else picked[0]

        return self._walk(gap, opener, choose)

    def _need(self, kind: int, remaining: list[int]) -> tuple[int, int]:
        counts = [remaining[artist] for artist in self._classes[kind]] or [1]
        return max(counts), sum(counts)

    def _walk(self, gap: int, opener: int | None, choose: _Choice) -> list[int] | None:
        left, remaining = self._sizes[:], self._count[:]
        latest = _Latest(self._n, gap, remaining)
        if latest.is_missed:
            return None
        near_pins = self._classes_near_pins(gap)
        in_stock = sum(1 << kind for kind, size in enumerate(left) if size)
        order: list[int] = []
        for slot in range(self._n):
            barred = near_pins.get(slot, 0)
            for kind in order[max(0, slot - gap + 1) :]:
                barred |= self._clashing[kind]
            ready = in_stock
            if slot in self._pins:
                ready = 1 << self._pins[slot]
            elif slot == 0 and opener is not None:
                ready = 1 << opener
            ready = latest.pressing(slot, ready & ~barred, self._with_artist)
            if not ready:
                return None
            choice = choose(_members(ready), left, remaining)
            order.append(choice)
            if slot not in self._pins:
                left[choice] -= 1
                if not left[choice]:
                    in_stock ^= 1 << choice
            for artist in self._classes[choice]:
                remaining[artist] -= 1
                latest.placed(artist, remaining[artist])
        return order

    def _classes_near_pins(self, gap: int) -> dict[int, int]:
        """The classes that a pin shortly after a slot keeps from it, by slot."""
        barred: dict[int, int] = {}
        for pinned, kind in self._pins.items():
            for slot in range(max(0, pinned - gap + 1), pinned):
                barred[slot] = barred.get(slot, 0) | self._clashing[kind]
        return barred


class _Latest:
    """By when each artist has to be placed next, so that the rest of its tracks fits after it."""

    __slots__ = ("_by_slot", "_gap", "_last", "_slot_of", "is_missed")

    def __init__(self, n: int, gap: int, remaining: Sequence[int]) -> None:
        self._gap, self._last = gap, n - 1
        self._by_slot: list[list[int]] = [[] for _ in range(n)]
        self._slot_of = [self._last - (count - 1) * gap for count in remaining]
        self.is_missed = min(self._slot_of, default=0) < 0
        if not self.is_missed:
            for artist, slot in enumerate(self._slot_of):
                self._by_slot[slot].append(artist)

    def placed(self, artist: int, remaining: int) -> None:
        """Take down that the artist was placed and has so many tracks left."""
        self._slot_of[artist] = -1
        if remaining:
            slot = self._slot_of[artist] = self._last - (remaining - 1) * self._gap
            self._by_slot[slot].append(artist)

    def pressing(self, slot: int, ready: int, with_artist: Sequence[int]) -> int:
        """Those of the ``ready`` classes by which no artist is late: all artists whose latest slot this is."""
        for artist in self._by_slot[slot]:
            if self._slot_of[artist] == slot:
                ready &= with_artist[artist]
        return ready


def _members(kinds: int) -> list[int]:
    found = []
    while kinds:
        lowest = kinds & -kinds
        found.append(lowest.bit_length() - 1)
        kinds ^= lowest
    return found

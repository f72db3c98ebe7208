"""Making room where tracks block each other: tracks of several artists, albums across artists.

What belongs here: moves that add a track, or lower what the rules give way, while the caps hold. What does not:
whether a move is called for (``selection``).

With one artist per track, taking what fits is as good as it gets. With several credits it is a packing problem:
one out and two in comes close; a search, exact on small pools and bounded on large ones, finds what is left.
"""

from bisect import insort
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotify_pipelines.playlists.filling import Filling
from spotify_pipelines.playlists.packing import MOST_KINDS, Packing
from spotify_pipelines.playlists.randomness import BitSource
from spotify_pipelines.playlists.rules import CAPS, Rule

__all__ = ["Repair"]

_KINDS_TRIED: Final = 60

Column = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class _Kind:
    """Tracks that count for the same groups: ``stock`` are those not chosen, the cheapest first."""

    groups: tuple[int, ...]
    stock: list[int]


class Repair:
    """Moves among what is chosen and what could be.

    Args:
        filling: what is chosen; the moves change it.
        candidates: positions of the tracks that may come in.
        cost: what a track breaks of the rules that give way, as one number; 0: nothing.
        soft: caps that give way, so that a move need not mind them.
        bits: for choices among equals.
        one_of: draws one of some positions by weight.
    """

    def __init__(
        self,
        filling: Filling,
        *,
        candidates: Column,
        cost: Callable[[int], int],
        soft: Collection[Rule],
        bits: BitSource,
        one_of: Callable[[Column], int],
    ) -> None:
        self._filling = filling
        self._cost = cost
        self._hard = frozenset(CAPS).difference(soft)
        self._bits = bits
        self._one_of = one_of
        self._kinds: dict[tuple[int, ...], _Kind] = {}
        self._by_group: dict[int, list[_Kind]] = {}
        self._groups: dict[int, tuple[int, ...]] = {}
        for tracks in filling.alike(candidates):
            self._kind_of(tracks[0]).stock += tracks
        for kind in self._kinds.values():
            kind.stock.sort(key=cost)

    # ── the moves ────────────────────────────────────────────────────────────────────────────────────────

    def take_fitting(self) -> bool:
        """One more track that fits without further ado, as there may be after a swap; False if there is none."""
        fitting = [
            kind
            for kind in self._kinds.values()
            if kind.stock and all(self._filling.room(group) > 0 for group in kind.groups)
        ]
        if fitting:
            self._bits.shuffle(fitting)
            self._take(min(fitting, key=self._least_cost), "drawn by weight after a swap")
        return bool(fitting)

    def add_one(self) -> bool:
        """One more track, by one out and two in; False where no such swap exists."""
        for index in self._movable():
            opened = self._opened_by(index)
            if len(opened) > 1 and self._swap(index, opened, below=None):
                return True
        return False

    def pack(self, size: int) -> bool:
        """More tracks, ``size`` at most, by a search; False if there are none or the search ended too early.

        Of each kind, what is chosen stays as far as its new number allows.
        """
        filling = self._filling
        movable = [index for index in filling.chosen if index not in filling.pinned]
        chosen: dict[_Kind, list[int]] = {}
        for index in sorted(movable, key=self._cost):
            chosen.setdefault(self._kind_of(index), []).append(index)
        kinds = [kind for kind in self._kinds.values() if kind.stock or kind in chosen]
        if len(kinds) > MOST_KINDS:
            return False
        room = {group: max(0, filling.room(group)) for kind in kinds for group in kind.groups}
        for kind, tracks in chosen.items():
            for group in kind.groups:
                room[group] += len(tracks)
        packing = Packing(
            {kind: kind.groups for kind in kinds},
            {kind: len(kind.stock) + len(chosen.get(kind, ())) for kind in kinds},
            room,
        )
        numbers = packing.more_than(len(movable), size - len(filling.pinned))
        if numbers is None:
            return False
        for kind, tracks in chosen.items():
            for index in tracks[numbers.get(kind, 0) :]:
                self._put_back(index)
        for kind, number in numbers.items():
            for _ in range(number - len(chosen.get(kind, ()))):
                self._take(kind, "found by a search for more")
        return True

    @property
    def total_cost(self) -> int:
        """What the chosen tracks cost together."""
        return sum(self._cost(index) for index in self._filling.chosen if index not in self._filling.pinned)

    def cheapen(self) -> bool:
        """Less given way, by the dearest track out, and what that allows; False where nothing is gained."""
        movable = self._movable()
        dear = sorted((index for index in movable if self._cost(index)), key=self._cost, reverse=True)
        return any(self._replace(index) for index in dear)

    def _replace(self, dear: int) -> bool:
        """A cheaper track for one, or two for it and another that are cheaper together."""
        filling, cost = self._filling, self._cost(dear)
        opened = self._opened_by(dear)
        if opened and self._cost(opened[0].stock[0]) < cost:
            self._put_back(dear)
            self._take(opened[0], "swapped in: for one used later")
            return True
        before = dict(filling.chosen)
        self._put_back(dear)
        for index in self._movable():
            if self._swap(
                index, _distinct([*opened, *self._opened_by(index)]), below=cost + self._cost(index)
            ):
                return True
        self._kind_of(dear).stock.remove(dear)
        filling.take(dear, before[dear])
        filling.chosen = before
        return False

    def _swap(self, index: int, kinds: list[_Kind], *, below: int | None) -> bool:
        """One out, two of ``kinds`` in, for a sum of costs below ``below``; False if nothing was done."""
        left = set(self._hard_groups(index))
        self._bits.shuffle(kinds)
        kinds = sorted(kinds, key=self._least_cost)[:_KINDS_TRIED]
        best: tuple[int, _Kind, _Kind] | None = None
        for place, one in enumerate(kinds):
            limit = below if best is None else best[0]
            for other in kinds[place + 1 :]:
                together = self._least_cost(one) + self._least_cost(other)
                if limit is not None and together >= limit:
                    break
                if self._both_fit(one, other, left):
                    best = together, one, other
                    break
        if best is None:
            return False
        self._put_back(index)
        for kind in best[1:]:
            self._take(kind, "swapped in: two for one")
        return True

    # ── what fits ────────────────────────────────────────────────────────────────────────────────────────

    def _opened_by(self, index: int) -> list[_Kind]:
        """Kinds that would fit if a chosen track left, and don't fit while it stays; the cheapest first."""
        left = self._hard_groups(index)
        found = [
            kind
            for group in left
            if self._filling.room(group) == 0
            for kind in self._by_group.get(group, ())
            if kind.stock and all(self._filling.room(each) + (each in left) > 0 for each in kind.groups)
        ]
        return sorted(_distinct(found), key=self._least_cost)

    def _both_fit(self, one: _Kind, other: _Kind, left: Collection[int]) -> bool:
        for group in one.groups:
            wanted = 2 if group in other.groups else 1
            if self._filling.room(group) + (group in left) < wanted:
                return False
        return all(self._filling.room(group) + (group in left) > 0 for group in other.groups)

    def _least_cost(self, kind: _Kind) -> int:
        return self._cost(kind.stock[0])

    # ── bookkeeping ──────────────────────────────────────────────────────────────────────────────────────

    def _movable(self) -> list[int]:
        """Chosen tracks that may leave, in random sequence."""
        movable = [index for index in self._filling.chosen if index not in self._filling.pinned]
        self._bits.shuffle(movable)
        return movable

    def _put_back(self, index: int) -> None:
        self._filling.put_back(index)
        insort(self._kind_of(index).stock, index, key=self._cost)

    def _take(self, kind: _Kind, why: str) -> None:
        """Choose one of a kind's cheapest tracks, by weight."""
        least = self._least_cost(kind)
        cheapest = [index for index in kind.stock if self._cost(index) == least]
        index = self._one_of(np.array(cheapest, dtype=np.int64))
        kind.stock.remove(index)
        self._filling.take(index, why)

    def _hard_groups(self, index: int) -> tuple[int, ...]:
        if index not in self._groups:
            filling = self._filling
            self._groups[index] = tuple(
                group for group in filling.groups(index) if filling.rule_of(group) in self._hard
            )
        return self._groups[index]

    def _kind_of(self, index: int) -> _Kind:
        groups = self._hard_groups(index)
        if groups not in self._kinds:
            kind = self._kinds[groups] = _Kind(groups, [])
            for group in groups:
                self._by_group.setdefault(group, []).append(kind)
        return self._kinds[groups]


def _distinct(kinds: Iterable[_Kind]) -> list[_Kind]:
    return list(dict.fromkeys(kinds))

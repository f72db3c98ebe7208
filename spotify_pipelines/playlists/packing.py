"""The most tracks under caps, where tracks count for several groups: a search that is exact if it ends.

What belongs here: the packing problem on plain numbers. What does not: tracks, weights, what to do with the answer.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final, Generic, TypeVar

__all__ = ["MOST_KINDS", "Packing"]

MOST_KINDS: Final = 300
"""With more kinds the search would seldom end."""

_STEPS: Final = 20_000

Kind = TypeVar("Kind", bound=Hashable)


class Packing(Generic[Kind]):
    """Kinds of items, each with its groups and a supply; groups with room.

    Args:
        groups: kind → the groups that one item takes a place of, each.
        supply: kind → how many items there are.
        room: group → how many places there are.
    """

    def __init__(
        self, groups: Mapping[Kind, Sequence[int]], supply: Mapping[Kind, int], room: Mapping[int, int]
    ) -> None:
        self._groups = groups
        self._supply = supply
        self._room = dict(room)
        # Items that block least come first: the first descent is then a good greedy answer.
        self._kinds = sorted(groups, key=lambda kind: len(groups[kind]))
        self._steps = 0
        self._found: dict[Kind, int] = {}
        self._goal = 0
        # Each kind is counted against one of its groups, the one it fills most; the places that are left there,
        # or the items if they are fewer, are what can still come: a bound that no packing exceeds.
        asked: dict[int, int] = {}
        for kind in self._kinds:
            for group in groups[kind]:
                asked[group] = asked.get(group, 0) + supply[kind]
        self._counted_at: dict[Kind, int | None] = {}
        for kind in self._kinds:
            fullest = sorted(groups[kind], key=lambda group: -asked[group] / max(1, room[group]))
            self._counted_at[kind] = fullest[0] if fullest else None
        self._to_come: dict[int | None, int] = {None: 0}
        for kind, place in self._counted_at.items():
            self._to_come[place] = self._to_come.get(place, 0) + supply[kind]

    def more_than(self, known: int, goal: int) -> dict[Kind, int] | None:
        """How many of each kind, for more than ``known`` items in all and at most ``goal``; None: none found."""
        self._goal = goal
        self._known = known
        self._steps = 0
        self._descend(0, 0, {})
        return self._found if self._known > known else None

    def _descend(self, place: int, taken: int, numbers: dict[Kind, int]) -> None:
        if taken > self._known:
            self._known, self._found = taken, dict(numbers)
        self._steps += 1
        if self._known >= self._goal or place == len(self._kinds) or self._steps > _STEPS:
            return
        if taken + self._bound() <= self._known:
            return
        kind = self._kinds[place]
        supply, groups, counted_at = self._supply[kind], self._groups[kind], self._counted_at[kind]
        self._to_come[counted_at] -= supply
        most = min([supply, self._goal - taken, *(self._room[group] for group in groups)])
        for number in range(most, -1, -1):
            for group in groups:
                self._room[group] -= number
            numbers[kind] = number
            self._descend(place + 1, taken + number, numbers)
            for group in groups:
                self._room[group] += number
            if self._known >= self._goal:
                break
        del numbers[kind]
        self._to_come[counted_at] += supply

    def _bound(self) -> int:
        return sum(
            items if group is None else min(items, self._room[group])
            for group, items in self._to_come.items()
            if items
        )

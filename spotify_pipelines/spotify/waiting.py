"""The calls of one app that wait in this process, and which of them comes next.

What belongs here: priorities with floors, turns between accounts; pure but for the futures it holds. What does
not: whether a turn is to be had at all (``shared``, ``local``).

Between processes it is Redis that sees to priorities and floors; the order here is that of a process on its own.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from spotify_pipelines.spotify.turns import Priority, Slot, Turn

__all__ = ["FLOOR", "Demand", "Lane", "Waiter", "WaitingCalls"]

FLOOR = 0.05
"""Part of an app's turns that each bulk class keeps while it waits, whatever comes before it."""

Lane = tuple[str | None, str | None]
"""Calls that wait for the same: those of one account to one family of endpoints."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What waits of one class in this process: accounts that could use a turn now, and calls."""

    accounts: int = 0
    calls: int = 0


@dataclass(slots=True, eq=False)
class Waiter:
    """One call that waits; ``since`` is in seconds of the limiter's own clock."""

    turn: Turn
    since: float
    slot: "asyncio.Future[Slot]"

    @property
    def lane(self) -> Lane:
        """Which calls it waits in line with."""
        return self.turn.account, self.turn.family


@dataclass
class WaitingCalls:
    """Queues by class and lane. Lanes of a class take turns; a class that starves gets its floor."""

    _queues: dict[Priority, dict[Lane, deque[Waiter]]] = field(
        default_factory=lambda: {priority: {} for priority in Priority}
    )
    _owed: dict[Priority, float] = field(default_factory=lambda: dict.fromkeys(Priority, 0.0))
    _calls: dict[Priority, int] = field(default_factory=lambda: dict.fromkeys(Priority, 0))

    def add(self, waiter: Waiter) -> None:
        """Put a call at the end of its lane."""
        self._queues[waiter.turn.priority].setdefault(waiter.lane, deque()).append(waiter)
        self._calls[waiter.turn.priority] += 1

    def remove(self, waiter: Waiter) -> None:
        """Take a call out; nothing happens if it is gone."""
        queues = self._queues[waiter.turn.priority]
        queue = queues.get(waiter.lane)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            self._calls[waiter.turn.priority] -= 1
            if not queue:
                del queues[waiter.lane]

    def __len__(self) -> int:
        return sum(self._calls.values())

    def __iter__(self) -> Iterator[Waiter]:
        return (
            waiter
            for queues in list(self._queues.values())
            for queue in list(queues.values())
            for waiter in list(queue)
        )

    def demand(self, held_back: Collection[Lane] = ()) -> dict[Priority, Demand]:
        """By class: accounts that could use a turn, and calls."""
        return {
            priority: Demand(
                len({lane[0] for lane in queues if lane not in held_back}), self._calls[priority]
            )
            for priority, queues in self._queues.items()
            if queues
        }

    def in_order(self, most: int | None = None, held_back: Collection[Lane] = ()) -> list[Waiter]:
        """The first call of every lane, or of so many of each class; the one to be served next first."""
        classes = sorted(Priority, key=lambda priority: (self._owed[priority] < 1.0, priority))
        return [
            queue[0]
            for priority in classes
            for queue in islice(
                (queue for lane, queue in self._queues[priority].items() if lane not in held_back), most
            )
        ]

    def serve(self, waiter: Waiter) -> None:
        """Take out a call whose turn has come: its lane goes to the end, classes that wait are owed."""
        served = waiter.turn.priority
        for priority in (Priority.HEALTHY, Priority.DEGRADED):
            if self._queues[priority]:
                self._owed[priority] = min(2.0, self._owed[priority] + FLOOR)
        self._owed[served] = max(0.0, self._owed[served] - 1.0)
        self.remove(waiter)
        queues = self._queues[served]
        if waiter.lane in queues:
            queues[waiter.lane] = queues.pop(waiter.lane)

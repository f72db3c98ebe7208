"""The calls of one app that wait in this process, and which of them comes next.

What belongs here: priorities with floors, turns between accounts; pure but for the futures it holds. What does
not: whether a turn is to be had at all (``shared``, ``local``).
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from spotify_pipelines.spotify.turns import Priority, Slot, Turn

__all__ = ["FLOOR", "Waiter", "WaitingCalls"]

FLOOR = 0.05
"""Part of an app's turns that each bulk class keeps while it waits, whatever comes before it."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One call that waits; ``since`` is in seconds of the limiter's own clock."""

    turn: Turn
    since: float
    slot: "asyncio.Future[Slot]"


@dataclass
class WaitingCalls:
    """Queues by class and account. Accounts of a class take turns; a class that starves gets its floor."""

    _queues: dict[Priority, dict[str | None, deque[Waiter]]] = field(
        default_factory=lambda: {priority: {} for priority in Priority}
    )
    _owed: dict[Priority, float] = field(default_factory=lambda: dict.fromkeys(Priority, 0.0))

    def add(self, waiter: Waiter) -> None:
        """Put a call at the end of its account's queue."""
        self._queues[waiter.turn.priority].setdefault(waiter.turn.account, deque()).append(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Take a call out; nothing happens if it is gone."""
        queues = self._queues[waiter.turn.priority]
        queue = queues.get(waiter.turn.account)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del queues[waiter.turn.account]

    def __len__(self) -> int:
        return sum(len(queue) for queues in self._queues.values() for queue in queues.values())

    def __iter__(self) -> Iterator[Waiter]:
        return (
            waiter
            for queues in list(self._queues.values())
            for queue in list(queues.values())
            for waiter in list(queue)
        )

    @property
    def accounts(self) -> set[str | None]:
        """Accounts that have a call waiting."""
        return {account for queues in self._queues.values() for account in queues}

    def in_order(self) -> list[Waiter]:
        """The first call of every account and class, the one to be served next first."""
        classes = sorted(Priority, key=lambda priority: (self._owed[priority] < 1.0, priority))
        return [queue[0] for priority in classes for queue in self._queues[priority].values()]

    def serve(self, waiter: Waiter) -> None:
        """Take out a call whose turn has come: its account goes to the end, classes passed over are owed."""
        served = waiter.turn.priority
        account = waiter.turn.account
        self.remove(waiter)
        queues = self._queues[served]
        if account in queues:
            queues[account] = queues.pop(account)
        self._owed[served] = max(0.0, self._owed[served] - 1.0)
        for priority in (Priority.HEALTHY, Priority.DEGRADED):
            if priority is not served and self._queues[priority]:
                self._owed[priority] = min(1.0, self._owed[priority] + FLOOR)

"""Lanes side by side, wave by wave: so many at once, and those that get nowhere hold up nobody.

What belongs here: places and waves as a matter of time. What does not: what a lane does, or which wave it is in
(``accounts.health``).

A lane that has got no answer for ``patience`` seconds gives its place up and goes on without one, and a wave whose
lanes are all done or stuck so makes way for the next.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

__all__ = ["PATIENCE", "Lane", "Lanes", "open_lanes"]

PATIENCE = 10.0
"""Seconds; an answer that took longer is rare, and costs no more than a place lent out too early."""


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One account's work.

    Attributes:
        work: does it.
        steps: how many good answers it has got so far.
        gate: entered before the lane asks for its place.
    """

    work: Callable[[], Awaitable[None]]
    steps: Callable[[], int]
    gate: Callable[[], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def open_lanes(places: int, patience: float = PATIENCE) -> AsyncIterator["Lanes"]:
    """Lanes that are all done at the end of the block; the first that raises ends all of them, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            yield Lanes(group, places, patience)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


class Lanes:
    """See ``open_lanes``."""

    def __init__(self, group: asyncio.TaskGroup, places: int, patience: float) -> None:
        self._group = group
        self._number = places
        self._places = asyncio.Semaphore(places)
        # In an outage all are stuck: then not all may leave their places to others.
        self._to_lend = max(1, places // 4)
        self._patience = patience
        self._stuck: set[Lane] = set()
        self._lent: set[Lane] = set()
        self._changed = asyncio.Event()

    async def wave(self, lanes: Sequence[Lane], concurrency: int | None = None) -> None:
        """Begin them in their order, and return once each is done or stuck."""
        own = asyncio.Semaphore(concurrency or self._number)
        going = set(lanes)
        for lane in lanes:
            self._group.create_task(self._run(lane, own, going))
        while going - self._stuck:
            self._changed.clear()
            await self._changed.wait()

    async def _run(self, lane: Lane, own: asyncio.Semaphore, going: set[Lane]) -> None:
        try:
            async with lane.gate(), AsyncExitStack() as held:
                for semaphore in (own, self._places):
                    await held.enter_async_context(semaphore)
                watch = asyncio.create_task(self._watch(lane, held))
                try:
                    await lane.work()
                finally:
                    watch.cancel()
        finally:
            self._stuck.discard(lane)
            self._to_lend += lane in self._lent
            self._lent.discard(lane)
            going.discard(lane)
            self._changed.set()

    async def _watch(self, lane: Lane, held: AsyncExitStack) -> None:
        seen = lane.steps()
        while True:
            await asyncio.sleep(self._patience)
            steps = lane.steps()
            if steps > seen:
                seen = steps
                self._stuck.discard(lane)
                continue
            self._stuck.add(lane)
            self._changed.set()
            if lane not in self._lent and self._to_lend:
                self._lent.add(lane)
                self._to_lend -= 1
                await held.pop_all().aclose()

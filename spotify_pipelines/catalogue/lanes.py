"""Several pieces of work at once, a few at a time.

What belongs here: the one way in which the catalogue's use cases run side by side. What does not: pacing,
which is the client's limiter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

__all__ = ["LANES", "chunks", "in_lanes"]

T = TypeVar("T")

LANES = 4
"""Pieces of work at once in one use case: hides the way there and back; the limiter sets the pace."""


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in pieces of ``size``, the last one may be smaller.

    >>> list(chunks("abcde", 2))
    ['ab', 'cd', 'e']
    """
    return (items[start : start + size] for start in range(0, len(items), size))


async def in_lanes(work: Callable[[T], Awaitable[None]], items: Iterable[T], lanes: int = LANES) -> None:
    """Do ``work`` on every item, at most ``lanes`` at once, in order of start.

    The first item goes alone: what it finds out (a capability, a ban) the others need not find out again. An
    exception, or being cancelled, cancels what runs, waits for its end, and goes on upwards.
    """
    waiting = iter(items)

    async def lane() -> None:
        for item in waiting:
            await work(item)

    for first in waiting:
        await work(first)
        break
    tasks = [asyncio.create_task(lane()) for _ in range(lanes)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

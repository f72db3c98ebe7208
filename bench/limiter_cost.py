"""What the limiter adds to a call, ÷ a PING of Redis by redis-py's client, each after 5 ms of rest. Goal ≤ 1.5.

A turn that is free at once: from asking to having it. A turn that comes free at a known time, that of the account's
own bucket: from then to having it, less what a bare timer is late; the millisecond to which Redis' clock is read is
in there. Medians, and of the free turn the fastest tenth too, which other work on the machine weighs on less. Beside
it an empty script over a kept connection like the limiter's own: what no booking can go below.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from statistics import median, quantiles

from bench.figures import Figure
from bench.redis_server import own_redis
from spotify_pipelines.spotify.limiter import Limiter, connect_redis
from spotify_pipelines.spotify.line import Line, Script
from spotify_pipelines.spotify.pace import Pace
from spotify_pipelines.spotify.turns import Fate, Turn

_ROUNDS = 1500
_PLENTY = 3_000_000
"""Calls in 30 seconds: there always is a turn."""
_PACED = 3000
_NAP = 0.005


def figures() -> Iterator[Figure]:
    """Measure in one process that does nothing else."""
    with own_redis() as redis_url:
        spent = asyncio.run(_measure(redis_url))
    ping = median(spent.ping)
    yield Figure(
        "limiter on the critical path, free turn ÷ Redis PING",
        median(spent.free) / ping,
        at_most=1.5,
        detail=f"{_told(spent.free)} ÷ {_told(spent.ping)}, {_ROUNDS} rounds; {_told(spent.empty)} an empty script",
    )
    yield Figure(
        "limiter on the critical path, free turn ÷ Redis PING, fastest tenth of each",
        _fast(spent.free) / _fast(spent.ping),
        at_most=1.5,
        detail=f"{1000 * _fast(spent.free):.2f} ms ÷ {1000 * _fast(spent.ping):.2f} ms",
    )
    yield Figure(
        "limiter on the critical path, awaited turn ÷ Redis PING",
        (median(spent.awaited) - median(spent.timer)) / ping,
        at_most=1.5,
        detail=f"{_told(spent.awaited)} after the turn came free, {len(spent.awaited)} turns of an account's bucket; "
        f"a bare timer is late by {_told(spent.timer)}, which is taken off",
    )


@dataclass
class _Spent:
    """Seconds of each: a PING, an empty script, a free turn, an awaited turn and a timer from when they were due."""

    ping: list[float] = field(default_factory=list)
    empty: list[float] = field(default_factory=list)
    free: list[float] = field(default_factory=list)
    awaited: list[float] = field(default_factory=list)
    timer: list[float] = field(default_factory=list)


async def _measure(redis_url: str) -> _Spent:
    redis = connect_redis(redis_url)
    limiter = Limiter(redis, "bench:")
    line, script = Line(redis), Script("return 1")
    spent = _Spent()
    try:
        plenty = Turn("plenty", _PLENTY, "account", _PLENTY)
        for number in range(_ROUNDS):
            # Each after the same rest: else the PING pays for what the turn before left to do.
            await asyncio.sleep(_NAP)
            spent.ping.append(await _seconds(redis.ping))
            await asyncio.sleep(_NAP)
            spent.empty.append(await _seconds(lambda: line.run(script, [], [])))
            await asyncio.sleep(_NAP)
            started = time.perf_counter()
            slot = await limiter.acquire(plenty)
            spent.free.append(time.perf_counter() - started)
            await limiter.answered(slot, Fate.ANSWERED)
            if number % 5 == 0:
                spent.awaited.append(await _await_turn(limiter))
                spent.timer.append(await _seconds(lambda: asyncio.sleep(_NAP)) - _NAP)
    finally:
        await limiter.aclose()
        await line.hang_up()
        await redis.aclose()
    return spent


async def _await_turn(limiter: Limiter) -> float:
    """Seconds from when the account's bucket had another turn until we had it."""
    paced = Turn("paced", _PLENTY, "account", _PACED)
    due, asked = 0.0, 1.0
    while asked >= due:
        # What was saved up comes at once; only then there is something to wait for.
        slot = await limiter.acquire(paced)
        await limiter.answered(slot, Fate.ANSWERED)
        due = slot.taken / 1000 - Pace.of(_PACED).tolerance
        asked = time.time()
    slot = await limiter.acquire(paced)
    had = time.time()
    await limiter.answered(slot, Fate.ANSWERED)
    return had - due


async def _seconds(action: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await action()
    return time.perf_counter() - started


def _fast(seconds: list[float]) -> float:
    return quantiles(seconds, n=10)[0]


def _told(seconds: list[float]) -> str:
    return f"{1000 * median(seconds):.2f} ms (p95 {1000 * quantiles(seconds, n=20)[-1]:.2f})"

"""How an unknown limit is found on the product's whole way: Limiter, Lua in Redis, real time. 14 minutes.

Apps with limits of 30, 300 and 3,000 calls in 30 seconds, side by side, each called by a process of its own that
wants more than it may (``Caller`` and all; a server model in the process in the place of HTTP). After
400 seconds the limits halve. What the limiter believes is read from Redis every half second. Found: within 10 % or
two calls.

The long run is in ``limiter_model``: nobody waits for hours of real time.
"""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.callers import START_SECONDS, CallerProcess, Demand, Work
from bench.figures import Figure
from bench.model_server import ServerModel
from bench.redis_server import own_redis
from spotify_pipelines.spotify.limiter import connect_redis
from spotify_pipelines.spotify.shared import SharedWindows

_SEEDS = {30: (1, 2, 3), 300: (1, 2, 3), 3000: (1,)}
_HALVES, _END = 400.0, 800.0
_LOOK = 0.5
_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class _Run:
    """One app's story, in seconds from its first call.

    Attributes:
        believed: (when, limit); refused: when each episode began; passed: when each call was let through.
    """

    limit: int
    believed: Sequence[tuple[float, float]]
    refused: Sequence[float]
    passed: Sequence[float]

    def found(self, limit: int, since: float, until: float) -> float:
        """Seconds from ``since`` until the limit was believed, after an episode, and stayed so; inf: never."""
        first = min((at for at in self.refused if at >= since), default=until)
        near = max(0.1 * limit, 2.0)
        told = [(at, abs(known - limit) <= near) for at, known in self.believed if first <= at < until]
        wrong = max((at for at, is_near in told if not is_near), default=first)
        return next((at - since for at, is_near in told if is_near and at >= wrong), float("inf"))

    def episodes(self, since: float, until: float) -> int:
        """How many began then."""
        return sum(since <= at < until for at in self.refused)

    def kept(self, limit: int, since: float, until: float) -> float:
        """Part of the limit that was used."""
        return sum(since <= at < until for at in self.passed) / ((until - since) / 30 * limit)


def figures() -> Iterator[Figure]:
    """All at once, then limit by limit."""
    with own_redis() as redis_url:
        runs = _play(redis_url)
    for limit in _SEEDS:
        yield from _told(limit, [run for run in runs if run.limit == limit])


def _told(limit: int, runs: Sequence[_Run]) -> Iterator[Figure]:
    half = limit // 2
    found = [run.found(limit, 0.0, _HALVES) for run in runs]
    at_first = [run.episodes(0.0, _HALVES) for run in runs]
    end = [next(known for at, known in reversed(run.believed) if at < _HALVES) for run in runs]
    yield Figure(
        f"hidden limit {limit}, real Redis and time: seconds until it is found, the slowest",
        max(found),
        unit="s",
        at_most=300,
        detail=f"{_seconds(found)}; believed before it halves: {_calls(end)}; kept ÷ allowed in the last two minutes "
        f"before: {[round(run.kept(limit, _HALVES - 120, _HALVES), 3) for run in runs]}",
    )
    yield Figure(
        f"hidden limit {limit}: episodes of 429s until it halves", max(at_first), unit="episodes", at_most=1
    )
    after = [run.episodes(_HALVES, _END) for run in runs]
    again = [run.found(half, _HALVES, _END) for run in runs]
    yield Figure(
        f"hidden limit {limit} halves: episodes in the {_END - _HALVES:.0f} s after",
        max(after),
        unit="episodes",
        at_most=4,
        detail=f"{after}, median {median(after):g}; found after {_seconds(again)}; believed at the end: "
        f"{_calls([run.believed[-1][1] for run in runs])}; kept ÷ allowed in the last two minutes: "
        f"{[round(run.kept(half, _END - 120, _END), 3) for run in runs]}",
    )


def _play(redis_url: str) -> list[_Run]:
    begin = time.monotonic() + START_SECONDS
    wanted = [(limit, seed) for limit, seeds in _SEEDS.items() for seed in seeds]
    works = [
        Work(
            redis_url,
            f"bench:{limit}-{seed}:",
            None,
            [Demand(f"account-{number}", width=8) for number in range(8)],
            begin,
            _END,
            server=ServerModel(limits=((0.0, limit), (_HALVES, limit // 2)), seed=seed),
        )
        for limit, seed in wanted
    ]
    processes = [CallerProcess(work) for work in works]
    believed: list[list[tuple[float, float]]] = [[] for _ in works]
    reader = threading.Thread(target=lambda: asyncio.run(_read(redis_url, works, believed)), daemon=True)
    reader.start()
    calls = [process.report().calls for process in processes]
    reader.join()
    return [
        _Run(
            limit,
            told,
            _episodes([(call.started - begin, call.ended - begin) for call in made if call.status == 429]),
            [call.ended - begin for call in made if call.status == 200],
        )
        for (limit, _), told, made in zip(wanted, believed, calls, strict=True)
    ]


async def _read(redis_url: str, works: Sequence[Work], believed: list[list[tuple[float, float]]]) -> None:
    """Look up what is believed until the end."""
    redis = connect_redis(redis_url)
    windows = [SharedWindows(redis, work.prefix, "reader") for work in works]
    begin = works[0].begin
    while (now := time.monotonic() - begin) < _END:
        for work, window, told in zip(works, windows, believed, strict=True):
            _, state = await window.learned(work.app)
            if state is not None:
                told.append((now, state.limit))
        await asyncio.sleep(_LOOK)
    await redis.aclose()


def _episodes(refused: Sequence[tuple[float, float]]) -> list[float]:
    """When episodes began, of refused calls by start and end.

    What started before the pause is of the same one. The pause lasts a second or longer, so that a call which slipped
    out just after the first refusal (``limiter_pause`` measures those) is no new episode.
    """
    began: list[float] = []
    for started, ended in sorted(refused, key=lambda each: each[1]):
        if not began or started > began[-1] + _PAUSE:
            began.append(ended)
    return began


def _seconds(times: Sequence[float]) -> str:
    return f"{', '.join(f'{each:.0f}' for each in times)} s, median {median(times):.0f}"


def _calls(limits: Sequence[float]) -> str:
    return ", ".join(f"{limit:.1f}" for limit in limits)

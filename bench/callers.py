"""Processes that call as fast as the limiter lets them, and when each of their calls started, ended and with what.

What belongs here: the work of such a process, starting it, reading what it saw. The way of a call is the product's
own (``Caller``, ``Limiter``, Redis, real time), and only what it is sent through can be exchanged: HTTP, or a
``ModelServer`` in the process. What does not: what is measured.

Times are of the monotonic clock, which all processes of a machine share.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from bench.model_server import ModelServer, ServerModel
from spotify_pipelines.observability.logs import configure_logging
from spotify_pipelines.spotify.accounting import CallLog, Service
from spotify_pipelines.spotify.caller import Caller, Request, Route
from spotify_pipelines.spotify.errors import SpotifyError
from spotify_pipelines.spotify.limiter import Limiter, connect_redis
from spotify_pipelines.spotify.transport import HttpTransport
from spotify_pipelines.spotify.turns import Priority, Turn
from spotify_pipelines.spotify.verdict import Answer

__all__ = ["Call", "CallerProcess", "Demand", "Report", "Work", "fullest_window", "together"]

START_SECONDS = 6.0
"""Until the slowest of a dozen processes has started on a busy machine."""
_ACCOUNT_LIMIT = 1_000_000
"""Calls in 30 seconds: accounts' own buckets are out of the way here."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Calls for one account.

    Attributes:
        width: how many are wanted at once, each followed by the next; or
        every: seconds between two calls that are wanted, one at a time.
    """

    account: str
    priority: Priority = Priority.HEALTHY
    width: int = 6
    every: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """What one process does from ``begin`` on, for so many ``seconds``.

    Attributes:
        limit: of the app, as the limiter is told; None: it has to find out.
        api_url: where to call, with ``token``; or
        server: the model to call instead.
    """

    redis_url: str
    prefix: str
    limit: int | None
    demands: Sequence[Demand]
    begin: float
    seconds: float
    api_url: str = ""
    token: str = ""
    server: ServerModel = field(default_factory=ServerModel)
    app: str = "app"


class Call(NamedTuple):
    """One attempt; ``status`` 0: no answer came."""

    account: str
    priority: int
    started: float
    ended: float
    status: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a process saw; ``stall``: the most seconds by which a timer in it was late, the machine's own part."""

    calls: Sequence[Call]
    stall: float


_WORK, _REPORT = TypeAdapter(Work), TypeAdapter(Report)
_TICK = 0.01


class CallerProcess:
    """A process at work; ``pid`` is its own."""

    def __init__(self, work: Work) -> None:
        command = [sys.executable, "-m", "bench.callers", _WORK.dump_json(work).decode()]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._end = work.begin + work.seconds
        self.pid = self._process.pid

    def report(self) -> Report:
        """Wait for its end; what it did, in no order.

        Raises:
            RuntimeError: it failed; what it said is on stderr.
        """
        output, _ = self._process.communicate(timeout=self._end - time.monotonic() + 60)
        if self._process.returncode:
            raise RuntimeError(f"a calling process failed with {self._process.returncode}")
        return _REPORT.validate_json(output)


def together(works: Sequence[Work]) -> list[Report]:
    """Do all works at once; what each says."""
    processes = [CallerProcess(work) for work in works]
    return [process.report() for process in processes]


def fullest_window(times: Sequence[float], seconds: float = 30.0) -> int:
    """The most of ``times`` (in order) within any ``seconds``."""
    first = fullest = 0
    for number, at in enumerate(times, 1):
        while times[first] <= at - seconds:
            first += 1
        fullest = max(fullest, number - first)
    return fullest


class _Watched(HttpTransport):
    """A transport of which every exchange is noted."""

    def __init__(self, inner: HttpTransport, note: Callable[[float, float, int], None]) -> None:
        self._inner = inner
        self._note = note

    async def send(self, method: str, url: str, **how: Any) -> Answer:
        started, status = time.monotonic(), 0
        try:
            answer = await self._inner.send(method, url, **how)
            status = answer.status
            return answer
        finally:
            self._note(started, time.monotonic(), status)


async def _work(work: Work) -> Report:
    redis = connect_redis(work.redis_url)
    limiter = Limiter(redis, work.prefix)
    calls: list[Call] = []
    await asyncio.sleep(work.begin - time.monotonic())
    async with HttpTransport.open(time_limit=25.0, use_proxies=False) as http:
        transport = http if work.api_url else ModelServer(work.server, work.begin)
        lanes: list[Awaitable[None]] = []
        for demand in work.demands:
            caller = _caller(transport, limiter, demand, calls)
            lanes += [_lane(work, demand, caller) for _ in range(demand.width if not demand.every else 1)]
        clock = asyncio.create_task(_longest_stall(work.begin + work.seconds))
        await asyncio.gather(*lanes)
        stall = await clock
    await limiter.aclose()
    await redis.aclose()
    return Report(calls, stall)


async def _longest_stall(end: float) -> float:
    """The most by which a timer is late until ``end``."""
    longest = 0.0
    while (asked := time.monotonic()) < end:
        await asyncio.sleep(_TICK)
        longest = max(longest, time.monotonic() - asked - _TICK)
    return longest


def _caller(transport: HttpTransport, limiter: Limiter, demand: Demand, calls: list[Call]) -> Caller:
    def note(started: float, ended: float, status: int) -> None:
        calls.append(Call(demand.account, demand.priority, started, ended, status))

    return Caller(_Watched(transport, note), limiter, CallLog(), clock=lambda: datetime.now(UTC))


async def _lane(work: Work, demand: Demand, caller: Caller) -> None:
    turn = Turn(work.app, work.limit, demand.account, _ACCOUNT_LIMIT, priority=demand.priority)

    async def authorize(_refused: str | None) -> tuple[dict[str, str], str | None]:
        return {"Authorization": f"Bearer {work.token}"}, work.token

    def my_turn(*_: object) -> Turn:
        return turn

    def no_ban(*_: object) -> Any:
        return ()

    route = Route(Service.WEB_API, work.api_url, None, None, my_turn, authorize, no_ban, no_ban)
    end = work.begin + work.seconds
    while time.monotonic() < end:
        wanted = time.monotonic()
        try:
            # What still waits at the end is not made any more.
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + end - wanted):
                await caller.call(route, Request("GET /me", "/me"))
        except (SpotifyError, TimeoutError):
            continue
        finally:
            if demand.every:
                await asyncio.sleep(max(0.0, wanted + demand.every - time.monotonic()))


def main() -> None:
    """Do the work that the command line says; what was seen goes to stdout."""
    configure_logging(level="CRITICAL")
    work = _WORK.validate_json(sys.argv[1])
    sys.stdout.buffer.write(_REPORT.dump_json(asyncio.run(_work(work))))


if __name__ == "__main__":
    main()

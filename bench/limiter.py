"""How much of a limit is used, and how an unknown one is found.

A known limit: one and four processes call the simulator as fast as they may; its ledger tells what came. An unknown
limit: the product's estimator against a modelled server, in modelled time, with the delays that were seen of Spotify.
"""

import asyncio
import heapq
import random
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from bench.figures import Figure
from spotify_pipelines.spotify.learning import Evidence, LearnedLimit, Mode
from spotify_pipelines.spotify.limiter import Limiter, connect_redis
from spotify_pipelines.spotify.turns import Fate, Turn
from spotify_pipelines_tests.support.services import suite_endpoints
from spotify_pipelines_tests.support.simulator import running_simulator

_LIMIT = 300
_WINDOW = 30.0
_WARM_UP = 3.0
_LANES = 8


def figures() -> Iterator[Figure]:
    """The known limit first, then unknown ones."""
    for processes in (1, 4):
        kept, refused, calls = _known(processes)
        yield Figure(
            f"known limit, {processes} process(es): calls kept ÷ allowed",
            kept,
            at_least=0.97,
            detail=f"{calls} calls in {_WINDOW:.0f} s where {_LIMIT} are allowed; {refused} answered 429",
        )
        yield Figure(f"known limit, {processes} process(es): 429s", refused, unit="429s", at_most=0)
    for limit in (30, 300, 3000):
        yield from _unknown(limit)


def _known(processes: int) -> tuple[float, int, int]:
    """Part of the limit that was used in a whole window, 429s, and calls."""
    redis_url = suite_endpoints().redis_url
    prefix = f"bench:{secrets.token_hex(6)}:"
    with tempfile.TemporaryDirectory() as folder, running_simulator(Path(folder), albums=1) as simulator:
        simulator.control.add_client("app", "secret", limit=_LIMIT)
        simulator.control.add_user("user")
        token = simulator.control.mint_tokens("app", "user")["access_token"]
        arguments = [redis_url, prefix, simulator.api_url, token]
        command = [sys.executable, "-m", "bench.limiter", *arguments]
        workers = [subprocess.Popen(command) for _ in range(processes)]
        for worker in workers:
            if worker.wait(timeout=120):
                raise RuntimeError("a calling process failed")
        ledger = [entry for entry in simulator.control.ledger() if entry["path"].endswith("/me")]
    start = ledger[0]["real_time"] + _WARM_UP
    inside = [entry for entry in ledger if start <= entry["real_time"] < start + _WINDOW]
    refused = sum(entry["status"] == 429 for entry in ledger)
    return (len(inside) - refused) / _LIMIT, refused, len(inside)


async def _call_as_fast_as_allowed(redis_url: str, prefix: str, api_url: str, token: str) -> None:
    client = connect_redis(redis_url)
    limiter = Limiter(client, prefix)
    end = time.monotonic() + _WARM_UP + _WINDOW + 2
    request = urllib.request.Request(f"{api_url}/me", headers={"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    async def lane(number: int) -> None:
        while time.monotonic() < end:
            slot = await limiter.acquire(Turn("app", _LIMIT, f"account-{number}", 10 * _LIMIT))
            await asyncio.to_thread(lambda: opener.open(request).read())
            await limiter.answered(slot, Fate.ANSWERED)

    await asyncio.gather(*map(lane, range(_LANES)))
    await limiter.aclose()
    await client.aclose()


@dataclass
class _Model:
    """A server with a hidden limit and clients with more calls than they may make, in modelled seconds."""

    limit_at: Callable[[float], int]
    rng: random.Random
    state: LearnedLimit = field(default_factory=lambda: LearnedLimit.unknown(0.0))
    episodes: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    settled: list[tuple[float, float]] = field(default_factory=list)
    _held: deque[float] = field(default_factory=deque)
    _passed: deque[tuple[float, float]] = field(default_factory=deque)
    _server: deque[float] = field(default_factory=deque)
    _flying: int = 0
    _due: float = 0.0
    _pause: float = 0.0
    _episode: float = -1.0
    _testing: bool = False
    _fails: int = 0

    def run(self, seconds: float) -> None:
        """Play it; ``events`` are (time, kind, booked, accepted, was the window full, was it the test call)."""
        events: list[tuple[float, str, float, bool, bool, bool]] = []
        now = 0.0
        while now < seconds:
            at = self._next_turn(now)
            if not events or at <= events[0][0]:
                now = at
                if now >= seconds:
                    break
                full = len(self._held) + self._flying + 1 >= self.state.fullness * int(self.state.limit)
                self._flying += 1
                self._due = max(self._due, now) + _WINDOW / self.state.limit
                arrival = now + self.rng.uniform(0.02, 0.4)
                heapq.heappush(events, (arrival, "arrives", now, False, full, self._testing))
                continue
            now, kind, booked, accepted, full, test = heapq.heappop(events)
            if kind == "arrives":
                accepted = self._arrive(now)
                answer = now + self.rng.uniform(0.01, 0.1)
                heapq.heappush(events, (answer, "answered", booked, accepted, full, test))
            else:
                self._answered(now, booked, accepted, full, test)
            self.settled.append((now, self.state.limit))

    def _next_turn(self, now: float) -> float:
        while self._held and self._held[0] <= now - _WINDOW:
            self._held.popleft()
        if self._testing and self._flying:
            return float("inf")
        room = int(self.state.limit) - self._flying
        at = max(now, self._pause, self._due - 0.02 * _WINDOW)
        if len(self._held) >= room:
            at = max(at, self._held[len(self._held) - room] + _WINDOW) if room > 0 else float("inf")
        return at

    def _arrive(self, now: float) -> bool:
        while self._server and self._server[0] <= now - _WINDOW:
            self._server.popleft()
        if len(self._server) >= self.limit_at(now):
            return False
        self._server.append(now)
        self.accepted.append(now)
        return True

    def _answered(self, now: float, booked: float, accepted: bool, full: bool, test: bool) -> None:
        self._flying -= 1
        self._held.append(now)
        if accepted:
            self._passed.append((booked, now))
            while self._passed[0][1] < now - 65:
                self._passed.popleft()
            if booked > self._episode:
                self._testing, self._fails = False, 0
            self.state = self.state.after_calls(int(full), 60.0 if full else 0.0, now)
            return
        self._fails += test
        wait = max(self.rng.randint(1, 4), 5 * 2 ** (self._fails - 1) if self._fails else 0)
        self._pause = max(self._pause, now + wait)
        if booked <= self._episode:
            return
        self._episode, self._testing = now, True
        self._due = self._pause
        self.episodes.append(now)
        sure = sum(sent > now - _WINDOW and answered <= booked for sent, answered in self._passed)
        possible = sum(answered > booked - _WINDOW and sent < now for sent, answered in self._passed)
        self.state = self.state.after_refusal(Evidence(sure, possible, test), now)


def _unknown(limit: int) -> Iterator[Figure]:
    """An hour and a half at one limit, and one that halves after half an hour."""
    seeds = range(3 if limit < 1000 else 1)
    steady = [_played(lambda now: limit, seed, 5400) for seed in seeds]
    halved = [_played(lambda now: limit if now < 1800 else limit // 2, seed, 3500) for seed in seeds]
    first = [_settles(model, limit) for model in steady]
    yield Figure(
        f"hidden limit {limit}: seconds until within 10 %",
        mean(first),
        unit="s",
        at_most=300,
        detail=f"episodes in 1.5 h, one probe each hour: {[len(model.episodes) for model in steady]}",
    )
    kept = [sum(at > 600 for at in model.accepted) / (4800 / _WINDOW * limit) for model in steady]
    yield Figure(f"hidden limit {limit}: calls kept ÷ allowed after 10 min", mean(kept), at_least=0.95)
    after = [sum(at >= 1800 for at in model.episodes) for model in halved]
    yield Figure(
        f"hidden limit {limit} halves: episodes",
        max(after),
        unit="episodes",
        at_most=4,
        detail=f"limit found: {[round(model.state.limit, 1) for model in halved]}, mode "
        f"{[model.state.mode.value for model in halved]}; all {Mode.STEADY.value} where settled",
    )


def _played(limit_at: Callable[[float], int], seed: int, seconds: float) -> _Model:
    model = _Model(limit_at, random.Random(seed))
    model.run(seconds)
    return model


def _settles(model: _Model, limit: int) -> float:
    """When the first time the limit was known to 10 % (or two calls)."""
    near = max(0.1 * limit, 2)
    first = model.episodes[0] if model.episodes else 0.0
    return next((at for at, known in model.settled if at >= first and abs(known - limit) <= near), 5400.0)


if __name__ == "__main__":
    asyncio.run(_call_as_fast_as_allowed(*sys.argv[1:]))

"""How the product's estimator finds and keeps an unknown limit over hours: modelled server, modelled time.

L = 30, 300 and 3,000, five seeds each, demand without end, a round trip of 30 to 500 ms: two hours at one limit, a
limit that halves, one that doubles at some time of the hour. Told is the worst of the seeds; the details have all.
The window and the pause are modelled here as they are in Redis; ``limiter_hidden`` has the real ones, in real time.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.figures import Figure
from spotify_pipelines.spotify.learning import PROBE_AFTER, Evidence, LearnedLimit

_LIMITS = (30, 300, 3000)
_SEEDS = range(5)
_WINDOW = 30.0
_SETTLED = 600.0
_HOURS = 2
_HALVES = 1800.0


def figures() -> Iterator[Figure]:
    """Limit by limit."""
    for limit in _LIMITS:
        yield from _steady(limit)
        yield _halved(limit)
        yield from _doubled(limit)


def _steady(limit: int) -> Iterator[Figure]:
    """Two hours at one limit, after ten minutes to find it in."""
    end = _SETTLED + 3600 * _HOURS
    models = [_played(lambda now: limit, seed, end) for seed in _SEEDS]
    found = [model.found(limit, 0.0) for model in models]
    first = [sum(at <= after for at in model.episodes) for model, after in zip(models, found, strict=True)]
    yield Figure(
        f"hidden limit {limit}, model: seconds until it is found",
        max(found),
        unit="s",
        at_most=300,
        detail=f"{_spread(found, 0)} s; episodes until then {first}",
    )
    kept = [
        sum(at >= _SETTLED for at in model.accepted) / (3600 * _HOURS / _WINDOW * limit) for model in models
    ]
    yield Figure(
        f"hidden limit {limit}, model: kept ÷ allowed over {_HOURS} h",
        min(kept),
        at_least=0.95,
        detail=_spread(kept, 3),
    )
    hourly = [sum(at >= _SETTLED for at in model.episodes) / _HOURS for model in models]
    yield Figure(
        f"hidden limit {limit}, model: episodes an hour",
        max(hourly),
        at_most=1,
        detail=f"{_spread(hourly, 1)}; those before it was found apart",
    )


def _halved(limit: int) -> Figure:
    models = [
        _played(lambda now: limit if now < _HALVES else limit // 2, seed, _HALVES + 1700) for seed in _SEEDS
    ]
    after = [sum(at >= _HALVES for at in model.episodes) for model in models]
    found = [model.found(limit // 2, _HALVES) - _HALVES for model in models]
    return Figure(
        f"hidden limit {limit} halves, model: episodes",
        max(after),
        unit="episodes",
        at_most=4,
        detail=f"{_spread(after, 0)} in 1,700 s; found after {_spread(found, 0)} s",
    )


def _doubled(limit: int) -> Iterator[Figure]:
    """It doubles somewhere between two looks upward, or during one."""
    found, at, looks = [], [], []
    for seed in _SEEDS:
        rises = random.Random(seed).uniform(_SETTLED, _SETTLED + PROBE_AFTER)
        model = _played(_doubling(limit, rises), seed, rises + 4500)
        at.append(rises)
        found.append(model.found(2 * limit, rises))
        looks.append(sum(rises <= look <= found[-1] for look in model.looks))
    after = [then - rises for then, rises in zip(found, at, strict=True)]
    yield Figure(
        f"hidden limit {limit} doubles, model: looks upward until it is found",
        max(looks),
        unit="looks",
        at_most=1,
        detail=f"{looks}; after {_spread(after, 0)} s, where looks are {PROBE_AFTER:.0f} s apart",
    )


def _doubling(limit: int, rises: float) -> Callable[[float], int]:
    return lambda now: limit if now < rises else 2 * limit


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}, median {median(values):.{digits}f}"


def _played(limit_at: Callable[[float], int], seed: int, seconds: float) -> "_Model":
    model = _Model(limit_at, random.Random(seed))
    model.run(seconds)
    return model


@dataclass
class _Model:
    """A server with a hidden limit and clients with more calls than they may make, in modelled seconds."""

    limit_at: Callable[[float], int]
    rng: random.Random
    state: LearnedLimit = field(default_factory=lambda: LearnedLimit.unknown(0.0))
    episodes: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    believed: list[tuple[float, float]] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
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
            if not self.believed or self.believed[-1][1] != self.state.limit:
                self.believed.append((now, self.state.limit))

    def found(self, limit: int, since: float) -> float:
        """When, after an episode, the limit was known to 10 % or two calls for the first time; inf: never."""
        near = max(0.1 * limit, 2)
        first = next((at for at in self.episodes if at >= since), float("inf"))
        return next(
            (at for at, known in self.believed if at >= first and abs(known - limit) <= near), float("inf")
        )

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
            before, self.state = self.state, self.state.after_calls(int(full), 60.0 if full else 0.0, now)
            if before.mode is not self.state.mode:
                self.looks.append(now)
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

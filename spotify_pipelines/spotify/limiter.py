"""Whose turn it is: one token bucket per app and one per account, shared by all processes through Redis.

What belongs here: booking a turn in all buckets or in none (one Lua call, on Redis' clock), waiting for it,
pausing an app everywhere at once, and carrying on with a small local share while Redis is away. What does
not: why a call is made, 429s and quota (``caller``), the arithmetic (``pace``).

The rest of the package knows ``CallLimiter`` only: a limiter that learns the unpublished limit can take this
place.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from spotify_pipelines.spotify.pace import Bucket, Pace

__all__ = [
    "Booking",
    "Buckets",
    "CallLimiter",
    "Demand",
    "Limiter",
    "LocalBuckets",
    "SharedBuckets",
    "Slot",
    "connect_redis",
]

log = structlog.get_logger(__name__)

T = TypeVar("T")

REDIS_TIMEOUT = 0.5
"""Seconds after which Redis counts as away; also how late a turn may be taken."""
REDIS_RETRY = 1.0
"""Seconds between two tries to reach Redis again."""
SPREAD = 0.25
"""Seconds a call may be held back by its account after its app was ready for it: part of ``pace.JITTER``."""
LOCAL_SHARE = 0.25
"""Part of a limit that one process takes while Redis is away; right for up to four processes."""
HORIZON = 2.0
"""Seconds that a booking may lie ahead, so that a pause or a cancellation wastes few."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A turn that has come: call now. ``waited`` is what it took, in seconds."""

    app: str
    account: str | None
    waited: float


class CallLimiter(Protocol):
    """What the caller needs of a limiter."""

    async def acquire(
        self,
        *,
        app: str,
        app_limit: int,
        account: str | None = None,
        account_limit: int | None = None,
        horizon: float = HORIZON,
    ) -> Slot:
        """Wait for a turn in all buckets at once; limits are calls in 30 seconds."""
        ...

    async def pause(self, app: str, seconds: float) -> None:
        """No call of the app in any process for so long; then it starts slowly."""
        ...


@dataclass(frozen=True, slots=True)
class Demand:
    """A turn wanted: the app's bucket, and the account's where the call is made for one."""

    app: str
    app_pace: Pace
    account: str | None
    account_pace: Pace | None
    horizon: float

    @property
    def paces(self) -> list[Pace]:
        """The paces of all buckets, the app's first."""
        return [self.app_pace] if self.account_pace is None else [self.app_pace, self.account_pace]


@dataclass(frozen=True, slots=True)
class Booking:
    """The answer to a demand.

    Attributes:
        granted: the turn is booked, ``wait`` seconds from now; else nothing is booked: ask again after
        ``wait``. generation: the app's generation; the booking is void once it has changed. taken: what
        ``refund`` compares, one per bucket.
    """

    demand: Demand
    granted: bool
    wait: float
    generation: str
    taken: tuple[str, ...] = ()


class Buckets(Protocol):
    """Where bookings are kept."""

    async def book(self, demand: Demand, *, drained: bool = False) -> Booking:
        """Book in all buckets or in none; ``drained`` empties them first."""
        ...

    async def holds(self, booking: Booking) -> bool:
        """Whether the booking is still good: no pause and no loss of the buckets since."""
        ...

    async def pause(self, app: str, seconds: float) -> None:
        """Void all bookings of the app and take none before the pause is over."""
        ...

    async def refund(self, booking: Booking) -> None:
        """Give a turn back that won't be used, where nothing was booked after it."""
        ...


_BOOK = """
-- KEYS: the app's bucket, then perhaps the account's.
-- ARGV: horizon, spread, drained, then interval and tolerance of each bucket; milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local horizon, spread, drained = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local pause = tonumber(redis.call('HGET', KEYS[1], 'pause') or 0)
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then
  -- A lost bucket gets a generation that no earlier booking can have.
  generation = time[1] .. '.' .. time[2]
  redis.call('HSET', KEYS[1], 'generation', generation)
end
local function keep(key, tat, interval, tolerance)
  local text = string.format('%.3f', tat)
  redis.call('HSET', key, 'tat', text, 'interval', interval, 'tolerance', tolerance)
  redis.call('PEXPIRE', key, math.ceil(tat - now) + 604800000)
  return text
end

local at, ready, tats = now, now, {}
for i, key in ipairs(KEYS) do
  local interval, tolerance = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
  local tat = tonumber(redis.call('HGET', key, 'tat') or 0)
  -- A bucket that is missing may have been drawn from a moment ago: it starts empty.
  if tat == 0 or drained then
    tat = math.max(tat, now + tolerance + interval)
    keep(key, tat, interval, tolerance)
  end
  local free = math.max(now, tat - tolerance)
  if i == 1 then
    free = math.max(free, pause)
    ready = free
  end
  at, tats[i] = math.max(at, free), tat
end
if at - now > horizon then
  return {0, string.format('%.3f', at - now - horizon), generation}
end
-- The app counts the call from when it was ready for it: its account may not hold it back for long.
if at - ready > spread then
  return {0, string.format('%.3f', at - now - spread), generation}
end

local answer = {1, string.format('%.3f', at - now), generation}
for i, key in ipairs(KEYS) do
  local interval, tolerance = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
  -- The account counts it when it goes, so it may wait for a busy app's next turn like any other call.
  local from = i == 1 and math.max(now, pause) or at
  answer[3 + i] = keep(key, math.max(tats[i], from) + interval, interval, tolerance)
end
return answer
"""

_PAUSE = """
-- KEYS: the app's bucket. ARGV: milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local state = redis.call('HMGET', KEYS[1], 'pause', 'interval', 'tolerance')
local over = math.max(now + tonumber(ARGV[1]), tonumber(state[1] or 0))
-- Bookings are void now: the arrival time starts anew, as of a bucket that is empty when the pause ends.
local tat = math.max(now + tonumber(state[2] or 0), over) + tonumber(state[3] or 0)
redis.call('HSET', KEYS[1], 'pause', string.format('%.3f', over), 'tat', string.format('%.3f', tat),
  'generation', time[1] .. '.' .. time[2])
redis.call('PEXPIRE', KEYS[1], math.ceil(tat - now) + 604800000)
return 0
"""

_REFUND = """
-- KEYS: buckets. ARGV: generation, then what was booked and the interval of each.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return 0 end
for i, key in ipairs(KEYS) do
  if redis.call('HGET', key, 'tat') == ARGV[2 * i] then
    redis.call('HSET', key, 'tat', string.format('%.3f', tonumber(ARGV[2 * i]) - tonumber(ARGV[2 * i + 1])))
  end
end
return 1
"""


class SharedBuckets:
    """Buckets in Redis, one hash each, on Redis' clock: any number of processes, whatever their clocks say.

    Keys are never needed for correctness: one that is lost starts empty under a new generation, and bookings
    of the old generation are booked again. They expire a week after they were last of use.
    """

    def __init__(self, client: redis.asyncio.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._book = client.register_script(_BOOK)
        self._pause = client.register_script(_PAUSE)
        self._refund = client.register_script(_REFUND)

    async def book(self, demand: Demand, *, drained: bool = False) -> Booking:
        """See ``Buckets``."""
        measures = [f"{1000 * part:.3f}" for pace in demand.paces for part in (pace.interval, pace.tolerance)]
        limits = [f"{1000 * demand.horizon:.0f}", f"{1000 * SPREAD:.0f}", "1" if drained else "0"]
        answer = await self._book(keys=self._keys(demand), args=[*limits, *measures])
        wait, generation, *taken = (_text(part) for part in answer[1:])
        return Booking(demand, bool(answer[0]), float(wait) / 1000, generation, tuple(taken))

    async def holds(self, booking: Booking) -> bool:
        """See ``Buckets``."""
        generation = await self._client.hget(self._app_key(booking.demand.app), "generation")
        return generation is not None and _text(generation) == booking.generation

    async def pause(self, app: str, seconds: float) -> None:
        """See ``Buckets``."""
        await self._pause(keys=[self._app_key(app)], args=[f"{1000 * seconds:.0f}"])

    async def refund(self, booking: Booking) -> None:
        """See ``Buckets``."""
        booked = zip(booking.taken, booking.demand.paces, strict=True)
        args = [part for tat, pace in booked for part in (tat, f"{1000 * pace.interval:.3f}")]
        await self._refund(keys=self._keys(booking.demand), args=[booking.generation, *args])

    def _app_key(self, app: str) -> str:
        # The braces keep an app's buckets on one node of a cluster, where one script may touch them all.
        return f"{self._prefix}limiter:{{{app}}}"

    def _keys(self, demand: Demand) -> list[str]:
        app_key = self._app_key(demand.app)
        return [app_key] if demand.account is None else [app_key, f"{app_key}:{demand.account}"]


class LocalBuckets:
    """This process's share of every limit, for as long as nothing is known of the others."""

    def __init__(self, share: float = LOCAL_SHARE, now: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._now = now
        self._buckets: dict[tuple[str, str | None], Bucket] = {}
        self._paused_until: dict[str, float] = {}
        self._generation: dict[str, int] = {}

    def forget(self) -> None:
        """Start anew with empty buckets; pauses stay."""
        self._buckets.clear()

    async def book(self, demand: Demand, *, drained: bool = False) -> Booking:
        """See ``Buckets``."""
        now = self._now()
        accounts = [None] if demand.account is None else [None, demand.account]
        names = [(demand.app, account) for account in accounts]
        paces = [self._slower(pace) for pace in demand.paces]
        buckets = [
            Bucket.empty(pace, now) if drained or name not in self._buckets else self._buckets[name]
            for name, pace in zip(names, paces, strict=True)
        ]
        free = [bucket.free_at(pace, now) for bucket, pace in zip(buckets, paces, strict=True)]
        self._buckets.update(zip(names, buckets, strict=True))
        at = max(*free, now, self._paused_until.get(demand.app, now))
        generation = str(self._generation.get(demand.app, 0))
        if at - now > demand.horizon:
            return Booking(demand, False, at - now - demand.horizon, generation)
        # Every bucket counts the call at the time it goes: slower than need be, and sure without any
        # allowance.
        taken = tuple(repr(bucket.take(pace, at)) for bucket, pace in zip(buckets, paces, strict=True))
        return Booking(demand, True, at - now, generation, taken)

    async def holds(self, booking: Booking) -> bool:
        """See ``Buckets``."""
        return booking.generation == str(self._generation.get(booking.demand.app, 0))

    async def pause(self, app: str, seconds: float) -> None:
        """See ``Buckets``."""
        self._paused_until[app] = max(self._paused_until.get(app, 0.0), self._now() + seconds)
        self._generation[app] = self._generation.get(app, 0) + 1

    async def refund(self, booking: Booking) -> None:
        """Turns of a share this small are simply lost."""

    def _slower(self, pace: Pace) -> Pace:
        # No burst: what the other processes are doing just now is unknown.
        return Pace(pace.interval / self._share, 0.0)


class Limiter:
    """Turns from Redis' buckets, or from this process's own share while Redis is away."""

    def __init__(
        self,
        redis: redis.asyncio.Redis,
        prefix: str,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._shared = SharedBuckets(redis, prefix)
        self._local = LocalBuckets(now=now)
        self._sleep = sleep
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311 - spreads wake-ups
        self._away_until: float | None = None
        self._to_drain: set[str] = set()

    async def acquire(
        self,
        *,
        app: str,
        app_limit: int,
        account: str | None = None,
        account_limit: int | None = None,
        horizon: float = HORIZON,
    ) -> Slot:
        """Wait for a turn in the app's bucket and, where one is named, the account's.

        Limits are calls in any 30 seconds. Waits as long as it takes; a cancelled waiter gives its turn back.
        """
        account_pace = None if account is None or account_limit is None else Pace.of(account_limit)
        demand = Demand(app, Pace.of(app_limit), account if account_pace else None, account_pace, horizon)
        started = self._now()
        while True:
            asked, buckets, booking = await self._book(demand)
            if not booking.granted:
                await self._sleep(max(booking.wait, 0.001) * (1 + 0.1 * self._rng.random()))
            elif await self._wait_for(buckets, booking, asked):
                return Slot(app, account, self._now() - started)

    async def pause(self, app: str, seconds: float) -> None:
        """Stop the app in every process for ``seconds``; bookings made before are booked again after it."""
        await self._local.pause(app, seconds)
        try:
            await _in_time(self._shared.pause(app, seconds))
        except (RedisError, OSError) as error:
            self._leave(error)

    async def _wait_for(self, buckets: Buckets, booking: Booking, asked: float) -> bool:
        """Whether the turn has come and may be used; False: book again."""
        due = asked + booking.wait
        try:
            if due > self._now():
                await self._sleep(due - self._now())
                if not await self._holds(buckets, booking):
                    return False
        except asyncio.CancelledError:
            await self._give_back(buckets, booking)
            raise
        # A process that was frozen has missed its turn: taking it now could make a window too full.
        return self._now() - due <= REDIS_TIMEOUT

    async def _book(self, demand: Demand) -> tuple[float, Buckets, Booking]:
        """The booking, where it was made, and our time just before it, from which its wait counts."""
        asked = self._now()
        if self._away_until is None or asked >= self._away_until:
            try:
                # What this process did on its own is not in Redis: its share begins empty there, once per
                # app.
                drained = demand.app in self._to_drain
                booking = await _in_time(self._shared.book(demand, drained=drained))
            except (RedisError, OSError) as error:
                self._leave(error)
            else:
                self._to_drain.discard(demand.app)
                self._return()
                return asked, self._shared, booking
        self._to_drain.add(demand.app)
        return self._now(), self._local, await self._local.book(demand)

    async def _holds(self, buckets: Buckets, booking: Booking) -> bool:
        try:
            return await _in_time(buckets.holds(booking))
        except (RedisError, OSError) as error:
            self._leave(error)
            return False

    async def _give_back(self, buckets: Buckets, booking: Booking) -> None:
        try:
            await _in_time(buckets.refund(booking))
        except (RedisError, OSError) as error:
            self._leave(error)

    def _return(self) -> None:
        # Called for a booking only: a server that is out of memory or read-only answers a ping all the same, and
        # a local share that was forgotten for it each time would never let a slow app go.
        if self._away_until is not None:
            self._away_until = None
            log.info("spotify.limiter_redis_back")

    def _leave(self, error: Exception) -> None:
        if self._away_until is None:
            self._local.forget()
            log.warning(
                "spotify.limiter_redis_away",
                error=type(error).__name__,
                doing=f"each process goes on with {LOCAL_SHARE:.0%} of every limit until Redis answers",
            )
        self._away_until = self._now() + REDIS_RETRY


def connect_redis(url: str) -> redis.asyncio.Redis:
    """A client that fails fast, as the limiter needs it: a frozen server is noticed within a second."""
    return redis.asyncio.Redis.from_url(
        url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0)
    )


async def _in_time(answer: Awaitable[T]) -> T:
    """What Redis answers within ``REDIS_TIMEOUT``, unless the task was cancelled meanwhile.

    redis-py sends through ``asyncio.wait_for``, which on Python 3.11 forgets a cancellation that comes just as
    the command is out: the task would go on, and call, as if nobody had stopped it.
    """
    cancelled_before = _cancellations()
    try:
        async with asyncio.timeout(REDIS_TIMEOUT):
            return await answer
    finally:
        if _cancellations() > cancelled_before:
            raise asyncio.CancelledError


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

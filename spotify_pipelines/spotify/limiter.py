"""Whose turn it is: calls queue per app, and turns come from Redis, which all processes share.

What belongs here: handing turns to waiting calls, telling what became of them, and carrying on with this process's
own share while Redis is away. What does not: why a call is made, 429s and quota (``caller``); booking itself
(``shared``, ``local``); which call is next (``waiting``); finding an unknown limit (``learning``).

A turn is booked at most a few milliseconds ahead: a pause has next to nothing to void, and a call that came late but
is urgent gets the next one. One task per app asks, as long as anything waits or is to be told.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from spotify_pipelines.spotify.learner import Learner
from spotify_pipelines.spotify.local import LocalWindows
from spotify_pipelines.spotify.ports import LimitMemory
from spotify_pipelines.spotify.shared import CANDIDATES, Ask, Candidate, Done, Reply, SharedWindows
from spotify_pipelines.spotify.turns import Banned, Fate, Slot, Turn
from spotify_pipelines.spotify.waiting import Lane, Waiter, WaitingCalls

__all__ = ["Limiter", "connect_redis"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

REDIS_TIMEOUT = 0.5
"""Seconds after which Redis counts as away."""
REDIS_RETRY = 1.0
"""Seconds between two tries to reach Redis again."""
LONGEST_SLEEP = 0.25
"""Seconds until Redis is asked again at the latest: other processes wait no longer for one that has died."""
IDLE_REPORT = 0.2
"""Seconds that answers wait for a question to ride on."""
HAS_WAITED = 0.005
"""Seconds in the queue from which there is more demand than turns."""
AHEAD = 0.01
"""Seconds before its time that a turn may be booked; half of that before it, we ask."""
STALE = 0.03
"""Seconds after which a turn is not used any more: nobody may start later than 50 ms after another's refusal."""
EARLY = 0.001
"""Seconds by which timers are late; a window keeps more than that of a call's last tenth."""


class Limiter:
    """Turns from Redis, or from this process's own share while Redis is away. One per process and event loop."""

    def __init__(
        self,
        redis: redis.asyncio.Redis,
        prefix: str,
        *,
        max_processes: int = 4,
        memory: LimitMemory | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = SharedWindows(redis, prefix, secrets.token_hex(6))
        self._local = LocalWindows(max_processes, now)
        self._max_processes = max_processes
        self._memory = memory
        self._now = now
        self._away_until: float | None = None
        self._to_upload: set[str] = set()
        self._queues: dict[str, _Queue] = {}

    async def acquire(self, turn: Turn) -> Slot:
        """Wait for a turn in the app's window and, where one is named, the account's bucket.

        Waits as long as it takes, except for a ban; a cancelled waiter gives its turn back.

        Raises:
            Banned: the app may not call for so long that nobody should wait.
        """
        return await self._queue(turn).acquire(turn)

    async def answered(self, slot: Slot, fate: Fate, *, pause: float | None = None) -> None:
        """Tell what became of a call: at once after a refusal, else with the next question to Redis."""
        queue = self._queue(slot.turn)
        if fate is not Fate.REFUSED:
            queue.tell(Done(slot, let_through=fate is Fate.ANSWERED))
            return
        seconds = pause or 0.0
        self._local.pause(slot.turn.app, seconds)
        refusal = await self.reach(lambda: self._shared.refused(slot, seconds))
        if refusal is None or slot.local:
            self._local.settle(slot)
        if refusal is not None:
            self._local.pause(slot.turn.app, refusal.pause)
            if refusal.evidence is not None and not slot.local and slot.turn.app_limit is None:
                evidence, now, pause = refusal.evidence, refusal.now, refusal.pause
                await self.reach(lambda: queue.learner.after_refusal(evidence, now, pause))
                await queue.learner.keep()

    async def refund(self, slot: Slot) -> None:
        """Give a turn back that was not used."""
        if slot.local:
            self._local.refund(slot)
        else:
            limit = slot.turn.app_limit or self._queue(slot.turn).learner.limit
            await self.reach(lambda: self._shared.refund(slot, limit))

    async def ban(self, apps: Sequence[str], seconds: float) -> None:
        """No call of these apps in any process for so long; whoever waits is told so."""
        for app in apps:
            self._local.ban(app, seconds)
            await self.reach(lambda app=app: self._shared.ban(app, seconds))  # type: ignore[misc]
            if app in self._queues:
                self._queues[app].dismiss(seconds)

    async def aclose(self) -> None:
        """Tell Redis of the last answers, and hang up. The limiter can be used on."""
        for queue in self._queues.values():
            await queue.finish()
        await self._shared.hang_up()

    async def ask(self, ask: Ask) -> tuple[Reply, bool]:
        """The reply to a question, and whether it came from the local share."""
        if ask.app in self._to_upload:
            ask = replace(ask, uploads=self._local.uploads(ask.app))
        reply = await self.reach(lambda: self._shared.ask(ask))
        if reply is None:
            # What this process does on its own is not in Redis: it is told when Redis is back.
            self._to_upload.add(ask.app)
            return self._local.ask(ask), True
        self._to_upload.discard(ask.app)
        if reply.paused:
            self._local.pause(ask.app, reply.paused)
        if reply.banned:
            self._local.ban(ask.app, reply.banned)
        return reply, False

    async def reach(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis answered; None while it is away."""
        if self._away_until is not None and self._now() < self._away_until:
            return None
        task = asyncio.current_task()
        cancellations = task.cancelling() if task else 0
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                result = await call()
        except (RedisError, OSError) as error:
            self._leave(error)
            await self._shared.hang_up()
            result = None
        else:
            self._return()
        if task and task.cancelling() > cancellations:
            # redis-py can swallow a cancellation that reaches it while it opens or clears up a connection.
            raise asyncio.CancelledError
        return result

    def _queue(self, turn: Turn) -> "_Queue":
        queue = self._queues.get(turn.app)
        if queue is None:
            learner = Learner(turn.app, turn.app_id, self._shared, self._memory, self._now)
            queue = self._queues[turn.app] = _Queue(self, turn.app, learner, self._now)
        return queue

    def _return(self) -> None:
        if self._away_until is not None:
            self._away_until = None
            log.info("spotify.limiter_redis_back")

    def _leave(self, error: Exception) -> None:
        if self._away_until is None:
            self._local.start()
            log.warning(
                "spotify.limiter_redis_away",
                error=type(error).__name__,
                doing=f"this process goes on with 1/{self._max_processes} of every limit until Redis answers",
            )
        self._away_until = self._now() + REDIS_RETRY


class _Queue:
    """One app's waiting calls and untold answers, and the task that works them off."""

    def __init__(self, limiter: Limiter, app: str, learner: Learner, now: Callable[[], float]) -> None:
        self.learner = learner
        self._limiter = limiter
        self._app = app
        self._now = now
        self._known_limit: int | None = None
        self._waiting = WaitingCalls()
        self._done: list[Done] = []
        self._held_back: dict[Lane, float] = {}
        self._pause: asyncio.Future[None] | None = None
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def acquire(self, turn: Turn) -> Slot:
        if turn.app_limit is None:
            await self.learner.recall()
        self._known_limit = turn.app_limit
        waiter = Waiter(turn, self._now(), asyncio.get_running_loop().create_future())
        self._waiting.add(waiter)
        self._work()
        try:
            return await waiter.slot
        except asyncio.CancelledError:
            self._waiting.remove(waiter)
            if waiter.slot.done() and not waiter.slot.cancelled() and not waiter.slot.exception():
                await self._limiter.refund(waiter.slot.result())
            raise

    def tell(self, done: Done) -> None:
        self._done.append(done)
        if self._task is None or self._task.done():
            self._work()

    def dismiss(self, seconds: float) -> None:
        """The app is banned: nobody waits for it."""
        self._fail(lambda: Banned(seconds))

    async def finish(self) -> None:
        """Let the task tell what it has to and end; where calls still wait, it goes on."""
        self._closing = True
        self._wake()
        try:
            if self._task is not None and not len(self._waiting):
                await self._task
        finally:
            self._closing = False
            self.learner.close()

    def _work(self) -> None:
        self._wake()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"limiter of {self._app}")

    async def _run(self) -> None:
        try:
            while len(self._waiting) or self._done:
                if not len(self._waiting) and not self._closing:
                    await self._wait_for_calls(IDLE_REPORT)
                await self._step()
        except BaseException as error:
            # Nobody may wait for a task that has ended.
            ended = error
            self._fail(lambda: ended)
            raise

    async def _step(self) -> None:
        """One question, and what follows from the reply."""
        now = self._now()
        if self._held_back:
            self._held_back = {lane: until for lane, until in self._held_back.items() if until > now}
        first = self._waiting.in_order(CANDIDATES, self._held_back)
        if not first and not self._done and self._held_back:
            await self._wait_for_calls(min(self._held_back.values()) - now)
            return
        done, self._done = self._done, []
        reply, is_local = await self._limiter.ask(self._question(first, done, now))
        if reply.banned:
            self.dismiss(reply.banned)
            return
        for waiter, wait in zip(first, reply.waits, strict=False):
            if wait > AHEAD:
                self._held_back[waiter.lane] = now + wait - AHEAD / 2
        if reply.candidate is not None:
            await self._grant(first[reply.candidate], reply, is_local)
        if self._known_limit is None and not is_local and self.learner.is_due(reply):
            await self._limiter.reach(lambda: self.learner.after_calls(reply))
            await self.learner.keep()
        if reply.candidate is None and any(waiter.lane not in self._held_back for waiter in first):
            # The app itself has no turn: nothing that comes in changes that.
            wait = reply.wait - AHEAD / 2 if reply.wait > AHEAD else reply.wait
            await asyncio.sleep(min(wait, LONGEST_SLEEP))

    def _question(self, first: list[Waiter], done: list[Done], now: float) -> Ask:
        return Ask(
            self._app,
            limit=self._known_limit or self.learner.limit,
            fixed=self._known_limit is not None,
            candidates=[Candidate(waiter.turn, now - waiter.since > HAS_WAITED) for waiter in first],
            demand=self._waiting.demand(self._held_back),
            ahead=AHEAD,
            done=done,
        )

    async def _grant(self, waiter: Waiter, reply: Reply, is_local: bool) -> None:
        received = self._now()
        if reply.wait > EARLY:
            await asyncio.sleep(reply.wait - EARLY)
        if waiter.slot.done():
            # Cancelled while we asked: the next call of its lane takes the turn.
            self._waiting.remove(waiter)
            alike = (
                other
                for other in self._waiting
                if other.lane == waiter.lane
                and other.turn.priority is waiter.turn.priority
                and other.turn.weight == waiter.turn.weight
                and not other.slot.done()
            )
            heir = next(alike, None)
        else:
            heir = waiter
        slot = Slot(
            (heir or waiter).turn,
            waited=self._now() - (heir or waiter).since,
            booked=reply.now,
            generation=reply.generation,
            taken=reply.taken,
            full=reply.full,
            test=reply.test,
            local=is_local,
        )
        if heir is None or self._now() - received > STALE:
            await self._limiter.refund(slot)
            return
        self._waiting.serve(heir)
        heir.slot.set_result(slot)
        # The call goes out before we ask again.
        await asyncio.sleep(0)

    def _fail(self, error: Callable[[], BaseException]) -> None:
        for waiter in self._waiting:
            self._waiting.remove(waiter)
            if not waiter.slot.done():
                waiter.slot.set_exception(error())

    async def _wait_for_calls(self, seconds: float) -> None:
        """Wait so long, or until a call is added."""
        loop = asyncio.get_running_loop()
        self._pause = loop.create_future()
        timer = loop.call_later(min(seconds, LONGEST_SLEEP), self._wake)
        try:
            await self._pause
        finally:
            timer.cancel()
            self._pause = None

    def _wake(self) -> None:
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)


def connect_redis(url: str) -> redis.asyncio.Redis:
    """A client that fails fast, as the limiter needs it: a frozen server is noticed within a second."""
    return redis.asyncio.Redis.from_url(
        url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0)
    )

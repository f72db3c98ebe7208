"""Turns: on a real Valkey, with time passed by moving the buckets back instead of by waiting."""

import asyncio
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from spotify_pipelines.spotify.limiter import (
    HORIZON,
    LOCAL_SHARE,
    Booking,
    Demand,
    Limiter,
    LocalBuckets,
    SharedBuckets,
    connect_redis,
)
from spotify_pipelines.spotify.pace import Pace
from spotify_pipelines_tests.spotify.test_pace import fullest

NOWHERE = "redis://127.0.0.1:1"


def demand(
    limit: int, account: int | None = None, account_limit: int = 3000, horizon: float = HORIZON
) -> Demand:
    account_pace = None if account is None else Pace.of(account_limit)
    return Demand(
        "app", Pace.of(limit), None if account is None else f"account-{account}", account_pace, horizon
    )


@asynccontextmanager
async def shared(url: str, prefix: str) -> AsyncIterator[tuple[redis.asyncio.Redis, SharedBuckets]]:
    client = connect_redis(url)
    try:
        yield client, SharedBuckets(client, prefix)
    finally:
        await client.aclose()


@dataclass
class World:
    """What was sent and when, in seconds of Redis' clock plus the time that was skipped."""

    client: redis.asyncio.Redis
    prefix: str
    buckets: SharedBuckets
    limit: int
    account_limit: int
    skipped: float = 0.0
    booked: list[tuple[float, int, Booking]] = field(default_factory=list)

    def now(self) -> float:
        # The server runs on this machine: one clock, without a round trip.
        return time.time() + self.skipped

    async def keys(self) -> list[str]:
        app = f"{self.prefix}limiter:{{app}}"
        names = [app, *(f"{app}:account-{account}" for account in range(3))]
        return [name for name in names if await self.client.exists(name)]

    async def book(self, account: int) -> None:
        now = self.now()
        booking = await self.buckets.book(demand(self.limit, account, self.account_limit))
        if booking.granted:
            self.booked.append((now + booking.wait, account, booking))

    async def skip(self, seconds: float) -> None:
        """Let time pass: every time in the buckets moves back."""
        for key in await self.keys():
            for name in ("tat", "pause"):
                if await self.client.hexists(key, name):
                    await self.client.hincrbyfloat(key, name, -1000 * seconds)
        self.skipped += seconds

    async def void(self) -> None:
        """Bookings whose turn has not come are not used (their holders book again)."""
        now = self.now()
        future = [booking for at, _, booking in self.booked if at > now]
        for booking in future:
            assert not await self.buckets.holds(booking)
        self.booked = [entry for entry in self.booked if entry[0] <= now]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("book"), st.integers(1, 12)),
        st.tuples(st.just("skip"), st.sampled_from([0.3, 1.0, 2.0, 5.0, 29.0, 31.0])),
        st.tuples(st.just("pause"), st.sampled_from([0.5, 3.0, 20.0])),
        st.tuples(st.just("lose"), st.just(0)),
    ),
    min_size=5,
    max_size=20,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(limits=st.tuples(st.integers(1, 60), st.integers(1, 25)), steps=STEPS)
def test_no_window_goes_over_a_limit_through_pauses_and_losses(
    redis_url: str, key_prefix: str, limits: tuple[int, int], steps: list[tuple[str, float]]
) -> None:
    limit, account_limit = limits
    prefix = f"{key_prefix}{secrets.token_hex(4)}:"

    async def run() -> None:
        async with shared(redis_url, prefix) as (client, buckets):
            world = World(client, prefix, buckets, limit, account_limit)
            for step, amount in steps:
                if step == "book":
                    for turn in range(int(amount)):
                        await world.book(turn % 3)
                elif step == "skip":
                    await world.skip(amount)
                elif step == "pause":
                    await buckets.pause("app", amount)
                    await world.void()
                    until = world.now() + amount - 0.2
                    await world.book(0)
                    assert all(at >= until for at, _, _ in world.booked if at > world.now())
                elif keys := await world.keys():
                    await client.delete(*keys)
                    await world.void()

            assert fullest([at for at, _, _ in world.booked]) <= limit
            for account in range(3):
                assert fullest([at for at, of, _ in world.booked if of == account]) <= account_limit

    asyncio.run(run())


async def test_a_turn_is_booked_in_all_buckets_or_in_none(redis_url: str, key_prefix: str) -> None:
    async with shared(redis_url, key_prefix) as (client, buckets):
        assert (await buckets.book(demand(3000))).granted
        before = await client.hget(f"{key_prefix}limiter:{{app}}", "tat")

        refused = await buckets.book(demand(3000, account=1, account_limit=1))

        assert not refused.granted
        assert refused.wait == pytest.approx(Pace.of(1).interval - HORIZON, abs=0.1)
        assert await client.hget(f"{key_prefix}limiter:{{app}}", "tat") == before


async def test_a_turn_that_is_put_off_comes_when_it_was_told(redis_url: str, key_prefix: str) -> None:
    async with shared(redis_url, key_prefix) as (client, buckets):
        world = World(client, key_prefix, buckets, limit=3000, account_limit=1)
        refused = await buckets.book(demand(3000, account=1, account_limit=1))
        await world.skip(refused.wait)
        nearly = await buckets.book(demand(3000, account=1, account_limit=1))
        await world.skip(nearly.wait)

        assert (await buckets.book(demand(3000, account=1, account_limit=1))).granted


async def test_a_slow_account_does_not_hold_up_the_others(redis_url: str, key_prefix: str) -> None:
    async with shared(redis_url, key_prefix) as (_, buckets):
        for _ in range(5):
            await buckets.book(demand(3000, account=1, account_limit=1))

        assert (await buckets.book(demand(3000, account=2))).wait < 0.2


async def test_a_lost_bucket_starts_empty_and_not_full(redis_url: str, key_prefix: str) -> None:
    async with shared(redis_url, key_prefix) as (client, buckets):
        fresh = [await buckets.book(demand(100, horizon=60)) for _ in range(3)]
        await client.delete(f"{key_prefix}limiter:{{app}}")
        again = [await buckets.book(demand(100, horizon=60)) for _ in range(3)]

        interval = Pace.of(100).interval
        for bookings in (fresh, again):
            assert [round(booking.wait / interval) for booking in bookings] == [1, 2, 3]
        assert not await buckets.holds(fresh[-1])
        assert await buckets.holds(again[-1])


async def test_a_pause_ends_in_a_slow_start(redis_url: str, key_prefix: str) -> None:
    async with shared(redis_url, key_prefix) as (client, buckets):
        world = World(client, key_prefix, buckets, limit=90, account_limit=90)
        await buckets.book(demand(90))
        await world.skip(60)
        await buckets.pause("app", 5.0)

        waits = [(await buckets.book(demand(90, horizon=60))).wait for _ in range(3)]

        interval = Pace.of(90).interval
        assert waits == pytest.approx([5.0, 5.0 + interval, 5.0 + 2 * interval], abs=0.1)


async def test_a_pause_is_never_shortened(redis_url: str, key_prefix: str) -> None:
    async with shared(redis_url, key_prefix) as (_, buckets):
        await buckets.pause("app", 20.0)
        await buckets.pause("app", 1.0)

        assert (await buckets.book(demand(3000, horizon=60))).wait >= 19.5


async def test_a_call_that_its_account_holds_back_takes_no_turn_of_the_app(
    redis_url: str, key_prefix: str
) -> None:
    """Else calls of many accounts could come due together, ever so long after the app counted them."""
    async with shared(redis_url, key_prefix) as (_, buckets):
        held_back = demand(3000, account=1, account_limit=31)  # its interval of 1.1 s lies within the horizon

        booking = await buckets.book(held_back)

        assert not booking.granted
        assert 0 < booking.wait < HORIZON


async def test_a_busy_app_keeps_turns_for_accounts_as_well_as_for_itself(
    redis_url: str, key_prefix: str
) -> None:
    """Else calls of accounts would come last for as long as others book the app's next seconds."""
    async with shared(redis_url, key_prefix) as (_, buckets):
        before = [await buckets.book(demand(90)) for _ in range(3)]

        booking = await buckets.book(demand(90, account=1))

        assert booking.granted
        assert booking.wait == pytest.approx(before[-1].wait + Pace.of(90).interval, abs=0.1)


async def test_a_turn_that_is_given_back_can_be_taken_unless_later_ones_are_booked(
    redis_url: str, key_prefix: str
) -> None:
    async with shared(redis_url, key_prefix) as (_, buckets):
        both = demand(30, account=1, account_limit=30, horizon=9)
        waits = []
        first, second = [await buckets.book(both) for _ in range(2)]
        for given_back in (first, second):
            await buckets.refund(given_back)
            third = await buckets.book(both)
            waits.append(third.wait)
            await buckets.refund(third)

        assert waits[0] > second.wait + 0.5
        assert waits[1] == pytest.approx(second.wait, abs=0.2)


async def test_a_cancelled_waiter_gives_its_turn_back(redis_url: str, key_prefix: str) -> None:
    waiting = asyncio.Event()

    async def wait_for_ever(seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with shared(redis_url, key_prefix) as (client, buckets):
        first = await buckets.book(demand(30))
        waiter = asyncio.create_task(
            Limiter(client, key_prefix, sleep=wait_for_ever).acquire(app="app", app_limit=30, horizon=9)
        )
        await waiting.wait()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

        assert await client.hget(f"{key_prefix}limiter:{{app}}", "tat") == first.taken[0].encode()


@pytest.mark.parametrize("passes", range(24))
async def test_a_cancellation_is_obeyed_whenever_it_comes(
    redis_url: str, key_prefix: str, passes: int
) -> None:
    async with shared(redis_url, key_prefix) as (client, _):
        limiter = Limiter(client, key_prefix)
        turns = 0

        async def take_turns() -> None:
            nonlocal turns
            while True:
                await limiter.acquire(app="app", app_limit=300_000)
                turns += 1

        await limiter.acquire(app="app", app_limit=300_000)
        task = asyncio.create_task(take_turns())
        for _ in range(passes):
            await asyncio.sleep(0)
        task.cancel()
        before = turns
        while not task.done() and turns == before:  # noqa: ASYNC110 - the event is the loop's own pass
            await asyncio.sleep(0)

        assert turns == before
        assert task.cancelled()


async def test_a_pause_reaches_a_waiter_that_had_booked_before_it(redis_url: str, key_prefix: str) -> None:
    async with shared(redis_url, key_prefix) as (client, buckets):
        loop = asyncio.get_running_loop()
        limiter = Limiter(client, key_prefix)
        for _ in range(2):
            await limiter.acquire(app="app", app_limit=300)
        waiter = asyncio.create_task(limiter.acquire(app="app", app_limit=300))
        await asyncio.sleep(0)
        paused_at = loop.time()
        await buckets.pause("app", 0.6)  # as any other process would

        await waiter

        assert loop.time() - paused_at >= 0.6 - 0.01


async def test_a_turn_that_was_slept_through_is_not_taken(redis_url: str, key_prefix: str) -> None:
    clock = [0.0]
    sleeps: list[float] = []

    async def oversleep(seconds: float) -> None:
        sleeps.append(seconds)
        clock[0] += seconds + (3.0 if len(sleeps) == 1 else 0.0)

    async with shared(redis_url, key_prefix) as (client, _):
        await Limiter(client, key_prefix, sleep=oversleep, now=lambda: clock[0]).acquire(
            app="app", app_limit=60
        )

    assert len(sleeps) == 2


async def test_without_redis_a_local_share_goes_on(key_prefix: str) -> None:
    clock = [0.0]

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    async with shared(NOWHERE, key_prefix) as (client, _):
        limiter = Limiter(client, key_prefix, sleep=sleep, now=lambda: clock[0])
        times = []
        with capture_logs() as logs:
            for _ in range(50):
                await limiter.acquire(app="app", app_limit=90, account="account-1", account_limit=60)
                times.append(clock[0])

    assert fullest(times) <= 60 * LOCAL_SHARE + 1
    assert [entry["event"] for entry in logs] == ["spotify.limiter_redis_away"]


async def test_a_pause_holds_without_redis_too(key_prefix: str) -> None:
    clock = [0.0]

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    async with shared(NOWHERE, key_prefix) as (client, _):
        limiter = Limiter(client, key_prefix, sleep=sleep, now=lambda: clock[0])
        await limiter.pause("app", 12.0)
        await limiter.acquire(app="app", app_limit=3000)

    assert clock[0] >= 12.0


async def test_redis_that_returns_is_used_again_and_starts_empty(redis_url: str, key_prefix: str) -> None:
    clock = [0.0]

    async def sleep(seconds: float) -> None:
        clock[0] += seconds

    async with shared(redis_url, key_prefix) as (client, _), shared(NOWHERE, key_prefix) as (gone, _):
        limiter = Limiter(gone, key_prefix, sleep=sleep, now=lambda: clock[0])
        await limiter.acquire(app="app", app_limit=90)
        limiter._shared = SharedBuckets(client, key_prefix)
        clock[0] += 2.0
        with capture_logs() as logs:
            await limiter.acquire(app="app", app_limit=90)
        state = await client.hgetall(f"{key_prefix}limiter:{{app}}")
        seconds, micros = await client.time()

    pace = Pace.of(90)
    ahead = float(state[b"tat"]) / 1000 - (float(seconds) + float(micros) / 1e6)
    assert [entry["event"] for entry in logs] == ["spotify.limiter_redis_back"]
    assert ahead == pytest.approx(pace.tolerance + 2 * pace.interval, abs=0.2)


async def test_a_redis_that_hangs_is_left_within_a_second(key_prefix: str) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with shared(f"redis://127.0.0.1:{port}", key_prefix) as (client, _):
            with capture_logs() as logs:
                async with asyncio.timeout(1.0):
                    await Limiter(client, key_prefix).acquire(app="app", app_limit=3000)
    finally:
        server.close()

    assert [entry["event"] for entry in logs] == ["spotify.limiter_redis_away"]


async def test_a_redis_that_answers_but_takes_no_writes_does_not_stop_a_slow_app(
    redis_url: str, key_prefix: str
) -> None:
    """As one does that is out of memory, or became a replica."""
    clock, sleeps = [0.0], 0

    async def sleep(seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        assert sleeps < 50, "the turn never comes"
        clock[0] += seconds

    reader = f"reader-{secrets.token_hex(4)}"
    async with shared(redis_url, key_prefix) as (client, _):
        await client.execute_command(
            "ACL", "SETUSER", reader, "on", ">canread", "~*", "+@connection", "+@read"
        )  # type: ignore[no-untyped-call]
        parts = urlsplit(redis_url)
        readonly = parts._replace(netloc=f"{reader}:canread@{parts.hostname}:{parts.port}").geturl()
        try:
            async with shared(readonly, key_prefix) as (refused, _):
                assert await refused.ping()
                limiter = Limiter(refused, key_prefix, sleep=sleep, now=lambda: clock[0])
                with capture_logs() as logs:
                    for _ in range(3):
                        await limiter.acquire(app="app", app_limit=20)
        finally:
            await client.execute_command("ACL", "DELUSER", reader)  # type: ignore[no-untyped-call]

    assert clock[0] == pytest.approx(3 * Pace.of(20).interval / LOCAL_SHARE, rel=0.2)
    assert [entry["event"] for entry in logs] == ["spotify.limiter_redis_away"]


async def test_local_buckets_forget_nothing_of_a_pause(key_prefix: str) -> None:
    clock = [0.0]
    buckets = LocalBuckets(now=lambda: clock[0])
    before = await buckets.book(demand(90))
    await buckets.pause("app", 30.0)
    buckets.forget()

    assert not await buckets.holds(before)
    assert not (await buckets.book(demand(90))).granted
    clock[0] = 30.0
    assert (await buckets.book(demand(90))).granted


def test_several_processes_share_one_limit(redis_url: str, key_prefix: str) -> None:
    """Two processes take turns as fast as they may for a second; Redis' clock says when."""
    program = textwrap.dedent("""
        import asyncio, sys
        from spotify_pipelines.spotify.limiter import Limiter, connect_redis

        async def main(url, prefix):
            client = connect_redis(url)
            limiter = Limiter(client, prefix)
            end = None
            while True:
                await limiter.acquire(app="app", app_limit=300)
                seconds, micros = await client.time()
                now = seconds + micros / 1e6
                print(now)
                end = end or now + 1
                if now > end:
                    break
            await client.aclose()

        asyncio.run(main(*sys.argv[1:]))
    """)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", program, redis_url, key_prefix], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    times = sorted(float(line) for worker in workers for line in worker.communicate(timeout=60)[0].split())

    pace = Pace.of(300)
    assert [worker.returncode for worker in workers] == [0, 0]
    span = times[-1] - times[0]
    assert len(times) <= (span + 0.5) / pace.interval + pace.tolerance / pace.interval + 1
    assert len(times) >= 0.5 * span / pace.interval

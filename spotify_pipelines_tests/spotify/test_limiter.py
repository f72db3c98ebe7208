"""Turns as callers get them: from Redis, from the local share, and back."""

import asyncio
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from spotify_pipelines.spotify.learning import LearnedLimit, Mode
from spotify_pipelines.spotify.limiter import Limiter, connect_redis
from spotify_pipelines.spotify.turns import Banned, Fate, Slot, Turn
from spotify_pipelines_tests.spotify.harness import CLIENT_ID, SECRET
from spotify_pipelines_tests.spotify.test_shared import calls_in_window
from spotify_pipelines_tests.support.simulator import RunningSimulator

NOWHERE = "redis://127.0.0.1:1"
FAST = 30_000
"""A limit whose turns come every millisecond."""


@asynccontextmanager
async def a_limiter(url: str, prefix: str, **how: Any) -> AsyncIterator[Limiter]:
    client = connect_redis(url)
    limiter = Limiter(client, prefix, **how)
    try:
        yield limiter
    finally:
        await limiter.aclose()
        await client.aclose()


async def use(limiter: Limiter, turn: Turn, fate: Fate = Fate.ANSWERED, **how: Any) -> Slot:
    slot = await limiter.acquire(turn)
    await limiter.answered(slot, fate, **how)
    return slot


async def test_waiters_on_several_accounts_all_get_their_turns(redis_url: str, key_prefix: str) -> None:
    async with a_limiter(redis_url, key_prefix) as limiter:

        async def work(account: int) -> int:
            turn = Turn("app", FAST, f"account-{account}", FAST if account % 2 else 3000)
            for _ in range(10):
                await use(limiter, turn)
            return account

        lanes = [work(account) for account in range(20)]
        async with asyncio.timeout(30):
            assert await asyncio.gather(*lanes, *lanes_of(limiter)) is not None


def lanes_of(limiter: Limiter) -> list[Awaitable[Slot]]:
    """Calls for no account, which wait among the others."""
    return [use(limiter, Turn("app", FAST)) for _ in range(10)]


async def test_a_cancelled_waiter_leaves_its_place_to_the_next(redis_url: str, key_prefix: str) -> None:
    async with a_limiter(redis_url, key_prefix) as limiter:
        turn = Turn("app", 100)
        waiters = [asyncio.create_task(limiter.acquire(turn)) for _ in range(3)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        slots = await asyncio.gather(*waiters, return_exceptions=True)

    assert isinstance(slots[0], asyncio.CancelledError)
    assert all(isinstance(slot, Slot) for slot in slots[1:])


async def test_a_refusal_stops_all_limiters_at_once(redis_url: str, key_prefix: str) -> None:
    async with a_limiter(redis_url, key_prefix) as one, a_limiter(redis_url, key_prefix) as two:
        loop = asyncio.get_running_loop()
        turn = Turn("app", FAST)
        slot = await one.acquire(turn)
        await one.answered(slot, Fate.REFUSED, pause=0.7)
        refused_at = loop.time()
        test = await use(two, turn)
        waited = loop.time() - refused_at
        after = await use(one, turn)

    assert waited >= 0.69
    assert (test.test, after.test) == (True, False)


async def test_the_last_answers_are_told_at_the_end(redis_url: str, key_prefix: str) -> None:
    async with a_limiter(redis_url, key_prefix) as limiter:
        slot = await limiter.acquire(Turn("app", FAST))
        await limiter.answered(slot, Fate.ANSWERED)
    client = connect_redis(redis_url)
    told = await client.llen(f"{key_prefix}limiter:{{app}}:passed")
    await client.aclose()

    assert told == 1


async def test_without_redis_the_local_share_goes_on_within_a_second(key_prefix: str) -> None:
    async with a_limiter(NOWHERE, key_prefix) as limiter:
        with capture_logs() as logs:
            async with asyncio.timeout(1.0):
                slot = await use(limiter, Turn("app", FAST))

    assert slot.local
    assert [entry["event"] for entry in logs] == ["spotify.limiter_redis_away"]


async def test_a_redis_that_hangs_is_left_within_a_second(key_prefix: str) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with a_limiter(f"redis://127.0.0.1:{port}", key_prefix) as limiter, asyncio.timeout(1.0):
            assert (await limiter.acquire(Turn("app", FAST))).local
    finally:
        server.close()


async def test_a_pause_holds_without_redis_too(key_prefix: str) -> None:
    async with a_limiter(NOWHERE, key_prefix) as limiter:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await use(limiter, Turn("app", FAST), Fate.REFUSED, pause=0.6)
        await limiter.acquire(Turn("app", FAST))

    assert loop.time() - started >= 0.6


async def test_redis_that_returns_is_told_what_was_sent_without_it(redis_url: str, key_prefix: str) -> None:
    ahead = [0.0]
    async with a_limiter(redis_url, key_prefix, now=lambda: time.monotonic() + ahead[0]) as limiter:
        turn = Turn("app", FAST)
        await use(limiter, turn)
        limiter._leave(ConnectionError())
        for _ in range(5):
            assert (await use(limiter, turn)).local
        ahead[0] = 2.0
        with capture_logs() as logs:
            back = await use(limiter, turn)
        client = connect_redis(redis_url)
        count = await calls_in_window(client, f"{key_prefix}limiter:{{app}}")
        await client.aclose()

    assert not back.local
    assert [entry["event"] for entry in logs] == ["spotify.limiter_redis_back"]
    # A fresh window counts as full; since then seven calls came and less than half a second went.
    assert count >= FAST - 600


class Swallowing:
    """A call to Redis that is cancelled and answers all the same."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()

    async def __call__(self) -> str:
        self.waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "an answer"
        return "never"


async def test_a_cancellation_that_the_redis_client_swallows_is_not_lost(
    redis_url: str, key_prefix: str
) -> None:
    async with a_limiter(redis_url, key_prefix) as limiter:
        call: Callable[[], Awaitable[str]] = Swallowing()
        task = asyncio.create_task(limiter.reach(call))
        await call.waits.wait()  # type: ignore[attr-defined]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_processes_together_keep_to_the_limit_of_the_simulator(
    simulator: RunningSimulator, redis_url: str, key_prefix: str
) -> None:
    """Three processes call as fast as they may for some seconds; the simulator's ledger tells."""
    limit = 60
    simulator.control.add_client(CLIENT_ID, SECRET, limit=limit)
    program = textwrap.dedent("""
        import asyncio, sys, time, urllib.request
        from spotify_pipelines.spotify.limiter import Limiter, connect_redis
        from spotify_pipelines.spotify.turns import Fate, Turn

        def call(url, token):
            request = urllib.request.Request(url + "/me", headers={"Authorization": "Bearer " + token})
            urllib.request.urlopen(request).read()

        async def main(redis_url, prefix, limit, url, token):
            client = connect_redis(redis_url)
            limiter = Limiter(client, prefix)
            end = time.monotonic() + 5
            async def lane(number):
                while time.monotonic() < end:
                    slot = await limiter.acquire(Turn("app", int(limit), f"account-{number}", 3000))
                    await asyncio.to_thread(call, url, token)
                    await limiter.answered(slot, Fate.ANSWERED)
            await asyncio.gather(*map(lane, range(3)))
            await limiter.aclose()
            await client.aclose()

        asyncio.run(main(*sys.argv[1:]))
    """)
    token = simulator.control.mint_tokens(CLIENT_ID, "user1")["access_token"]
    arguments = [redis_url, key_prefix, str(limit), simulator.api_url, token]
    opener = {"no_proxy": "*"}
    workers = [
        subprocess.Popen([sys.executable, "-c", program, *arguments], env={**opener}, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    errors = [worker.communicate(timeout=60)[1].decode() for worker in workers]
    calls = [entry for entry in simulator.control.ledger() if entry["path"].endswith("/me")]

    assert [worker.returncode for worker in workers] == [0, 0, 0], errors
    assert {entry["status"] for entry in calls} == {200}
    span = calls[-1]["real_time"] - calls[0]["real_time"]
    assert len(calls) <= span * limit / 30 + 3
    assert len(calls) >= 0.5 * span * limit / 30


async def test_a_learning_limiter_finds_the_limit_after_one_episode(redis_url: str, key_prefix: str) -> None:
    """The first refusal sets the limit to what was counted, here and in every other process."""
    remembered: list[tuple[int, Any, Any]] = []

    class Memory:
        def learned_limit(self, app_id: int) -> None:
            return None

        def record_learned_limit(self, app_id: int, learned: Any, evidence: Any) -> None:
            remembered.append((app_id, learned, evidence))

    async with a_limiter(redis_url, key_prefix, memory=Memory()) as limiter:
        turn = Turn("app", None, app_id=7)
        for _ in range(2):
            await use(limiter, turn)
        await asyncio.sleep(0)
        slot = await limiter.acquire(turn)
        await limiter.answered(slot, Fate.REFUSED, pause=0.1)

    app_id, learned, evidence = remembered[-1]
    assert (app_id, learned.mode, learned.limit) == (7, "steady", pytest.approx(2, abs=0.6))
    assert evidence["limit_before"] >= 30


async def test_a_ban_ends_the_waiting_in_every_process_at_once(redis_url: str, key_prefix: str) -> None:
    async with a_limiter(redis_url, key_prefix) as one, a_limiter(redis_url, key_prefix) as two:
        # A turn every 30 seconds: all of these wait.
        waiters = [asyncio.create_task(each.acquire(Turn("app", 1))) for each in (one, one, two, two)]
        others = asyncio.create_task(two.acquire(Turn("sibling", 1)))
        await asyncio.sleep(0.1)
        await one.ban(["app", "sibling"], 13 * 3600.0)
        async with asyncio.timeout(5):
            ends = await asyncio.gather(*waiters, others, return_exceptions=True)
            with pytest.raises(Banned) as again:
                await two.acquire(Turn("app", 1))

    assert [type(end) for end in ends] == [Banned] * 5
    assert again.value.seconds == pytest.approx(13 * 3600.0, abs=10)


async def test_a_ban_holds_for_the_local_share_too(redis_url: str, key_prefix: str) -> None:
    async with a_limiter(redis_url, key_prefix) as one, a_limiter(redis_url, key_prefix) as two:
        await one.ban(["app"], 3600.0)
        with pytest.raises(Banned):
            await two.acquire(Turn("app", FAST))
        two._leave(ConnectionError())
        with pytest.raises(Banned):
            await two.acquire(Turn("app", FAST))


class Forgetful:
    """A memory that can't be read at first."""

    def __init__(self, remembered: LearnedLimit | None) -> None:
        self.remembered = remembered
        self.is_away = True
        self.kept: list[LearnedLimit] = []

    def learned_limit(self, app_id: int) -> LearnedLimit | None:
        if self.is_away:
            raise ConnectionError("the database is away")
        return self.remembered

    def record_learned_limit(self, app_id: int, learned: LearnedLimit, evidence: Any) -> None:
        self.kept.append(learned)


async def test_without_its_memory_a_learning_limiter_goes_on_cautiously_and_reads_it_later(
    redis_url: str, key_prefix: str
) -> None:
    ahead = [0.0]
    memory = Forgetful(LearnedLimit.restored(900.0, Mode.STEADY, None, 2e9, now=0.0))
    async with a_limiter(
        redis_url, key_prefix, memory=memory, now=lambda: time.monotonic() + ahead[0]
    ) as limiter:
        turn = Turn("app", None, app_id=7)
        with capture_logs() as logs:
            await use(limiter, turn)
        cautious = limiter._queue(turn).learner.limit
        memory.is_away = False
        ahead[0] = 10.0
        await use(limiter, turn)
        await use(limiter, turn)
        learned = (await limiter._shared.learned("app"))[1]

    assert "spotify.limit_not_recalled" in [entry["event"] for entry in logs]
    assert cautious == pytest.approx(30, abs=2)
    assert learned is not None
    assert (learned.limit, learned.mode) == (900.0, Mode.STEADY)
    assert {kept.limit for kept in memory.kept} <= {900.0}


async def test_a_learned_limit_comes_back_from_memory_when_redis_lost_it(
    redis_url: str, key_prefix: str
) -> None:
    memory = Forgetful(LearnedLimit.restored(900.0, Mode.STEADY, None, 2e9, now=0.0))
    memory.is_away = False
    turn = Turn("app", None, app_id=7)
    async with a_limiter(redis_url, key_prefix, memory=memory) as limiter:
        await use(limiter, turn)
    client = connect_redis(redis_url)
    await client.delete(*await client.keys(f"{key_prefix}*"))
    await client.script_flush()
    await client.aclose()
    async with a_limiter(redis_url, key_prefix, memory=memory) as limiter:
        slot = await use(limiter, turn)
        learned = (await limiter._shared.learned("app"))[1]

    assert not slot.local
    assert learned is not None
    assert (learned.limit, learned.mode) == (900.0, Mode.STEADY)

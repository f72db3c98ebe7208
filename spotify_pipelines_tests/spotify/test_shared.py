"""Windows in a real Valkey, on a clock that the tests move: nothing waits."""

import struct
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import redis.asyncio

from spotify_pipelines.spotify.learning import LearnedLimit
from spotify_pipelines.spotify.limiter import connect_redis
from spotify_pipelines.spotify.pace import WINDOW, Pace
from spotify_pipelines.spotify.scripts import NUMBERS
from spotify_pipelines.spotify.shared import Ask, Candidate, Done, Reply, SharedWindows, Upload
from spotify_pipelines.spotify.turns import Priority, Slot, Turn
from spotify_pipelines.spotify.waiting import Demand
from spotify_pipelines_tests.spotify.test_pace import fullest

START = 1_790_000_000.0
APP_ONLY = Turn("app", None)


@dataclass
class Call:
    """A call that was granted: when, and when it was answered; seconds of the clock."""

    booked: float
    slot: Slot
    answered: float | None = None

    def counted_from(self, now: float) -> float:
        """Its answer; its booking where there is none yet (a time-out comes before 30 seconds are over)."""
        return self.answered if self.answered is not None and self.answered < now else self.booked


async def calls_in_window(client: redis.asyncio.Redis, key: str) -> int:
    """What an app's window in Redis counts."""
    numbers = await client.hget(key, "numbers") or bytes(8 * len(NUMBERS))
    assert isinstance(numbers, bytes)
    return int(struct.unpack_from("<d", numbers, 8 * NUMBERS.index("count"))[0])


@dataclass
class World:
    """Processes that share one Valkey, and a clock that is moved on."""

    client: redis.asyncio.Redis
    prefix: str
    limit: int = 30
    now: float = START
    calls: list[Call] = field(default_factory=list)
    told: list[Done] = field(default_factory=list)
    processes: dict[str, SharedWindows] = field(default_factory=dict)

    def process(self, name: str = "one") -> SharedWindows:
        clock = f"redis.call('HMGET', '{self.prefix}clock', 'seconds', 'micros')"
        if name not in self.processes:
            self.processes[name] = SharedWindows(self.client, self.prefix, name, time=clock)
        return self.processes[name]

    @property
    def key(self) -> str:
        return f"{self.prefix}limiter:{{app}}"

    async def count(self) -> int:
        return await calls_in_window(self.client, self.key)

    async def ask(
        self,
        turns: Sequence[Turn] = (APP_ONLY,),
        *,
        process: str = "one",
        fixed: bool = True,
        accounts: int = 1,
        waiting: int = 9,
        ahead: float = 0.0,
        has_waited: bool = False,
        uploads: Sequence[float] = (),
        app: str = "app",
    ) -> Reply:
        """One question, which takes the answers along that came since."""
        done, self.told = self.told, []
        reply = await self.process(process).ask(
            Ask(
                turns[0].app if turns else app,
                self.limit,
                fixed,
                [Candidate(turn, has_waited) for turn in turns],
                {turn.priority: Demand(accounts, waiting) for turn in turns},
                ahead,
                done,
                [Upload(age, APP_ONLY) for age in uploads],
            )
        )
        if reply.candidate is not None:
            turn = turns[reply.candidate]
            slot = Slot(turn, 0.0, reply.now, reply.generation, reply.taken, reply.full, reply.test)
            self.calls.append(Call(reply.now / 1000, slot))
        return reply

    async def next_call(
        self, turns: Sequence[Turn] = (APP_ONLY,), *, process: str = "one", waiting: int = 9
    ) -> Call:
        """Ask, moving the clock on, until there is a turn."""
        for _ in range(5000):
            reply = await self.ask(turns, process=process, waiting=waiting)
            if reply.candidate is not None:
                return self.calls[-1]
            await self.skip(max(0.01, min(reply.wait, 40.0)))
        raise AssertionError("no turn ever came")

    def answer(self, call: Call, *, let_through: bool = True) -> None:
        """An answer arrives; it is told with the next question."""
        call.answered = self.now
        self.told.append(Done(call.slot, let_through))

    async def skip(self, seconds: float) -> None:
        """Let time pass."""
        self.now = round(self.now + seconds, 3)
        await self.set_clock()

    async def set_clock(self) -> None:
        whole = int(self.now)
        clock = f"{self.prefix}clock"
        await self.client.hset(clock, mapping={"seconds": whole, "micros": round((self.now - whole) * 1e6)})


@asynccontextmanager
async def a_world(url: str, prefix: str, limit: int = 30) -> AsyncIterator[World]:
    client = connect_redis(url)
    try:
        world = World(client, prefix, limit)
        await world.set_clock()
        yield world
    finally:
        await client.aclose()


async def test_a_call_holds_its_place_until_30_seconds_after_its_answer(
    redis_url: str, key_prefix: str
) -> None:
    async with a_world(redis_url, key_prefix, limit=1) as world:
        call = await world.next_call()
        await world.skip(20)
        world.answer(call)
        reply = await world.ask()

        assert reply.candidate is None
        assert reply.wait == pytest.approx(30, abs=0.2)


async def test_a_saturating_demand_uses_the_whole_limit_and_no_more(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=30) as world:
        for _ in range(90):
            world.answer(await world.next_call())

    times = [call.booked for call in world.calls]
    assert fullest(times) <= 30
    assert 90 / (times[-1] - times[0]) >= 0.9 * 30 / WINDOW


async def test_a_lost_window_counts_as_full(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=30) as world:
        for _ in range(20):
            world.answer(await world.next_call())
        before = world.calls[-1].slot.generation
        await world.client.delete(world.key)
        await world.ask()
        count = await world.count()
        for _ in range(40):
            world.answer(await world.next_call())

    assert fullest([call.booked for call in world.calls]) <= 30
    assert world.calls[-1].slot.generation != before
    assert count >= 30


async def test_a_turn_is_booked_in_all_limits_or_in_none(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        await world.next_call()
        before = await world.count()
        reply = await world.ask([Turn("app", 300, "a", 1)])

        assert reply.candidate is None
        assert reply.wait == pytest.approx(Pace.of(1).interval, abs=0.1)
        assert await world.count() <= before


async def test_an_account_that_has_no_turn_holds_up_no_other(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        slow, quick = Turn("app", 300, "slow", 1), Turn("app", 300, "quick", 300)
        await world.ask([slow, quick])
        call = await world.next_call([slow, quick])

    assert call.slot.turn.account == "quick"


async def test_after_a_refusal_nothing_goes_until_one_test_call_is_answered(
    redis_url: str, key_prefix: str
) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        refused = await world.next_call()
        await world.process("another").refused(refused.slot, 4.0)
        paused = await world.ask()
        await world.skip(4.1)
        test = await world.next_call()
        held = [await world.ask(process=name) for name in ("one", "two")]
        world.answer(test)
        after = await world.next_call()

    assert paused.candidate is None
    assert paused.paused == pytest.approx(4.0, abs=0.2)
    assert test.slot.test
    assert [reply.candidate for reply in held] == [None, None]
    assert not after.slot.test


async def test_a_refused_test_call_makes_the_pause_longer_each_time(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        call = await world.next_call()
        pauses = []
        for _ in range(4):
            refusal = await world.process().refused(call.slot, 1.0)
            pauses.append(refusal.pause)
            await world.skip(refusal.pause + 0.1)
            call = await world.next_call()

    assert pauses == pytest.approx([1, 5, 10, 20], abs=0.1)


async def test_a_test_call_without_an_answer_is_followed_by_another(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        await world.process().refused((await world.next_call()).slot, 1.0)
        await world.skip(1.1)
        lost = await world.next_call()
        world.answer(lost, let_through=False)
        again = await world.next_call()

    assert (lost.slot.test, again.slot.test) == (True, True)


async def test_refusals_of_calls_sent_before_the_pause_are_one_episode(
    redis_url: str, key_prefix: str
) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        first, second = await world.next_call(), await world.next_call()
        episodes = [(await world.process().refused(call.slot, 1.0)).evidence for call in (first, second)]

    assert episodes[0] is not None
    assert episodes[1] is None


async def test_the_evidence_counts_the_calls_that_were_let_through(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        for _ in range(12):
            world.answer(await world.next_call())
        await world.ask(())
        await world.skip(40)
        answered = [await world.next_call() for _ in range(5)]
        for call in answered:
            world.answer(call)
        under_way = await world.next_call()
        refused = await world.next_call()
        await world.skip(0.1)
        world.answer(refused)
        moved = world.told.pop().slot
        world.answer(under_way)
        await world.ask(())
        evidence = (await world.process().refused(moved, 1.0)).evidence

    assert evidence is not None
    assert (evidence.sure, evidence.possible) == (5, 6)


async def test_processes_get_turns_by_their_accounts(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        processes = {"one-account": 1, "four-accounts": 4}
        taken = dict.fromkeys(processes, 0)
        while sum(taken.values()) < 100:
            for name, accounts in processes.items():
                reply = await world.ask(process=name, accounts=accounts)
                taken[name] += reply.candidate is not None
                if reply.candidate is not None:
                    world.answer(world.calls[-1])
            await world.skip(0.1)

    assert taken["four-accounts"] == pytest.approx(80, abs=5)


async def test_a_process_without_waiting_calls_holds_nobody_up(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        await world.next_call(process="leaves", waiting=1)
        for _ in range(10):
            reply = await world.ask(process="stays")
            while reply.candidate is None:
                assert reply.wait > 0.02 or reply.paused == 0
                await world.skip(0.1)
                reply = await world.ask(process="stays")

    assert len(world.calls) == 11


async def test_what_was_sent_without_redis_counts_when_it_is_told(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=10) as world:
        await world.next_call()
        await world.skip(60)
        reply = await world.ask(uploads=[1.0] * 10)

    assert reply.candidate is None
    assert reply.wait == pytest.approx(29, abs=0.3)


async def test_a_refund_makes_room_at_once(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=1) as world:
        call = await world.next_call()
        blocked = await world.ask()
        await world.process().refund(call.slot, 1)
        again = await world.ask()

    assert (blocked.candidate, again.candidate) == (None, 0)


async def test_only_one_process_changes_what_is_learned_at_a_time(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix) as world:
        await world.ask(fixed=False)
        state = LearnedLimit.unknown(0.0)
        first = await world.process().learn("app", "", state)
        second = await world.process("two").learn("app", "", state)
        version, stored = await world.process().learned("app")

    assert (first, second) == (True, False)
    assert (version, stored) == ("1", state)


async def test_a_learned_limit_is_kept_to_unless_one_is_known(redis_url: str, key_prefix: str) -> None:
    async with a_world(redis_url, key_prefix, limit=30) as world:
        await world.process().learn("app", "", LearnedLimit.unknown(0.0).after_calls(12, 60, 1.0))

        assert (await world.ask(fixed=False)).limit == 42
        assert (await world.ask(fixed=True)).limit == 30


async def test_a_ban_is_told_to_every_process_and_nothing_is_learned_from_it(
    redis_url: str, key_prefix: str
) -> None:
    async with a_world(redis_url, key_prefix, limit=300) as world:
        await world.next_call()
        await world.process("another").ban("app", 3600.0)
        await world.process("another").ban("app", 60.0)
        held = await world.ask()
        await world.skip(3601)
        after = await world.next_call()

    assert held.candidate is None
    assert held.banned == pytest.approx(3600.0)
    assert not after.slot.test
    assert not after.slot.full


async def share_of_turns(world: World, processes: dict[str, tuple[int, Priority]]) -> dict[str, float]:
    """What each process got of 300 turns where all have more calls than there are turns."""
    taken: Counter[str] = Counter()
    while sum(taken.values()) < 300:
        for name, (accounts, priority) in processes.items():
            reply = await world.ask([Turn("app", None, priority=priority)], process=name, accounts=accounts)
            if reply.candidate is not None:
                taken[name] += 1
                world.answer(world.calls[-1])
        await world.skip(0.034)
    return {name: taken[name] / sum(taken.values()) for name in processes}


async def test_classes_keep_their_order_and_floors_over_all_processes(
    redis_url: str, key_prefix: str
) -> None:
    async with a_world(redis_url, key_prefix, limit=900) as world:
        shares = await share_of_turns(
            world,
            {
                "urgent": (1, Priority.INTERACTIVE),
                "good": (5, Priority.HEALTHY),
                "poor": (9, Priority.DEGRADED),
            },
        )

    assert shares["urgent"] == pytest.approx(0.9, abs=0.01)
    assert shares["good"] == pytest.approx(0.05, abs=0.01)
    assert shares["poor"] == pytest.approx(0.05, abs=0.01)


async def test_a_process_with_degraded_calls_alone_gets_the_floor_beside_one_with_healthy_ones(
    redis_url: str, key_prefix: str
) -> None:
    async with a_world(redis_url, key_prefix, limit=900) as world:
        processes = {"a": (3, Priority.HEALTHY), "b": (1, Priority.HEALTHY), "c": (4, Priority.DEGRADED)}
        shares = await share_of_turns(world, processes)

    assert shares["c"] == pytest.approx(0.05, abs=0.01)
    assert shares["a"] / shares["b"] == pytest.approx(3, rel=0.1)


async def test_a_family_has_a_limit_beside_the_apps_and_holds_up_no_other_calls(
    redis_url: str, key_prefix: str
) -> None:
    cover = Turn("app", None, family="cover", family_limit=3)
    async with a_world(redis_url, key_prefix, limit=300) as world:
        for _ in range(40):
            await world.next_call([cover, APP_ONLY])
        families = [call for call in world.calls if call.slot.turn.family]
        others = len(world.calls) - len(families)
        before = await world.count()
        held = await world.ask([cover])
        after = await world.count()

    assert fullest([call.booked for call in families]) <= 3
    assert others >= 30
    assert (held.candidate, after) == (None, before)


async def test_apps_of_one_developer_account_keep_its_limit_together(redis_url: str, key_prefix: str) -> None:
    turns = [Turn(f"app-{number}", None, developer="dev", developer_limit=10) for number in range(3)]
    async with a_world(redis_url, key_prefix, limit=300) as world:
        while world.now < START + 90:
            await world.ask([turns[0]], process=turns[0].app)
            turns.append(turns.pop(0))
            await world.skip(0.1)

    assert 9 <= fullest([call.booked for call in world.calls]) <= 10
    assert {call.slot.turn.app for call in world.calls} == {turn.app for turn in turns}


async def test_a_heavy_turn_counts_as_many_calls_in_every_limit_and_is_given_back_whole(
    redis_url: str, key_prefix: str
) -> None:
    heavy = Turn(
        "app", 30, "a", 300, weight=5, family="cover", family_limit=12, developer="dev", developer_limit=12
    )
    async with a_world(redis_url, key_prefix, limit=30) as world:
        while world.now < START + 100:
            await world.ask([heavy])
            await world.skip(0.5)
        times = [call.booked for call in world.calls]
        counts = [await world.count()]
        await world.skip(31)
        call = await world.next_call([heavy])
        counts.append(await world.count())
        await world.process().refund(call.slot, 30)
        counts.append(await world.count())
        again = await world.ask([heavy])

    assert fullest(times) == 2
    assert counts == [10, 5, 0]
    assert again.candidate == 0


@pytest.mark.parametrize(
    ("field", "turn"),
    [
        ("app_limit", {"app_limit": 4}),
        ("family_limit", {"app_limit": 30, "family": "cover", "family_limit": 4}),
        ("developer_limit", {"app_limit": 30, "developer": "dev", "developer_limit": 4}),
        ("account_limit", {"app_limit": 30, "account": "a", "account_limit": 40}),
    ],
)
def test_a_turn_that_never_fits_into_a_limit_is_refused(field: str, turn: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=field):
        Turn("app", weight=5, **turn)  # type: ignore[arg-type]


async def test_a_turn_is_booked_shortly_before_its_time_and_never_before_a_pause_is_over(
    redis_url: str, key_prefix: str
) -> None:
    async with a_world(redis_url, key_prefix, limit=30) as world:
        first = await world.next_call()
        due = (await world.ask()).wait
        await world.skip(due - 0.008)
        ahead = await world.ask(ahead=0.01)
        second = world.calls[-1]
        await world.process().refused(second.slot, 1.0)
        await world.skip(0.995)
        paused = await world.ask(ahead=0.01)

    assert ahead.candidate == 0
    assert ahead.wait == pytest.approx(0.008, abs=0.002)
    assert second.booked == pytest.approx(world.now - 0.995 + ahead.wait, abs=0.002)
    assert second.booked > first.booked
    assert paused.candidate is None


async def test_what_is_seen_under_a_given_limit_is_no_evidence_for_a_learned_one(
    redis_url: str, key_prefix: str
) -> None:
    async with a_world(redis_url, key_prefix, limit=10) as world:
        for fixed in (False, True, False):
            for _ in range(15):
                reply = await world.ask(fixed=fixed, has_waited=True)
                if reply.candidate is not None:
                    world.answer(world.calls[-1])
                await world.skip(min(reply.wait + 0.01, 5))
            reply = await world.ask((), fixed=fixed)
            grown = reply.grown
            if fixed:
                assert (reply.grown, reply.saturated) == (0, 0)

    assert grown > 0

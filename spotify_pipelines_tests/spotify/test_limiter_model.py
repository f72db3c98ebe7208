"""The scripts in a real Valkey against a model: whatever comes in whatever order, no limit is ever passed."""

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spotify_pipelines.spotify.limiter import connect_redis
from spotify_pipelines.spotify.pace import WINDOW
from spotify_pipelines.spotify.shared import Done
from spotify_pipelines.spotify.turns import Priority, Turn
from spotify_pipelines_tests.spotify.test_shared import Call, World
from spotify_pipelines_tests.support.services import suite_endpoints

T = TypeVar("T")

FAMILY_LIMIT = 4
DEVELOPER_LIMIT = 12
TURNS = st.builds(
    Turn,
    app=st.sampled_from(["app", "other"]),
    app_limit=st.none(),
    account=st.sampled_from([None, "a", "b"]),
    account_limit=st.just(300),
    priority=st.sampled_from(list(Priority)),
    weight=st.sampled_from([1, 1, 1, 2, 3]),
    family=st.sampled_from([None, "cover"]),
    family_limit=st.just(FAMILY_LIMIT),
    developer=st.just("dev"),
    developer_limit=st.just(DEVELOPER_LIMIT),
)


class _Windows(RuleBasedStateMachine):
    """Several processes, two apps of one developer account, one family; the model is the list of calls made."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.paused_until: dict[str, float] = {}
        self.banned_until: dict[str, float] = {}
        self.testing: dict[str, bool] = {}
        self.checked = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize(limit=st.sampled_from([8, 30, 5, 1]))
    def open(self, limit: int) -> None:
        url = suite_endpoints().redis_url
        assert url is not None
        self.world = World(connect_redis(url), f"test:model:{secrets.token_hex(6)}:", limit)
        self.run(self.world.set_clock())
        # New windows count as full: let them empty.
        for app in ("app", "other"):
            turn = Turn(
                app, None, family="cover", family_limit=4, developer="dev", developer_limit=DEVELOPER_LIMIT
            )
            self.run(self.world.ask([turn]))
        self.run(self.world.skip(31.0))

    def teardown(self) -> None:
        self.run(self._forget())
        self.run(self.world.client.aclose())
        self.loop.close()

    async def _forget(self) -> None:
        keys = await self.world.client.keys(f"{self.world.prefix}limiter:*")
        if keys:
            await self.world.client.delete(*keys)

    @rule(
        turns=st.lists(TURNS, min_size=1, max_size=4),
        ahead=st.sampled_from([0.0, 0.01]),
        steps=st.integers(5, 60),
        gap=st.sampled_from([0.02, 0.3, 1.0]),
        delay=st.sampled_from([0.0, 0.5, 20.0]),
    )
    def work(self, turns: list[Turn], ahead: float, steps: int, gap: float, delay: float) -> None:
        """Processes call for a while, each for one turn; answers take so long."""
        for step in range(steps):
            number = step % len(turns)
            turn = replace(turns[number], weight=min(turns[number].weight, self.world.limit))
            reply = self.run(self.world.ask([turn], process=f"process-{number}", ahead=ahead))
            if reply.candidate is not None:
                self._check_grant(self.world.calls[-1], ahead)
            for call in self._flying():
                if call.booked + delay <= self.world.now:
                    self.world.answer(call)
                    self._tell(call)
            self.wait(gap)

    def _check_grant(self, call: Call, ahead: float) -> None:
        app = call.slot.turn.app
        assert self.world.now - 0.001 <= call.booked <= self.world.now + ahead + 0.001
        assert call.booked >= self.paused_until.get(app, 0.0) - 0.001
        assert call.booked >= self.banned_until.get(app, 0.0) - 0.001
        if call.slot.test:
            self.testing[app] = True
        else:
            assert not self.testing.get(app), "only the test call goes until its answer is told"

    @precondition(lambda self: self._flying())
    @rule(which=st.integers(0, 100), let_through=st.booleans())
    def answer(self, which: int, let_through: bool) -> None:
        call = self._flying()[which % len(self._flying())]
        self.world.answer(call, let_through=let_through)
        self._tell(call)

    @precondition(lambda self: self._flying())
    @rule(which=st.integers(0, 100), pause=st.sampled_from([0.5, 3.0]))
    def refuse(self, which: int, pause: float) -> None:
        call = self._flying()[which % len(self._flying())]
        call.answered = self.world.now
        refusal = self.run(self.world.process().refused(call.slot, pause))
        app = call.slot.turn.app
        assert refusal.pause >= pause - 0.002
        assert (refusal.evidence is None) or call.slot.turn.family is None
        self.paused_until[app] = max(self.paused_until.get(app, 0.0), self.world.now + refusal.pause)
        self.testing[app] = False

    @precondition(lambda self: self._flying())
    @rule(which=st.integers(0, 100))
    def refund(self, which: int) -> None:
        call = self._flying()[which % len(self._flying())]
        self.run(self.world.process().refund(call.slot, self.world.limit))
        self.world.calls.remove(call)
        self.checked = min(self.checked, len(self.world.calls))
        if call.slot.test:
            self.testing[call.slot.turn.app] = False

    @precondition(lambda self: len(self.world.calls) % 5 == 4)
    @rule(app=st.sampled_from(["app", "other"]), seconds=st.sampled_from([2.0, 10.0]))
    def ban(self, app: str, seconds: float) -> None:
        self.run(self.world.process().ban(app, seconds))
        self.banned_until[app] = max(self.banned_until.get(app, 0.0), self.world.now + seconds)

    @precondition(lambda self: len(self.world.calls) % 7 == 6)
    @rule()
    def lose_everything(self) -> None:
        """As FLUSHALL does; a pause is lost with it, and a ban is then known from the database alone."""
        self.run(self._forget())
        self.paused_until.clear()
        self.banned_until.clear()
        self.testing.clear()

    @rule(seconds=st.sampled_from([0.005, 0.1, 1.0, 7.0, 29.0]))
    def wait(self, seconds: float) -> None:
        self.run(self.world.skip(seconds))
        # No call flies for as long as a window: a time-out ends it, and that is told.
        for call in self._flying():
            if self.world.now - call.booked > 29:
                call.answered = call.booked + 29
                self._tell(call)

    def _tell(self, call: Call) -> None:
        """With a question of its own app, at once: what is told late can only make a window fuller."""
        if not self.world.told:
            self.world.told.append(Done(call.slot, let_through=False))
        self.run(self.world.ask((), app=call.slot.turn.app))
        if call.slot.test:
            self.testing[call.slot.turn.app] = False

    def _flying(self) -> list[Call]:
        return [call for call in self.world.calls if call.answered is None]

    @invariant()
    def no_window_is_over_its_limit(self) -> None:
        """What a server may have counted at the time of each new booking, whatever the delays of the network."""
        for call in self.world.calls[self.checked :]:
            held = [
                other.slot.turn
                for other in self.world.calls
                if other.booked <= call.booked < other.counted_from(call.booked) + WINDOW
            ]
            turn = call.slot.turn
            own = [each for each in held if each.app == turn.app]
            assert sum(each.weight for each in own) <= self.world.limit
            assert sum(each.weight for each in own if each.family) <= FAMILY_LIMIT
            assert sum(each.weight for each in held) <= DEVELOPER_LIMIT
        self.checked = len(self.world.calls)


_Windows.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=12,
    deadline=None,
    # Shrinking plays a failure a thousand times over.
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow],
)


def test_every_limit_holds_whatever_happens(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
    case = _Windows.TestCase()
    case.runTest()

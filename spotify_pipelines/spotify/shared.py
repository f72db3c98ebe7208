"""The limits of all processes together, in Redis.

What belongs here: the scripts as methods, with plain values in and out; keys. What does not: waiting, what to do
while Redis is away (``limiter``), the process's own share (``local``).
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import redis.asyncio

from spotify_pipelines.spotify.learning import Evidence, LearnedLimit
from spotify_pipelines.spotify.line import Answer, Line, Script
from spotify_pipelines.spotify.scripts import ASK, BAN, LEARN, REFUND, REFUSED, SERVER_TIME
from spotify_pipelines.spotify.turns import Priority, Slot, Turn
from spotify_pipelines.spotify.waiting import Demand

__all__ = ["CANDIDATES", "Ask", "Candidate", "Done", "Refusal", "Reply", "SharedWindows", "Upload"]

CANDIDATES = 8
"""Accounts of each class between which one question lets Redis choose."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A call that waits; ``has_waited``: longer than it takes to ask, so that there is more demand than turns."""

    turn: Turn
    has_waited: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """A call that came to an end; ``let_through`` where the limit let it pass."""

    slot: Slot
    let_through: bool


@dataclass(frozen=True, slots=True)
class Upload:
    """A call that was made without Redis, so many seconds ago."""

    age: float
    turn: Turn


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: a turn for one of the ``candidates``, first come first of its class; and what is to be told.

    Attributes:
        limit: of the app, where nothing was learned; ``fixed``: whatever was learned.
        demand: by class. ahead: seconds before its time that a turn may be booked.
    """

    app: str
    limit: float
    fixed: bool
    candidates: Sequence[Candidate] = ()
    demand: Mapping[Priority, Demand] = field(default_factory=dict)
    ahead: float = 0.0
    done: Sequence[Done] = ()
    uploads: Sequence[Upload] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """A turn, or none yet. Times are seconds, but for ``now``.

    Attributes:
        candidate: who got it, as an index, to be used after ``wait``; None: ask again after ``wait``.
        now: milliseconds of Redis' clock (seconds of our own where it is a local turn); of a turn, its time.
        grown: calls let through in full windows that the estimator has not seen yet; ``saturated``: for how
        long there has been full demand. version: of the learned state; empty: there is none. paused, banned: what
        is left of a pause and of a ban. waits: what is left until each candidate could use a turn.
    """

    candidate: int | None
    wait: float
    limit: float
    now: float
    generation: float = 0.0
    taken: float = 0.0
    full: bool = False
    test: bool = False
    grown: int = 0
    saturated: float = 0.0
    version: str = ""
    paused: float = 0.0
    banned: float = 0.0
    waits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a 429 led to: a pause of so many seconds, and the evidence if it began an episode."""

    pause: float
    now: float
    evidence: Evidence | None


class SharedWindows:
    """Windows, buckets and virtual times of all apps, on Redis' clock.

    Nothing in there is needed for correctness: a window that is lost counts as full, under a new generation.
    Keys expire a week after they were last of use. A limit of a developer account joins keys of several apps: it
    takes one Redis, not a cluster.
    """

    def __init__(
        self, client: redis.asyncio.Redis, prefix: str, process: str, *, time: str = SERVER_TIME
    ) -> None:
        """``time``: Lua for seconds and microseconds, for a test that has a clock of its own."""
        self._client = client
        self._line = Line(client)
        self._prefix = prefix
        self._process = process
        self._ask, self._refused, self._ban, self._refund, self._learn = (
            Script(script.replace(SERVER_TIME, time)) for script in (ASK, REFUSED, BAN, REFUND, LEARN)
        )

    async def ask(self, ask: Ask) -> Reply:
        """Book a turn in all limits of one candidate, or in none; tell what is done."""
        key = self._app_key(ask.app)
        keys = _Places([key, f"{key}:passed", f"{key}:active"])
        demand = [number for c in Priority for number in _told(ask.demand.get(c, _NOTHING))]
        facts = [ask.limit, ask.fixed, 1000 * ask.ahead, *demand]
        candidates = [number for each in ask.candidates for number in self._candidate(each, keys)]
        done = [number for each in ask.done for number in self._done(each, keys)]
        uploads = [
            number
            for each in ask.uploads
            for number in (1000 * each.age, each.turn.weight, *self._wider(each.turn, keys))
        ]
        args: list[str | bytes] = [
            self._process,
            _pack(facts),
            _pack(candidates),
            _pack(done),
            _pack(uploads),
        ]
        return _reply(await self._line.run(self._ask, keys.names, args))

    async def refused(self, slot: Slot, pause: float) -> Refusal:
        """Stop the app everywhere for ``pause`` seconds or longer; then one test call, then all."""
        turn, key = slot.turn, self._app_key(slot.turn.app)
        keys = _Places([key, f"{key}:passed"])
        booked = 0.0 if slot.local else slot.booked
        # A family may have met its own limit: the app's is not known better by it.
        facts = [booked, 1000 * pause, slot.test, turn.weight, *self._wider(turn, keys), turn.family is None]
        answer = await self._line.run(self._refused, keys.names, [_pack(facts)])
        is_new, sure, possible, pause_left, now = map(int, cast("list[int | bytes]", answer))
        evidence = Evidence(sure, possible, slot.test) if is_new else None
        return Refusal(pause_left / 1000, now / 1000, evidence)

    async def ban(self, app: str, seconds: float) -> None:
        """No turn of the app for so long, in any process; never shortens a ban."""
        await self._line.run(self._ban, [self._app_key(app)], [_pack([1000 * seconds])])

    async def refund(self, slot: Slot, limit: float) -> None:
        """Give a turn back that was not used; not if the app was paused or lost since."""
        turn, key = slot.turn, self._app_key(slot.turn.app)
        keys = _Places([key, f"{key}:bucket:{turn.account}"])
        facts = [slot.generation, slot.booked, turn.weight, slot.test, limit, turn.app_limit is not None]
        interval = 1000 * turn.pace.interval if turn.pace else 0.0
        facts += [*self._wider(turn, keys), slot.taken, interval]
        await self._line.run(self._refund, keys.names, [_pack(facts)])

    async def learned(self, app: str) -> tuple[str, LearnedLimit | None]:
        """What all processes believe of an app's limit, and its version; empty and None: nothing."""
        version, state = await self._client.hmget(self._app_key(app), ["version", "learned"])
        if version is None or state is None:
            return "", None
        return _text(version), LearnedLimit.from_fields(json.loads(state))

    async def learn(self, app: str, version: str, state: LearnedLimit, *, used: int = 0) -> bool:
        """Replace what was believed at ``version``, using up so much evidence; False: somebody was faster."""
        found = [f"{state.limit:.6f}", str(state.fullness), json.dumps(state.fields()), str(used)]
        args = [version, str(int(version or 0) + 1), *found]
        return bool(await self._line.run(self._learn, [self._app_key(app)], args))

    async def ping(self) -> None:
        """Raise what a call would raise now."""
        await self._client.ping()

    async def hang_up(self) -> None:
        """Leave a server that does not answer, or for good; the next call begins anew."""
        await self._line.hang_up()

    def _app_key(self, app: str) -> str:
        # The braces keep an app's keys on one node of a cluster, where one script may touch them all.
        return f"{self._prefix}limiter:{{{app}}}"

    def _candidate(self, each: Candidate, keys: "_Places") -> tuple[float, ...]:
        turn, pace = each.turn, each.turn.pace
        place, interval, tolerance = 0, 0.0, 0.0
        if pace is not None:
            place = keys.place(f"{keys.names[0]}:bucket:{turn.account}")
            interval, tolerance = 1000 * pace.interval, 1000 * pace.tolerance
        family, developer = self._wider(turn, keys)
        own = (turn.priority, turn.weight, place, interval, tolerance, each.has_waited)
        return *own, family, turn.family_limit or 0, developer, turn.developer_limit or 0

    def _done(self, done: Done, keys: "_Places") -> tuple[float, ...]:
        slot = done.slot
        booked = 0.0 if slot.local else slot.booked
        wider = self._wider(slot.turn, keys)
        return booked, done.let_through, slot.full, slot.test, slot.turn.weight, *wider

    def _wider(self, turn: Turn, keys: "_Places") -> tuple[int, int]:
        """The places of the family's and the developer account's windows; 0 for none."""
        family = developer = 0
        if turn.family is not None and turn.family_limit is not None:
            family = keys.place(f"{self._app_key(turn.app)}:family:{turn.family}")
        if turn.developer is not None and turn.developer_limit is not None:
            developer = keys.place(f"{self._prefix}limiter:developer:{turn.developer}")
        return family, developer


_NOTHING = Demand()


class _Places:
    """The keys of one script call; arguments name them by their place."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def place(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name) + 1


def _told(demand: Demand) -> tuple[int, int]:
    return demand.accounts, demand.calls


def _pack(numbers: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


def _reply(answer: Answer) -> Reply:
    facts, version = cast("list[bytes]", answer)
    granted, wait, limit, now, generation, candidate, taken, *more = struct.unpack(
        f"<{len(facts) // 8}d", facts
    )
    full, test, grown, saturated, paused, banned, *waits = more
    return Reply(
        candidate=int(candidate) - 1 if granted else None,
        wait=wait / 1000,
        limit=limit,
        now=now,
        generation=generation,
        taken=taken,
        full=bool(full),
        test=bool(test),
        grown=int(grown),
        saturated=saturated / 1000,
        version=version.decode(),
        paused=paused / 1000,
        banned=banned / 1000,
        waits=tuple([each / 1000 for each in waits]),
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

"""The limits of all processes together, in Redis.

What belongs here: the scripts as methods, with plain values in and out; keys. What does not: waiting, what to do
while Redis is away (``limiter``), the process's own share (``local``).
"""

import json
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
    generation: str = ""
    taken: str = ""
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
        demand = " ".join(
            f"{each.accounts} {each.calls}" for each in (ask.demand.get(c, _NOTHING) for c in Priority)
        )
        args = [
            self._process,
            f"{ask.limit:.6f} {ask.fixed:d} {1000 * ask.ahead:.0f} {demand}",
            " ".join([self._candidate(each, keys) for each in ask.candidates]),
            " ".join([self._done(each, keys) for each in ask.done]),
            " ".join(
                [
                    f"{1000 * each.age:.0f} {each.turn.weight} {self._wider(each.turn, keys)}"
                    for each in ask.uploads
                ]
            ),
        ]
        return _reply(await self._line.run(self._ask, keys.names, args))

    async def refused(self, slot: Slot, pause: float) -> Refusal:
        """Stop the app everywhere for ``pause`` seconds or longer; then one test call, then all."""
        turn, key = slot.turn, self._app_key(slot.turn.app)
        keys = _Places([key, f"{key}:passed"])
        booked = 0.0 if slot.local else slot.booked
        # A family may have met its own limit: the app's is not known better by it.
        facts = f"{booked:.0f} {1000 * pause:.0f} {slot.test:d} {turn.weight} {self._wider(turn, keys)}"
        answer = await self._line.run(self._refused, keys.names, [f"{facts} {turn.family is None:d}"])
        is_new, sure, possible, pause_left, now = map(int, cast("list[int | bytes]", answer))
        evidence = Evidence(sure, possible, slot.test) if is_new else None
        return Refusal(pause_left / 1000, now / 1000, evidence)

    async def ban(self, app: str, seconds: float) -> None:
        """No turn of the app for so long, in any process; never shortens a ban."""
        await self._line.run(self._ban, [self._app_key(app)], [f"{1000 * seconds:.0f}"])

    async def refund(self, slot: Slot, limit: float) -> None:
        """Give a turn back that was not used; not if the app was paused or lost since."""
        turn, key = slot.turn, self._app_key(slot.turn.app)
        keys = _Places([key, f"{key}:bucket:{turn.account}"])
        pace = turn.pace
        facts = (
            f"{slot.booked:.0f} {turn.weight} {slot.test:d} {limit:.6f} {turn.app_limit is not None:d} "
            f"{self._wider(turn, keys)}"
        )
        interval = f"{1000 * pace.interval:.3f}" if pace else "0"
        await self._line.run(self._refund, keys.names, [slot.generation, facts, slot.taken or "-", interval])

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

    def _candidate(self, each: Candidate, keys: "_Places") -> str:
        turn, pace = each.turn, each.turn.pace
        bucket = "0 0 0"
        if pace is not None:
            place = keys.place(f"{keys.names[0]}:bucket:{turn.account}")
            bucket = f"{place} {1000 * pace.interval:.3f} {1000 * pace.tolerance:.3f}"
        family, developer = self._wider(turn, keys).split()
        return (
            f"{turn.priority:d} {turn.weight} {bucket} {each.has_waited:d} "
            f"{family} {turn.family_limit or 0} {developer} {turn.developer_limit or 0}"
        )

    def _done(self, done: Done, keys: "_Places") -> str:
        slot = done.slot
        booked = 0.0 if slot.local else slot.booked
        return (
            f"{booked:.0f} {done.let_through:d} {slot.full:d} {slot.test:d} {slot.turn.weight} "
            f"{self._wider(slot.turn, keys)}"
        )

    def _wider(self, turn: Turn, keys: "_Places") -> str:
        """The places of the family's and the developer account's windows; 0 for none."""
        family = developer = 0
        if turn.family is not None and turn.family_limit is not None:
            family = keys.place(f"{self._app_key(turn.app)}:family:{turn.family}")
        if turn.developer is not None and turn.developer_limit is not None:
            developer = keys.place(f"{self._prefix}limiter:developer:{turn.developer}")
        return f"{family} {developer}"


_NOTHING = Demand()


class _Places:
    """The keys of one script call; arguments name them by their place."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def place(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name) + 1


def _reply(answer: Answer) -> Reply:
    facts, waits = cast("bytes", answer).decode().split("|")
    granted, wait, limit, now, generation, candidate, taken, *more = facts.split(" ")
    full, test, grown, saturated, version, paused, banned = more
    return Reply(
        candidate=int(candidate) - 1 if granted == "1" else None,
        wait=float(wait) / 1000,
        limit=float(limit),
        now=float(now),
        generation=generation,
        taken="" if taken == "-" else taken,
        full=full == "1",
        test=test == "1",
        grown=int(grown),
        saturated=float(saturated) / 1000,
        version="" if version == "-" else version,
        paused=float(paused) / 1000,
        banned=float(banned) / 1000,
        waits=tuple([float(wait) / 1000 for wait in waits.split()]),
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

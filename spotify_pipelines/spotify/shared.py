"""The limits of all processes together, in Redis.

What belongs here: the scripts as methods, with plain values in and out; keys. What does not: waiting, what to do
while Redis is away (``limiter``), the process's own share (``local``).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis.asyncio

from spotify_pipelines.spotify.learning import Evidence, LearnedLimit
from spotify_pipelines.spotify.pace import Pace
from spotify_pipelines.spotify.scripts import ASK, LEARN, REFUND, REFUSED
from spotify_pipelines.spotify.turns import Slot

__all__ = ["CANDIDATES", "Ask", "Candidate", "Done", "Refusal", "Reply", "SharedWindows"]

_Arguments = list[bytes | bytearray | memoryview | str | int | float]

CANDIDATES = 16
"""Accounts between which one question lets Redis choose."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that has a call waiting (None: a call for no account), and its bucket's pace.

    ``has_waited``: longer than it takes to ask, so that there is more demand than turns.
    """

    account: str | None
    pace: Pace | None
    has_waited: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """A call that came to an end; ``let_through`` where the limit let it pass."""

    slot: Slot
    let_through: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: a turn for one of the ``candidates``, first come first; and what is to be told.

    Attributes:
        limit: of the app, where nothing was learned; ``fixed``: whatever was learned.
        backlogged: accounts of this process that have calls waiting; ``waiting``: calls.
        uploads: ages in seconds of calls that were made without Redis.
    """

    app: str
    limit: float
    fixed: bool
    candidates: Sequence[Candidate] = ()
    backlogged: int = 0
    waiting: int = 0
    done: Sequence[Done] = ()
    uploads: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """A turn, or none yet. Times are seconds, but for ``now`` and ``booked``.

    Attributes:
        candidate: who got it, as an index; None: ask again after ``wait``.
        now: milliseconds of Redis' clock (seconds of our own where it is a local turn).
        grown: calls let through in full windows that the estimator has not seen yet; ``saturated``: for how
        long there has been full demand. version: of the learned state; empty: there is none. paused: what is
        left of a pause. waits: what is left until each candidate's own bucket has a call to give.
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
    Keys expire a week after they were last of use.
    """

    def __init__(self, client: redis.asyncio.Redis, prefix: str, process: str) -> None:
        self._client = client
        self._prefix = prefix
        self._process = process
        self._ask = client.register_script(ASK)
        self._refused = client.register_script(REFUSED)
        self._refund = client.register_script(REFUND)
        self._learn = client.register_script(LEARN)

    async def ask(self, ask: Ask) -> Reply:
        """Book a turn in the app's window and one account's bucket, or in none; tell what is done."""
        args: _Arguments = [f"{ask.limit:.6f}", int(ask.fixed), self._process]
        args += [ask.backlogged, ask.waiting, len(ask.candidates)]
        for each in ask.candidates:
            pace = each.pace or Pace(0.0, 0.0)
            args += [f"{1000 * pace.interval:.3f}", f"{1000 * pace.tolerance:.3f}", int(each.has_waited)]
        args.append(len(ask.done))
        for done in ask.done:
            slot = done.slot
            args += [f"{0 if slot.local else slot.booked:.0f}", int(done.let_through)]
            args += [int(slot.full), int(slot.test)]
        args += [len(ask.uploads), *(f"{1000 * age:.0f}" for age in ask.uploads)]
        keys = [*self._app_keys(ask.app), *(self._bucket(ask.app, each.account) for each in ask.candidates)]
        return _reply(await self._ask(keys=keys, args=args))

    async def refused(self, slot: Slot, pause: float) -> Refusal:
        """Stop the app everywhere for ``pause`` seconds or longer; then one test call, then all."""
        booked = "" if slot.local else f"{slot.booked:.0f}"
        args: _Arguments = [booked, f"{1000 * pause:.0f}", int(slot.test)]
        answer = await self._refused(keys=self._app_keys(slot.turn.app)[:2], args=args)
        evidence = Evidence(int(answer[1]), int(answer[2]), slot.test) if answer[0] else None
        return Refusal(float(answer[3]) / 1000, float(answer[4]) / 1000, evidence)

    async def refund(self, slot: Slot, pace: Pace | None) -> None:
        """Give a turn back that was not used; not if the app was paused or lost since."""
        interval = 1000 * pace.interval if pace else 0.0
        await self._refund(
            keys=[self._app_key(slot.turn.app), self._bucket(slot.turn.app, slot.turn.account)],
            args=[slot.generation, f"{slot.booked:.0f}", slot.taken, f"{interval:.3f}", int(slot.test)],
        )

    async def learned(self, app: str) -> tuple[str, LearnedLimit | None]:
        """What all processes believe of an app's limit, and its version; empty and None: nothing."""
        version, state = await self._client.hmget(self._app_key(app), ["version", "learned"])
        if version is None or state is None:
            return "", None
        return _text(version), LearnedLimit.from_fields(json.loads(state))

    async def learn(self, app: str, version: str, state: LearnedLimit, *, used: int = 0) -> bool:
        """Replace what was believed at ``version``, using up so much evidence; False: somebody was faster."""
        args: _Arguments = [version, str(int(version or 0) + 1), f"{state.limit:.6f}", state.fullness]
        args += [json.dumps(state.fields()), used]
        return bool(await self._learn(keys=[self._app_key(app)], args=args))

    async def ping(self) -> None:
        """Raise what a call would raise now."""
        await self._client.ping()

    def _app_key(self, app: str) -> str:
        # The braces keep an app's keys on one node of a cluster, where one script may touch them all.
        return f"{self._prefix}limiter:{{{app}}}"

    def _app_keys(self, app: str) -> list[str]:
        key = self._app_key(app)
        return [key, f"{key}:passed", f"{key}:processes"]

    def _bucket(self, app: str, account: str | None) -> str:
        key = self._app_key(app)
        return key if account is None else f"{key}:account:{account}"


def _reply(answer: list[Any]) -> Reply:
    granted, wait, limit, now, generation, candidate, taken, full, test, grown, saturated, version = answer[
        :12
    ]
    return Reply(
        candidate=int(candidate) - 1 if granted else None,
        wait=float(wait) / 1000,
        limit=float(limit),
        now=float(now),
        generation=_text(generation),
        taken=_text(taken),
        full=bool(full),
        test=bool(test),
        grown=int(grown),
        saturated=float(saturated) / 1000,
        version=_text(version),
        paused=float(answer[12]) / 1000,
        waits=tuple(wait / 1000 for wait in answer[13]),
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

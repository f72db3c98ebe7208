"""Keeps one app's learned limit: what was counted goes through the estimator, into Redis and into memory.

What belongs here: when the estimator is asked, and that all processes agree on its state. What does not: the
estimator (``learning``), counting (``shared``), where limits are remembered (``ports.LimitMemory``).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from spotify_pipelines.spotify.learning import CAUTIOUS, Evidence, LearnedLimit
from spotify_pipelines.spotify.ports import LimitMemory
from spotify_pipelines.spotify.shared import Reply, SharedWindows

__all__ = ["Learner"]

log = structlog.get_logger(__name__)

STEP = 1.0
"""Seconds between two looks at what was let through: the limit grows in steps as long as that."""
RECALL_WAIT = 1.0
"""Seconds that the first call waits for what is remembered; then it goes on cautiously."""
RECALL_RETRY = 5.0
"""Seconds between two tries to read what is remembered."""
WORTH_KEEPING = 0.1
"""Relative change of a limit from which it is remembered; changes of mode always are."""
_TRIES = 5


class Learner:
    """One app's limit, as this process knows it. All processes change the same state, one at a time."""

    def __init__(
        self,
        app: str,
        app_id: int | None,
        shared: SharedWindows,
        memory: LimitMemory | None,
        now: Callable[[], float],
    ) -> None:
        self._app = app
        self._app_id = app_id
        self._shared = shared
        self._memory = memory
        self._now = now
        self._known: LearnedLimit | None = None
        self._kept: LearnedLimit | None = None
        self._to_keep: Mapping[str, Any] | None = None
        self._recalled = memory is None or app_id is None
        self._recall: asyncio.Task[None] | None = None
        self._recall_at = float("-inf")
        self._late: LearnedLimit | None = None
        self._step_at = 0.0

    @property
    def limit(self) -> float:
        """The limit as far as this process knows: what to keep to where Redis knows nothing."""
        return self._known.limit if self._known else CAUTIOUS

    async def recall(self) -> None:
        """Read what was remembered, before the first call.

        Where that can't be read, or not soon, calls go on from what Redis knows, or cautiously; it is tried again,
        and what comes late counts from then on.
        """
        if self._recalled or self._memory is None or self._app_id is None or self._now() < self._recall_at:
            return
        if self._recall is None or self._recall.done():
            reading = self._read(self._memory, self._app_id)
            self._recall = asyncio.create_task(reading, name=f"limit remembered of {self._app}")
        await asyncio.wait([self._recall], timeout=RECALL_WAIT)
        # Who comes later does not wait for a reading that takes long.
        self._recall_at = self._now() + RECALL_RETRY

    async def _read(self, memory: LimitMemory, app_id: int) -> None:
        try:
            remembered = await asyncio.to_thread(memory.learned_limit, app_id)
        except Exception as error:  # whatever keeps the memory away must not stop calls
            log.warning(
                "spotify.limit_not_recalled",
                app=self._app,
                error=type(error).__name__,
                doing=f"the search goes on from {self.limit:.0f} calls in 30 s, or from what other processes know",
            )
            return
        self._recalled = True
        if self._known is None:
            self._known = remembered
        elif remembered is not None:
            self._late = remembered
        self._kept = remembered

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._recall is not None:
            self._recall.cancel()

    def is_due(self, reply: Reply) -> bool:
        """Whether the reply holds anything new: calls that were let through, or a state that was lost."""
        news = not reply.version or self._late is not None
        return news or (reply.grown > 0 and self._now() >= self._step_at)

    async def after_calls(self, reply: Reply) -> None:
        """Let the estimator see what was let through."""
        self._step_at = self._now() + STEP
        seconds = reply.now / 1000
        late, self._late = self._late, None
        await self._change(
            lambda state: (state.or_remembered(late) if late else state).after_calls(
                reply.grown, reply.saturated, seconds
            ),
            seconds,
            {"calls_let_through": reply.grown, "saturated_seconds": reply.saturated},
            used=reply.grown,
        )

    async def after_refusal(self, evidence: Evidence, now: float, pause: float) -> None:
        """Let the estimator see the refusal that began an episode; ``now`` is in seconds of Redis' clock."""
        facts = {
            "calls_surely_in_window": evidence.sure,
            "calls_possibly_in_window": evidence.possible,
            "refused_while_testing": evidence.test,
            "pause_seconds": round(pause, 1),
        }
        after = await self._change(lambda state: state.after_refusal(evidence, now), now, facts)
        if after is not None:
            log.warning("spotify.limit_learned", app=self._app, limit=round(after.limit, 1), **facts)

    async def _change(
        self,
        step: Callable[[LearnedLimit], LearnedLimit],
        now: float,
        facts: Mapping[str, Any],
        *,
        used: int = 0,
    ) -> LearnedLimit | None:
        """The state after ``step``; None where other processes kept changing it."""
        for _ in range(_TRIES):
            version, state = await self._shared.learned(self._app)
            before = self._known = state or self._known or LearnedLimit.unknown(now)
            after = step(before)
            if await self._shared.learn(self._app, version, after, used=used):
                self._known = after
                if self._kept is None or _differs(self._kept, after):
                    self._to_keep = {"at": round(now, 3), "limit_before": round(before.limit, 1), **facts}
                return after
            if used:
                # What was let through has been seen by whoever was faster.
                return None
        return None

    async def keep(self) -> None:
        """Remember what changed, if it is worth it."""
        if not self._recalled:
            # What is remembered may be worth more than what was found since.
            return
        learned, evidence, self._to_keep = self._known, self._to_keep, None
        if learned is None or evidence is None or self._memory is None or self._app_id is None:
            return
        try:
            await asyncio.to_thread(self._memory.record_learned_limit, self._app_id, learned, evidence)
        except (
            Exception
        ) as error:  # whatever keeps the memory away must not stop calls: Redis knows the limit
            log.warning("spotify.limit_not_remembered", app=self._app, error=type(error).__name__)
        else:
            self._kept = learned


def _differs(kept: LearnedLimit, learned: LearnedLimit) -> bool:
    return (
        kept.mode is not learned.mode
        or kept.probe_at != learned.probe_at
        or abs(learned.limit - kept.limit) >= WORTH_KEEPING * kept.limit
    )

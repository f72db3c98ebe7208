"""Finding a rate limit that nobody publishes, by counting.

What belongs here: the estimator as a state machine, pure: events and times in, the next state out. What does not:
counting calls and keeping the state (``shared``), asking for it and remembering it (``limiter``).

When a call is refused, the calls of the last 30 seconds that were let through *are* the limit, to within those
whose order of arrival can't be known. So the limit is raised under full load until one refusal, and set to that
count: one episode of refusals instead of the many that rate-based searches need. An hour later, and only under
full load, it is raised again from there, gently: a limit that has not moved costs one more episode.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

__all__ = ["CAUTIOUS", "PROBE_AFTER", "Evidence", "LearnedLimit", "Mode"]

CAUTIOUS = 30.0
"""Calls in 30 seconds with which an unknown app starts: the lowest limit that was ever seen is about that."""
PROBE_AFTER = 3600.0
"""Seconds from an episode to the next look upward."""
SATURATED = 30.0
"""Seconds of full demand without which nothing can be learned from a look upward."""
GENTLE = 0.25
"""Growth per call let through, where the limit is thought to be near; it doubles every window up to 1."""
_WINDOW = 30.0


class Mode(StrEnum):
    """Whether the limit is being looked for, or kept."""

    SEARCH = "search"
    STEADY = "steady"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was counted when a refusal began an episode.

    Attributes:
        sure: calls let through that were certainly inside the server's window.
        possible: those that may have been.
        test: the refused call was the one that tried whether a pause was over.
    """

    sure: int
    possible: int
    test: bool

    @property
    def count(self) -> float:
        """The best guess of the server's own count."""
        return (self.sure + self.possible) / 2


@dataclass(frozen=True, slots=True)
class LearnedLimit:
    """What is believed of one app's limit. Times are seconds since the epoch.

    Attributes:
        limit: calls in 30 seconds.
        growth: what ``limit`` grows by for each call let through under full load.
        probed_from: the limit from which the present look upward began; None: none is under way.
        probe_at: no look upward before.
    """

    limit: float
    mode: Mode
    growth: float
    growth_since: float
    probed_from: float | None = None
    probe_at: float = 0.0

    @classmethod
    def unknown(cls, now: float) -> Self:
        """Nothing is known: start low, double every window while calls are let through."""
        return cls(CAUTIOUS, Mode.SEARCH, 1.0, now)

    @classmethod
    def restored(
        cls, limit: float, mode: Mode, probed_from: float | None, probe_at: float | None, now: float
    ) -> Self:
        """What was remembered, possibly long ago."""
        return cls(max(1.0, limit), mode, GENTLE if probed_from else 1.0, now, probed_from, probe_at or 0.0)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The inverse of ``fields``."""
        return cls(**{**fields, "mode": Mode(fields["mode"])})

    def fields(self) -> dict[str, Any]:
        """Plain values, for storing."""
        return asdict(self)

    @property
    def fullness(self) -> float:
        """Part of the limit to which the window has to be filled for a call to count as evidence.

        Near a limit that was found before, the search stays close to what has been proven.
        """
        return 0.95 if self.probed_from is not None and self.limit < 1.1 * self.probed_from else 0.7

    def or_remembered(self, remembered: Self) -> Self:
        """This state, unless no refusal ever stood behind it: then what was remembered, if that goes further."""
        if self.probe_at or self.limit > remembered.limit:
            return self
        return remembered

    def after_calls(self, calls: int, saturated_for: float, now: float) -> Self:
        """The state after so many ``calls`` were let through in full windows, under demand all the time for
        ``saturated_for`` seconds."""
        if self.mode is Mode.STEADY:
            if saturated_for < SATURATED or now < self.probe_at:
                return self
            return replace(self, mode=Mode.SEARCH, probed_from=self.limit, growth=GENTLE, growth_since=now)
        growth, since = self.growth, self.growth_since
        if now - since > _WINDOW:
            growth, since = min(1.0, 2 * growth), now
        return replace(self, limit=self.limit + self.growth * calls, growth=growth, growth_since=since)

    def after_refusal(self, evidence: Evidence, now: float) -> Self:
        """The state after an episode of refusals began; later refusals of the same episode teach nothing."""
        count, probe_at = evidence.count, now + PROBE_AFTER
        if evidence.test:
            # Even a single call after a pause is too much: the limit fell. Look for it from below.
            lower = max(1.0, min(self.limit, count) / 2)
            return type(self)(lower, Mode.SEARCH, GENTLE, now, None, probe_at)
        limit = count if self.mode is Mode.SEARCH else min(count, 0.97 * self.limit)
        return replace(self, limit=max(1.0, limit), mode=Mode.STEADY, probed_from=None, probe_at=probe_at)

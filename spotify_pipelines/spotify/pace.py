"""How fast a bucket may be drawn from so that no 30-second window goes over its limit.

What belongs here: the arithmetic, pure, and a bucket over a given ``now``. What does not: Redis, waiting,
sharing between processes (``limiter``).

A token bucket of size B refilled at rate r (GCRA: a theoretical arrival time ``tat`` per bucket) never
exceeds L calls in any window W if r ≤ (L − B + 1)/(W + J), where J is the largest difference of the delays
from booking to arrival. B = L/10 keeps r at nine tenths of what a perfectly even flow could have, starts a
bucket that must begin empty almost as fast as a large one, and still lets a few calls go at once after a
quiet spell.
"""

from dataclasses import dataclass
from typing import Self

__all__ = ["JITTER", "WINDOW", "Bucket", "Pace"]

WINDOW = 30.0
"""Seconds of Spotify's rolling window."""
JITTER = 1.5
"""Seconds: half for calls held back by their other bucket or woken late, the rest for the network."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A bucket's measures in seconds: one call per ``interval``, ``tolerance`` of them saved up at most."""

    interval: float
    tolerance: float

    @classmethod
    def of(cls, limit: float, *, window: float = WINDOW, jitter: float = JITTER) -> Self:
        """The fastest pace that keeps every window at ``limit`` calls or fewer.

        A limit below one stretches the window: 0.25 is one call in four windows.

        >>> Pace.of(90).interval  # 90 calls in 30 s, nine of them at once
        0.38414634146341464
        """
        if limit <= 0:
            raise ValueError(f"a limit has to be positive, not {limit}")
        burst = max(1, int(limit) // 10)
        interval = (window + jitter) / min(limit, limit - burst + 1)
        return cls(interval, (burst - 1) * interval)

    @property
    def burst(self) -> int:
        """Calls that can go at once after a quiet spell."""
        return 1 + round(self.tolerance / self.interval)


@dataclass(slots=True)
class Bucket:
    """One process's own bucket; times are seconds of any clock that never steps back. Starts empty."""

    tat: float

    @classmethod
    def empty(cls, pace: Pace, now: float) -> Self:
        """A bucket that had its last call at ``now``, for all we know: the next may go an interval later."""
        return cls(now + pace.tolerance + pace.interval)

    def free_at(self, pace: Pace, now: float) -> float:
        """When the next call may go."""
        return max(now, self.tat - pace.tolerance)

    def take(self, pace: Pace, now: float) -> float:
        """Take one call's worth; the value to hand to ``give_back``."""
        self.tat = max(self.tat, now) + pace.interval
        return self.tat

    def give_back(self, pace: Pace, taken: float) -> None:
        """Undo ``take`` if nothing was taken since: otherwise two calls could end up at one time."""
        if self.tat == taken:
            self.tat -= pace.interval

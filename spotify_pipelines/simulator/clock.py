"""The simulator's time: it can be moved forward and can run fast, and it survives a restart.

Two readings, because two things are told by a clock. ``now`` is the simulated date: tokens, bans and playlist
dates live by it. ``pace`` counts the seconds that a client really waits, plus what was skipped by ``advance``:
rate limits live by it, for a client that is told to wait three seconds waits three real ones.
"""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ClockSetting", "SimClock", "as_datetime", "iso"]


@dataclass(frozen=True, slots=True)
class ClockSetting:
    """What has to be stored to go on after a restart: at ``real`` it was ``simulated``, at ``speed``."""

    real: float
    simulated: float
    speed: float


class SimClock:
    """Simulated time in seconds since the epoch (UTC)."""

    def __init__(self, setting: ClockSetting | None = None, real: Callable[[], float] = time.time) -> None:
        self._real = real
        started = real()
        self.setting = setting or ClockSetting(real=started, simulated=started, speed=1.0)
        self._skipped = 0.0

    def now(self) -> float:
        """The simulated time."""
        return self.setting.simulated + (self._real() - self.setting.real) * self.setting.speed

    def pace(self) -> float:
        """Seconds for rate limits: real ones, and those skipped by ``advance``; only differences mean anything."""
        return time.monotonic() + self._skipped

    def advance(self, seconds: float) -> None:
        """Skip ``seconds`` (≥ 0) of simulated time.

        Raises:
            ValueError: the clock would run backwards.
        """
        if seconds < 0:
            raise ValueError(f"advance is {seconds}; the clock only moves forward.")
        self._skipped += seconds
        self.setting = ClockSetting(self._real(), self.now() + seconds, self.setting.speed)

    def set_speed(self, speed: float) -> None:
        """Let ``speed`` simulated seconds pass in each real one from now on.

        Raises:
            ValueError: the speed is not above zero.
        """
        if speed <= 0:
            raise ValueError(f"speed is {speed}; it has to be above zero.")
        self.setting = ClockSetting(self._real(), self.now(), speed)


def as_datetime(timestamp: float) -> dt.datetime:
    """Seconds since the epoch as an aware UTC date."""
    return dt.datetime.fromtimestamp(timestamp, dt.UTC)


def iso(timestamp: float) -> str:
    """Seconds since the epoch as Spotify writes dates: ``2026-11-23T16:00:00Z``."""
    return as_datetime(timestamp).strftime("%Y-%m-%dT%H:%M:%SZ")

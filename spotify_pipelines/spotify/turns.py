"""What the caller and the limiter tell each other: which turn a call needs, the turn that came, what became of it.

What belongs here: these values and the protocol ``CallLimiter``. What does not: keeping any limit (``limiter``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

from spotify_pipelines.spotify.pace import Pace

__all__ = ["Banned", "CallLimiter", "Fate", "Priority", "Slot", "Turn"]


class Priority(IntEnum):
    """Who goes first where calls have to wait; the later two keep a floor of 5 % each."""

    INTERACTIVE = 0
    HEALTHY = 1
    DEGRADED = 2


class Banned(Exception):
    """The app may not call for so many ``seconds``, hours perhaps: some process was told so. Nothing was booked."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no call of the app for {seconds:.0f} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Turn:
    """Which limits a call counts against; limits are calls in any 30 seconds.

    Attributes:
        app_limit: a known limit, kept as it is; None: the limiter finds it.
        app_id: under which a found limit is remembered; None: not beyond the limiter's own memory.
        weight: as how many calls it counts, everywhere.
        family: of endpoints that have a limit of their own beside the app's.
        developer: account whose apps have a limit together.

    Raises:
        ValueError: it counts as more calls than one of its limits ever lets through at once.
    """

    app: str
    app_limit: int | None
    account: str | None = None
    account_limit: int | None = None
    app_id: int | None = None
    priority: Priority = Priority.HEALTHY
    weight: int = 1
    family: str | None = None
    family_limit: int | None = None
    developer: str | None = None
    developer_limit: int | None = None

    def __post_init__(self) -> None:
        if self.weight != 1:
            self._check_weight()

    @property
    def pace(self) -> Pace | None:
        """Of the account's bucket; None where there is none."""
        return None if self.account is None or self.account_limit is None else Pace.of(self.account_limit)

    def _check_weight(self) -> None:
        if self.weight < 1:
            raise ValueError(f"weight: a turn counts as one call or more, not as {self.weight}.")
        pace = self.pace
        allowed = {
            "app_limit": self.app_limit,
            "family_limit": self.family_limit,
            "developer_limit": self.developer_limit,
            "burst of account_limit": pace.burst if pace else None,
        }
        for name, limit in allowed.items():
            if limit is not None and self.weight > limit:
                raise ValueError(
                    f"weight: {self.weight} calls at once never fit into {name}, which is {limit}."
                )


@dataclass(frozen=True, slots=True)
class Slot:
    """A turn that has come: call now, and tell what became of it.

    Attributes:
        waited: seconds in the queue.
        booked: when, in milliseconds of Redis' clock, or seconds of our own where ``local``.
        generation: of the app's window; another one means that the booking is void.
        taken: what the account's bucket became by it, in milliseconds of Redis' clock; 0 without an account.
        full: it was taken under demand, in a window that was (nearly) full: evidence for the limit.
        test: the one call that finds out whether a pause is over.
    """

    turn: Turn
    waited: float
    booked: float
    generation: float = 0.0
    taken: float = 0.0
    full: bool = False
    test: bool = False
    local: bool = False


class Fate(StrEnum):
    """What became of a call."""

    ANSWERED = "answered"
    """By anything but a 429: the limit let it pass."""
    REFUSED = "refused"
    """By a short 429."""
    LOST = "lost"
    """No answer came, or one that says nothing about the rate (a quota)."""


class CallLimiter(Protocol):
    """What the caller needs of a limiter."""

    async def acquire(self, turn: Turn) -> Slot:
        """Wait for a turn in all limits at once.

        Raises:
            Banned: the app may not call for longer than anybody should wait.
        """
        ...

    async def answered(self, slot: Slot, fate: Fate, *, pause: float | None = None) -> None:
        """What became of the slot's call. After ``REFUSED`` no call of the app starts for ``pause`` seconds."""
        ...

    async def ban(self, apps: Sequence[str], seconds: float) -> None:
        """No call of these apps in any process for so long; who waits for a turn is told so at once."""
        ...

    async def refund(self, slot: Slot) -> None:
        """Give a turn back that was not used."""
        ...

"""What the caller and the limiter tell each other: which turn a call needs, the turn that came, what became of it.

What belongs here: these values and the protocol ``CallLimiter``. What does not: keeping any limit (``limiter``).
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

__all__ = ["CallLimiter", "Fate", "Priority", "Slot", "Turn"]


class Priority(IntEnum):
    """Who goes first where calls have to wait; the later two keep a floor of 5 % each."""

    INTERACTIVE = 0
    HEALTHY = 1
    DEGRADED = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """Which limits a call counts against; limits are calls in any 30 seconds.

    Attributes:
        app_limit: a known limit, kept as it is; None: the limiter finds it.
        app_id: under which a found limit is remembered; None: not beyond the limiter's own memory.
    """

    app: str
    app_limit: int | None
    account: str | None = None
    account_limit: int | None = None
    app_id: int | None = None
    priority: Priority = Priority.HEALTHY


@dataclass(frozen=True, slots=True)
class Slot:
    """A turn that has come: call now, and tell what became of it.

    Attributes:
        waited: seconds in the queue.
        booked: when, in milliseconds of Redis' clock, or seconds of our own where ``local``.
        generation: of the app's window; another one means that the booking is void.
        taken: what the account's bucket became by it; empty without an account.
        full: it was taken under demand, in a window that was (nearly) full: evidence for the limit.
        test: the one call that finds out whether a pause is over.
    """

    turn: Turn
    waited: float
    booked: float
    generation: str = ""
    taken: str = ""
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
        """Wait for a turn in all limits at once."""
        ...

    async def answered(self, slot: Slot, fate: Fate, *, pause: float | None = None) -> None:
        """What became of the slot's call. After ``REFUSED`` no call of the app starts for ``pause`` seconds."""
        ...

    async def refund(self, slot: Slot) -> None:
        """Give a turn back that was not used."""
        ...

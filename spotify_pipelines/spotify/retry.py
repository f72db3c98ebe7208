"""Whether, and when, a call that failed is sent again: one pure decision.

What belongs here: the table of answers and what to do with each, waits, the reading of ``Retry-After``.
What does not: turning an answer into an error (``verdict``), sleeping, pausing, refreshing (``caller``
carries it out).
"""

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from spotify_pipelines.spotify.errors import (
    Ambiguous,
    AuthorizationLost,
    LostReason,
    MalformedAnswer,
    RateLimited,
    SpotifyError,
    Unavailable,
)

__all__ = [
    "DEADLINE",
    "LONGEST_BAN",
    "MAX_ATTEMPTS",
    "Decision",
    "GiveUp",
    "Progress",
    "Refresh",
    "Retry",
    "ambiguous",
    "decide",
    "parse_retry_after",
]

MAX_ATTEMPTS = 6
DEADLINE = 120.0
"""Seconds of flights and pauses between attempts after which no further attempt is made."""
LONGEST_BAN = 48 * 3600.0
"""Seconds; no ban ever seen was longer than a day, so more is nonsense and must not stop us for years."""
BACKOFF_BASE = 0.5
BACKOFF_CAP = 20.0
LIMIT_FLOOR = 1.0
LIMIT_DEFAULT = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call has come: ``attempts`` sent, ``limited`` of them answered 429, ``spent`` seconds.

    ``spent`` counts flights and pauses between attempts, not the wait for a turn: a long queue is no failure.
    """

    attempts: int
    spent: float = 0.0
    limited: int = 0
    refreshed: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Send it again after so many seconds; ``pause`` stops the whole app meanwhile."""

    after: float
    pause: float | None = None


@dataclass(frozen=True, slots=True)
class Refresh:
    """Send it again at once with a newer token."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise ``error``; ``pause`` stops the whole app all the same."""

    error: SpotifyError
    pause: float | None = None


Decision = Retry | Refresh | GiveUp


def decide(error: SpotifyError, *, repeatable: bool, progress: Progress, rng: random.Random) -> Decision:
    """What to do after the attempt that ended in ``error``.

    ``repeatable``: sending it twice does no more than sending it once (GET, PUT, DELETE; not create, append).
    """
    if isinstance(error, RateLimited):
        # A refused call has had no effect, whatever its method.
        wait = _limit_wait(error.retry_after, progress.limited, rng)
        return Retry(wait, pause=wait) if _may_go_on(progress, wait) else GiveUp(error, pause=wait)
    if isinstance(error, AuthorizationLost) and error.reason is LostReason.REFUSED_AFTER_REFRESH:
        return GiveUp(error) if progress.refreshed or not _may_go_on(progress, 0) else Refresh()
    if isinstance(error, Unavailable):
        if error.sent and not repeatable:
            return GiveUp(ambiguous(error))
        # Asked to wait longer than the deadline, we give up: earlier than asked for is no answer to that.
        wait = max(_backoff(progress.attempts, rng), error.retry_after or 0.0)
        return Retry(wait) if _may_go_on(progress, wait) else GiveUp(error)
    if isinstance(error, MalformedAnswer) and not repeatable:
        return GiveUp(ambiguous(error))
    return GiveUp(error)


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds to wait, between 0 and ``LONGEST_BAN``; None where the header is missing or makes no sense.

    ``now`` (aware) is what an HTTP date is compared with.

    >>> now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    >>> parse_retry_after("3", now=now), parse_retry_after("Mon, 23 Nov 2026 12:01:00 GMT", now=now)
    (3.0, 60.0)
    >>> [parse_retry_after(text, now=now) for text in ("-7", "abc", "1000000000")]
    [0.0, None, 172800.0]
    """
    text = (value or "").strip()
    if re.fullmatch(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?", text, re.ASCII):
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
            # "-0000" says UTC without saying where (RFC 5322): Python gives no zone for it.
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now.timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_BAN)


def _may_go_on(progress: Progress, wait: float) -> bool:
    return progress.attempts < MAX_ATTEMPTS and progress.spent + wait <= DEADLINE


def _limit_wait(retry_after: float | None, limited: int, rng: random.Random) -> float:
    # The header may be 0 or missing, and hammering makes the limit grow: each further 429 doubles the floor.
    asked = LIMIT_DEFAULT if retry_after is None else retry_after
    floor = LIMIT_FLOOR * 2.0 ** max(0, limited - 1)
    wait = max(asked, floor)
    return wait + rng.uniform(0, 0.1 * wait + 0.2)


def _backoff(attempts: int, rng: random.Random) -> float:
    """Full jitter: uniform between nothing and the exponential bound (Brooker, AWS Architecture Blog, 2015)."""
    return rng.uniform(0, min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** (attempts - 1)))


def ambiguous(error: SpotifyError) -> Ambiguous:
    """What ``error`` means for a call that must not be sent twice."""
    return Ambiguous(
        f"it may or may not have happened ({error.message}) Don't just send it again: look for its effect first.",
        endpoint=error.endpoint,
        status=error.status,
        request_id=error.request_id,
        account_id=error.account_id,
        app_id=error.app_id,
        attempts=error.attempts,
    )

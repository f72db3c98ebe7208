"""Rate limits: how many calls pass in a rolling window, and what happens to those who don't listen.

Spotify publishes no numbers. Seen: about 30 seconds, ``Retry-After`` of 1–4 s, and growth from seconds to hours
for a client that goes on calling while it is limited. Kept in memory only: a window is over before a restart is.
Quota bans are in ``people``, for they last until tomorrow.
"""

import math
from collections import deque
from contextlib import suppress

__all__ = ["WINDOW", "RollingLimit"]

WINDOW = 30.0
"""Seconds that the limit looks back."""

_LONGEST_CALM_WAIT = 4
_LONGEST_WAIT = 4 * 3600
_STRAGGLING = 1.0
"""Seconds from the beginning of a wait in which calls are under way whose sender can't know of it, however many."""
_FORGIVEN_STRIKES = 8
"""Calls later in a wait that are not yet taken for hammering."""


class RollingLimit:
    """The window of one client id."""

    def __init__(self) -> None:
        self._admitted: deque[float] = deque()
        self._blocked_since = self._blocked_until = -math.inf
        self._strikes = 0

    def ask(self, now: float, limit: int) -> int | None:
        """Admit a call at ``now`` (None), or answer the seconds to wait. ``limit`` is in calls per window."""
        while self._admitted and self._admitted[0] <= now - WINDOW:
            self._admitted.popleft()
        if now < self._blocked_until:
            return self._strike(now)
        self._strikes = 0
        if len(self._admitted) < limit:
            self._admitted.append(now)
            return None
        until_free = self._admitted[-limit] + WINDOW - now
        wait = min(max(math.ceil(until_free), 1), _LONGEST_CALM_WAIT)
        self._blocked_since, self._blocked_until = now, now + wait
        return wait

    def give_back(self, admitted_at: float) -> None:
        """Forget the call that was admitted at that time, as if it had never been made."""
        with suppress(ValueError):
            self._admitted.remove(admitted_at)

    def _strike(self, now: float) -> int:
        self._strikes += now >= self._blocked_since + _STRAGGLING
        remaining = self._blocked_until - now
        if self._strikes > _FORGIVEN_STRIKES:
            remaining = min(remaining * 2, _LONGEST_WAIT)
            self._blocked_until = now + remaining
        return max(math.ceil(remaining), 1)

"""One process's own share of every limit, for as long as Redis is away.

What belongs here: windows and buckets in memory that answer as those in Redis do. What does not: noticing that Redis
is away or back (``limiter``).

What the other processes do just now is unknown. So each takes the limit divided by the number of processes there
may be, starts with nothing saved up, and goes evenly: together they stay within the limit from the first moment,
where shares that started full would send most of a limit at once on top of what was just sent.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from spotify_pipelines.spotify.pace import WINDOW, Bucket, Pace
from spotify_pipelines.spotify.shared import Ask, Candidate, Reply
from spotify_pipelines.spotify.turns import Slot

__all__ = ["LocalWindows"]


@dataclass
class _Share:
    """This process's part of one app's limit."""

    bucket: Bucket | None = None
    buckets: dict[str, Bucket] = field(default_factory=dict)
    flying: list[float] = field(default_factory=list)
    answered: deque[float] = field(default_factory=deque)

    def settle(self, slot: Slot, now: float) -> None:
        if slot.local and slot.booked in self.flying:
            self.flying.remove(slot.booked)
        # A call that Redis had granted counts as well: it could not be told of the answer.
        self.answered.append(now)

    def taken(self, now: float) -> list[float]:
        """Calls that still count, by the time from which they do: their answer, or their start until then."""
        while self.answered and self.answered[0] <= now - WINDOW:
            self.answered.popleft()
        # No answer takes as long as a window: what flies longer was never told of.
        self.flying = [at for at in self.flying if at > now - WINDOW]
        return sorted([*self.answered, *self.flying])

    def room_after(self, capacity: int, now: float) -> float:
        """Seconds until the window has room for another call."""
        taken = self.taken(now)
        return max(0.0, taken[-capacity] + WINDOW - now) if len(taken) >= capacity else 0.0


class LocalWindows:
    """Shares of all apps; times are seconds of any clock that never steps back."""

    def __init__(self, processes: int, now: Callable[[], float]) -> None:
        self._processes = processes
        self._now = now
        self._shares: dict[str, _Share] = {}
        self._paused_until: dict[str, float] = {}

    def start(self) -> None:
        """Begin anew with nothing saved up; pauses and the calls of the last 30 seconds stay."""
        for share in self._shares.values():
            share.bucket, share.buckets = None, {}

    def pause(self, app: str, seconds: float) -> None:
        """No call of the app for so long; never shortens a pause."""
        self._paused_until[app] = max(self._paused_until.get(app, 0.0), self._now() + seconds)

    def settle(self, slot: Slot) -> None:
        """The slot's call came to an end."""
        self._shares.setdefault(slot.turn.app, _Share()).settle(slot, self._now())

    def ages(self, app: str) -> list[float]:
        """How long ago each call was made that still counts."""
        now = self._now()
        share = self._shares.get(app)
        return [now - at for at in share.taken(now)] if share else []

    def ask(self, ask: Ask) -> Reply:
        """As ``SharedWindows.ask``, for this process alone."""
        now = self._now()
        pace = Pace(WINDOW * self._processes / ask.limit, 0.0)
        share = self._shares.setdefault(ask.app, _Share())
        bucket = share.bucket = share.bucket or Bucket.empty(pace, now)
        for done in ask.done:
            share.settle(done.slot, now)
        waits = tuple(self._wait(share, each, now) for each in ask.candidates)
        ready = [index for index, wait in enumerate(waits) if wait <= 0]
        paused = max(0.0, self._paused_until.get(ask.app, now) - now)
        wait = max(
            paused,
            bucket.free_at(pace, now) - now,
            share.room_after(max(1, int(ask.limit / self._processes)), now),
        )
        if not ready or wait > 0:
            wait = max(wait, min(waits, default=1.0))
            return Reply(None, wait, ask.limit, now, paused=paused, waits=waits)
        bucket.take(pace, now)
        share.flying.append(now)
        chosen = ask.candidates[ready[0]]
        if chosen.account is not None and chosen.pace is not None:
            share.buckets[chosen.account].take(self._slower(chosen.pace), now)
        return Reply(ready[0], 0.0, ask.limit, now, waits=waits)

    def refund(self, slot: Slot) -> None:
        """The call was not made: it leaves the window. Its place in the even flow is lost."""
        share = self._shares.get(slot.turn.app)
        if share and slot.booked in share.flying:
            share.flying.remove(slot.booked)

    def _wait(self, share: _Share, candidate: Candidate, now: float) -> float:
        if candidate.account is None or candidate.pace is None:
            return 0.0
        slower = self._slower(candidate.pace)
        bucket = share.buckets.setdefault(candidate.account, Bucket.empty(slower, now))
        return bucket.free_at(slower, now) - now

    def _slower(self, pace: Pace) -> Pace:
        return Pace(pace.interval * self._processes, 0.0)

"""One process's own share of every limit, for as long as Redis is away.

What belongs here: windows and buckets in memory that answer as those in Redis do. What does not: noticing that Redis
is away or back (``limiter``).

What the other processes do just now is unknown. So each takes the limit divided by the number of processes there
may be, starts with nothing saved up, and goes evenly: together they stay within the limit from the first moment,
where shares that started full would send most of a limit at once on top of what was just sent.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from spotify_pipelines.spotify.pace import WINDOW, Bucket, Pace
from spotify_pipelines.spotify.shared import Ask, Reply, Upload
from spotify_pipelines.spotify.turns import Slot, Turn

__all__ = ["LocalWindows"]

_Gate = tuple[str, str]
"""One limit: its kind, and whose it is."""


@dataclass
class _Calls:
    """One app's calls that still count."""

    flying: list[tuple[float, Turn]] = field(default_factory=list)
    answered: deque[tuple[float, Turn]] = field(default_factory=deque)

    def end(self, slot: Slot, now: float) -> None:
        self.forget(slot)
        # A call that Redis had granted counts as well: it could not be told of the answer.
        self.answered.append((now, slot.turn))

    def forget(self, slot: Slot) -> None:
        mine = (index for index, (at, _) in enumerate(self.flying) if slot.local and at == slot.booked)
        index = next(mine, None)
        if index is not None:
            del self.flying[index]

    def counting(self, now: float) -> list[tuple[float, Turn]]:
        """By the time from which they count: their answer, or their start until then."""
        while self.answered and self.answered[0][0] <= now - WINDOW:
            self.answered.popleft()
        # No answer takes as long as a window: what flies longer was never told of.
        self.flying = [call for call in self.flying if call[0] > now - WINDOW]
        return [*self.answered, *self.flying]


class LocalWindows:
    """Shares of all limits; times are seconds of any clock that never steps back."""

    def __init__(self, processes: int, now: Callable[[], float]) -> None:
        self._processes = processes
        self._now = now
        self._calls: dict[str, _Calls] = {}
        self._flows: dict[_Gate, Bucket] = {}
        self._paused_until: dict[str, float] = {}
        self._banned_until: dict[str, float] = {}

    def start(self) -> None:
        """Begin anew with nothing saved up; pauses, bans and the calls of the last 30 seconds stay."""
        self._flows.clear()

    def pause(self, app: str, seconds: float) -> None:
        """No call of the app for so long; never shortens a pause."""
        self._paused_until[app] = max(self._paused_until.get(app, 0.0), self._now() + seconds)

    def ban(self, app: str, seconds: float) -> None:
        """No call of the app for so long, and nobody waits for it; never shortens a ban."""
        self._banned_until[app] = max(self._banned_until.get(app, 0.0), self._now() + seconds)

    def settle(self, slot: Slot) -> None:
        """The slot's call came to an end."""
        self._calls.setdefault(slot.turn.app, _Calls()).end(slot, self._now())

    def uploads(self, app: str) -> list[Upload]:
        """The app's calls that still count."""
        now = self._now()
        return [Upload(now - at, turn) for at, turn in self._counting(app, now)]

    def ask(self, ask: Ask) -> Reply:
        """As ``SharedWindows.ask``, for this process alone."""
        now = self._now()
        calls = self._calls.setdefault(ask.app, _Calls())
        for done in ask.done:
            calls.end(done.slot, now)
        banned = max(0.0, self._banned_until.get(ask.app, now) - now)
        if banned:
            return Reply(None, banned, ask.limit, now, banned=banned)
        paused = max(0.0, self._paused_until.get(ask.app, now) - now)
        app = ("app", ask.app)
        waits = tuple(self._wait_for_account(each.turn, now) for each in ask.candidates)
        whole = [
            max([own, paused, *(self._wait(gate, limit, each.turn.weight, now) for gate, limit in gates)])
            for own, each in zip(waits, ask.candidates, strict=True)
            for gates in [[(app, ask.limit), *_wider(each.turn)]]
        ]
        ready = next((index for index, wait in enumerate(whole) if wait <= 0), None)
        if ready is None:
            wait = min(whole, default=1.0)
            return Reply(None, wait, ask.limit, now, paused=paused, waits=waits)
        turn = ask.candidates[ready].turn
        for gate, limit in [(app, ask.limit), *_wider(turn)]:
            self._take(gate, self._evenly(limit), turn.weight, now)
        if turn.account is not None and turn.pace is not None:
            self._take(_bucket(turn), self._slower(turn.pace), turn.weight, now)
        calls.flying.append((now, turn))
        return Reply(ready, 0.0, ask.limit, now, waits=waits)

    def refund(self, slot: Slot) -> None:
        """The call was not made: it leaves the windows. Its place in the even flow is lost."""
        self._calls.setdefault(slot.turn.app, _Calls()).forget(slot)

    def _counting(self, app: str, now: float) -> list[tuple[float, Turn]]:
        calls = self._calls.get(app)
        return calls.counting(now) if calls else []

    def _wait(self, gate: _Gate, limit: float, weight: int, now: float) -> float:
        """Until the share of this limit has a call to give: in its even flow, and in its window."""
        pace = self._evenly(limit)
        flow = self._flows.setdefault(gate, Bucket.empty(pace, now))
        return max(flow.free_at(pace, now) - now, self._room_after(gate, limit, weight, now), 0.0)

    def _room_after(self, gate: _Gate, limit: float, weight: int, now: float) -> float:
        # A turn that is heavier than the whole share goes alone; the even flow makes it wait as long after it.
        over = weight - max(weight, 1, int(limit / self._processes))
        held = sorted(self._held(gate, now), key=lambda call: call[0])
        over += sum(turn.weight for _, turn in held)
        wait = 0.0
        for at, turn in held:
            if over <= 0:
                break
            over -= turn.weight
            wait = at + WINDOW - now
        return wait

    def _held(self, gate: _Gate, now: float) -> Iterator[tuple[float, Turn]]:
        for app in self._calls:
            for at, turn in self._counting(app, now):
                if gate == ("app", app) or any(gate == wider for wider, _ in _wider(turn)):
                    yield at, turn

    def _wait_for_account(self, turn: Turn, now: float) -> float:
        if turn.account is None or turn.pace is None:
            return 0.0
        slower = self._slower(turn.pace)
        bucket = self._flows.setdefault(_bucket(turn), Bucket.empty(slower, now))
        return bucket.free_at(slower, now) - now

    def _take(self, gate: _Gate, pace: Pace, weight: int, now: float) -> None:
        for _ in range(weight):
            self._flows[gate].take(pace, now)

    def _evenly(self, limit: float) -> Pace:
        return Pace(WINDOW * self._processes / limit, 0.0)

    def _slower(self, pace: Pace) -> Pace:
        return Pace(pace.interval * self._processes, 0.0)


def _bucket(turn: Turn) -> _Gate:
    return "account", f"{turn.app}:{turn.account}"


def _wider(turn: Turn) -> list[tuple[_Gate, float]]:
    """The limits of a turn beside its app's and its account's."""
    found: list[tuple[_Gate, float]] = []
    if turn.family is not None and turn.family_limit is not None:
        found.append((("family", f"{turn.app}:{turn.family}"), turn.family_limit))
    if turn.developer is not None and turn.developer_limit is not None:
        found.append((("developer", turn.developer), turn.developer_limit))
    return found

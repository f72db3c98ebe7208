"""Who called what, how often, and what it cost: the figures behind "spend calls like money".

What belongs here: counting in memory, by app, account and endpoint template. What does not: storing (the
caller writes ``rows()`` to ``api_calls``), minima (the use case states its own), clocks and I/O.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple

__all__ = ["CallCount", "CallKey", "CallLog", "Outcome", "Service"]


class Service(StrEnum):
    """Whose limit a call counts against."""

    WEB_API = "web_api"
    ACCOUNTS = "accounts"
    RECCOBEATS = "reccobeats"


class Outcome(StrEnum):
    """How one attempt ended."""

    OK = "ok"
    LIMITED = "limited"
    ERROR = "error"


class CallKey(NamedTuple):
    """What is counted apart; ``endpoint`` is a template such as ``GET /albums/{id}``."""

    service: Service
    app_id: int | None
    account_id: int | None
    endpoint: str


@dataclass(slots=True)
class CallCount:
    """Figures of one key. ``calls = ok + limited + errors``; ``retries`` of them were not the first attempt.

    ``waited`` is the time spent waiting for a turn or before another attempt, ``in_flight`` that between
    sending and answer, both in seconds and summed over all calls.
    """

    calls: int = 0
    ok: int = 0
    limited: int = 0
    errors: int = 0
    retries: int = 0
    waited: float = 0.0
    in_flight: float = 0.0


_listening: ContextVar[tuple["CallLog", ...]] = ContextVar("spotify_pipelines_call_logs", default=())


class CallLog:
    """Counts every attempt that was sent. Belongs to one event loop; not for use across threads."""

    def __init__(self, parent: "CallLog | None" = None) -> None:
        self._parent = parent
        self._counts: dict[CallKey, CallCount] = {}

    @contextmanager
    def child(self) -> Iterator["CallLog"]:
        """A log of only what is called inside the block, by it and by the tasks it starts.

        The calls are counted in this log as well.

        >>> log = CallLog()
        >>> with log.child() as mine:
        ...     log.record(CallKey(Service.WEB_API, 1, None, "GET /me"), Outcome.OK)
        >>> log.record(CallKey(Service.WEB_API, 1, None, "GET /me"), Outcome.OK)
        >>> mine.total, log.total
        (1, 2)
        """
        child = CallLog(self)
        token = _listening.set((*_listening.get(), child))
        try:
            yield child
        finally:
            _listening.reset(token)

    def record(
        self,
        key: CallKey,
        outcome: Outcome,
        *,
        retry: bool = False,
        waited: float = 0.0,
        in_flight: float = 0.0,
    ) -> None:
        """Count one attempt that was sent (seconds)."""
        for log in (self, *(log for log in _listening.get() if log._descends_from(self))):
            log._add(key, outcome, retry, waited, in_flight)

    @property
    def total(self) -> int:
        """Attempts that reached for Spotify's Web API; accounts service and ReccoBeats apart."""
        return self.total_of(Service.WEB_API)

    def total_of(self, service: Service) -> int:
        """Attempts of one service."""
        return sum(count.calls for key, count in self._counts.items() if key.service is service)

    def snapshot(self) -> dict[CallKey, CallCount]:
        """A copy of the figures as they are now."""
        return {key: CallCount(**asdict(count)) for key, count in self._counts.items()}

    def rows(self) -> list[dict[str, str | int | float | None]]:
        """One flat row per key, most calls first: the columns of ``CallKey`` and ``CallCount``."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1].calls, item[0].endpoint))
        return [{**key._asdict(), "service": key.service.value, **asdict(count)} for key, count in ranked]

    def _descends_from(self, other: "CallLog") -> bool:
        return self._parent is not None and (self._parent is other or self._parent._descends_from(other))

    def _add(self, key: CallKey, outcome: Outcome, retry: bool, waited: float, in_flight: float) -> None:
        count = self._counts.setdefault(key, CallCount())
        count.calls += 1
        count.ok += outcome is Outcome.OK
        count.limited += outcome is Outcome.LIMITED
        count.errors += outcome is Outcome.ERROR
        count.retries += retry
        count.waited += waited
        count.in_flight += in_flight

"""A process that runs the sync again and again, each time in a child of its own that may be killed at any point.

What belongs here: the child with its crash points, all of them set from outside: around every request, every wait for
a turn and every commit. What does not: which points are taken, faults, and what is right in the end (``crash``).

Forked from a process that has imported everything, an execution starts within milliseconds. An order is a line of
JSON on standard input; the answer, on standard output, says whether the child was killed, and its report if not.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.orm import Session

from spotify_pipelines.accounts.apps import DatabaseApps
from spotify_pipelines.accounts.credentials import DatabaseCredentials
from spotify_pipelines.accounts.vault import Vault
from spotify_pipelines.observability.logs import configure_logging
from spotify_pipelines.playlists.sync import sync_playlists
from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.caller import Caller
from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.spotify.limiter import Limiter, connect_redis
from spotify_pipelines.spotify.routes import Routes
from spotify_pipelines.spotify.transport import HttpTransport
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines_tests.accounts.office import open_endpoint

__all__ = ["Order"]

_UNLIMITED = 100_000
_TIME_LIMIT = 0.5
"""Seconds until a request is given up; faults answer later than that."""


@dataclass(frozen=True, slots=True)
class Order:
    """One execution.

    Attributes:
        ahead: seconds by which its clock is ahead of the machine's.
        die_at: the crash point at which it is killed; None: at none.
        die_in_request: the request during which it is killed; None: in none.
        flight: seconds that this request has been on its way by then.
    """

    database_url: str
    redis_url: str
    key_prefix: str
    api_url: str
    accounts_url: str
    vault_key: str
    run_id: str
    ahead: float = 0.0
    die_at: int | None = None
    die_in_request: int | None = None
    flight: float = 0.0


class _CrashPoints:
    """Counts them, and dies at the one that was ordered."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._requests = 0
        self.count = 0

    def point(self, *_: object) -> None:
        """Nothing has happened since, and nothing more will."""
        self.count += 1
        if self.count == self._order.die_at:
            _die()

    def in_flight(self) -> None:
        """The next thing is a request, during which to die."""
        self._requests += 1
        if self._requests == self._order.die_in_request:
            asyncio.get_running_loop().call_later(self._order.flight, _die)

    def around(self, what: Callable[..., Any], *, is_request: bool) -> Callable[..., Any]:
        """``what``, with points before, in and after it."""

        async def wrapped(*args: Any, **more: Any) -> Any:
            self.point()
            if is_request:
                self.in_flight()
            result = await what(*args, **more)
            self.point()
            return result

        return wrapped


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _at_once(seconds: float) -> None:
    """Pauses between attempts are not taken."""


async def _sync(order: Order, points: _CrashPoints) -> dict[str, Any]:
    settings = Settings(
        _env_file=None,
        redis_url=SecretStr(order.redis_url),
        spotify_api_url=order.api_url,
        spotify_accounts_url=order.accounts_url,
        reccobeats_url=order.api_url,
        account_calls_per_30s=_UNLIMITED,
        request_timeout=_TIME_LIMIT,
    )

    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=order.ahead)

    database = Database(create_database_engine(order.database_url))
    event.listen(database.engine, "commit", points.point)
    event.listen(Session, "after_commit", points.point)
    apps, calls = DatabaseApps(database, clock=clock), CallLog()
    redis = connect_redis(order.redis_url)
    async with (
        HttpTransport.open(time_limit=_TIME_LIMIT, use_proxies=False) as http,
        open_endpoint(settings, order.key_prefix, calls) as endpoint,
    ):
        http.send = points.around(http.send, is_request=True)  # type: ignore[method-assign]
        limiter = Limiter(redis, order.key_prefix)
        limiter.acquire = points.around(limiter.acquire, is_request=False)  # type: ignore[method-assign]
        credentials = DatabaseCredentials(database, Vault([order.vault_key]), endpoint, clock=clock)
        caller = Caller(http, limiter, calls, clock=clock, sleep=_at_once, rng=random.Random(1))
        client = SpotifyClient(caller, Routes(settings, credentials, apps, clock), apps)
        report = await sync_playlists(database, client, calls, run_id=order.run_id, now=clock)
    return {
        "points": points.count,
        "changed": report.changed,
        "calls": report.calls,
        "failed": [each.reason for each in report.failed],
        "deferred": [asdict(each)["reason"] for each in report.deferred],
        "counts": report.counts,
    }


def _child(order: Order, answer: int) -> None:
    configure_logging(level="CRITICAL")
    told = asyncio.run(_sync(order, _CrashPoints(order)))
    os.write(answer, json.dumps(told).encode())


def main() -> None:
    """Serve orders until standard input ends."""
    for line in sys.stdin:
        order = Order(**json.loads(line))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reading)
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                _child(order, writing)
                status = 0
            except BaseException as error:  # the loop below is the parent's
                os.write(writing, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
            finally:
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading) as stream:
            told = stream.read()
        _, ended = os.waitpid(child, 0)
        answer = {"killed": os.WIFSIGNALED(ended), "told": json.loads(told) if told else None}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

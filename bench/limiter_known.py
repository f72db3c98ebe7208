"""How much of a known limit is used, and that it is never exceeded: 1 and 4 processes, slow calls, a frozen process.

One and four processes call the simulator over HTTP as fast as they may, three apps side by side: one left in peace,
one of whose calls 1 % take 3 to 8 seconds more on either way, one of whose processes is stopped for three seconds.
On the same simulator at the same time spotipy calls from four threads with its own retries. The ledger tells.

The first half minute is not counted: a window that Redis doesn't know counts as full and empties evenly.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from bench.callers import START_SECONDS, CallerProcess, Demand, Work, fullest_window
from bench.figures import Figure
from bench.redis_server import own_redis
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

_LIMIT = 300
_WARM_UP, _SECONDS = 32.0, 60.0
_FREEZE_AFTER, _FREEZE = 20.0, 3.0
_APPS = {"in-peace": "", "slow-calls": ", 1 % slow calls", "freeze": ", one process frozen for 3 s"}
_SPOTIPY = "spotipy"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one app's ledger says: calls let through in the counted time, 429s and the fullest window in all."""

    kept: int
    refused: int
    fullest: int

    def __str__(self) -> str:
        return f"{self.kept} calls in {_SECONDS:.0f} s, {self.refused} 429s, fullest 30 s: {self.fullest} of {_LIMIT}"


def figures() -> Iterator[Figure]:
    """One process, then four."""
    for processes in (1, 4):
        yield from _measure(processes)


def _measure(processes: int) -> Iterator[Figure]:
    with (
        own_redis() as redis_url,
        tempfile.TemporaryDirectory() as folder,
        running_simulator(Path(folder), albums=1) as simulator,
    ):
        seen, trips = _run(redis_url, simulator, processes)
    allowed = _LIMIT * _SECONDS / 30
    for app, what in _APPS.items():
        ours = seen[app]
        name = f"known limit, {processes} process{'es' if processes > 1 else ''}{what}"
        # A process alone that is stopped has nobody who could use its turns.
        alone = app == "freeze" and processes == 1
        least = allowed * (1 - _FREEZE / _SECONDS) if alone else allowed
        note = f"; ÷ what is allowed in the {_SECONDS - _FREEZE:.0f} s in which it ran" if alone else ""
        detail = f"{ours}; mean round trip {trips[app]:.2f} s{note}"
        yield Figure(f"{name}: kept ÷ allowed", ours.kept / least, at_least=0.97, detail=detail)
        yield Figure(f"{name}: 429s", ours.refused, unit="429s", at_most=0)
        yield Figure(f"{name}: fullest 30 s ÷ limit", ours.fullest / _LIMIT, at_most=1.0)
    theirs = seen[_SPOTIPY]
    yield Figure(
        "known limit, spotipy in 4 threads: kept ÷ allowed", theirs.kept / allowed, detail=str(theirs)
    )
    yield Figure("known limit, spotipy in 4 threads: 429s", theirs.refused, unit="429s")


def _run(
    redis_url: str, simulator: RunningSimulator, processes: int
) -> tuple[dict[str, _Seen], dict[str, float]]:
    """What the ledger says of each app, and the mean seconds of a call."""
    tokens = {app: _add_app(simulator, app) for app in (*_APPS, _SPOTIPY)}
    for way in ("there", "back"):
        simulator.control.add_fault(kind="latency", **{way: [0.02, 0.2]}, seed=len(way))
        simulator.control.add_fault(
            kind="latency", client_id="slow-calls", **{way: [3, 8]}, probability=0.005, seed=10 + len(way)
        )
    begin = time.monotonic() + START_SECONDS
    clock_began = time.time() + START_SECONDS
    total = _WARM_UP + _SECONDS + 1

    def work(app: str, number: int) -> Work:
        demands = [Demand(f"{number}-{account}", width=2) for account in range(4)]
        url, token = simulator.api_url, tokens[app]
        return Work(redis_url, "bench:", _LIMIT, demands, begin, total, url, token, app=app)

    running = {app: [CallerProcess(work(app, number)) for number in range(processes)] for app in _APPS}
    spotipy = [simulator.api_url, tokens[_SPOTIPY], str(begin), str(total)]
    other = subprocess.Popen([sys.executable, "-m", "bench.spotipy_caller", *spotipy])
    _freeze(running["freeze"][0].pid, begin + _WARM_UP + _FREEZE_AFTER)
    calls = {app: [call for each in group for call in each.report().calls] for app, group in running.items()}
    if other.wait(timeout=60):
        raise RuntimeError("spotipy's process failed")
    start = clock_began + _WARM_UP
    return (
        {app: _read(simulator, app, start) for app in tokens},
        {app: mean(call.ended - call.started for call in made) for app, made in calls.items()},
    )


def _add_app(simulator: RunningSimulator, app: str) -> str:
    simulator.control.add_client(app, "secret", limit=_LIMIT)
    simulator.control.add_user("user")
    return str(simulator.control.mint_tokens(app, "user")["access_token"])


def _freeze(pid: int, at: float) -> None:
    """Stop one of our processes for three seconds."""
    time.sleep(max(0.0, at - time.monotonic()))
    os.kill(pid, signal.SIGSTOP)
    time.sleep(_FREEZE)
    os.kill(pid, signal.SIGCONT)


def _read(simulator: RunningSimulator, app: str, start: float) -> _Seen:
    ledger = [entry for entry in simulator.control.ledger(client=app) if entry["path"].endswith("/me")]
    passed = sorted(entry["real_time"] for entry in ledger if entry["status"] == 200)
    return _Seen(
        kept=sum(start <= at < start + _SECONDS for at in passed),
        refused=sum(entry["status"] == 429 for entry in ledger),
        fullest=fullest_window(passed),
    )

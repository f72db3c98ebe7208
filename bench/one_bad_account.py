"""What one account that fails for ever costs the others: their playlists per second with it ÷ without it.

Fifty accounts of one app, each with new draws of its playlists. The failing one is answered 503 whatever it asks, or
gets no answer until its calls time out. Measured until the last playlist of the others is written, by the
simulator's ledger, in turn without and with trouble (A B A B …), each pair on the same rows; the account is healthy
again before each turn, so that it always has its place in the first wave: the worst case. Pauses between attempts
and time-outs are real.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import text, update

from bench.figures import Figure
from spotify_pipelines.observability.logs import configure_logging
from spotify_pipelines.simulator.control_client import SimulatorControl
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines.store.tables import Account
from spotify_pipelines_tests.playlists.studio import Studio, open_studio, stock
from spotify_pipelines_tests.support.databases import open_database
from spotify_pipelines_tests.support.services import (
    fresh_database,
    redis_namespace,
    suite_endpoints,
    template_database,
)
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

_ACCOUNTS, _PLAYLISTS, _PAIRS = 50, 4, 3
_TROUBLES: dict[str, dict[str, Any]] = {
    "answered 503": {"status": 503},
    "timing out": {"delay": 3600.0, "status": 503},
}
_BAD = "studio-7"
_CATALOGUE = SyntheticCatalogue(60, 7)


def figures() -> Iterator[Figure]:
    """One figure for each kind of trouble."""
    for trouble in _TROUBLES:
        pairs: list[tuple[float, float]] = _in_a_process(trouble)
        ratios = [without / with_it for without, with_it in pairs]
        yield Figure(
            f"one of {_ACCOUNTS} accounts {trouble} for ever: rate of the others ÷ with none",
            median(ratios),
            at_least=0.95,
            detail="seconds without, with: "
            + ", ".join(f"{without:.2f} {with_it:.2f}" for without, with_it in pairs)
            + f"; ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}",
        )


async def _measure(studio: Studio, trouble: str) -> list[tuple[float, float]]:
    policies = "".join(
        f"  - {{name: mix-{number}, size: 30, name_template: Mix {number}, description_template: Daily}}\n"
        for number in range(_PLAYLISTS)
    )
    await studio.publish(f"policies:\n{policies}")
    pairs = []
    await _turn(studio, None)
    for _ in range(_PAIRS):
        pairs.append((await _turn(studio, None), await _turn(studio, _TROUBLES[trouble])))
    return pairs


async def _turn(studio: Studio, trouble: dict[str, Any] | None) -> float:
    """Seconds from the beginning of a sync to the last write for an account that is well."""
    control = studio.simulator.control
    with studio.database.transaction() as session:
        session.execute(
            update(Account).values(
                health="ok", health_reason=None, failures=0, successes=0, last_failure_at=None
            )
        )
        session.execute(text("TRUNCATE app_incidents"))
        session.execute(text("UPDATE spotify_apps SET cooldown_until = NULL"))
    studio.draw(force=True)
    fault = None if trouble is None else control.add_fault(path="/v1/", user_id=_BAD, **trouble)
    studio.forget_requests()
    began = time.time()
    report = await studio.sync()
    if fault is not None:
        control.remove_fault(fault)
    writes = [
        entry
        for entry in control.ledger(path="/v1/playlists", method="PUT")
        if entry["user_id"] != _BAD and entry["status"] < 300
    ]
    expected = (_ACCOUNTS - 1) * _PLAYLISTS
    if len(writes) != expected:
        raise RuntimeError(f"{expected} writes were expected, not {len(writes)}: {report.sentence()}")
    return float(max(entry["real_time"] for entry in writes)) - began


# ── a process of its own ─────────────────────────────────────────────────────────────────────────────────────


def _in_a_process(trouble: str) -> list[tuple[float, float]]:
    """Run ``python -m bench.one_bad_account TROUBLE …`` on services of the bench; the simulator stays here."""
    endpoints = suite_endpoints()
    assert endpoints.redis_url is not None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        simulator = stack.enter_context(running_simulator(folder, catalogue=_CATALOGUE))
        url = stack.enter_context(fresh_database(endpoints, template_database(endpoints)))
        prefix = stack.enter_context(redis_namespace(endpoints))
        command = [
            *(sys.executable, "-m", "bench.one_bad_account", trouble),
            *(simulator.url, url, endpoints.redis_url, prefix),
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [(without, with_it) for without, with_it in json.loads(done.stdout.splitlines()[-1])]


async def _work(trouble: str, places: Sequence[str]) -> list[tuple[float, float]]:
    simulator_url, database_url, redis_url, prefix = places
    with SimulatorControl(simulator_url) as control:
        with open_database(database_url) as database, database.transaction() as session:
            stock(session, _CATALOGUE)
        names = [f"studio-{number}" for number in range(_ACCOUNTS)]
        simulator = RunningSimulator(simulator_url, control)
        async with open_studio(
            simulator, database_url, redis_url, prefix, names, sleep=asyncio.sleep
        ) as studio:
            return await _measure(studio, trouble)


def main() -> None:
    """What a process of its own does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("trouble", choices=sorted(_TROUBLES))
    parser.add_argument("places", nargs=4)
    given = parser.parse_args()
    configure_logging(level="CRITICAL")
    print(json.dumps(asyncio.run(_work(given.trouble, given.places))))


if __name__ == "__main__":
    main()

"""The sync at scale: calls ÷ the fewest that could do it, playlists per second, peak memory, growth.

200 playlists on ten accounts: all new, nothing due, every tenth changed, all reshuffled, every twentieth edited by
hand; counted on the simulator's ledger, the minimum by the formulas of ``docs/calls.md``, worked out here. Then 1,000
and 4,000 playlists on 100 and 400 accounts, without a rate limit, each in a process of its own. Growth is that of
the syncing process's CPU time: what the simulator takes on the same machine is beside the point. Peak memory is the
resident set of the syncing process. The tables are analyzed before, as autovacuum has a grown database.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from math import ceil, log
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench.figures import Figure
from spotify_pipelines.observability.logs import configure_logging
from spotify_pipelines.report import Report
from spotify_pipelines.simulator.control_client import SimulatorControl
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines.store.tables import Playlist
from spotify_pipelines_tests.playlists.studio import Studio, open_studio, stock
from spotify_pipelines_tests.support.databases import open_database
from spotify_pipelines_tests.support.services import (
    fresh_database,
    redis_namespace,
    suite_endpoints,
    template_database,
)
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

_PLAYLISTS_EACH = {"calls": 20, "scale": 10}
_ACCOUNTS = 10
_SCALES = (1_000, 4_000)
_CATALOGUE = SyntheticCatalogue(60, 7)


def figures() -> Iterator[Figure]:
    """Calls first, then the two sizes."""
    yield from _calls()
    small, large = (_at_scale(size) for size in _SCALES)
    for size, found in zip(_SCALES, (small, large), strict=True):
        yield Figure(
            f"{size} new playlists on {size // _PLAYLISTS_EACH['scale']} accounts: playlists per second",
            size / found["seconds"],
            unit="per s",
            detail=f"{found['seconds']:.1f} s by the clock with the simulator on the same machine, "
            f"{found['cpu']:.1f} s of CPU in the syncing process; nothing due after it: {found['idle']:.2f} s",
        )
        yield Figure(f"{size} playlists: peak memory", found["mebibytes"], unit="MiB")
    yield Figure(
        f"growth of CPU from {_SCALES[0]} to {_SCALES[1]} playlists: exponent",
        log(large["cpu"] / small["cpu"]) / log(_SCALES[1] / _SCALES[0]),
        at_most=1.05,
        detail=f"{small['cpu']:.1f} s and {large['cpu']:.1f} s",
    )


# ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────


def _calls() -> Iterator[Figure]:
    told = _in_a_process("calls", _ACCOUNTS)
    for part in told["parts"]:
        calls, minimum = sum(part["calls"].values()), part["minimum"]
        detail = " + ".join(f"{number} {endpoint}" for endpoint, number in sorted(part["calls"].items()))
        yield Figure(
            f"200 playlists, {part['name']}: calls{' ÷ minimum' if minimum else ''}",
            calls / minimum if minimum else calls,
            unit="" if minimum else "calls",
            at_most=1.0 if minimum else 0.0,
            at_least=1.0 if minimum else 0.0,
            detail=f"{calls} ÷ {minimum}: {detail or 'none'}",
        )


async def _count(studio: Studio) -> dict[str, Any]:
    """The parts in their order; each part's calls are the ledger's."""
    each = _PLAYLISTS_EACH["calls"]
    total = each * len(studio.accounts)
    pages = ceil(each / 50)
    parts: list[dict[str, Any]] = []

    async def part(name: str, minimum: int, changed: int, **options: Any) -> None:
        studio.forget_requests()
        report = await studio.sync(**options)
        _done(report, changed)
        parts.append({"name": name, "minimum": minimum, "calls": Counter(studio.requests())})

    await part("all new", 2 * total, total)
    await part("nothing due", 0, 0)
    by_account: dict[int, list[Playlist]] = {}
    for row in studio.playlists():
        by_account.setdefault(row.account_id, []).append(row)
    tenth = [row.id for rows in by_account.values() for row in rows[: each // 10]]
    _done(studio.draw(force=True, playlist_ids=tenth), len(tenth))
    # Two of each account's twenty: a page of the listing is fewer than two reads.
    await part("10 % changed", len(studio.accounts) * pages + len(tenth), len(tenth))
    _done(studio.draw(force=True), total)
    await part("all reshuffled", len(studio.accounts) * pages + total, total)
    edited = [row for rows in by_account.values() for row in rows[: each // 20]]
    for row in edited:
        studio.simulator.control.edit_playlist(str(row.spotify_id), items=studio.tracks(row)[:3], name="Mine")
    # Looked for everywhere: a page for each account, a read of each edited one, its items and its name again.
    await part("5 % edited by hand", len(studio.accounts) * pages + 3 * len(edited), len(edited), force=True)
    return {"parts": parts}


def _done(report: Report, changed: int) -> None:
    """Nothing counts that was not done."""
    if report.changed != changed or report.failed or report.deferred:
        raise RuntimeError(f"{changed} changes were expected: {report.sentence()} {report.failed[:1]}")


# ── scale ────────────────────────────────────────────────────────────────────────────────────────────────────


def _at_scale(playlists: int) -> dict[str, Any]:
    return _in_a_process("scale", playlists // _PLAYLISTS_EACH["scale"])


async def _measure(studio: Studio) -> dict[str, Any]:
    """Create and fill everything once, then find nothing to do."""
    expected = len(studio.accounts) * _PLAYLISTS_EACH["scale"]
    started, cpu = time.perf_counter(), time.process_time()
    _done(await studio.sync(), expected)
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    started = time.perf_counter()
    _done(await studio.sync(), 0)
    return {
        "seconds": seconds,
        "cpu": used,
        "idle": time.perf_counter() - started,
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _draw(studio: Studio, each: int) -> None:
    """So many playlists for every account, drawn."""
    policies = "".join(
        f"  - {{name: mix-{number}, size: 30, name_template: Mix {number}, description_template: Daily}}\n"
        for number in range(each)
    )
    studio.apply(f"policies:\n{policies}")
    studio.plan()
    studio.draw()


# ── a process each ───────────────────────────────────────────────────────────────────────────────────────────


def _in_a_process(what: str, accounts: int) -> dict[str, Any]:
    """Run ``python -m bench.sync WHAT …`` on services of the bench; the simulator stays in this process."""
    endpoints = suite_endpoints()
    assert endpoints.redis_url is not None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        simulator = stack.enter_context(running_simulator(folder, catalogue=_CATALOGUE))
        url = stack.enter_context(fresh_database(endpoints, template_database(endpoints)))
        prefix = stack.enter_context(redis_namespace(endpoints))
        command = [
            *(sys.executable, "-m", "bench.sync", what, str(accounts)),
            *(simulator.url, url, endpoints.redis_url, prefix),
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


async def _work(what: str, accounts: int, places: Sequence[str]) -> dict[str, Any]:
    simulator_url, database_url, redis_url, prefix = places
    with SimulatorControl(simulator_url) as control:
        with open_database(database_url) as database, database.transaction() as session:
            stock(session, _CATALOGUE)
        names = [f"studio-{number}" for number in range(accounts)]
        simulator = RunningSimulator(simulator_url, control)
        async with open_studio(simulator, database_url, redis_url, prefix, names) as studio:
            _draw(studio, _PLAYLISTS_EACH[what])
            with studio.database.transaction() as session:
                session.execute(text("ANALYZE"))
            return await (_count(studio) if what == "calls" else _measure(studio))


def main() -> None:
    """What a process of its own does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=sorted(_PLAYLISTS_EACH))
    parser.add_argument("accounts", type=int)
    parser.add_argument("places", nargs=4)
    given = parser.parse_args()
    configure_logging(level="CRITICAL")
    print(json.dumps(asyncio.run(_work(given.what, given.accounts, given.places))))


if __name__ == "__main__":
    main()

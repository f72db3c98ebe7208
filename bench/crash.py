"""The sync, killed with -9 and lied to, until it is done: duplicates 0, lost 0, wrong items 0, foreign writes 0.

Small worlds, each from a seed of its own that is told: six playlists on three accounts are created, reshuffled and
renamed by executions in processes of their own. These die at random crash points (around every request, turn and
commit, and with a request in flight), and get lost, late and wrong answers; lags make the listing, items and snapshot
ids late. Judged on what the simulator holds in the end. Then whole Dagster runs of the same asset are killed.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from bench.figures import Figure
from spotify_pipelines.observability.logs import configure_logging
from spotify_pipelines.playlists.call_plan import SETTLE_WINDOW
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines_tests.playlists.crash import CrashServer, Verdict, World, crash_server, judge
from spotify_pipelines_tests.playlists.studio import empty, open_studio, stock
from spotify_pipelines_tests.support.databases import open_database
from spotify_pipelines_tests.support.playground import Playground, playground
from spotify_pipelines_tests.support.services import (
    fresh_database,
    redis_namespace,
    suite_endpoints,
    template_database,
)
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

_FIRST_SEED = 1000
_EXECUTIONS = 300
"""In trouble, that is killed or lied to: those that go through undisturbed are not counted."""
_DAGSTER_RUNS = 10
_NIGHT = [
    *(sys.executable, "-m", "spotify_pipelines.defs.launch", "nightly"),
    *("--config-json", '{"ops": {"playlist_snapshots": {"config": {"force": true}}}}'),
]


def figures() -> Iterator[Figure]:
    """Many small worlds, then a few whole runs."""
    configure_logging(level="CRITICAL")
    verdict, seeds = _worlds()
    yield from _told("sync", verdict, f"seeds {seeds[0]}-{seeds[-1]}")
    yield from _told("Dagster runs", *_dagster_runs())


def _told(what: str, verdict: Verdict, detail: str) -> Iterator[Figure]:
    troubled = verdict.kills + verdict.faults
    yield Figure(
        f"{what}: executions killed or lied to",
        troubled,
        unit="executions",
        at_least=_DAGSTER_RUNS if what.startswith("Dagster") else _EXECUTIONS,
        detail=f"{verdict.kills} killed, {verdict.faults} with wrong, late or lost answers, of "
        f"{verdict.executions}; {verdict.right} playlists right, {verdict.twins_healed} twins healed; {detail}",
    )
    for name in ("duplicates", "lost", "wrong_items", "foreign_writes"):
        yield Figure(
            f"{what}: {name.replace('_', ' ')}",
            getattr(verdict, name),
            unit="playlists",
            at_most=0,
            detail="; ".join(verdict.troubles)[:500] if getattr(verdict, name) else "",
        )


# ── worlds ───────────────────────────────────────────────────────────────────────────────────────────────────


def _worlds() -> tuple[Verdict, list[int]]:
    endpoints = suite_endpoints()
    assert endpoints.redis_url is not None
    catalogue = SyntheticCatalogue(40, 7)
    total = Verdict()
    seeds: list[int] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_simulator(Path(folder), catalogue=catalogue) as simulator,
        fresh_database(endpoints, template_database(endpoints)) as url,
        crash_server() as server,
    ):
        with open_database(url) as database, database.transaction() as session:
            stock(session, catalogue)
        while total.kills + total.faults < _EXECUTIONS:
            seed = _FIRST_SEED + len(seeds)
            seeds.append(seed)
            with redis_namespace(endpoints) as prefix:
                verdict = asyncio.run(_play(seed, simulator, server, url, (endpoints.redis_url, prefix)))
            total += verdict
            print(f"bench: seed {seed}: {verdict}", file=sys.stderr, flush=True)
    return total, seeds


async def _play(
    seed: int, simulator: RunningSimulator, server: CrashServer, url: str, redis: tuple[str, str]
) -> Verdict:
    simulator.control.reset()
    with open_database(url) as database, database.transaction() as session:
        empty(session)
    async with open_studio(simulator, url, *redis) as studio:
        return await World(studio, server, *redis, seed).play(reshuffles=3)


# ── Dagster runs ─────────────────────────────────────────────────────────────────────────────────────────────


def _dagster_runs() -> tuple[Verdict, str]:
    """Whole nights on a sandbox of their own: each draws anew, every other one has new playlists to create."""
    rng, verdict = random.Random(_FIRST_SEED), Verdict()
    with tempfile.TemporaryDirectory() as folder, playground(Path(folder) / "nights") as here:
        here.run("spotify-pipelines", "demo")
        for number in range(_DAGSTER_RUNS):
            if number % 2 == 0:
                _add_policy(here, number)
            verdict.kills += _killed_night(here, writes=rng.randint(1, 6))
            verdict.executions += 1
            _end_leases(here)
        # What was in flight has to be visible before anybody may say that it is not there.
        time.sleep(SETTLE_WINDOW.total_seconds() + 5)
        for _ in range(2):
            here.run("dagster", "job", "execute", "-m", "spotify_pipelines.definitions", "-j", "nightly")
        with here.simulator as spotify, open_database(here.database_url) as database:
            living = [each for each in spotify.playlists() if each["followed_by_owner"]]
            judge(database, living, {}, verdict)
    return verdict, f"nights of the job nightly, seed {_FIRST_SEED}"


def _add_policy(here: Playground, number: int) -> None:
    path = here.root / "policies.yaml"
    policies = "".join(
        f"  - {{name: night-{each}, size: 10, name_template: Night {each}, description_template: Late}}\n"
        for each in range(number + 1)
    )
    path.write_text(f"policies:\n{policies}", encoding="utf-8")
    here.run("spotify-pipelines", "policies", "apply", str(path))


def _killed_night(here: Playground, *, writes: int) -> bool:
    """A night whose processes are all killed when it has sent so many writes; False where it was done before."""
    before = len(here.writes_on_spotify())
    from_file = {name: value for name, value in here.dotenv.items() if value is not None}
    night = subprocess.Popen(
        _NIGHT,
        cwd=here.root,
        env={**os.environ, **here.env, **from_file, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while night.poll() is None and len(here.writes_on_spotify()) < before + writes:
        time.sleep(0.01)
    was_alive = night.poll() is None
    if was_alive:
        os.killpg(night.pid, signal.SIGKILL)
        night.wait()
    return was_alive


def _end_leases(here: Playground) -> None:
    """As if the minute and a half had passed that a lease outlives its holder."""
    with open_database(here.database_url) as database, database.transaction() as session:
        session.execute(text("UPDATE leases SET expires_at = clock_timestamp() - interval '1 second'"))

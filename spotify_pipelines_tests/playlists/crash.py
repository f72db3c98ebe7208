"""Small worlds in which the sync is killed, lied to and left without answers until it is done; and what is right.

What belongs here: the worlds, random trouble from a seed, the judgement on what the simulator holds. What does not:
the process that is killed (``crash_server``), how many worlds are played (``test_crash``, ``bench.crash``).
"""

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from sqlalchemy import select, text

from spotify_pipelines.simulator.control_client import SimulatorControl
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.playlists import newest_snapshot, tracks_of
from spotify_pipelines.store.tables import Playlist
from spotify_pipelines_tests.accounts.office import KEY
from spotify_pipelines_tests.playlists.crash_server import Order
from spotify_pipelines_tests.playlists.studio import Studio

__all__ = ["CrashServer", "Verdict", "World", "crash_server", "judge"]

_ROOT = Path(__file__).resolve().parents[2]
_POLICIES = """
policies:
  - {name: morning, size: 6, name_template: "Morning $cycle", description_template: "$tracks tracks"}
  - {name: evening, size: 4, name_template: Evening, description_template: From dusk on}
"""
_ATTEMPTS = 40
"""Executions after which a world that is not done counts as lost."""
_WRITES = {"POST": "/me/playlists$", "PUT": "/items$"}


class CrashServer:
    """A running crash server."""

    def __init__(self, reader: IO[str], writer: IO[str]) -> None:
        self._reader = reader
        self._writer = writer
        self.executions = 0
        self.killed = 0

    def run(self, order: Order) -> dict[str, Any]:
        """Execute it; the child's report, empty where it was killed."""
        print(json.dumps(asdict(order)), file=self._writer, flush=True)
        answer = json.loads(self._reader.readline())
        self.executions += 1
        self.killed += answer["killed"]
        if answer["killed"]:
            return {}
        told: dict[str, Any] = answer["told"]
        if "error" in told:
            raise RuntimeError(f"the sync failed by itself: {told['error']}")
        return told


@contextmanager
def crash_server() -> Iterator[CrashServer]:
    """A crash server, until the end of the block."""
    command = [sys.executable, "-m", "spotify_pipelines_tests.playlists.crash_server"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield CrashServer(process.stdout, process.stdin)
        finally:
            process.stdin.close()
            process.wait(timeout=30)


@dataclass
class Verdict:
    """What came out, on Spotify, in playlists; and what it went through, in executions.

    Attributes:
        faults: executions in which an answer was lost, late or wrong.
        twins_healed: creations that took effect twice on the way, as a listing lagged longer than can be waited for.
    """

    right: int = 0
    duplicates: int = 0
    lost: int = 0
    wrong_items: int = 0
    foreign_writes: int = 0
    executions: int = 0
    kills: int = 0
    faults: int = 0
    twins_healed: int = 0
    troubles: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """Playlists that are not as promised."""
        return self.duplicates + self.lost + self.wrong_items + self.foreign_writes

    def __add__(self, other: "Verdict") -> "Verdict":
        mine, theirs = asdict(self), asdict(other)
        return Verdict(**{name: mine[name] + theirs[name] for name in mine})


@dataclass
class World:
    """Accounts with two playlists each, and two of each owner's own that are nobody else's business."""

    studio: Studio
    server: CrashServer
    redis_url: str
    key_prefix: str
    seed: int
    rng: random.Random = field(init=False)
    runs: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    async def play(self, *, reshuffles: int = 1, troubles: int = 3) -> Verdict:
        """Create, then reshuffle and rename so many times; ``troubles``: executions in trouble for each at most."""
        executions = self.server.executions, self.server.killed
        foreign = await self._foreign_playlists()
        self.studio.apply(_POLICIES)
        self.studio.plan()
        self.studio.draw()
        self._until_done(troubles, quiet=1)
        for number in range(reshuffles):
            self.studio.apply(_POLICIES.replace("Evening,", f"Evening {number},"))
            self.studio.draw(force=True)
            self._until_done(troubles, quiet=2 if number + 1 == reshuffles else 1)
        verdict = self._judge(foreign)
        verdict.executions = self.server.executions - executions[0]
        verdict.kills = self.server.killed - executions[1]
        return verdict

    def execute(self, *, die_at: int | None = None, die_in_request: int | None = None) -> dict[str, Any]:
        """One execution in a process of its own."""
        self.runs += 1
        simulator = self.studio.simulator
        told = self.server.run(
            Order(
                database_url=self.studio.database.engine.url.render_as_string(hide_password=False),
                redis_url=self.redis_url,
                key_prefix=self.key_prefix,
                api_url=simulator.api_url,
                accounts_url=simulator.accounts_url,
                vault_key=KEY,
                run_id=f"world-{self.seed}-{self.runs}",
                ahead=self.studio.clock.ahead.total_seconds(),
                die_at=die_at,
                die_in_request=die_in_request,
                flight=self.rng.choice([0.0, 0.002, 0.004, 0.008, 0.02]),
            )
        )
        self.verdict.twins_healed += told.get("counts", {}).get("twins_removed", 0)
        return told

    def _until_done(self, troubles: int, *, quiet: int) -> None:
        """Execute it in trouble, then in peace until ``quiet`` executions in a row find nothing to do."""
        control = self.studio.simulator.control
        for number in range(troubles):
            struck = _struck(control)
            for fault in self._faults():
                control.add_fault(**fault)
            told = self.execute(**self._death(number))
            self.verdict.faults += _struck(control) > struck
            self._wait(self.rng.choice([1, 30, 60, 130]))
            if told and not (told["failed"] or told["deferred"]):
                break
        control.clear_faults()
        calm = 0
        for _ in range(_ATTEMPTS):
            told = self.execute()
            is_done = not (told["failed"] or told["deferred"] or told["calls"])
            calm = calm + 1 if is_done else 0
            if calm == quiet:
                return
            self._wait(130)
            self._forgive()
        self.verdict.troubles.append(f"seed {self.seed}: not done after {_ATTEMPTS} executions: {told}")

    def _death(self, number: int) -> dict[str, int]:
        """Where it dies, if it does: anywhere, or in the middle of a request, which is the worst."""
        chance = self.rng.random()
        # A clean first execution has some 200 points and 12 requests, a later one fewer; past the last nobody dies.
        if chance < 0.5:
            return {"die_at": self.rng.randint(1, 180 if number == 0 else 70)}
        return {"die_in_request": self.rng.randint(1, 10 if number == 0 else 5)} if chance < 0.9 else {}

    def _faults(self) -> list[dict[str, Any]]:
        rng = self.rng
        found: list[dict[str, Any]] = []
        if rng.random() < 0.5:
            method = rng.choice(sorted(_WRITES))
            where = {"method": method, "path": _WRITES[method], "skip": rng.randint(0, 3), "n": 1}
            found.append(where | rng.choice(_LIES))
        if rng.random() < 0.3:
            kind = rng.choice(["listing_lag", "slow_snapshot_ids", "slow_items"])
            found.append({"kind": kind, "seconds": rng.choice([20, 60, 100])})
        if rng.random() < 0.1:
            found.append({"kind": "listing_lag", "seconds": rng.choice([150, 250])})
        return found

    def _wait(self, seconds: float) -> None:
        """Time passes for everybody, and the lease of whoever died is over."""
        self.studio.advance(seconds=seconds)
        with self.studio.database.transaction() as session:
            session.execute(text("UPDATE leases SET expires_at = clock_timestamp() - interval '1 second'"))

    def _forgive(self) -> None:
        """An account that was in trouble would be left alone for longer than this world lasts."""
        with self.studio.database.transaction() as session:
            session.execute(
                text("UPDATE accounts SET health = 'ok', health_reason = NULL, next_probe_at = NULL")
            )

    # ── judgement ────────────────────────────────────────────────────────────────────────────────────────

    async def _foreign_playlists(self) -> dict[str, str]:
        """Snapshot ids of what the owners made themselves."""
        found = {}
        for account_id in self.studio.accounts:
            api = self.studio.client.as_account(account_id)
            for name in ("Evening", "My own"):
                made = await api.create_playlist(name, "Made by hand", public=True)
                found[made.id] = str(made.snapshot_id)
        return found

    def _judge(self, foreign: Mapping[str, str]) -> Verdict:
        verdict = judge(self.studio.database, self.studio.on_spotify(), foreign, self.verdict)
        if verdict.wrong or verdict.right != len(self.studio.playlists()):
            verdict.troubles.append(f"seed {self.seed}: {verdict}")
        return verdict


def judge(
    database: Database, living: Sequence[Mapping[str, Any]], foreign: Mapping[str, str], verdict: Verdict
) -> Verdict:
    """Compare what Spotify holds with what it should hold.

    Args:
        database: what should be there: every playlist that is not retired, with the tracks of its newest draw.
        living: the playlists in the libraries of their owners, as the simulator has them.
        foreign: snapshot ids of playlists that are none of ours, by their ids.
        verdict: what is found is added here.
    """
    real = {each["id"]: each for each in living}
    with database.transaction() as session:
        wanted = {
            str(row.spotify_id): [f"spotify:track:{track}" for track in tracks_of(session, newest)]
            for row in session.scalars(select(Playlist).where(Playlist.status != "retired"))
            if (newest := newest_snapshot(session, row.id)) is not None
        }
    verdict.lost += len(wanted.keys() - real.keys())
    verdict.duplicates += len(real.keys() - wanted.keys() - foreign.keys())
    right = [_items(real[id_]) == tracks for id_, tracks in wanted.items() if id_ in real]
    verdict.right += sum(right)
    verdict.wrong_items += len(right) - sum(right)
    verdict.foreign_writes += sum(
        id_ not in real or real[id_]["snapshot_id"] != snapshot_id for id_, snapshot_id in foreign.items()
    )
    return verdict


_LIES: tuple[dict[str, Any], ...] = (
    {"drop": "before"},
    {"drop": "after"},
    {"status": 502},
    {"status": 503, "effect": True},
    {"delay": 0.8},
    {"delay_after": 0.8},
    {"status": 429, "headers": {"Retry-After": "0"}},
    {"status": 200, "effect": True, "body": "<html>not what was promised</html>"},
)
"""What an answer may be: none, before or after the effect; a wrong one; one that comes after we gave up."""


def _struck(control: SimulatorControl) -> int:
    return sum(fault["struck"] for fault in control.faults())


def _items(playlist: Mapping[str, Any]) -> list[str]:
    return [str(item["uri"] if isinstance(item, dict) else item) for item in playlist["items"]]

"""Servers that are started once, found again, and mended whatever was killed."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from spotify_pipelines import services
from spotify_pipelines.services.postgres import Postgres
from spotify_pipelines_tests.services.conftest import NO_SIMULATOR, python, settings_in

START = """
import json, sys
from pathlib import Path
from spotify_pipelines import services
from spotify_pipelines.services.postgres import Postgres
from spotify_pipelines.settings import Settings
settings = Settings.model_validate({"state_dir": Path(sys.argv[1]) / ".state"})
services.start(settings, skipped={"simulator": "not here"}, throwaway=True)
print(json.dumps({each.name: [each.pid, each.port] for each in services.status(settings)}))
"""


def start(root: Path, *, throwaway: bool = True) -> services.Endpoints:
    return services.start(settings_in(root), skipped=NO_SIMULATOR, throwaway=throwaway)


def running(root: Path) -> dict[str, services.ServiceStatus]:
    return {each.name: each for each in services.status(settings_in(root)) if each.running}


def connect(endpoints: services.Endpoints, database: str = "dagster") -> psycopg.Connection:
    assert endpoints.postgres
    return psycopg.connect(endpoints.postgres.url(database).replace("+psycopg", ""))


def servers_below(root: Path) -> set[int]:
    """Ids of the processes that work in this checkout, without the children of others of them."""
    state = str((root / ".state").resolve())
    found = {
        each.pid: each.ppid() for each in psutil.process_iter(["cwd"]) if state in (each.info["cwd"] or "")
    }
    return {pid for pid, parent in found.items() if parent not in found}


def wait_for_end(pid: int) -> None:
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)


def test_many_first_starts_at_once_give_one_set_of_servers(checkout: Path) -> None:
    starters = [
        subprocess.Popen([sys.executable, "-c", START, checkout], stdout=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    seen = [starter.communicate(timeout=120)[0] for starter in starters]
    assert len(set(seen)) == 1
    pids = {name: pid for name, (pid, _) in json.loads(seen[0]).items()}
    assert pids == {"simulator": None} | {name: each.pid for name, each in running(checkout).items()}
    assert servers_below(checkout) == {pids["postgres"], pids["redis"]}


def test_killed_servers_are_mended_by_the_next_start_with_rows_kept(checkout: Path) -> None:
    before = start(checkout, throwaway=False)
    with connect(before) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    killed = running(checkout)
    for each in killed.values():
        assert each.pid
        psutil.Process(each.pid).kill()
        wait_for_end(each.pid)
    assert running(checkout) == {}

    after = start(checkout, throwaway=False)

    assert after == before  # the same ports and passwords
    with connect(after) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert {each.pid for each in running(checkout).values()}.isdisjoint(each.pid for each in killed.values())


def test_ports_and_rows_outlive_down_and_up(checkout: Path) -> None:
    before = start(checkout)
    with connect(before) as connection:
        connection.execute("CREATE TABLE kept ()")
    assert services.down(settings_in(checkout)) == ["Redis (Valkey)", "PostgreSQL"]
    assert running(checkout) == {}
    assert services.down(settings_in(checkout)) == []
    after = start(checkout)
    assert after == before
    with connect(after) as connection:
        connection.execute("SELECT FROM kept")


def test_a_port_that_somebody_took_is_given_up_and_the_new_one_kept(checkout: Path) -> None:
    before = start(checkout)
    assert before.postgres
    services.down(settings_in(checkout))
    with socket.create_server(("127.0.0.1", before.postgres.port)):
        moved = start(checkout)
        assert moved.postgres
        assert moved.postgres.port != before.postgres.port
        assert moved.redis_url == before.redis_url
        services.down(settings_in(checkout))
    assert start(checkout) == moved


@pytest.mark.parametrize("service", ["Postgres", "Valkey"])
def test_a_server_whose_starter_was_killed_before_noting_it_is_found_again(
    checkout: Path, service: str
) -> None:
    die = """
import os, signal
from spotify_pipelines.services import supervisor
noted = supervisor.Service._note_process
def die(self, record, process):
    if type(self).__name__ == os.environ["DIES_WITH"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return noted(self, record, process)
supervisor.Service._note_process = die
"""
    done = python(die + START, checkout, env={"DIES_WITH": service, "PATH": "/usr/bin:/bin"})
    assert done.returncode == -signal.SIGKILL
    name = {"Postgres": "postgres", "Valkey": "redis"}[service]
    orphan = running(checkout)[name]
    start(checkout)
    assert running(checkout)[name].pid == orphan.pid


def test_a_start_that_was_killed_within_initdb_leaves_nothing_in_the_way(checkout: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", START, checkout], start_new_session=True)
    home = checkout / ".state" / "postgres"
    deadline = time.monotonic() + 60
    while not list(home.glob("init-*/PG_VERSION")):
        assert time.monotonic() < deadline
    psutil.Process(starter.pid).kill()
    starter.wait()
    assert not (home / "data").exists()

    start(checkout)

    assert running(checkout).keys() == {"postgres", "redis"}


def test_a_process_that_got_a_dead_servers_id_is_left_alone(checkout: Path) -> None:
    start(checkout)
    services.down(settings_in(checkout))
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for service in ("postgres", "redis"):
        file = checkout / ".state" / service / "service.json"
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, "pid": stranger.pid, "started": time.time() - 3600}))
    assert services.down(settings_in(checkout)) == []
    start(checkout)
    assert stranger.poll() is None
    stranger.communicate(b"\n", timeout=10)


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere, the kernel keeps a process' start as a date")
def test_a_server_is_known_again_after_the_clock_was_set(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints = start(checkout)
    pids = {name: each.pid for name, each in running(checkout).items()}

    monkeypatch.setattr(psutil, "PROCFS_PATH", str(_an_hour_later(tmp_path / "proc", pids.values())))
    again = start(checkout)

    assert {name: each.pid for name, each in running(checkout).items()} == pids
    assert again == endpoints


def _an_hour_later(folder: Path, pids: Iterable[int | None]) -> Path:
    """/proc as it shows itself when the clock is set to an hour later: the boot's date has moved along."""
    folder.mkdir()
    lines = Path("/proc/stat").read_text().splitlines()
    moved = [f"btime {int(line.split()[1]) + 3600}" if line.startswith("btime") else line for line in lines]
    (folder / "stat").write_text("\n".join(moved))
    for pid in pids:
        (folder / str(pid)).symlink_to(f"/proc/{pid}")
    return folder


def test_secrets_are_for_their_owner_and_servers_for_this_machine_only(checkout: Path) -> None:
    endpoints = start(checkout)
    state = checkout / ".state"
    for file in (
        state / "postgres" / "password",
        state / "redis" / "password",
        state / "redis" / "valkey.conf",
    ):
        assert file.stat().st_mode & 0o777 == 0o600
    for each in running(checkout).values():
        process = psutil.Process(each.pid)
        listening = [c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1"]
        secrets = (endpoints.postgres.password, endpoints.redis_url) if endpoints.postgres else ()
        assert not any(secret in " ".join(process.cmdline()) for secret in secrets if secret)
    assert endpoints.postgres
    assert endpoints.postgres.password not in repr(endpoints)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(
            host="127.0.0.1",
            port=endpoints.postgres.port,
            user="spotify_pipelines",
            dbname="dagster",
            password="no",
        )
    assert endpoints.redis_url
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(
            port=int(endpoints.redis_url.rpartition(":")[2].partition("/")[0]), retry=Retry(NoBackoff(), 0)
        ).ping()


def test_the_servers_are_set_up_as_the_product_needs_them(checkout: Path) -> None:
    endpoints = start(checkout)
    with connect(endpoints, "spotify_pipelines_sandbox") as connection:
        row = connection.execute(
            "SELECT upper('é'), current_setting('server_encoding'), current_setting('timezone'),"
            " current_setting('password_encryption'), current_setting('data_checksums')"
        ).fetchone()
    assert row == ("É", "UTF8", "UTC", "scram-sha-256", "on")
    assert endpoints.redis_url
    with redis.Redis.from_url(endpoints.redis_url, decode_responses=True) as client:
        settings = client.config_get("maxmemory-policy", "save", "appendonly")
    assert settings == {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no"}


def test_a_server_that_can_not_start_fails_with_the_end_of_its_log(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Postgres, "retry_seconds", 0.0)
    start(checkout)
    services.down(settings_in(checkout))
    (checkout / ".state" / "postgres" / "data" / "postgresql.conf").write_text("shared_buffers = 'much'\n")
    with pytest.raises(
        services.ServiceError, match=r"(?s)PostgreSQL ended right after its start.*shared_buffers"
    ):
        start(checkout)

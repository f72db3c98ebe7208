"""The real process, killed without mercy: what was answered is there after the restart."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from spotify_pipelines.simulator.control_client import SimulatorControl

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def command(state: Path, port: int, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "spotify_pipelines.simulator", "--port", str(port), "--state", str(state)),
        *("--albums", "20", "--seed", "3", *more),
    ]


@contextmanager
def process(state: Path) -> Iterator[tuple["subprocess.Popen[bytes]", SimulatorControl, str]]:
    """The simulator as a supervisor runs it; killed at the end."""
    port = free_port()
    running = subprocess.Popen(command(state, port), cwd=REPOSITORY)
    url = f"http://127.0.0.1:{port}"
    try:
        with SimulatorControl(url) as control:
            _await_health(running, control)
            yield running, control, url
    finally:
        running.kill()
        running.wait(10)


def _await_health(running: "subprocess.Popen[bytes]", control: SimulatorControl) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert running.poll() is None, "the simulator ended"
        try:
            control.health()
        except httpx.TransportError:
            time.sleep(0.02)  # a process of its own has no event that we could await
        else:
            return
    raise AssertionError("the simulator does not answer")


def create_until_it_dies(client: httpx.Client) -> list[str]:
    """Create playlists as fast as possible; the ids of those whose creation was answered."""
    created: list[str] = []
    while True:
        try:
            created.append(client.post("/me/playlists", json={"name": "On the edge"}).json()["id"])
        except httpx.TransportError:
            return created


def test_state_survives_kill_9_in_the_middle_of_writing(tmp_path: Path) -> None:
    with process(tmp_path) as (running, control, url):
        control.add_client("app", "secret", limit=100_000)
        control.add_user("ann")
        control.advance(5000)
        control.add_fault(kind="dead_uri", uri="spotify:track:" + "d" * 22)
        control.add_fault(status=503, path="/artists", n=3)
        control.ban("somebody", 50_000)
        tokens = control.mint_tokens("app", "ann")
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        clock = control.clock()["timestamp"]
        with httpx.Client(base_url=f"{url}/v1", headers=headers) as client:
            assert client.get(f"/artists/{'0' * 22}").status_code == 503
            answered = [
                client.post("/me/playlists", json={"name": f"Number {number}"}).json()["id"]
                for number in range(20)
            ]
            threading.Timer(0.1, running.kill).start()
            answered += create_until_it_dies(client)
    with process(tmp_path) as (_, control, url):
        stored = [playlist["id"] for playlist in control.playlists()]
        assert stored[: len(answered)] == answered
        # One more may have been created and not answered: what counts is that ledger and playlists agree.
        assert len(stored) - len(answered) in (0, 1)
        effects = control.ledger(method="POST", path="/me/playlists")
        assert len(effects) == len(stored)
        assert control.clock()["timestamp"] >= clock
        assert [(fault["kind"], fault["struck"]) for fault in control.faults()] == [
            ("dead_uri", 0),
            ("answer", 1),
        ]
        me = httpx.get(f"{url}/v1/me", headers=headers)
        assert me.json()["id"] == "ann"
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert httpx.post(f"{url}/api/token", data=form, auth=("app", "secret")).status_code == 200


def test_a_folder_serves_one_simulator_at_a_time(tmp_path: Path) -> None:
    with process(tmp_path):
        second = subprocess.run(
            command(tmp_path, free_port()),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert second.returncode == 2
    assert "another simulator runs on this folder" in second.stderr


def test_a_bad_catalogue_ends_the_process_with_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("album_id\nx\n")
    words = [*command(tmp_path / "state", free_port())[:-4], "--catalogue", str(bad)]
    ended = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert f"{bad}, line 1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_polite_signal_ends_it_cleanly_and_the_state_is_private(tmp_path: Path) -> None:
    with process(tmp_path / "state") as (running, control, _):
        control.add_user("ann")
        running.terminate()
        assert running.wait(10) in (0, -signal.SIGTERM)
    assert ((tmp_path / "state").stat().st_mode & 0o777) == 0o700
    assert ((tmp_path / "state" / "simulator.sqlite3").stat().st_mode & 0o777) == 0o600
    with process(tmp_path / "state") as (_, control, url):
        users = json.loads(httpx.get(f"{url}/_sim/users").text)["users"]
        assert [user["user_id"] for user in users] == ["ann"]

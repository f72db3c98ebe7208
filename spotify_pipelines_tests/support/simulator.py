"""A simulator for tests: the real server in a thread of this process, on a free port."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from spotify_pipelines.simulator.app import create_app
from spotify_pipelines.simulator.catalogue import Catalogue
from spotify_pipelines.simulator.control_client import SimulatorControl
from spotify_pipelines.simulator.server import open_catalogue, server_config
from spotify_pipelines.simulator.state import SimulatorState

__all__ = ["RunningSimulator", "running_simulator"]

_START_SECONDS = 30


@dataclass(frozen=True)
class RunningSimulator:
    """Where the simulator answers, and the client of its control API."""

    url: str
    control: SimulatorControl

    @property
    def api_url(self) -> str:
        """Base of the Web API."""
        return f"{self.url}/v1"

    @property
    def accounts_url(self) -> str:
        """Base of the accounts service."""
        return self.url

    @property
    def reccobeats_url(self) -> str:
        """Base of ReccoBeats."""
        return f"{self.url}/reccobeats/v1"


class _Server(uvicorn.Server):
    """Tells when it listens, instead of having to be asked again and again."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_ready.set()


@contextmanager
def running_simulator(
    state_dir: Path,
    *,
    catalogue: Catalogue | None = None,
    catalogue_csv: Path | None = None,
    albums: int = 60,
    seed: int = 1,
) -> Iterator[RunningSimulator]:
    """Serve a simulator with its state in ``state_dir`` until the block ends."""
    state = SimulatorState(state_dir, catalogue or open_catalogue(catalogue_csv, albums, seed))
    server = _Server(server_config(create_app(state), "127.0.0.1", 0, "error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="simulator", daemon=True)
    thread.start()
    try:
        if not server.is_ready.wait(_START_SECONDS):
            raise RuntimeError("The simulator did not start.")
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        with SimulatorControl(url) as control:
            yield RunningSimulator(url, control)
    finally:
        server.should_exit = True
        thread.join(_START_SECONDS)
        state.close()

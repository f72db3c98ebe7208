"""``spotify-pipelines serve`` in a process of its own, on any free port, for tests that talk to it.

What belongs here: starting, waiting until it listens, stopping. What does not: what is asked of it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

__all__ = ["TOKEN", "WebServer", "serve"]

TOKEN = "a token that is long enough"
_ROOT = Path(__file__).resolve().parents[2]
_COMMAND = "from spotify_pipelines.cli import main; main()"


@dataclass(frozen=True, slots=True)
class WebServer:
    """A server that listens. ``port`` on 127.0.0.1; ``log`` is its standard error."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, **headers: str) -> httpx.Client:
        """A client that sends ``headers`` with each request and follows no redirect."""
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Structured events of that name in the log, oldest first."""
        lines = (line for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [event for event in map(json.loads, lines) if event.get("event") == name]


@contextmanager
def serve(
    folder: Path, env: Mapping[str, str], *options: str, cwd: Path | None = None
) -> Iterator[WebServer]:
    """Serve with ``options``, configured by ``env`` alone, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    if cwd is None:
        cwd = folder
        shutil.copy(_ROOT / "workspace.yaml", folder)
    log = folder / "serve.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, "serve", "--port", "0", *options],
            cwd=cwd,
            env={**os.environ, "SPOTIFY_PIPELINES_LOG_FORMAT": "json", **env},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            port = re.search(r":(\d+)\s*$", said)
            assert port, f"the server did not start: {said} {log.read_text()[-3000:]}"
            server = WebServer(int(port[1]), log)
            _wait(server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()


@retry(
    stop=stop_after_delay(60),
    wait=wait_fixed(0.1),
    retry=retry_if_exception_type((httpx.TransportError, AssertionError)),
    reraise=True,
)
def _wait(server: WebServer) -> None:
    with server.client() as client:
        assert client.get("/server_info").status_code in (200, 401)

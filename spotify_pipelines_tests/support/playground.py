"""A checkout of its own for a test that runs the product as its user would: commands, .env, servers and all.

What belongs here: the folder, the clean environment, running commands in it, stopping what they started. What
does not: anything a command does.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from spotify_pipelines.simulator.control_client import SimulatorControl

__all__ = ["Playground", "playground"]

_ROOT = Path(__file__).resolve().parents[2]
_FILES = ("workspace.yaml", "dagster.yaml", "pyproject.toml", "examples")


@dataclass(frozen=True, slots=True)
class Playground:
    """A folder that looks like a checkout, with services of its own.

    Attributes:
        env: the environment of commands, as a user has it: nothing of ours exported.
    """

    root: Path
    env: Mapping[str, str]

    def command(self, *words: str) -> list[str]:
        """The full command line of one of the environment's programs (``spotify-pipelines``, ``dagster``)."""
        return [str(Path(sys.executable).parent / words[0]), *words[1:]]

    def run(
        self,
        *words: str,
        check: bool = True,
        input: str | None = None,  # noqa: A002 - as subprocess calls it
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end in the folder; what it printed is in the result, and in the error."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.root,
            env=dict(self.env),
            capture_output=True,
            text=True,
            input=input,
            check=False,
            timeout=500,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    @property
    def dotenv(self) -> dict[str, str | None]:
        """What ``up`` wrote."""
        return dotenv_values(self.root / ".env")

    @property
    def database_url(self) -> str:
        """The application's database."""
        return str(self.dotenv["SPOTIFY_PIPELINES_DATABASE_URL"])

    @property
    def simulator(self) -> SimulatorControl:
        """The simulator's control API."""
        return SimulatorControl(str(self.dotenv["SPOTIFY_PIPELINES_SPOTIFY_ACCOUNTS_URL"]))

    def writes_on_spotify(self) -> list[dict[str, Any]]:
        """Requests that changed, or would have changed, a playlist."""
        return [
            entry
            for entry in self.simulator.ledger()
            if entry["method"] in ("POST", "PUT", "DELETE") and entry["path"].startswith("/v1/")
        ]


@contextmanager
def playground(root: Path) -> Iterator[Playground]:
    """A fresh folder at ``root``; its services are stopped and its data removed at the end."""
    root.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        source = _ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    # dg looks for the package below the project's root.
    (root / "spotify_pipelines").symlink_to(_ROOT / "spotify_pipelines")
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SPOTIFY_PIPELINES_", "DAGSTER_", "PYTEST_", "COV_"))
    }
    here = Playground(root, env)
    try:
        yield here
    finally:
        # Not just the folder below: where root's PostgreSQL could not enter it, its data lie elsewhere.
        here.run("spotify-pipelines", "down", "--remove-data", check=False)
        shutil.rmtree(root / ".state", ignore_errors=True)

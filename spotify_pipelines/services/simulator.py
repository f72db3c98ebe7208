"""The simulator as a supervised service: the sandbox' Spotify, with state that outlives it.

What belongs here: its command line and when it must be restarted.
What does not: the simulator itself (``spotify_pipelines.simulator``), which is only started by name.
"""

import http.client
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from spotify_pipelines.services.errors import ServiceError
from spotify_pipelines.services.files import make_folder
from spotify_pipelines.services.supervisor import LOOPBACK, Record, Service

__all__ = ["Simulator"]


class Simulator(Service):
    """A Spotify that runs on this machine."""

    name = "simulator"
    title = "The Spotify simulator"

    def __init__(
        self,
        state_dir: Path,
        *,
        catalogue: Path | None = None,
        albums: int | None = None,
        seed: int | None = None,
    ) -> None:
        """Without a catalogue and without a size, the one it ran with before stays.

        Raises:
            ServiceError: the catalogue isn't a file, or both a catalogue and a size are asked for.
        """
        super().__init__(state_dir)
        if catalogue and (albums is not None or seed is not None):
            raise ServiceError(
                "A catalogue is either read (--catalogue) or made up (--albums, --seed): name one."
            )
        if catalogue and not catalogue.is_file():
            raise ServiceError(f"There is no catalogue file {catalogue}.")
        self._catalogue = catalogue
        self._albums = albums
        self._seed = seed

    @property
    def version(self) -> str:
        return importlib.metadata.version("spotify-pipelines")

    def options(self, before: Mapping[str, str]) -> Mapping[str, str]:
        if self._catalogue:
            file = self._catalogue.resolve()
            found = file.stat()
            # Size and time are part of it: a catalogue that was edited is another one.
            return {"--catalogue": str(file), "edition": f"{found.st_size} bytes, {found.st_mtime_ns} ns"}
        made_up = {"--albums": self._albums, "--seed": self._seed}
        return {option: str(value) for option, value in made_up.items() if value is not None} or before

    def prepare(self) -> None:
        make_folder(self.home, 0o700)

    def command(self, record: Record) -> list[str | Path]:
        fixed = [sys.executable, "-m", "spotify_pipelines.simulator"]
        place = ["--port", str(record.port), "--state", str(self.data_dir / "state")]
        catalogue = [
            part for key, value in record.options.items() if key.startswith("--") for part in (key, value)
        ]
        return [*fixed, *place, *catalogue]

    def environment(self) -> dict[str, str]:
        # Python finds its packages as the caller does.
        return {**os.environ, "PYTHONUNBUFFERED": "1"}

    def answers(self, port: int) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
        try:
            connection.request("GET", "/_sim/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

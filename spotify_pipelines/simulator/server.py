"""The simulator as a process: uvicorn on one port, one thread, able to cut a connection without an answer."""

from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spotify_pipelines.simulator.app import create_app
from spotify_pipelines.simulator.catalogue import Catalogue, read_catalogue
from spotify_pipelines.simulator.exchange import ABORT
from spotify_pipelines.simulator.state import SimulatorState
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue

__all__ = ["DEFAULT_ALBUMS", "open_catalogue", "serve", "server_config"]

DEFAULT_ALBUMS = 1000


class _CuttingProtocol(HttpToolsProtocol):
    """HTTP over a connection that the application may cut: an ASGI app alone can only answer badly."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]


def open_catalogue(catalogue_csv: Path | None, albums: int = DEFAULT_ALBUMS, seed: int = 0) -> Catalogue:
    """The catalogue from a file, or else an invented one.

    Raises:
        CatalogueError: the file can't be used.
    """
    return read_catalogue(catalogue_csv) if catalogue_csv else SyntheticCatalogue(albums, seed)


def server_config(app: Starlette, host: str, port: int, log_level: str = "warning") -> uvicorn.Config:
    """How uvicorn has to run the application."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_CuttingProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_level=log_level.lower(),
        timeout_graceful_shutdown=2,
    )


def serve(
    host: str,
    port: int,
    *,
    state_path: Path,
    catalogue_csv: Path | None = None,
    albums: int = DEFAULT_ALBUMS,
    seed: int = 0,
    log_level: str = "warning",
) -> None:
    """Serve until a signal comes. ``state_path`` is a folder, created if need be.

    Raises:
        CatalogueError: the catalogue file can't be used.
        StateInUseError: another simulator works on this folder.
    """
    state = SimulatorState(state_path, open_catalogue(catalogue_csv, albums, seed))
    try:
        uvicorn.Server(server_config(create_app(state), host, port, log_level)).run()
    finally:
        state.close()

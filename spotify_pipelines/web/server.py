"""The server behind ``spotify-pipelines serve``: one port, one app, one guard.

What belongs here: putting the parts together and running them until they are stopped. What does not: routes
(``api``), rules (``rules``, ``guard``), and Dagster's own app, which is mounted as it is.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget, WorkspaceLoadTarget
from dagster_webserver.version import __version__ as webserver_version
from dagster_webserver.webserver import DagsterWebserver
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from spotify_pipelines.defs.instance import open_instance
from spotify_pipelines.defs.names import LOCATION_NAME, MODULE
from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.settings import Settings
from spotify_pipelines.web.api import build_api
from spotify_pipelines.web.guard import Guard
from spotify_pipelines.web.openapi import openapi_document
from spotify_pipelines.web.rules import Rules
from spotify_pipelines.web.scraping import metrics_route

__all__ = ["ServeError", "build_app", "serve"]

_UI_POLLS_EVERY_MS = 2000
_STATEMENT_TIMEOUT_MS = 15_000
_POOL_RECYCLE_SECONDS = 3600
_POOL_MAX_OVERFLOW = 20
_GOODBYE_SECONDS = 5


class ServeError(ExplainedError):
    """The server can't listen where it should; the text says why."""


def build_app(workspace: WorkspaceProcessContext, rules: Rules, settings: Settings) -> ASGIApp:
    """Dagster's web app, the jobs API and the metrics beside it, and the guard in front of all."""
    api = build_api(workspace, openapi_document())
    dagster = DagsterWebserver(workspace, live_data_poll_rate=_UI_POLLS_EVERY_MS).create_asgi_app()
    routes = [Mount("/api/v1", api), metrics_route(settings), Mount("/", dagster)]
    inside = Starlette(routes=routes, lifespan=_lifespan)
    return Guard(inside, rules)


def serve(settings: Settings, root: Path, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``on_ready`` is told the address once the port is taken.

    Raises:
        GuardError: the server would stand open to other machines.
        ServeError: the port can't be taken.
        InstanceError: Dagster's instance is not configured or not reachable.
    """
    rules = Rules.for_address(
        settings.web_host,
        settings.web_hosts,
        settings.web_token.get_secret_value() if settings.web_token else None,
        read_only=settings.web_read_only,
    )
    with (
        _listen(settings.web_host, settings.web_port) as listener,
        open_instance() as instance,
        _workspace(instance, root, read_only=settings.web_read_only) as workspace,
    ):
        server = uvicorn.Server(
            uvicorn.Config(
                build_app(workspace, rules, settings),
                log_level="warning",
                timeout_graceful_shutdown=_GOODBYE_SECONDS,
                server_header=False,
            )
        )
        host = f"[{settings.web_host}]" if ":" in settings.web_host else settings.web_host
        on_ready(f"http://{host}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])


def _workspace(instance: dg.DagsterInstance, root: Path, *, read_only: bool) -> WorkspaceProcessContext:
    """What Dagster's own web server opens: the same file, hence the same location name."""
    instance.optimize_for_webserver(_STATEMENT_TIMEOUT_MS, _POOL_RECYCLE_SECONDS, _POOL_MAX_OVERFLOW)
    file = root / "workspace.yaml"
    target: WorkspaceLoadTarget = (
        WorkspaceFileTarget([str(file)])
        if file.is_file()
        else ModuleTarget(
            module_name=MODULE, attribute=None, working_directory=str(root), location_name=LOCATION_NAME
        )
    )
    return WorkspaceProcessContext(
        instance,
        version=webserver_version,
        read_only=read_only,
        workspace_load_target=target,
        code_server_log_level="warning",
    )


def _listen(host: str, port: int) -> socket.socket:
    """Taken before anything slow is started, so that a port in use is said at once."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ServeError(
            f"Can't listen on {host}, port {port}: {error.strerror or error}. Another port: --port, or "
            "SPOTIFY_PIPELINES_WEB_PORT."
        ) from None


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    # At Ctrl-C uvicorn cancels this; what is left to do is done by those who opened it.
    with suppress(asyncio.CancelledError):
        yield

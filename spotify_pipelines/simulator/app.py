"""The ASGI application: all endpoints of the three services, the control API, and answers for everything else."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from spotify_pipelines.simulator import oauth, reccobeats, web_catalogue, web_playlists
from spotify_pipelines.simulator.control import control_routes
from spotify_pipelines.simulator.errors import ApiError
from spotify_pipelines.simulator.exchange import Call, Endpoint, Reply, exchange
from spotify_pipelines.simulator.state import SimulatorState

__all__ = ["create_app"]


def create_app(state: SimulatorState) -> Starlette:
    """The application over ``state``; the caller opens and closes the state."""
    endpoints = (
        *web_catalogue.ENDPOINTS,
        *web_playlists.ENDPOINTS,
        *oauth.ENDPOINTS,
        *reccobeats.ENDPOINTS,
    )
    return Starlette(
        routes=[*control_routes(state), *_service_routes(state, endpoints)],
        middleware=[Middleware(_TrailingSlashes)],
    )


class _TrailingSlashes:
    """``/v1/me/`` is ``/v1/me``: Spotify doesn't mind, and spotipy counts on it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if len(path) > 1 and path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)


def _service_routes(state: SimulatorState, endpoints: Iterable[Endpoint]) -> list[Route]:
    by_path: defaultdict[str, dict[str, Endpoint]] = defaultdict(dict)
    for endpoint in endpoints:
        by_path[endpoint.path][endpoint.method] = endpoint
    # Starlette would answer a wrong method itself, in a style that isn't Spotify's and past the ledger.
    routes = [
        Route(path, _dispatch(state, by_method), methods=list(_METHODS))
        for path, by_method in by_path.items()
    ]
    return [*routes, Route("/{rest:path}", _dispatch(state, {}), methods=list(_METHODS))]


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _dispatch(state: SimulatorState, by_method: dict[str, Endpoint]) -> Callable[[Request], object]:
    strays = {method: _stray(method, is_known_path=bool(by_method)) for method in _METHODS}

    async def respond(request: Request) -> Response:
        return await exchange(state, by_method.get(request.method) or strays[request.method], request)

    return respond


def _stray(method: str, *, is_known_path: bool) -> Endpoint:
    """What answers where there is nothing: it goes by the same rules and into the same ledger."""

    def refuse(_call: Call) -> Reply:
        raise ApiError(405, "Method not allowed") if is_known_path else ApiError(404, "Service not found")

    return Endpoint(method, "(unknown)", refuse, "unknown")

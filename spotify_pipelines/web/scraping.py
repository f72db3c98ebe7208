"""``GET /metrics``: all metrics in Prometheus' text format, for whoever the guard lets through.

What belongs here: the route. What does not: what is counted and how it is written (``observability.scrape``).
"""

from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.observability.scrape import CONTENT_TYPE, prometheus_text
from spotify_pipelines.settings import Settings
from spotify_pipelines.store.database import Database

__all__ = ["metrics_route"]


def metrics_route(settings: Settings) -> Route:
    """The route over the database of the settings' world, which is opened for each scrape: once a minute or so."""

    def text() -> Response:
        try:
            with closing(Database.open(settings)) as database:
                body = prometheus_text(database, settings.world, datetime.now(UTC))
        except ExplainedError as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return Response(body, media_type=CONTENT_TYPE)

    async def metrics(_request: Request) -> Response:
        return await run_in_threadpool(text)

    return Route("/metrics", metrics, methods=["GET"])

"""The jobs API: what runs by itself, and its switch, for dashboards that read it.

What belongs here: two routes, their forms, and errors as JSON. What does not: who may call them (``guard``), and what
they mean to Dagster (``defs.automation``).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from dagster._core.errors import DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.workspace.context import WorkspaceProcessContext
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spotify_pipelines.defs.automation import (
    Automation,
    Switched,
    UnknownAutomationError,
    list_automations,
    switch,
)
from spotify_pipelines.defs.names import LOCATION_NAME

__all__ = ["DEFAULT_RUNS", "MOST_RUNS", "JobList", "Problem", "UpdateRequest", "build_api"]

DEFAULT_RUNS = 5
MOST_RUNS = 50
_LARGEST_BODY = 10_000


@dataclass(frozen=True, slots=True)
class JobList:
    """All schedules and sensors."""

    jobs: list[Automation]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was refused."""

    detail: Annotated[str, Field(description="A sentence: what is wrong, and what to do")]


class UpdateRequest(BaseModel):
    """Which schedule or sensor is to be on or off."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200, description="As in the list")
    running: bool = Field(description="true: on, false: off")


_JOB_LIST = TypeAdapter(JobList)
_SWITCHED = TypeAdapter(Switched)


class _Jobs:
    """The routes over one workspace."""

    def __init__(self, workspace: WorkspaceProcessContext) -> None:
        self._workspace = workspace

    async def list(self, request: Request) -> Response:
        runs = _runs(request)
        return await run_in_threadpool(self._list, runs)

    async def update(self, request: Request) -> Response:
        wanted = await _wanted(request)
        return await run_in_threadpool(self._update, wanted)

    def _list(self, runs: int) -> Response:
        found = list_automations(
            self._workspace.instance, self._repository(), now=datetime.now(UTC), runs=runs
        )
        return JSONResponse(_JOB_LIST.dump_python(JobList(found), mode="json"))

    def _update(self, wanted: UpdateRequest) -> Response:
        try:
            done = switch(
                self._workspace.instance,
                self._repository(),
                wanted.name,
                running=wanted.running,
                by="api",
            )
        except UnknownAutomationError as error:
            raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from None
        return JSONResponse(_SWITCHED.dump_python(done, mode="json"))

    def _repository(self) -> RemoteRepository:
        try:
            with self._workspace.create_request_context() as context:
                location = context.get_code_location(LOCATION_NAME)
                (repository,) = location.get_repositories().values()
                return repository
        except (DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError):
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"The code location '{LOCATION_NAME}' is not loaded. The UI's page 'Deployment' says why.",
            ) from None


def build_api(workspace: WorkspaceProcessContext, document: dict[str, Any]) -> Starlette:
    """The app below ``/api/v1``; ``document`` is its description, which it serves."""
    jobs = _Jobs(workspace)

    async def openapi(_request: Request) -> Response:
        return JSONResponse(document)

    return Starlette(
        routes=[
            Route("/jobs/list", jobs.list, methods=["GET"]),
            Route("/jobs/update", jobs.update, methods=["POST"]),
            Route("/openapi.json", openapi, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _problem},
    )


def _runs(request: Request) -> int:
    values = request.query_params.getlist("runs")
    text = values[-1] if values else str(DEFAULT_RUNS)
    if text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= MOST_RUNS:
        return int(text)
    raise _wrong(f"runs: write a number from 0 to {MOST_RUNS}")


async def _wanted(request: Request) -> UpdateRequest:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON, with 'Content-Type: application/json'."
        )
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_BODY:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {_LARGEST_BODY} bytes."
            )
    try:
        return UpdateRequest.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise _wrong(f"{field}: {first['msg']}") from None


def _wrong(detail: str) -> HTTPException:
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    return JSONResponse({"detail": error.detail}, error.status_code, dict(error.headers or {}))

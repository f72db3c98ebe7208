"""The published description of the jobs API, made of the very types that the routes read and write.

``python -m spotify_pipelines.web.openapi`` prints it: that is docs/jobs-api.openapi.json.
"""

import json
import sys
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from spotify_pipelines.defs.automation import Switched
from spotify_pipelines.web.api import DEFAULT_RUNS, MOST_RUNS, JobList, Problem, UpdateRequest
from spotify_pipelines.web.guard import COOKIE

__all__ = ["openapi_document"]

_REF = "#/components/schemas/{model}"


def openapi_document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    forms: list[TypeAdapter[Any]] = [TypeAdapter(each) for each in (JobList, Switched, Problem)]
    _, schemas = TypeAdapter.json_schemas(
        [(number, "serialization", form) for number, form in enumerate(forms)], ref_template=_REF
    )
    _, requests = models_json_schema([(UpdateRequest, "validation")], ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Jobs API of spotify-pipelines",
            "version": "1",
            "description": (
                "What runs by itself (schedules and sensors), and its switch. Served by `spotify-pipelines serve` "
                "beside Dagster's UI. Times are UTC (RFC 3339)."
            ),
        },
        "servers": [{"url": "/api/v1"}],
        # Without a token the server listens on loopback only, and asks for none.
        "security": [{}, {"bearer": []}, {"cookie": []}],
        "paths": {
            "/jobs/list": {"get": _list()},
            "/jobs/update": {"post": _update()},
        },
        "components": {
            "schemas": dict(sorted({**schemas["$defs"], **requests["$defs"]}.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "SPOTIFY_PIPELINES_WEB_TOKEN"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "By signing in"},
            },
        },
    }


def _list() -> dict[str, Any]:
    return {
        "operationId": "listJobs",
        "summary": "All schedules and sensors, with their last runs",
        "parameters": [
            {
                "name": "runs",
                "in": "query",
                "description": "How many of the last runs of each",
                "schema": {"type": "integer", "minimum": 0, "maximum": MOST_RUNS, "default": DEFAULT_RUNS},
            }
        ],
        "responses": {
            "200": _answer("The list", "JobList"),
            **_problems(401, 403, 422, 503),
        },
    }


def _update() -> dict[str, Any]:
    return {
        "operationId": "updateJob",
        "summary": "Switch a schedule or sensor on or off",
        "description": (
            "Idempotent: what stands so already is left alone, and `changed` is false. Each call is recorded as an "
            "event in the server's log."
        ),
        "requestBody": {"required": True, "content": _json("UpdateRequest")},
        "responses": {
            "200": _answer("How it stands now", "Switched"),
            **_problems(401, 403, 404, 413, 415, 422, 503),
        },
    }


_REASONS = {
    401: "The server asks for a token",
    403: "Another host name or origin than the server's own, or the server is read-only",
    404: "There is no schedule or sensor of that name",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "A value is missing, unknown or out of range",
    503: "Dagster could not load the code location",
}


def _problems(*statuses: int) -> dict[str, Any]:
    return {str(status): _answer(_REASONS[status], "Problem") for status in statuses}


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": _json(schema)}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=schema)}}}


if __name__ == "__main__":
    json.dump(openapi_document(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")

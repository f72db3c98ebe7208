"""The jobs API against its own published description, with whatever schemathesis thinks of, over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from spotify_pipelines_tests.support.web import WebServer

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "jobs-api.openapi.json"
SCHEMA = schemathesis.openapi.from_dict(json.loads(PUBLISHED.read_text()))
OPERATIONS = {each.ok().label: each.ok() for each in SCHEMA.get_all_operations() if isinstance(each, Ok)}
SWITCHED = ("metrics_snapshot_schedule", "albums_queued")


def test_every_route_is_fuzzed() -> None:
    assert set(OPERATIONS) == {"GET /jobs/list", "POST /jobs/update"}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_one_that_the_description_promises(
    server: WebServer, label: str, mode: GenerationMode
) -> None:
    """No 5xx, no undocumented status, media type or form; what breaks the description is refused."""

    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=f"{server.url}/api/v1", timeout=60)

    ask()


@pytest.mark.parametrize("name", SWITCHED)
def test_a_known_name_is_switched_and_the_answer_has_the_promised_form(server: WebServer, name: str) -> None:
    operation = OPERATIONS["POST /jobs/update"]
    for running in (False, True):
        case = operation.Case(body={"name": name, "running": running}, media_type="application/json")
        assert case.call_and_validate(base_url=f"{server.url}/api/v1", timeout=60).status_code == 200

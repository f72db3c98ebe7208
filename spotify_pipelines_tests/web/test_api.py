"""The jobs API over HTTP, beside Dagster's UI on the same instance."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from spotify_pipelines.definitions import definitions
from spotify_pipelines.defs.automation import open_automations
from spotify_pipelines.defs.schedules import CADENCE
from spotify_pipelines.web.openapi import openapi_document
from spotify_pipelines_tests.support.dagster import DagsterHome
from spotify_pipelines_tests.support.web import WebServer

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "jobs-api.openapi.json"
SCHEDULE = "metrics_snapshot_schedule"
SENSOR = "albums_queued"


@pytest.fixture
def instance(
    home: DagsterHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dg.DagsterInstance]:
    """The server's instance, opened here as well, and in no checkout: its .env is the user's."""
    monkeypatch.chdir(tmp_path)
    for name, value in home.env.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as instance:
        yield instance


def listed(server: WebServer, **params: str) -> dict[str, dict[str, Any]]:
    with server.client() as client:
        answer = client.get("/api/v1/jobs/list", params=params)
    assert answer.status_code == 200, server.log.read_text()[-2000:]
    return {job["name"]: job for job in answer.json()["jobs"]}


def update(server: WebServer, name: str, running: object) -> tuple[int, dict[str, Any]]:
    with server.client() as client:
        answer = client.post("/api/v1/jobs/update", json={"name": name, "running": running})
    return answer.status_code, answer.json()


def in_ui(server: WebServer, name: str) -> str:
    """The state of a schedule or sensor as Dagster's UI shows it."""
    with server.client() as client:
        answer = client.post(
            "/graphql",
            json={
                "query": """query($s: InstigationSelector!) {
                    instigationStateOrError(instigationSelector: $s) { ... on InstigationState { status } } }""",
                "variables": {
                    "s": {
                        "repositoryName": "__repository__",
                        "repositoryLocationName": "spotify_pipelines",
                        "name": name,
                    }
                },
            },
        )
    return str(answer.json()["data"]["instigationStateOrError"]["status"])


def switch_in_ui(server: WebServer, name: str, *, running: bool) -> None:
    """Switch a schedule as the UI does."""
    ours = {"repositoryName": "__repository__", "repositoryLocationName": "spotify_pipelines"}
    with server.client() as client:
        if running:
            query = "mutation($s: ScheduleSelector!) { startSchedule(scheduleSelector: $s) { __typename } }"
            client.post("/graphql", json={"query": query, "variables": {"s": {**ours, "scheduleName": name}}})
            return
        found = client.post(
            "/graphql",
            json={
                "query": """query($s: ScheduleSelector!) { scheduleOrError(scheduleSelector: $s) {
                    ... on Schedule { scheduleState { id } } } }""",
                "variables": {"s": {**ours, "scheduleName": name}},
            },
        ).json()
        query = "mutation($id: String!) { stopRunningSchedule(id: $id) { __typename } }"
        state = found["data"]["scheduleOrError"]["scheduleState"]["id"]
        client.post("/graphql", json={"query": query, "variables": {"id": state}})


def test_the_list_has_every_schedule_and_sensor(server: WebServer) -> None:
    repository = definitions().get_repository_def()
    jobs = listed(server)
    assert {name for name, job in jobs.items() if job["kind"] == "schedule"} == {
        each.name for each in repository.schedule_defs
    }
    assert {name for name, job in jobs.items() if job["kind"] == "sensor"} == {
        each.name for each in repository.sensor_defs
    }
    assert all(job["description"] for job in jobs.values())


def test_a_schedule_says_when_and_what_and_runs_by_its_default(server: WebServer) -> None:
    job = listed(server)["refresh_tokens_schedule"]
    assert (job["job"], job["cron"], job["zone"]) == ("refresh_tokens", CADENCE["refresh_tokens"], "UTC")
    assert job["running"] is True
    ahead = datetime.fromisoformat(job["next_tick"]) - datetime.now(UTC)
    assert timedelta(minutes=-1) < ahead <= timedelta(minutes=30)


def test_a_sensor_says_how_often_it_looks(server: WebServer) -> None:
    job = listed(server)["tokens_expiring"]
    assert (job["kind"], job["job"], job["every_seconds"]) == ("sensor", "refresh_tokens", 240)
    assert (job["cron"], job["zone"]) == (None, None)


@pytest.mark.parametrize("name", [SCHEDULE, SENSOR])
def test_a_switch_is_idempotent_and_the_ui_shows_it(server: WebServer, name: str) -> None:
    assert update(server, name, False)[1]["changed"] is True
    assert listed(server)[name]["running"] is False
    assert listed(server)[name]["next_tick"] is None
    assert in_ui(server, name) == "STOPPED"
    assert update(server, name, False) == (200, update(server, name, False)[1])
    assert update(server, name, False)[1]["changed"] is False
    assert update(server, name, True)[1]["changed"] is True
    assert update(server, name, True)[1]["changed"] is False
    assert in_ui(server, name) == "RUNNING"
    assert listed(server)[name]["running"] is True


def test_what_the_ui_switches_the_api_shows(server: WebServer) -> None:
    name = "scale_playlists_daily_schedule"
    switch_in_ui(server, name, running=False)
    assert listed(server)[name]["running"] is False
    switch_in_ui(server, name, running=True)
    assert listed(server)[name]["running"] is True


def test_a_switch_in_a_process_of_ours_is_the_same_switch(
    server: WebServer, instance: dg.DagsterInstance
) -> None:
    name = "fetch_audio_features_schedule"
    with open_automations() as ours:
        assert ours.switch(name, running=False, by="cli").changed
        assert in_ui(server, name) == "STOPPED"
        assert update(server, name, True)[1]["changed"] is True
        assert {each.name: each.running for each in ours.list()}[name] is True


def test_each_switch_is_recorded_as_an_event(server: WebServer) -> None:
    update(server, SCHEDULE, True)
    event = server.events("automation.switched")[-1]
    assert (event["name"], event["running"], event["changed"], event["by"]) == (SCHEDULE, True, False, "api")


def test_an_unknown_name_is_404_and_a_job_is_pointed_to_its_starters(server: WebServer) -> None:
    assert update(server, "moon", True)[0] == 404
    status, answer = update(server, "refresh_tokens", False)
    assert status == 404
    assert "refresh_tokens_schedule and tokens_expiring" in answer["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"name": "x"}', "running"),
        ('{"running": true}', "name"),
        ('{"name": "x", "running": "true"}', "running"),
        ('{"name": "x", "running": 1}', "running"),
        ('{"name": 7, "running": true}', "name"),
        ('{"name": "", "running": true}', "name"),
        ('{"name": "x", "running": true, "force": true}', "force"),
        ("[]", "body"),
        ("{", "body"),
        ("", "body"),
    ],
)
def test_a_body_that_does_not_fit_is_422_and_names_the_field(
    server: WebServer, body: str, field: str
) -> None:
    with server.client() as client:
        answer = client.post(
            "/api/v1/jobs/update", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{field}: ")


@pytest.mark.parametrize("runs", ["-1", "51", "x", "", "1.5", "00000051"])
def test_a_number_of_runs_out_of_range_is_422(server: WebServer, runs: str) -> None:
    with server.client() as client:
        assert client.get("/api/v1/jobs/list", params={"runs": runs}).status_code == 422


def test_other_media_types_large_bodies_methods_and_paths_are_refused(server: WebServer) -> None:
    with server.client() as client:
        assert client.post("/api/v1/jobs/update", data={"name": SCHEDULE}).status_code == 415
        large = {"name": "x" * 20_000, "running": True}
        assert client.post("/api/v1/jobs/update", json=large).status_code == 413
        assert client.get("/api/v1/jobs/update").status_code == 405
        assert client.get("/api/v1/jobs/update").headers["allow"] == "POST"
        assert client.get("/api/v1/jobs").status_code == 404
        assert "json" in client.get("/api/v1/jobs").headers["content-type"]


def test_the_last_runs_stand_with_their_schedule_newest_first(
    server: WebServer, instance: dg.DagsterInstance
) -> None:
    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        if context.run_tags.get("fail"):
            raise ValueError("as asked")

    @dg.job(name="refresh_tokens")
    def job() -> None:
        work()

    started = {"dagster/schedule_name": "refresh_tokens_schedule"}
    first, failed = (
        job.execute_in_process(instance=instance, raise_on_error=False, tags=tags).run_id
        for tags in (started, {**started, "fail": "yes"})
    )
    by_sensor = job.execute_in_process(
        instance=instance, tags={"dagster/sensor_name": "tokens_expiring"}
    ).run_id
    jobs = listed(server)
    runs = jobs["refresh_tokens_schedule"]["last_runs"]
    assert [(run["run_id"], run["status"]) for run in runs] == [(failed, "failure"), (first, "success")]
    assert all(run["duration_seconds"] > 0 for run in runs)
    assert [run["run_id"] for run in jobs["tokens_expiring"]["last_runs"]] == [by_sensor]
    assert len(listed(server, runs="1")["refresh_tokens_schedule"]["last_runs"]) == 1
    assert listed(server, runs="0")["refresh_tokens_schedule"]["last_runs"] == []


def test_the_published_description_is_the_one_that_is_served(server: WebServer) -> None:
    with server.client() as client:
        assert client.get("/api/v1/openapi.json").json() == openapi_document()
    regenerate = "python -m spotify_pipelines.web.openapi > docs/jobs-api.openapi.json"
    assert json.loads(PUBLISHED.read_text()) == openapi_document(), regenerate


def test_dagsters_own_ui_is_there_with_its_pages_and_its_graphql(server: WebServer) -> None:
    with server.client(Accept="text/html") as client:
        for page in ("/", "/automation", "/runs"):
            assert "<div id=" in client.get(page).text
    with server.client() as client:
        assert client.get("/graphql", params={"query": "{ version }"}).json()["data"]["version"]

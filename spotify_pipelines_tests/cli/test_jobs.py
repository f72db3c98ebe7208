"""``jobs list | history | start | stop | run`` as a person or a script meets them, on a real instance."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from typer.testing import CliRunner, Result

from spotify_pipelines.cli.root import build_app
from spotify_pipelines.definitions import definitions
from spotify_pipelines.defs.launch import LaunchError, narrowed_config
from spotify_pipelines.store.tables import Account, SpotifyApp
from spotify_pipelines_tests.support.dagster import DagsterHome
from spotify_pipelines_tests.support.databases import open_database

COMMAND = [sys.executable, "-c", "from spotify_pipelines.cli import main; main()", "jobs"]


@pytest.fixture(autouse=True)
def environment(
    dagster_home: DagsterHome, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", database_url)
    # Not in a checkout: its .env would be exported, and is the user's.
    monkeypatch.chdir(tmp_path)


def jobs(*words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(build_app(), ["jobs", *words], input=given, catch_exceptions=False)


def listed() -> dict[str, dict[str, Any]]:
    return {job["name"]: job for job in json.loads(jobs("list", "--json").stdout)["jobs"]}


def test_a_schedule_is_stopped_and_started_and_the_list_says_so() -> None:
    name = "metrics_snapshot_schedule"
    assert listed()[name]["running"] is True
    assert jobs("stop", name).stdout == f"The schedule {name} is off.\n"
    assert jobs("stop", name).stdout == f"{name} is off already.\n"
    assert listed()[name]["running"] is False
    assert json.loads(jobs("start", name, "--json").stdout)["changed"] is True
    shown = next(line for line in jobs("list").stdout.splitlines() if line.startswith(name))
    assert shown.split()[1:8] == ["metrics_snapshot", "0", "*", "*", "*", "*", "yes"]


def test_a_name_that_is_none_is_refused_with_what_comes_near() -> None:
    refused = jobs("stop", "refresh_tokens")
    assert refused.exit_code == 2
    assert "refresh_tokens_schedule and tokens_expiring" in refused.stderr


def test_a_run_is_done_and_stands_in_the_history(database_url: str) -> None:
    done = jobs("run", "scale_playlists_daily", "--json")
    assert done.exit_code == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    assert (run["job_name"], run["status"], run["trigger"]) == ("scale_playlists_daily", "success", "cli")
    assert run["counts"]["playlist_plan"]["failed"] == 0
    (kept,) = json.loads(jobs("history", "--json", "--trigger", "cli").stdout)["runs"]
    assert (kept["run_id"], kept["status"]) == (run["run_id"], "success")
    assert kept["duration_seconds"] > 0
    assert run["run_id"] in jobs("history", "--days", "1").stdout
    assert run["run_id"] not in jobs("history", "--status", "failure").stdout


def test_runs_that_nobody_wrote_down_are_in_the_history_too(instance: dg.DagsterInstance) -> None:
    @dg.op
    def work() -> None: ...

    @dg.job(name="nightly")
    def job() -> None:
        work()

    run_id = job.execute_in_process(instance=instance).run_id
    assert [run["run_id"] for run in json.loads(jobs("history", "--json").stdout)["runs"]] == [run_id]


def test_a_failed_run_says_why_and_ends_with_three(database_url: str) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        session.execute(text("ALTER TABLE policies RENAME TO mislaid"))
    failed = jobs("run", "scale_playlists_daily")
    assert failed.exit_code == 3
    assert "UndefinedTable" in failed.stderr
    assert "failure" in failed.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("moon",), "There is no job 'moon'"),
        (("scale_playlists_daily", "--config", "-"), "does not fit, at"),
        (("scale_playlists_daily", "--account", "nobody"), "There is no account 'nobody'"),
        (("build_playlist_snapshot", "--playlist", "7"), "There is no playlist '7'"),
        (("scale_playlists_daily", "--config", "no-such-file"), "can't be read"),
        (("scale_playlists_daily", "--limit", "0"), "--limit"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(words: tuple[str, ...], said: str) -> None:
    refused = jobs("run", *words, given="ops: {playlist_plan: {config: {limitt: 3}}}")
    assert refused.exit_code == 2, refused.stdout + refused.stderr
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


@retry(
    stop=stop_after_delay(60),
    wait=wait_fixed(0.1),
    retry=retry_if_exception_type(AssertionError),
    reraise=True,
)
def wait_for_lock(database_url: str) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        assert session.scalar(text(blocked)), "the run has not come to the locked table yet"


def test_ctrl_c_ends_a_run_as_canceled(database_url: str, instance: dg.DagsterInstance) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        session.execute(text("LOCK TABLE policies"))
        process = subprocess.Popen(
            [*COMMAND, "run", "scale_playlists_daily", "--json"],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for_lock(database_url)
            process.send_signal(signal.SIGINT)
            said, complained = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130, complained
    assert json.loads(said)["run"]["status"] == "canceled"
    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.CANCELED]
    assert "Traceback" not in complained


def test_fields_that_narrow_go_to_every_asset_that_knows_them_and_spare_other_config() -> None:
    job = definitions().resolve_job_def("reshuffle_due_playlists")
    given = {"ops": {"playlist_snapshots": {"config": {"force": True}}}, "loggers": {}}
    assert narrowed_config(job, given, {"playlist_ids": [7], "limit": 2}) == {
        "ops": {
            "playlist_snapshots": {"config": {"force": True, "playlist_ids": [7], "limit": 2}},
            "spotify_playlists": {"config": {"playlist_ids": [7], "limit": 2}},
        },
        "loggers": {},
    }
    with pytest.raises(LaunchError, match="no 'moon'"):
        narrowed_config(job, {}, {"moon": True})


@pytest.mark.parametrize(
    ("name", "narrow", "said"),
    [
        ("metrics_snapshot", {"limit": 3}, "has no 'limit' to be narrowed by"),
        ("nightly", {"dry_run": True}, "a dry run is for jobs with one asset"),
        ("refresh_tokens", {"policy": "x"}, "It knows: account_ids, dry_run, force, limit"),
    ],
)
def test_a_job_is_not_narrowed_by_what_it_does_not_know(name: str, narrow: dict[str, Any], said: str) -> None:
    with pytest.raises(LaunchError, match=said):
        narrowed_config(definitions().resolve_job_def(name), {}, narrow)


def test_an_account_is_narrowed_to_by_its_name(database_url: str) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        app = SpotifyApp(name="studio", client_id="c")
        session.add(app)
        session.flush()
        session.add(
            Account(app_id=app.id, name="Harbour", spotify_user_id="harbour", refresh_token=b"sealed")
        )
    done = jobs("run", "scale_playlists_daily", "--account", "Harbour", "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["run"]["counts"] is None

"""Job history: complete, whoever was away, and written once."""

from collections.abc import Iterator

import dagster as dg
import pytest
from sqlalchemy import select

from spotify_pipelines.defs.history import reconcile_job_history
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.tables import JobRun


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(create_database_engine(database_url))
    yield database
    database.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run(
    instance: dg.DagsterInstance, name: str, *, error: str | None = None, tags: dict[str, str] | None = None
) -> str:
    """Run a job of that name to its end; its run id."""

    @dg.op
    def work() -> None:
        if error:
            raise ValueError(error)

    @dg.job(name=name)
    def job() -> None:
        work()

    return job.execute_in_process(instance=instance, raise_on_error=False, tags=tags).run_id


def history(database: Database) -> dict[str, JobRun]:
    with database.transaction() as session:
        return {run.run_id: run for run in session.scalars(select(JobRun))}


def test_a_finished_run_is_written_with_its_times(instance: dg.DagsterInstance, database: Database) -> None:
    run_id = run(instance, "nightly")
    assert reconcile_job_history(instance, database) == 1
    written = history(database)[run_id]
    assert (written.job_name, written.status, written.error) == ("nightly", "success", None)
    assert written.started_at is not None
    assert written.finished_at is not None
    assert written.duration_seconds == (written.finished_at - written.started_at).total_seconds()


def test_a_failed_run_keeps_the_first_line_of_its_error(
    instance: dg.DagsterInstance, database: Database
) -> None:
    run_id = run(instance, "refresh_tokens", error="the disk is full\nand more")
    reconcile_job_history(instance, database)
    written = history(database)[run_id]
    assert written.status == "failure"
    assert written.error == "ValueError: the disk is full"


def test_no_secret_is_kept_with_an_error(instance: dg.DagsterInstance, database: Database) -> None:
    run_id = run(instance, "nightly", error="refused: Bearer BQabcdefghijklmnop of redis://:hush-hush@cache")
    reconcile_job_history(instance, database)
    kept = str(history(database)[run_id].error)
    assert kept.startswith("ValueError: refused")
    assert "BQabcdef" not in kept
    assert "hush-hush" not in kept


def test_runs_that_nobody_watched_are_found_later(instance: dg.DagsterInstance, database: Database) -> None:
    missed = {run(instance, "metrics_snapshot") for _ in range(3)}
    assert reconcile_job_history(instance, database) == 3
    assert set(history(database)) == missed


def test_reconciling_again_writes_nothing(instance: dg.DagsterInstance, database: Database) -> None:
    run(instance, "nightly")
    reconcile_job_history(instance, database)
    before = history(database)
    assert reconcile_job_history(instance, database) == 0
    assert history(database).keys() == before.keys()


def test_jobs_of_other_code_locations_are_left_out(instance: dg.DagsterInstance, database: Database) -> None:
    run(instance, "somebody_elses_job")
    assert reconcile_job_history(instance, database) == 0
    assert history(database) == {}


@pytest.mark.parametrize(
    ("tags", "trigger"),
    [
        ({"dagster/schedule_name": "nightly_schedule"}, "schedule"),
        ({"dagster/sensor_name": "albums_queued"}, "sensor"),
        ({"spotify_pipelines/trigger": "cli"}, "cli"),
        ({}, "cli"),
    ],
)
def test_the_trigger_is_told_from_the_tags(
    instance: dg.DagsterInstance, database: Database, tags: dict[str, str], trigger: str
) -> None:
    run_id = run(instance, "nightly", tags=tags)
    reconcile_job_history(instance, database)
    assert history(database)[run_id].trigger == trigger

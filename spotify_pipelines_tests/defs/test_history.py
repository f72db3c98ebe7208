"""Job history: complete, whoever was away, and written once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from spotify_pipelines.defs import history as history_module
from spotify_pipelines.defs.history import reconcile_job_history
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.job_history import find_runs
from spotify_pipelines.store.tables import JobRun
from spotify_pipelines_tests.support.dagster import DagsterHome


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(create_database_engine(database_url))
    yield database
    database.close()


def run(
    instance: dg.DagsterInstance,
    name: str,
    *,
    error: str | None = None,
    tags: dict[str, str] | None = None,
    figures: dict[str, int] | None = None,
) -> str:
    """Run a job of that name to its end; its run id."""

    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        if figures:
            context.log_event(dg.AssetMaterialization("albums", metadata={**figures, "note": "a text"}))
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


def test_a_run_keeps_what_its_assets_counted(instance: dg.DagsterInstance, database: Database) -> None:
    run_id = run(instance, "nightly", figures={"requested": 60, "changed": 58, "failed": 2, "albums": 7})
    reconcile_job_history(instance, database)
    assert history(database)[run_id].counts == {"albums": {"requested": 60, "changed": 58, "failed": 2}}


def test_a_run_that_reports_nothing_has_no_counts(instance: dg.DagsterInstance, database: Database) -> None:
    run_id = run(instance, "nightly")
    reconcile_job_history(instance, database)
    assert history(database)[run_id].counts is None


def test_an_old_run_that_ends_late_is_written_though_newer_ones_were(
    instance: dg.DagsterInstance, database: Database
) -> None:
    old = instance.create_run_for_job(_job("nightly"))
    run(instance, "nightly")
    reconcile_job_history(instance, database)
    instance.report_run_canceled(old)
    reconcile_job_history(instance, database)
    assert history(database)[old.run_id].status == "canceled"


def test_nothing_is_missed_when_writing_broke_in_the_middle(
    instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs are made in one order and end in another; writing fails half way; hours later it goes on."""
    monkeypatch.setattr(history_module, "_PAGE", 2)
    jobs = ["nightly", "refresh_tokens", "metrics_snapshot", "fetch_audio_features", "nightly"]
    ids = [run(instance, job) for job in jobs]
    order = [4, 0, 3, 1, 2]
    start = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=2)
    for hours, which in enumerate(order):
        _store(instance, ids[which], update_timestamp=start + timedelta(hours=hours))
    refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$"
    trigger = (
        "CREATE TRIGGER refuse BEFORE INSERT ON job_history FOR EACH ROW "
        "WHEN (NEW.job_name = 'fetch_audio_features') EXECUTE FUNCTION refuse()"
    )
    with database.transaction() as session:
        session.execute(text(refuse))
        session.execute(text(trigger))
    with pytest.raises(DBAPIError, match="disk full"):
        reconcile_job_history(instance, database)
    assert set(history(database)) == {ids[4], ids[0]}
    with database.transaction() as session:
        session.execute(text("DROP TRIGGER refuse ON job_history"))
    assert reconcile_job_history(instance, database) == 3
    assert set(history(database)) == set(ids)


def test_more_runs_of_one_moment_than_fit_a_page_are_all_written(
    instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_PAGE", 2)
    ids = [instance.create_run_for_job(_job("nightly")).run_id for _ in range(5)]
    moment = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
    for run_id in ids:
        _store(instance, run_id, update_timestamp=moment)
    assert reconcile_job_history(instance, database) == 5
    assert set(history(database)) == set(ids)


def test_a_tick_with_too_much_to_do_leaves_the_rest_to_the_next(
    instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_PAGE", 2)
    for hours in range(5):
        made = instance.create_run_for_job(_job("nightly")).run_id
        moment = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=9 - hours)
        _store(instance, made, update_timestamp=moment)
    assert [reconcile_job_history(instance, database, at_most=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_server_on_local_time_shifts_no_time_and_hides_no_run(
    dagster_home: DagsterHome, database: Database, instance: dg.DagsterInstance
) -> None:
    """Left to itself, Dagster would store Auckland's time as if it were UTC: half a day ahead."""
    with psycopg.connect(dagster_home.url.replace("+psycopg", ""), autocommit=True) as connection:
        name = dagster_home.url.rpartition("/")[2]
        connection.execute(f"ALTER DATABASE {name} SET timezone TO 'Pacific/Auckland'")
    waiting = instance.create_run_for_job(_job("nightly"))
    reconcile_job_history(instance, database)
    written = history(database)[waiting.run_id]
    assert written.status == "not_started"
    assert written.queued_at is not None
    assert abs(datetime.now(UTC) - written.queued_at) < timedelta(hours=1)
    done = run(instance, "nightly")
    instance.report_run_canceled(waiting)
    reconcile_job_history(instance, database)
    assert {done: "success", waiting.run_id: "canceled"} == {
        run_id: written.status for run_id, written in history(database).items()
    }


def test_runs_of_the_other_world_are_left_out(instance: dg.DagsterInstance, database: Database) -> None:
    run(instance, "nightly", tags={"spotify_pipelines/world": "live"})
    mine = run(instance, "nightly", tags={"spotify_pipelines/world": "sandbox"})
    reconcile_job_history(instance, database)
    assert set(history(database)) == {mine}


def test_runs_are_found_by_job_status_and_trigger(instance: dg.DagsterInstance, database: Database) -> None:
    failed = run(instance, "refresh_tokens", error="no network")
    timed = run(instance, "nightly", tags={"dagster/schedule_name": "s"})
    reconcile_job_history(instance, database)
    with database.transaction() as session:
        assert [found.run_id for found in find_runs(session)] == [timed, failed]
        assert [found.run_id for found in find_runs(session, limit=1)] == [timed]
        assert [found.run_id for found in find_runs(session, status="failure")] == [failed]
        assert [found.run_id for found in find_runs(session, job="nightly", trigger="schedule")] == [timed]
        assert find_runs(session, since=datetime.now(UTC) + timedelta(hours=1)) == []


def _job(name: str) -> dg.JobDefinition:
    @dg.op
    def work() -> None: ...

    @dg.job(name=name)
    def job() -> None:
        work()

    return job


def _store(instance: dg.DagsterInstance, run_id: str, **values: object) -> None:
    """Change a run in the storage, as another machine with another clock would have."""
    storage = instance.run_storage
    with storage.connect() as connection:  # type: ignore[attr-defined]
        names = ", ".join(f"{name} = :{name}" for name in values)
        connection.execute(
            text(f"UPDATE runs SET {names} WHERE run_id = :run_id"), {**values, "run_id": run_id}
        )


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

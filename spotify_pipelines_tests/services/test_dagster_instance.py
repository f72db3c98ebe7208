"""The shipped dagster.yaml makes an instance on PostgreSQL that keeps what runs tell it."""

from pathlib import Path

from spotify_pipelines import services
from spotify_pipelines.services.dagster_home import refresh_dagster_home
from spotify_pipelines_tests.services.conftest import REPOSITORY, python
from spotify_pipelines_tests.support.services import fresh_database

RUN = """
import dagster as dg

@dg.op
def speak(context):
    context.log.info("kept in PostgreSQL")

@dg.job
def smallest():
    speak()

with dg.DagsterInstance.get() as instance:
    assert instance.is_persistent
    assert not instance.telemetry_enabled and not instance.nux_enabled
    assert instance.run_monitoring_enabled and not instance.run_retries_max_retries == 0
    assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
    assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 4
    assert smallest.execute_in_process(instance=instance).success

with dg.DagsterInstance.get() as instance:
    (run,) = instance.get_runs()
    print(run.job_name, run.status.value, type(instance.event_log_storage).__name__)
    print(any(entry.user_message == "kept in PostgreSQL" for entry in instance.all_logs(run.run_id)))
"""


def test_an_instance_from_the_shipped_file_runs_a_job_and_keeps_its_events(
    services_endpoints: services.Endpoints, tmp_path: Path
) -> None:
    server = services_endpoints.postgres
    assert server
    with fresh_database(services_endpoints) as url:
        home = refresh_dagster_home(tmp_path, REPOSITORY)
        environment = {
            "PATH": "/usr/bin:/bin",
            "DAGSTER_HOME": str(home),
            "DAGSTER_POSTGRES_HOST": server.host,
            "DAGSTER_POSTGRES_PORT": str(server.port),
            "DAGSTER_POSTGRES_USER": server.user,
            "DAGSTER_POSTGRES_PASSWORD": server.password,
            "DAGSTER_POSTGRES_DB": url.rpartition("/")[2],
        }
        done = python(RUN, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["smallest SUCCESS PostgresEventLogStorage", "True"]


def test_the_home_follows_the_checkout_and_a_left_over_file_gives_way(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for root in (first, second):
        root.mkdir()
        (root / "dagster.yaml").write_text(f"# {root.name}\n")
    home = refresh_dagster_home(tmp_path / "state", first)
    assert (home / "dagster.yaml").read_text() == "# first\n"
    (first / "dagster.yaml").write_text("# edited\n")
    assert (home / "dagster.yaml").read_text() == "# edited\n"
    assert refresh_dagster_home(tmp_path / "state", second) == home
    assert (home / "dagster.yaml").read_text() == "# second\n"
    (home / "dagster.yaml").unlink()
    (home / "dagster.yaml").write_text("# an old copy\n")
    refresh_dagster_home(tmp_path / "state", second)
    assert (home / "dagster.yaml").read_text() == "# second\n"

"""The weekly cleaning on a real instance: old runs of frequent jobs go, what somebody still looks at stays."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from spotify_pipelines.defs import maintenance
from spotify_pipelines.defs.history import reconcile_job_history
from spotify_pipelines.defs.maintenance import build_maintenance_job, prune_runs
from spotify_pipelines.defs.names import WORLD_TAG
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.settings import Settings, World
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import (
    Account,
    AccountEvent,
    ApiCalls,
    Base,
    Cooldown,
    JobRun,
    MetricSnapshot,
    Playlist,
    PlaylistHistory,
    PlaylistSnapshot,
    PlaylistSnapshotTrack,
    Policy,
    SpotifyApp,
    SyncIntent,
)
from spotify_pipelines_tests.support.databases import open_database

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SANDBOX = {WORLD_TAG: "sandbox"}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        yield database


@pytest.fixture(autouse=True)
def few_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run of each job stays whatever its age, so that a handful of runs is enough for a test."""
    monkeypatch.setattr(maintenance, "_NEWEST", 1)


def run(instance: dg.DagsterInstance, name: str, tags: dict[str, str] = SANDBOX, fails: bool = False) -> str:
    """Run a job of that name to its end; its run id."""

    @dg.op
    def work() -> None:
        if fails:
            raise ValueError

    @dg.job(name=name)
    def job() -> None:
        work()

    return job.execute_in_process(instance=instance, raise_on_error=False, tags=tags).run_id


def materialize(instance: dg.DagsterInstance, job_name: str, asset_name: str) -> str:
    @dg.asset(name=asset_name)
    def body() -> None: ...

    job = dg.define_asset_job(job_name, [body], tags=SANDBOX)
    found = dg.Definitions([body], jobs=[job]).resolve_job_def(job_name)
    return found.execute_in_process(instance=instance).run_id


def left(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def later() -> datetime:
    return datetime.now(UTC) + timedelta(days=30)


def test_old_runs_of_frequent_jobs_go_with_their_events(
    instance: dg.DagsterInstance, database: Database
) -> None:
    old = [run(instance, "refresh_tokens"), run(instance, "refresh_tokens", fails=True)]
    kept = {run(instance, "refresh_tokens"), run(instance, "nightly"), run(instance, "nightly")}
    rehearsed = prune_runs(instance, database, World.SANDBOX, later(), dry_run=True)
    assert left(instance) == {*old, *kept}
    freed = prune_runs(instance, database, World.SANDBOX, later())
    assert freed == rehearsed
    assert freed.rows == 2
    assert freed.bytes > 2_000
    assert left(instance) == kept
    assert not any(instance.all_logs(run_id) for run_id in old)
    with database.transaction() as session:
        assert set(session.scalars(select(JobRun.run_id))) == {*old, *kept}


def test_young_and_unfinished_runs_and_those_of_the_other_world_stay(
    instance: dg.DagsterInstance, database: Database
) -> None:
    for _ in range(2):
        run(instance, "refresh_tokens")
        run(instance, "metrics_snapshot", {WORLD_TAG: "live"})
    begun = instance.create_run_for_job(
        dg.job(name="metrics_snapshot")(lambda: None), status=dg.DagsterRunStatus.STARTED, tags=SANDBOX
    )
    run(instance, "metrics_snapshot")
    before = left(instance)
    assert begun.run_id in before
    assert prune_runs(instance, database, World.SANDBOX, LONG_AGO).rows == 0
    assert left(instance) == before
    assert prune_runs(instance, database, World.SANDBOX, later()).rows == 1
    assert begun.run_id in left(instance)


def test_a_run_that_holds_an_assets_newest_materialization_stays(
    instance: dg.DagsterInstance, database: Database
) -> None:
    outdated = materialize(instance, "metrics_snapshot", "figures")
    shown = materialize(instance, "metrics_snapshot", "figures")
    other = materialize(instance, "metrics_snapshot", "others")
    prune_runs(instance, database, World.SANDBOX, later())
    assert left(instance) == {shown, other}
    assert outdated not in left(instance)
    event = instance.get_latest_materialization_event(dg.AssetKey("figures"))
    assert event is not None
    assert event.run_id == shown


def test_a_run_that_job_history_lacks_stays(instance: dg.DagsterInstance, database: Database) -> None:
    lost, _ = run(instance, "refresh_tokens"), run(instance, "refresh_tokens")
    reconcile_job_history(instance, database)
    with database.transaction() as session:
        session.execute(JobRun.__table__.delete().where(JobRun.run_id == lost))  # type: ignore[attr-defined]
        session.execute(JobRun.__table__.update().values(reconciled_at=later()))  # type: ignore[attr-defined]
    assert prune_runs(instance, database, World.SANDBOX, later()).rows == 0
    assert lost in left(instance)


@pytest.fixture
def clean(instance: dg.DagsterInstance, database_url: str) -> Callable[..., dg.ExecuteInProcessResult]:
    """Run the job itself."""
    settings = Settings(_env_file=None, database_url=SecretStr(database_url))

    def execute(**config: Any) -> dg.ExecuteInProcessResult:
        return build_maintenance_job(settings).execute_in_process(
            instance=instance,
            run_config={"ops": {"prune": {"config": config}}} if config else None,
            resources={"postgres": PostgresResource(url=database_url, world=World.SANDBOX)},
        )

    return execute


def fill(database: Database) -> None:
    """Old rows of every kind."""
    with database.transaction() as session:

        def add(*rows: Base) -> None:
            session.add_all(rows)
            session.flush()

        app = SpotifyApp(name="a", client_id="a")
        policy = Policy(name="p", version=1, digest="d", definition={})
        add(app, policy)
        account = Account(app_id=app.id, name="n", spotify_user_id="u")
        add(account)
        playlist = Playlist(account_id=account.id, policy_name="p", sequence=1, anchor=date(2020, 1, 1))
        add(playlist)
        snapshot = PlaylistSnapshot(
            playlist_id=playlist.id,
            policy_id=policy.id,
            cycle=1,
            draw=0,
            reason="new cycle",
            seed="0",
            algorithm="a",
            input_digest="i",
            items_hash="h",
            figures={},
            created_at=LONG_AGO,
        )
        add(snapshot)
        add(
            PlaylistSnapshotTrack(snapshot_id=snapshot.id, position=0, track_id="t", why="drawn"),
            PlaylistHistory(playlist_id=playlist.id, action="synced", at=LONG_AGO),
            AccountEvent(account_id=account.id, event="connected", at=LONG_AGO),
            SyncIntent(playlist_id=playlist.id, marker="m", status="created", created_at=LONG_AGO),
            Cooldown(app_id=app.id, kind="quota", until=LONG_AGO, observed_at=LONG_AGO, reason="r"),
            ApiCalls(run_id="r", use_case="u", endpoint="GET /me", at=LONG_AGO),
            ApiCalls(run_id="r", use_case="u", endpoint="GET /me"),
            MetricSnapshot(captured_at=LONG_AGO, metrics={}),
        )


def counts(database: Database) -> dict[str, int]:
    with database.transaction() as session:
        return {
            name: session.scalars(select(func.count()).select_from(table)).one()
            for name, table in Base.metadata.tables.items()
            if name != "job_history"
        }


def test_the_job_shows_what_it_freed_and_leaves_what_cooldowns_undo_and_intents_need(
    clean: Callable[..., dg.ExecuteInProcessResult], database: Database
) -> None:
    fill(database)
    before = counts(database)
    for dry_run in (True, False):
        result = clean(dry_run=True) if dry_run else clean()
        [shown] = [
            event.step_output_data.metadata for event in result.all_events if event.is_successful_output
        ]
        assert shown["dry_run"].value is dry_run
        assert (shown["api_calls"].value, shown["metric_snapshots"].value, shown["rows"].value) == (1, 1, 2)
        assert int(str(shown["bytes_estimate"].value)) > 40
        gone = {} if dry_run else {"api_calls": 1, "metric_snapshots": 1}
        assert counts(database) == {name: number - gone.get(name, 0) for name, number in before.items()}


def test_a_config_that_does_not_exist_is_refused(clean: Callable[..., dg.ExecuteInProcessResult]) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="days"):
        clean(days=3)

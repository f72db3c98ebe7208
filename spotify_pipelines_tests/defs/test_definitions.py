"""What Dagster is shown: names, lineage and descriptions that operators and dashboards rely on."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster._utils.schedules import schedule_execution_time_iterator

from spotify_pipelines.definitions import definitions
from spotify_pipelines.defs.column_lineage import COLUMN_LINEAGE
from spotify_pipelines.settings import load_settings
from spotify_pipelines.store.tables import Base

NIGHTLY = {
    "albums",
    "tracks",
    "audio_features",
    "account_tokens",
    "playlist_plan",
    "playlist_snapshots",
    "spotify_playlists",
    "metric_snapshots",
}

LINEAGE = {
    "album_sources": set(),
    "albums": {"album_sources"},
    "tracks": {"albums"},
    "audio_features": {"tracks"},
    "account_tokens": set(),
    "playlist_plan": {"account_tokens"},
    "playlist_snapshots": {"tracks", "audio_features", "playlist_plan"},
    "spotify_playlists": {"playlist_snapshots", "account_tokens"},
    "metric_snapshots": {"audio_features", "spotify_playlists"},
}

JOBS = {
    "scale_playlists_daily": {"playlist_plan"},
    "refresh_tokens": {"account_tokens"},
    "ingest_albums_from_sources": {"albums", "tracks"},
    "fetch_audio_features": {"audio_features"},
    "build_playlist_snapshot": {"playlist_snapshots"},
    "ensure_playlist_for_account": {"spotify_playlists"},
    "reshuffle_due_playlists": {"playlist_snapshots", "spotify_playlists"},
    "metrics_snapshot": {"metric_snapshots"},
    "nightly": NIGHTLY,
    "prune_old_records": set(),
}

CADENCE = {
    "scale_playlists_daily": "0 2 * * *",
    "refresh_tokens": "*/30 * * * *",
    "ingest_albums_from_sources": "0 3 * * *",
    "fetch_audio_features": "30 3 * * *",
    "build_playlist_snapshot": "0 4 * * *",
    "ensure_playlist_for_account": "10 4 * * *",
    "reshuffle_due_playlists": "0 5 * * *",
    "metrics_snapshot": "0 * * * *",
    "prune_old_records": "0 1 * * 0",
}


@cache
def repository() -> dg.RepositoryDefinition:
    return definitions().get_repository_def()


def assets() -> list[dg.AssetSpec]:
    return sorted(definitions().resolve_all_asset_specs(), key=lambda spec: spec.key)


def test_the_lineage_runs_from_queued_albums_to_playlists_on_spotify() -> None:
    found = {
        spec.key.to_user_string(): {d.asset_key.to_user_string() for d in spec.deps} for spec in assets()
    }
    assert found == LINEAGE


@pytest.mark.parametrize("spec", assets(), ids=lambda spec: spec.key.to_user_string())
def test_every_asset_says_what_it_is_whose_it_is_and_in_which_table(spec: dg.AssetSpec) -> None:
    assert spec.description
    assert spec.group_name in {"catalogue", "accounts", "playlists", "observability"}
    assert spec.owners
    assert spec.kinds
    table = str(spec.metadata["dagster/table_name"]).removeprefix("public.")
    columns = Base.metadata.tables[table].columns.keys()
    schema = spec.metadata["dagster/column_schema"]
    assert {column.name for column in schema.columns} <= set(columns)


@pytest.mark.parametrize("spec", assets(), ids=lambda spec: spec.key.to_user_string())
def test_every_asset_leads_to_its_code(spec: dg.AssetSpec) -> None:
    (reference,) = spec.metadata["dagster/code_references"].code_references
    assert isinstance(reference, dg.LocalFileCodeReference)
    assert reference.line_number
    code = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1 :]
    assert spec.key.to_user_string() in "\n".join(code)


def test_columns_come_from_columns_that_exist_of_assets_upstream() -> None:
    specs = {spec.key.to_user_string(): spec for spec in assets()}
    columns = {
        name: {column.name for column in spec.metadata["dagster/column_schema"].columns}
        for name, spec in specs.items()
    }
    for name, lineage in COLUMN_LINEAGE.items():
        assert set(lineage) <= columns[name]
        for sources in lineage.values():
            assert {asset for asset, _ in sources} <= LINEAGE[name]
            assert all(column in columns[asset] for asset, column in sources)


@pytest.mark.parametrize(
    "spec",
    [spec for spec in assets() if spec.key != dg.AssetKey("album_sources")],
    ids=lambda spec: str(spec.key),
)
def test_an_asset_is_stale_when_its_schedules_missed_it_twice(spec: dg.AssetSpec) -> None:
    policy = spec.freshness_policy
    assert isinstance(policy, TimeWindowFreshnessPolicy)
    period = min(
        _period(cron)
        for job, cron in CADENCE.items()
        if spec.key in repository().get_job(job).asset_layer.executable_asset_keys
    )
    assert policy.warn_window
    warn, fail = policy.warn_window.to_timedelta(), policy.fail_window.to_timedelta()
    assert period < warn <= 1.25 * period
    assert 2 * period < fail <= 2.25 * period


def _period(cron: str) -> timedelta:
    first = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
    ticks = schedule_execution_time_iterator(first, cron, "UTC", ascending=True)
    return -(next(ticks) - next(ticks))


@pytest.mark.parametrize(("name", "selected"), JOBS.items(), ids=JOBS.keys())
def test_a_job_materializes_its_assets_and_is_told_apart_by_a_tag(name: str, selected: set[str]) -> None:
    job = repository().get_job(name)
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == selected
    assert job.description
    assert job.tags["spotify_pipelines/job"] == name
    assert job.tags["spotify_pipelines/world"] == load_settings().world.value


def test_there_are_no_other_jobs() -> None:
    assert {job.name for job in repository().get_all_jobs() if not job.name.startswith("__")} == set(JOBS)


def test_schedules_keep_the_cadence_in_utc_and_run_by_default() -> None:
    found = {
        schedule.job_name: (schedule.cron_schedule, schedule.execution_timezone, schedule.default_status)
        for schedule in repository().schedule_defs
    }
    running = dg.DefaultScheduleStatus.RUNNING
    assert found == {job: (cron, "UTC", running) for job, cron in CADENCE.items()}


@pytest.mark.parametrize("name", ["build_playlist_snapshot", "reshuffle_due_playlists"])
def test_narrowing_a_job_does_not_change_what_it_means(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DATABASE_URL", "REDIS_URL", "VAULT_KEYS"):
        monkeypatch.setenv(f"SPOTIFY_PIPELINES_{variable}", "is looked up when a run starts")
    job = repository().get_job(name)
    narrowed = {"ops": {"playlist_snapshots": {"config": {"playlist_ids": [7]}}}}
    assert dg.validate_run_config(job, narrowed)
    assert ("spotify_pipelines/narrow" in job.tags) == (name == "reshuffle_due_playlists")


def test_a_config_that_does_not_exist_is_refused() -> None:
    job = repository().get_job("build_playlist_snapshot")
    with pytest.raises(dg.DagsterInvalidConfigError, match="playlist_idz"):
        dg.validate_run_config(job, {"ops": {"playlist_snapshots": {"config": {"playlist_idz": [7]}}}})


def test_resources_take_secrets_by_the_name_of_a_variable_only() -> None:
    resources = definitions().resources or {}
    assert set(resources) == {"postgres", "redis", "spotify"}
    secrets = [
        resources["postgres"].url,
        resources["redis"].url,
        resources["spotify"].vault_keys,
    ]
    assert all(isinstance(secret, dg.EnvVar) for secret in secrets)


def test_loading_the_definitions_loads_no_client_and_no_pandas_and_opens_no_connection() -> None:
    probe = """
import json, socket, sys
NEEDLESS = {"pandas", "numpy", "httpx", "redis", "psycopg", "spotipy", "playwright"}
def refuse(*_args, **_kwargs):
    raise AssertionError("a connection was opened at import")
socket.socket.connect = refuse
from spotify_pipelines.definitions import definitions
definitions().get_repository_def()
print(json.dumps(sorted(set(sys.modules) & NEEDLESS)))
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []

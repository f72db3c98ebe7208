"""Sensors as the daemon runs them: on a real instance, with the code in a server of its own."""

import logging
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.sensor import execute_sensor_iteration

from spotify_pipelines.defs.names import LOCATION_NAME, MODULE
from spotify_pipelines.defs.sensors import Look
from spotify_pipelines.store.tables import AlbumSource
from spotify_pipelines_tests.support.databases import open_database

ROOT = Path(__file__).resolve().parents[2]


def test_a_tick_of_the_daemon_starts_the_run_that_is_due_and_keeps_the_reasons_of_the_others(
    instance: dg.DagsterInstance, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", database_url)
    monkeypatch.setenv("SPOTIFY_PIPELINES_REDIS_URL", redis_url)
    monkeypatch.setenv("SPOTIFY_PIPELINES_VAULT_KEYS", "")
    with open_database(database_url) as database, database.transaction() as session:
        session.add(AlbumSource(url="u", album_id="A" * 22))
    target = ModuleTarget(
        module_name=MODULE, attribute=None, working_directory=str(ROOT), location_name=LOCATION_NAME
    )
    with create_test_daemon_workspace_context(target, instance) as workspace:
        list(execute_sensor_iteration(workspace, logging.getLogger(__name__), None, None))

    (run,) = instance.get_runs()
    assert run.job_name == "ingest_albums_from_sources"
    assert run.tags["dagster/sensor_name"] == "albums_queued"
    ticks = {}
    for state in instance.all_instigator_state():
        (ticks[state.name],) = instance.get_ticks(state.instigator_origin_id, state.selector_id)
    assert {name: tick.skip_reason for name, tick in ticks.items() if name.startswith("playlists_")} == {
        "playlists_due": "No playlists due.",
        "playlists_to_sync": "No playlists to be written.",
    }
    look = Look.from_cursor(ticks["albums_queued"].cursor)
    assert look
    assert look.count == 1

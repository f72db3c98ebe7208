"""The installation's checks: what an operator is warned of, and in which runs they look."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from spotify_pipelines.definitions import definitions
from spotify_pipelines.defs.checks import no_ban_is_waited_out
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.settings import World
from spotify_pipelines.store.cooldowns import save_cooldown
from spotify_pipelines.store.tables import SpotifyApp
from spotify_pipelines_tests.support.databases import open_database


def look(database_url: str) -> dg.AssetCheckResult:
    found = no_ban_is_waited_out(PostgresResource(url=database_url, world=World.SANDBOX))
    assert isinstance(found, dg.AssetCheckResult)
    return found


def ban(database_url: str, until: datetime) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        app = SpotifyApp(name=f"app {until:%H%M%S%f}", client_id=f"{until:%H%M%S%f}")
        session.add(app)
        session.flush()
        save_cooldown(
            session,
            app.id,
            kind="quota",
            until=until,
            observed_at=datetime.now(UTC),
            retry_after="48925",
            endpoint="GET /me",
            reason="QUOTA_EXCEEDED: Too many requests",
        )


def test_an_installation_that_may_call_passes(database_url: str) -> None:
    ban(database_url, datetime.now(UTC) - timedelta(minutes=1))
    assert look(database_url).passed


def test_a_ban_warns_with_its_end_and_spotifys_own_words(database_url: str) -> None:
    until = datetime.now(UTC) + timedelta(hours=13)
    ban(database_url, until)
    ban(database_url, until - timedelta(hours=1))
    found = look(database_url)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["until"] == dg.MetadataValue.timestamp(until)
    assert found.metadata["reason"] == dg.MetadataValue.text("QUOTA_EXCEEDED: Too many requests")
    table = found.metadata["bans"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [row.data["Retry-After"] for row in table.records] == ["48925", "48925"]
    assert f"{until:%Y-%m-%d %H:%M}" in (found.description or "")


@pytest.mark.parametrize("job", ["metrics_snapshot", "nightly"])
def test_a_run_that_captures_metrics_looks_for_bans(job: str) -> None:
    layer = definitions().get_repository_def().get_job(job).asset_layer
    assert "no_ban_is_waited_out" in {key.name for key in layer.asset_graph.asset_check_keys}

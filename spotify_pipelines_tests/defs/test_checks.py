"""The installation's checks: what an operator is warned of, and in which runs they look."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from spotify_pipelines.definitions import definitions
from spotify_pipelines.defs.checks import consents_last, no_ban_is_waited_out, no_mass_refusal
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.settings import World
from spotify_pipelines.store.cooldowns import save_cooldown
from spotify_pipelines.store.tables import Account, ConsentIncident, SpotifyApp
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


def connect(database_url: str, **days_left: float) -> None:
    """Accounts whose consents end in so many days."""
    with open_database(database_url) as database, database.transaction() as session:
        app = SpotifyApp(name="studio", client_id="studio")
        session.add(app)
        session.flush()
        now = datetime.now(UTC)
        session.add_all(
            Account(
                app_id=app.id, name=name, spotify_user_id=name, consent_ends_at=now + timedelta(days=days)
            )
            for name, days in days_left.items()
        )


def ends(database_url: str) -> dg.AssetCheckResult:
    found = consents_last(PostgresResource(url=database_url, world=World.SANDBOX))
    assert isinstance(found, dg.AssetCheckResult)
    return found


@pytest.mark.parametrize(
    ("days", "passed", "severity"),
    [
        (31.0, True, None),
        (29.9, False, dg.AssetCheckSeverity.WARN),
        (14.1, False, dg.AssetCheckSeverity.WARN),
        (13.9, False, dg.AssetCheckSeverity.ERROR),
        (-1.0, False, dg.AssetCheckSeverity.ERROR),
    ],
)
def test_the_end_of_a_consent_warns_a_month_before_and_is_an_error_two_weeks_before(
    database_url: str, days: float, passed: bool, severity: dg.AssetCheckSeverity | None
) -> None:
    connect(database_url, anna=days, ben=100.0)
    found = ends(database_url)
    assert found.passed is passed
    if severity:
        assert found.severity is severity
        assert "'anna'" in (found.description or "")
        table = found.metadata["accounts"]
        assert isinstance(table, dg.TableMetadataValue)
        assert [row.data["account"] for row in table.records] == ["anna"]


def test_an_incident_is_an_error_while_it_goes_on(database_url: str) -> None:
    connect(database_url, anna=100, ben=100, carla=100, dora=100)

    def found() -> dg.AssetCheckResult:
        result = no_mass_refusal(PostgresResource(url=database_url, world=World.SANDBOX))
        assert isinstance(result, dg.AssetCheckResult)
        return result

    assert found().passed
    now = datetime.now(UTC)
    with open_database(database_url) as database, database.transaction() as session:
        session.add(ConsentIncident(app_id=1, began_at=now, next_probe_at=now, account_ids=[1, 2, 3]))
    assert (found().passed, found().severity) == (False, dg.AssetCheckSeverity.ERROR)


@pytest.mark.parametrize("job", ["refresh_tokens", "nightly"])
def test_a_run_that_refreshes_tokens_looks_at_consents(job: str) -> None:
    layer = definitions().get_repository_def().get_job(job).asset_layer
    names = {key.name for key in layer.asset_graph.asset_check_keys}
    assert {"consents_last", "no_mass_refusal"} <= names

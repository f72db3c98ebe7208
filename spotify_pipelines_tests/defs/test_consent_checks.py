"""Consents: who is told, how urgently, and in which runs they are looked at."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from spotify_pipelines.definitions import definitions
from spotify_pipelines.store.tables import Account, ConsentIncident, SpotifyApp
from spotify_pipelines_tests.support.checks import look_at
from spotify_pipelines_tests.support.databases import open_database


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
    return look_at("account_tokens", database_url)["consents_last"]


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
        table = found.metadata["first"]
        assert isinstance(table, dg.TableMetadataValue)
        assert [row.data["account"] for row in table.records] == ["anna"]


def test_an_incident_is_an_error_while_it_goes_on(database_url: str) -> None:
    connect(database_url, anna=100, ben=100, carla=100, dora=100)

    def found() -> dg.AssetCheckResult:
        return look_at("account_tokens", database_url)["no_mass_refusal"]

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

"""A real Dagster instance for tests: the shipped dagster.yaml on a PostgreSQL database of the test's own.

What belongs here: the instance and the environment that finds it. What does not: definitions and runs. Take the
fixture ``instance``, or ``dagster_home`` for processes of their own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from spotify_pipelines import services
from spotify_pipelines.services.dagster_home import refresh_dagster_home
from spotify_pipelines_tests.support.services import fresh_database

__all__ = ["DagsterHome", "dagster_home_in"]

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class DagsterHome:
    """Where an instance is: the URL of its database, and the variables that name it to Dagster's processes."""

    url: str
    env: Mapping[str, str]


def dagster_home_in(endpoints: services.Endpoints, url: str, folder: Path) -> DagsterHome:
    """An instance on the database at ``url``, with its home below ``folder``."""
    server = endpoints.postgres
    assert server
    return DagsterHome(
        url,
        {
            "DAGSTER_HOME": str(refresh_dagster_home(folder, _ROOT)),
            "DAGSTER_POSTGRES_HOST": server.host,
            "DAGSTER_POSTGRES_PORT": str(server.port),
            "DAGSTER_POSTGRES_USER": server.user,
            "DAGSTER_POSTGRES_PASSWORD": server.password,
            "DAGSTER_POSTGRES_DB": url.rpartition("/")[2],
        },
    )


def _export(home: DagsterHome, patch: pytest.MonkeyPatch) -> None:
    for name, value in home.env.items():
        patch.setenv(name, value)


@pytest.fixture(scope="session")
def dagster_template(
    services_endpoints: services.Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Name of a database with Dagster's tables, to be copied: making them takes seconds."""
    with fresh_database(services_endpoints) as url:
        with pytest.MonkeyPatch.context() as patch:
            _export(dagster_home_in(services_endpoints, url, tmp_path_factory.mktemp("dagster")), patch)
            with dg.DagsterInstance.get() as instance:
                # All three storages are opened here, and each makes its tables.
                instance.get_runs_count()
                instance.get_asset_keys()
                instance.all_instigator_state()
        yield url.rpartition("/")[2]


@pytest.fixture
def dagster_home(
    services_endpoints: services.Endpoints,
    dagster_template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[DagsterHome]:
    """An empty instance, exported to this process and those that it starts."""
    with fresh_database(services_endpoints, dagster_template) as url:
        home = dagster_home_in(services_endpoints, url, tmp_path / "state")
        _export(home, monkeypatch)
        yield home


@pytest.fixture
def instance(dagster_home: DagsterHome) -> Iterator[dg.DagsterInstance]:
    """The instance, opened in this process."""
    with dg.DagsterInstance.get() as instance:
        yield instance

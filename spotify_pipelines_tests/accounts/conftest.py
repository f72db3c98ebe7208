"""Fixtures of the accounts' tests: a simulator, emptied before each test, and an office that uses it."""

from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from sqlalchemy import text

from spotify_pipelines import services
from spotify_pipelines.store.database import create_database_engine
from spotify_pipelines_tests.accounts.office import Office, open_office
from spotify_pipelines_tests.support.services import fresh_database
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator


@pytest.fixture(scope="session")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator"), albums=5) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: RunningSimulator) -> RunningSimulator:
    shared_simulator.control.reset()
    return shared_simulator


@pytest.fixture(scope="session")
def shared_database_url(services_endpoints: services.Endpoints, migrated_template: str) -> Iterator[str]:
    with fresh_database(services_endpoints, migrated_template) as url:
        yield url


@pytest.fixture
def emptied_database_url(shared_database_url: str) -> str:
    """A database without apps and accounts; emptying one is much quicker than copying one."""
    engine = create_database_engine(shared_database_url)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE spotify_apps, leases, api_calls RESTART IDENTITY CASCADE"))
    engine.dispose()
    return shared_database_url


@pytest.fixture
async def office(
    simulator: RunningSimulator, emptied_database_url: str, redis_url: str, key_prefix: str
) -> AsyncIterator[Office]:
    async with open_office(simulator, emptied_database_url, redis_url, key_prefix) as office:
        yield office


@pytest.fixture
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    """Every event that is logged, before anything is redacted."""
    with structlog.testing.capture_logs() as events:
        yield events

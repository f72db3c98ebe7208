"""Fixtures of the playlists' tests: a catalogue stored once, and a studio that starts empty with each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from spotify_pipelines import services
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines_tests.playlists.studio import Studio, empty, open_studio, stock
from spotify_pipelines_tests.support.databases import open_database
from spotify_pipelines_tests.support.services import fresh_database
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

CATALOGUE = SyntheticCatalogue(40, 7)


@pytest.fixture(scope="session")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator"), catalogue=CATALOGUE) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def stocked_database_url(services_endpoints: services.Endpoints, migrated_template: str) -> Iterator[str]:
    with fresh_database(services_endpoints, migrated_template) as url:
        with open_database(url) as database, database.transaction() as session:
            stock(session, CATALOGUE)
        yield url


@pytest.fixture
def emptied_database_url(stocked_database_url: str) -> str:
    """The stocked database without apps, accounts and playlists."""
    with open_database(stocked_database_url) as database, database.transaction() as session:
        empty(session)
    return stocked_database_url


@pytest.fixture
async def studio(
    shared_simulator: RunningSimulator, emptied_database_url: str, redis_url: str, key_prefix: str
) -> AsyncIterator[Studio]:
    shared_simulator.control.reset()
    async with open_studio(shared_simulator, emptied_database_url, redis_url, key_prefix) as studio:
        yield studio

"""What tests of the catalogue stand on: a database, a simulator with an app, and an open client."""

from collections.abc import AsyncIterator, Iterator

import pytest

from spotify_pipelines.store.database import Database
from spotify_pipelines_tests.catalogue.shop import Shop, open_shop
from spotify_pipelines_tests.spotify.harness import CLIENT_ID, SECRET, UNLIMITED
from spotify_pipelines_tests.support.databases import open_database
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

ALBUMS = 65
"""Four calls of twenty, and at least one of every rare shape."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database of this test's own."""
    with open_database(database_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def catalogue_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator"), albums=ALBUMS) as simulator:
        yield simulator


@pytest.fixture
def simulator(catalogue_simulator: RunningSimulator) -> RunningSimulator:
    """An extended app without limits; nothing seen yet."""
    catalogue_simulator.control.reset()
    catalogue_simulator.control.add_client(CLIENT_ID, SECRET, limit=UNLIMITED)
    catalogue_simulator.control.add_user("user1")
    return catalogue_simulator


@pytest.fixture
async def shop(
    database: Database, simulator: RunningSimulator, redis_url: str, key_prefix: str
) -> AsyncIterator[Shop]:
    """The whole chain, with an app about which nothing is known yet."""
    async with open_shop(database, simulator, redis_url, key_prefix) as opened:
        yield opened

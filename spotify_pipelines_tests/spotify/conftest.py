"""Fixtures of the client's tests: a simulator of their own, emptied before each test."""

from collections.abc import Iterator

import pytest

from spotify_pipelines.settings import Settings
from spotify_pipelines_tests.spotify.harness import CLIENT_ID, SECRET, UNLIMITED, sandbox_settings
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator


@pytest.fixture(scope="session")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator"), albums=30) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: RunningSimulator) -> RunningSimulator:
    """An extended app without limits and one user."""
    shared_simulator.control.reset()
    shared_simulator.control.add_client(CLIENT_ID, SECRET, limit=UNLIMITED)
    shared_simulator.control.add_user("user1")
    return shared_simulator


@pytest.fixture
def settings(simulator: RunningSimulator, redis_url: str) -> Settings:
    return sandbox_settings(redis_url, simulator.api_url, simulator.accounts_url, simulator.reccobeats_url)

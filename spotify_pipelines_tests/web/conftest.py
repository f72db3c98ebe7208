"""Two servers over one instance: one on loopback as it is shipped, one for other machines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spotify_pipelines import services
from spotify_pipelines_tests.support.dagster import DagsterHome, dagster_home_in
from spotify_pipelines_tests.support.services import fresh_database
from spotify_pipelines_tests.support.web import TOKEN, WebServer, serve


@pytest.fixture(scope="module")
def home(
    services_endpoints: services.Endpoints, dagster_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DagsterHome]:
    """The instance behind this module's servers."""
    with fresh_database(services_endpoints, dagster_template) as url:
        yield dagster_home_in(services_endpoints, url, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def server(home: DagsterHome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """As it is shipped: on loopback, without a token."""
    with serve(tmp_path_factory.mktemp("open"), home.env) as server:
        yield server


@pytest.fixture(scope="module")
def closed(home: DagsterHome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """On all addresses, with a token, under a name of its own, read-only."""
    env: dict[str, str] = {
        **home.env,
        "SPOTIFY_PIPELINES_WEB_TOKEN": TOKEN,
        "SPOTIFY_PIPELINES_WEB_HOSTS": "pipelines.example",
    }
    options = ("--host", "0.0.0.0", "--read-only")
    folder: Path = tmp_path_factory.mktemp("closed")
    with serve(folder, env, *options) as server:
        yield server

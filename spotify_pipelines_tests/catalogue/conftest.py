"""The database that tests of this folder work on."""

from collections.abc import Iterator

import pytest

from spotify_pipelines.store.database import Database
from spotify_pipelines_tests.support.databases import open_database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database of this test's own."""
    with open_database(database_url) as opened:
        yield opened

"""An open database for tests, on the one that the ``database_url`` fixture makes."""

from collections.abc import Iterator
from contextlib import contextmanager

from spotify_pipelines.store.database import Database, create_database_engine

__all__ = ["open_database"]


@contextmanager
def open_database(url: str) -> Iterator[Database]:
    """The database behind ``url``; all its connections are closed afterwards, so that it can be dropped."""
    database = Database(create_database_engine(url))
    try:
        yield database
    finally:
        database.close()

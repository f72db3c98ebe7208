"""The connection to PostgreSQL: one engine per process, short transactions, one world.

What belongs here: the engine with its limits and time-outs, and the transaction. What does not: queries. A
transaction is synchronous on purpose: it can't be held open across an ``await``, hence never across a call to
Spotify, and what a use case has done is either committed or never happened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import Engine, create_engine, make_url, select
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.settings import Settings, SettingsError, World
from spotify_pipelines.store.tables import Installation

__all__ = ["Database", "DatabaseError", "create_database_engine", "unreachable"]


class DatabaseError(ExplainedError):
    """The database can't be used; the text says what to do."""


def unreachable(error: OperationalError) -> DatabaseError:
    """What the driver's ``error`` means for a person; the password is no part of it."""
    reason = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
    return DatabaseError(
        f"PostgreSQL can't be reached: {reason}. Is it running? 'spotify-pipelines status' tells; "
        "'spotify-pipelines up' starts the embedded one where SPOTIFY_PIPELINES_DATABASE_URL names no other."
    )


def create_database_engine(url: str, *, application_name: str = "spotify_pipelines") -> Engine:
    """An engine that holds at most five connections, hides parameters and gives up in bounded time.

    Raises:
        SettingsError: the URL can't be parsed or names another driver than psycopg 3.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is SQLAlchemy's ValueError, with its text
        raise SettingsError(
            "SPOTIFY_PIPELINES_DATABASE_URL is not a database URL: write "
            "postgresql+psycopg://user:password@host:5432/database, with special signs percent-encoded."
        ) from None
    if parsed.drivername != "postgresql+psycopg":
        raise SettingsError(
            f"SPOTIFY_PIPELINES_DATABASE_URL names the driver {parsed.drivername!r}; write postgresql+psycopg://…"
        )
    return create_engine(
        parsed,
        pool_size=2,
        max_overflow=3,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 10,
            "application_name": application_name,
            "options": "-c TimeZone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s",
        },
    )


class Database:
    """The application's database; share one per process, it is safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Connect to the database that the settings name and check that it is of the settings' world.

        Raises:
            SettingsError: no database is configured.
            DatabaseError: it can't be reached, has no tables yet, or belongs to the other world.
        """
        database = cls(create_database_engine(settings.require_database_url()))
        try:
            database.check_world(settings.world)
        except BaseException:
            database.close()
            raise
        return database

    def check_world(self, world: World) -> None:
        """Refuse a database that is not of this ``world``.

        Raises:
            DatabaseError: it can't be reached, has no tables yet, or belongs to the other world.
        """
        try:
            with self.transaction() as session:
                found = session.scalar(select(Installation.world))
        except OperationalError as error:
            raise unreachable(error) from error
        except ProgrammingError as error:
            raise DatabaseError(
                "The database has no tables of ours yet. Run 'spotify-pipelines db upgrade'."
            ) from error
        if found != world.value:
            raise DatabaseError(
                f"This database belongs to the world '{found}', but SPOTIFY_PIPELINES_WORLD is "
                f"'{world.value}'. "
                "Point SPOTIFY_PIPELINES_DATABASE_URL at that world's own database."
            )

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end of the block, and rolls back where it raises."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

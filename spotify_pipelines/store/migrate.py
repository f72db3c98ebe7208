"""Bring a database's schema up to the newest revision.

What belongs here: the programmatic use of Alembic (there is no alembic.ini). What does not: the revisions.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from spotify_pipelines.settings import World
from spotify_pipelines.store.database import DatabaseError, create_database_engine, unreachable
from spotify_pipelines.store.tables import Installation

__all__ = ["alembic_config", "known_revisions", "upgrade"]


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for our revisions, bound to an open ``connection`` where one is given."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def known_revisions() -> list[str]:
    """All revisions that this version of the program knows, the newest first."""
    return [each.revision for each in ScriptDirectory.from_config(alembic_config()).walk_revisions()]


def upgrade(database_url: str, world: World | None = None) -> tuple[str | None, str]:
    """Upgrade the database to the newest revision, in one transaction; a second run changes nothing.

    Args:
        database_url: ``postgresql+psycopg://…``
        world: stamped into a database that has no stamp yet; by default read off the database's name
            (``…_live`` is live, all others are sandboxes).

    Returns:
        The revision before (None: there were no tables) and the one now.

    Raises:
        SettingsError: the URL can't be read.
        DatabaseError: the server can't be reached, or the tables are of a newer version of the program.
        sqlalchemy.exc.OperationalError: a lock was not had in time.
    """
    engine = create_database_engine(database_url, application_name="spotify_pipelines migration")
    if world is None:
        world = World.LIVE if (engine.url.database or "").endswith("_live") else World.SANDBOX
    try:
        try:
            engine.connect().close()
        except OperationalError as error:
            raise unreachable(error) from error
        newest, *older = known_revisions()
        with engine.begin() as connection:
            before = MigrationContext.configure(connection).get_current_revision()
            if before not in (None, newest, *older):
                raise DatabaseError(
                    f"The database's tables are of a newer version of this program (revision {before}; this one "
                    f"knows {newest} at most). Update the program; nothing was changed."
                )
            command.upgrade(alembic_config(connection), "head")
            connection.execute(insert(Installation).values(id=1, world=world.value).on_conflict_do_nothing())
        return before, newest
    finally:
        engine.dispose()

"""The schema: what migrations make is what the code believes, and no history can be rewritten."""

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, text
from sqlalchemy.exc import DatabaseError

from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Account, AccountEvent, Base, Playlist, PlaylistHistory, SpotifyApp
from spotify_pipelines_tests.support.databases import open_database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        yield database


@pytest.fixture
def told(database: Database) -> Database:
    """A playlist and its account, with something in the history of each."""
    with database.transaction() as session:
        app = session.scalars(
            insert(SpotifyApp).values(name="app", client_id="c").returning(SpotifyApp.id)
        ).one()
        account = session.scalars(
            insert(Account).values(app_id=app, name="studio", spotify_user_id="u").returning(Account.id)
        ).one()
        playlist = session.scalars(
            insert(Playlist)
            .values(account_id=account, policy_name="mix", sequence=1, anchor="2026-11-23")
            .returning(Playlist.id)
        ).one()
        session.execute(insert(PlaylistHistory).values(playlist_id=playlist, action="planned"))
        session.execute(insert(AccountEvent).values(account_id=account, event="connected"))
    return database


def test_the_migrations_make_the_tables_that_the_code_declares(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.parametrize("table", ["playlist_history", "account_events"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET reason = 'never happened'", "DELETE FROM {}"])
def test_a_history_can_not_be_rewritten(told: Database, table: str, statement: str) -> None:
    with pytest.raises(DatabaseError, match=f"{table} is append-only"), told.transaction() as session:
        session.execute(text(statement.format(table)))


def test_a_history_goes_with_what_it_is_about(told: Database) -> None:
    with told.transaction() as session:
        session.execute(text("DELETE FROM playlists"))
        session.execute(text("DELETE FROM accounts"))
        left = session.execute(
            text("SELECT count(*) FROM playlist_history UNION ALL SELECT count(*) FROM account_events")
        )
        assert [count for (count,) in left] == [0, 0]

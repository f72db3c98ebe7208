"""The migrations make the tables that the code declares, and can be taken back."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, create_engine, inspect

from spotify_pipelines.store.migrate import alembic_config
from spotify_pipelines.store.tables import Base


def test_a_migrated_database_is_what_the_code_declares(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        found = inspect(connection)
        for name, table in Base.metadata.tables.items():
            comments = {column["name"]: column["comment"] for column in found.get_columns(name)}
            assert comments == {column.name: column.comment for column in table.columns}, name
            checks = {check["name"] for check in found.get_check_constraints(name)}
            declared = {each.name for each in table.constraints if isinstance(each, CheckConstraint)}
            assert checks == declared, name
    engine.dispose()


def test_every_migration_can_be_taken_back_and_made_again(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
        command.upgrade(alembic_config(connection), "head")
        assert set(inspect(connection).get_table_names()) == {"alembic_version", *Base.metadata.tables}
    engine.dispose()

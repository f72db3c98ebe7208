"""Retention: old rows go, newer ones and all that a decision is made from stay."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from spotify_pipelines.store.database import Database
from spotify_pipelines.store.retention import Past, prune
from spotify_pipelines.store.tables import ApiCalls, Base, MetricSnapshot, ReadValidator, SpotifyApp
from spotify_pipelines_tests.support.databases import open_database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD, NEW = NOW - timedelta(days=91), NOW - timedelta(days=89)
TABLES: dict[Past, type[Base]] = {
    Past.CALLS: ApiCalls,
    Past.METRICS: MetricSnapshot,
    Past.VALIDATORS: ReadValidator,
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database, database.transaction() as session:
        app = SpotifyApp(name="a", client_id="a")
        session.add(app)
        session.flush()
        for number, at in enumerate((OLD, OLD - timedelta(days=1), NEW)):
            session.add_all(
                [
                    ApiCalls(run_id=f"r{number}", use_case="u", endpoint="GET /me", at=at),
                    MetricSnapshot(captured_at=at, metrics={"tracks": number}),
                    ReadValidator(app_id=app.id, url=f"/u{number}", etag="e", entity_id="i", seen_at=at),
                ]
            )
        session.commit()
        yield database


def rows(database: Database, what: Past) -> int:
    with database.transaction() as session:
        return session.scalars(select(func.count()).select_from(TABLES[what])).one()


@pytest.mark.parametrize("what", Past)
def test_old_rows_go_and_what_they_took_is_told(database: Database, what: Past) -> None:
    for dry_run, left in ((True, 3), (False, 1)):
        with database.transaction() as session:
            freed = prune(session, what, NOW - timedelta(days=90), dry_run=dry_run)
        assert freed.rows == 2
        assert 2 * 30 < freed.bytes < 2 * 300
        assert rows(database, what) == left
    with database.transaction() as session:
        again = prune(session, what, NOW - timedelta(days=90))
    assert (again.rows, again.bytes) == (0, 0)


def test_nothing_else_may_be_pruned() -> None:
    """Bans, draws, intents, leases and all histories are what cooldowns, undo and crashes are settled by."""
    assert {what.value for what in Past} == {"api_calls", "metric_snapshots", "read_validators"}
    assert {model.__tablename__ for model in TABLES.values()} == {what.value for what in Past}

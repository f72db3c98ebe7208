"""Bulk upserts: exact counts, untouched neighbours, safe among concurrent writers."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Album, AlbumSource, Artist, Track, TrackArtist
from spotify_pipelines.store.upserts import RowsRefused, UpsertCounts, upsert

READ_AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def artists(names: dict[str, str]) -> Iterable[dict[str, Any]]:
    return ({"id": artist_id, "name": name} for artist_id, name in names.items())


def stored_artists(session: Session) -> dict[str, str]:
    return dict(session.execute(select(Artist.id, Artist.name)).tuples().all())


def album_row(album_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": album_id,
        "name": "Blue Train",
        "artist_ids": ["a", "b"],
        "release_date": date(1958, 1, 1),
        "total_tracks": 5,
        "first_page": [{"id": "t1", "name": "Ünïcode \\ \t ' \" 🎷"}],
        "read_at": READ_AT,
        **changes,
    }


def test_new_changed_and_unchanged_rows_are_counted_apart(database: Database) -> None:
    with database.transaction() as session:
        assert upsert(session, Artist, artists({"a": "A", "b": "B"}), key=["id"]) == UpsertCounts(inserted=2)
    with database.transaction() as session:
        counts = upsert(session, Artist, artists({"a": "A", "b": "B!", "c": "C"}), key=["id"])
        assert counts == UpsertCounts(inserted=1, updated=1, unchanged=1)
        assert stored_artists(session) == {"a": "A", "b": "B!", "c": "C"}


def test_of_several_rows_with_one_key_the_last_wins(database: Database) -> None:
    rows = [{"id": "a", "name": "first"}, {"id": "b", "name": "B"}, {"id": "a", "name": "last"}]
    with database.transaction() as session:
        assert upsert(session, Artist, rows, key=["id"]) == UpsertCounts(inserted=2)
        assert stored_artists(session) == {"a": "last", "b": "B"}


def test_no_rows_are_no_work(database: Database) -> None:
    with database.transaction() as session:
        assert upsert(session, Artist, [], key=["id"]) == UpsertCounts()


def test_every_column_type_comes_back_as_it_went_in(database: Database) -> None:
    row = album_row("x", label=None, popularity=70)
    with database.transaction() as session:
        upsert(session, Album, [row], key=["id"])
        album = session.get_one(Album, "x")
        assert {name: getattr(album, name) for name in row} == row
        assert upsert(session, Album, [row], key=["id"]) == UpsertCounts(unchanged=1)


def test_none_is_sql_null_and_not_a_json_null(database: Database) -> None:
    with database.transaction() as session:
        upsert(session, Album, [album_row("x", first_page=None)], key=["id"])
        assert session.scalar(text("SELECT first_page IS NULL FROM albums")) is True


def test_columns_that_are_not_named_stay_as_they_are(database: Database) -> None:
    with database.transaction() as session:
        upsert(session, Album, [album_row("x", label="Blue Note")], key=["id"])
        renamed = {"id": "x", "name": "Renamed", "total_tracks": 5, "read_at": READ_AT}
        assert upsert(session, Album, [renamed], key=["id"]) == UpsertCounts(updated=1)
        album = session.get_one(Album, "x", populate_existing=True)
        assert (album.name, album.label, album.artist_ids) == ("Renamed", "Blue Note", ["a", "b"])


def test_with_nothing_to_update_existing_rows_are_left_alone(database: Database) -> None:
    with database.transaction() as session:
        upsert(session, Artist, artists({"a": "A"}), key=["id"])
        counts = upsert(session, Artist, artists({"a": "other", "b": "B"}), key=["id"], update=[])
        assert counts == UpsertCounts(inserted=1, unchanged=1)
        assert stored_artists(session) == {"a": "A", "b": "B"}


def test_a_key_may_have_several_columns_and_identities_are_made_by_the_database(database: Database) -> None:
    with database.transaction() as session:
        upsert(session, Album, [album_row("x")], key=["id"])
        upsert(session, Artist, artists({"a": "A", "b": "B"}), key=["id"])
        track = {"album_id": "x", "name": "T", "disc_number": 1, "duration_ms": 1, "explicit": False}
        upsert(session, Track, [{"id": "t", "track_number": 1, **track}], key=["id"])
        in_order = [{"track_id": "t", "artist_id": a, "position": p} for p, a in enumerate("ab")]
        assert upsert(session, TrackArtist, in_order, key=["track_id", "artist_id"]).inserted == 2
        swapped = [{"track_id": "t", "artist_id": a, "position": p} for p, a in enumerate("ba")]
        assert upsert(session, TrackArtist, swapped, key=["track_id", "artist_id"]).updated == 2
        queued = [{"url": "u", "album_id": "x"}, {"url": "v", "album_id": "y"}]
        assert upsert(session, AlbumSource, queued, key=["album_id"]).inserted == 2
        assert session.scalar(select(func.count(AlbumSource.id.distinct()))) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"total_tracks": 2**40},
        {"name": "nul \0 byte"},
        {"name": "lone surrogate \ud800"},
        {"first_page": [{"name": "nul \0 in json"}]},
        {"name": None},
    ],
    ids=["too large", "nul byte", "surrogate", "nul in json", "null"],
)
def test_what_postgres_cannot_hold_is_refused_as_one_error_and_leaves_nothing(
    database: Database, changes: dict[str, Any]
) -> None:
    with pytest.raises(RowsRefused, match="albums can't hold a row: "), database.transaction() as session:
        upsert(session, Album, [album_row("good"), album_row("bad", **changes)], key=["id"])
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Album)) == 0


def test_an_unchanged_row_is_not_written_to(database: Database) -> None:
    with database.transaction() as session:
        upsert(session, Artist, artists({"a": "A"}), key=["id"])
    before_and_after = []
    for _ in range(2):
        with database.transaction() as session:
            version = session.execute(text("SELECT ctid::text, xmin::text, xmax::text FROM artists")).one()
            before_and_after.append(tuple(version))
            upsert(session, Artist, artists({"a": "A"}), key=["id"])
    assert before_and_after[0] == before_and_after[1]


def test_writers_of_the_same_rows_neither_deadlock_nor_lose_or_double_any(database: Database) -> None:
    writers, keys = 4, [f"artist {number}" for number in range(300)]
    together = Barrier(writers)

    def write(writer: int) -> UpsertCounts:
        # Each has the keys in another order, which would deadlock if they were locked as they come.
        mine = keys[writer * 70 :] + keys[: writer * 70]
        total = UpsertCounts()
        for attempt in range(5):
            together.wait(timeout=20)
            with database.transaction() as session:
                rows = artists(dict.fromkeys(mine, f"{writer}/{attempt}"))
                total += upsert(session, Artist, rows, key=["id"])
        return total

    with ThreadPoolExecutor(writers) as pool:
        totals = sum(pool.map(write, range(writers)), UpsertCounts())
    assert totals.inserted == len(keys)
    assert totals.total == writers * 5 * len(keys)
    with database.transaction() as session:
        names = stored_artists(session)
    assert len(names) == len(keys)
    assert {name.split("/")[1] for name in names.values()} == {"4"}


KEYS = st.sampled_from(["a", "b", "B", "ä", "c d", ""])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.dictionaries(KEYS, st.text("xyz", max_size=2)),
    rows=st.lists(st.tuples(KEYS, st.text("xyz", max_size=2))),
)
def test_counts_and_content_are_those_of_a_dictionary_update(
    database: Database, before: dict[str, str], rows: list[tuple[str, str]]
) -> None:
    wanted = dict(rows)
    with database.transaction() as session:
        session.execute(delete(Artist))
        upsert(session, Artist, artists(before), key=["id"])
        counts = upsert(session, Artist, ({"id": key, "name": name} for key, name in rows), key=["id"])
        assert stored_artists(session) == {**before, **wanted}
    assert counts == UpsertCounts(
        inserted=len(wanted.keys() - before.keys()),
        updated=sum(before[key] != wanted[key] for key in wanted.keys() & before.keys()),
        unchanged=sum(before[key] == wanted[key] for key in wanted.keys() & before.keys()),
    )

"""Rows per second of the track upsert ÷ a bare COPY into the same keyed table. Goal ≥ 0.5 each.

``python -m bench upserts``; with another number of rows or runs, or on a server of your own:
``python -m bench.upserts [--rows 100000] [--runs 5] [--url postgresql+psycopg://…]``

The table is ``tracks`` with all its keys and indexes; both sides commit. A COPY can only fill a table that holds
none of its rows, so the baseline is always a COPY into the empty table, in the rows' own random order. As COPY
gains from rows that come sorted by key, and the upsert sorts them itself, that ratio is told as well.
Without ``--url`` (of an empty database, whose tables are made) an embedded server is started for it.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from sqlalchemy import text

from bench.figures import Figure, table
from spotify_pipelines.settings import Settings
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.migrate import upgrade
from spotify_pipelines.store.tables import Album, Track
from spotify_pipelines.store.upserts import upsert

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TRACKS_PER_ALBUM = 12
_ROWS, _RUNS = 100_000, 5
_GOAL = 0.5
Rows = Sequence[dict[str, Any]]


def figures() -> Iterator[Figure]:
    """Measure on an embedded server of its own."""
    with _database(None) as database:
        yield from _compare(database, _prepare(database, _ROWS), _RUNS)


def main() -> None:
    """Measure as the options say, and print the table."""
    options = argparse.ArgumentParser(prog="python -m bench.upserts", description=__doc__)
    options.add_argument("--rows", type=int, default=_ROWS)
    options.add_argument("--runs", type=int, default=_RUNS)
    options.add_argument("--url", default=None)
    chosen = options.parse_args()
    with _database(chosen.url) as database:
        found = _compare(database, _prepare(database, chosen.rows), chosen.runs)
        print(table([(figure, "python -m bench.upserts") for figure in found]))


def _compare(database: Database, rows: Rows, runs: int) -> Iterator[Figure]:
    """COPY and upsert in turn, ``runs`` times for each state of the table; medians."""
    in_order = sorted(rows, key=lambda row: str(row["id"]))
    for name, before, wanted, goal in _cases(rows):
        rounds = [
            (
                _timed(database, [], partial(_copy, database, rows)),
                _timed(database, [], partial(_copy, database, in_order)),
                _timed(database, before, partial(_upsert, database, wanted)),
            )
            for _ in range(runs)
        ]
        plain, ordered, ours = (statistics.median(each[place] for each in rounds) for place in range(3))
        against_ordered = statistics.median(each[1] / each[2] for each in rounds)
        yield Figure(
            f"track upsert ÷ bare COPY, rows a second: {name}",
            statistics.median(each[0] / each[2] for each in rounds),
            at_least=goal,
            detail=f"{len(rows):,} rows: upsert {ours:.2f} s ({len(rows) / ours:,.0f} rows/s), COPY {plain:.2f} s "
            f"({len(rows) / plain:,.0f} rows/s); ÷ COPY of sorted rows ({ordered:.2f} s) {against_ordered:.2f}",
        )


def _cases(rows: Rows) -> Iterator[tuple[str, Rows, Rows, float | None]]:
    """Name, rows stored before, rows then upserted, goal."""
    third = len(rows) // 3
    changed = [{**row, "name": f"{row['name']}!"} for row in rows]
    mixed = [*rows[:third], *changed[third : 2 * third], *rows[2 * third :]]
    random.Random(2).shuffle(mixed)
    yield "all new", [], rows, _GOAL
    yield "unchanged", rows, rows, _GOAL
    yield "mixed, a third each", rows[: 2 * third], mixed, _GOAL
    yield "all changed", rows, changed, None


def _prepare(database: Database, count: int) -> list[dict[str, Any]]:
    """Store albums, and make up ``count`` tracks of theirs in random order of ids."""
    generator = random.Random(1)
    ids = iter(
        ["".join(generator.choices(_BASE62, k=22)) for _ in range(count + count // _TRACKS_PER_ALBUM + 1)]
    )
    albums = [next(ids) for _ in range(count // _TRACKS_PER_ALBUM + 1)]
    with database.transaction() as session:
        now = datetime.now(UTC)
        upsert(
            session,
            Album,
            (
                {"id": each, "name": "Album", "total_tracks": _TRACKS_PER_ALBUM, "read_at": now}
                for each in albums
            ),
            key=["id"],
        )
    return [
        {
            "id": next(ids),
            "album_id": albums[number // _TRACKS_PER_ALBUM],
            "name": f"A track's name of usual length {number}",
            "disc_number": 1,
            "track_number": number % _TRACKS_PER_ALBUM + 1,
            "duration_ms": 200_000 + number,
            "explicit": number % 9 == 0,
            "playable": True,
            "linked_from": None,
        }
        for number in range(count)
    ]


def _timed(database: Database, before: Rows, work: Callable[[], None]) -> float:
    """Seconds of ``work`` on a table that holds the rows of ``before``."""
    with database.transaction() as session:
        session.execute(text("TRUNCATE tracks CASCADE"))
    _upsert(database, before)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE tracks"))
        connection.execute(text("CHECKPOINT"))
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _upsert(database: Database, rows: Rows) -> None:
    with database.transaction() as session:
        upsert(session, Track, rows, key=["id"])


def _copy(database: Database, rows: Rows) -> None:
    columns = list(rows[0])
    with database.transaction() as session:
        connection = session.connection().connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY tracks ({', '.join(columns)}) FROM STDIN".encode()) as copy,
        ):
            for row in rows:
                copy.write_row(list(row.values()))


@contextmanager
def _database(url: str | None) -> Iterator[Database]:
    """The database at ``url``, or one on an embedded server that is removed afterwards."""
    if url is not None:
        with _opened(url) as database:
            yield database
        return
    from spotify_pipelines import services

    with TemporaryDirectory(prefix="bench-") as folder:
        settings = Settings(_env_file=None, state_dir=Path(folder))
        others = {"redis": "not needed", "simulator": "not needed"}
        try:
            postgres = services.start(settings, skipped=others).postgres
            assert postgres is not None
            with _opened(postgres.url("spotify_pipelines_sandbox")) as database:
                yield database
        finally:
            services.purge(settings, Path(folder))  # not just down: root's data may lie elsewhere


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    upgrade(url)
    database = Database(create_database_engine(url))
    try:
        yield database
    finally:
        database.close()


if __name__ == "__main__":
    main()

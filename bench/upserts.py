"""Rows per second of the track upsert ÷ a bare COPY into the same keyed table. Goal ≥ 0.5 each.

Run: ``.venv/bin/python -m bench.upserts [--rows 100000] [--runs 5] [--url postgresql+psycopg://…]``

The table is ``tracks`` with all its keys and indexes; both sides commit. A COPY can only fill a table that holds
none of its rows, so the baseline is always a COPY into the empty table, in the rows' own random order. As COPY
gains from rows that come sorted by key, and the upsert sorts them itself, that ratio is printed as well.
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

from spotify_pipelines.settings import Settings
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.migrate import upgrade
from spotify_pipelines.store.tables import Album, Track
from spotify_pipelines.store.upserts import upsert

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TRACKS_PER_ALBUM = 12
Rows = Sequence[dict[str, Any]]


def main() -> None:
    """Print the seconds, rows per second and ratios of every case."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--url", default=None)
    chosen = options.parse_args()
    with _database(chosen.url) as database:
        rows = _prepare(database, chosen.rows)
        _compare(database, rows, chosen.runs)


def _compare(database: Database, rows: Rows, runs: int) -> None:
    in_order = sorted(rows, key=lambda row: str(row["id"]))
    third = len(rows) // 3
    mixed = [
        *rows[:third],
        *({**row, "name": f"{row['name']}!"} for row in rows[third : 2 * third]),
        *rows[2 * third :],
    ]
    random.Random(2).shuffle(mixed)
    cases: dict[str, tuple[Rows, Rows]] = {  # name: (stored before, then upserted)
        "all new": ([], rows),
        "unchanged": (rows, rows),
        "mixed: a third each new, changed, unchanged": (rows[: 2 * third], mixed),
        "all changed": (rows, [{**row, "name": f"{row['name']}!"} for row in rows]),
    }
    print(f"{len(rows):,} tracks, {runs} runs each, medians; COPY and upsert in turn")
    for name, (before, wanted) in cases.items():
        pairs = []
        for _ in range(runs):
            plain = _timed(database, [], partial(_copy, database, rows))
            ordered = _timed(database, [], partial(_copy, database, in_order))
            pairs.append((plain, ordered, _timed(database, before, partial(_upsert, database, wanted))))
        plain, ordered, ours = (statistics.median(pair[place] for pair in pairs) for place in range(3))
        ratio = statistics.median(pair[0] / pair[2] for pair in pairs)
        against_ordered = statistics.median(pair[1] / pair[2] for pair in pairs)
        print(
            f"{name}: upsert {ours:.2f} s ({len(rows) / ours:,.0f} rows/s), COPY {plain:.2f} s "
            f"({len(rows) / plain:,.0f} rows/s), sorted COPY {ordered:.2f} s | "
            f"upsert ÷ COPY {ratio:.2f}, ÷ sorted COPY {against_ordered:.2f}"
        )


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
            services.down(settings)


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

"""The whole database as one file, and back: PostgreSQL's own pg_dump and pg_restore in custom format.

What belongs here: calling them, and what must hold before a file is restored. What does not: where the programs are
(``services.binaries``). Tokens lie in the file as they lie in the database, encrypted; the keys are not in it.
"""

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Engine, func, inspect, select, text
from sqlalchemy.exc import OperationalError

from spotify_pipelines.settings import World
from spotify_pipelines.store.database import DatabaseError, create_database_engine, unreachable
from spotify_pipelines.store.migrate import known_revisions, upgrade
from spotify_pipelines.store.tables import Base, Installation

__all__ = ["BackupError", "Contents", "back_up", "contents", "restore", "server_major"]

_ALEMBIC = "alembic_version"


class BackupError(DatabaseError):
    """A backup can't be made or restored; the text says why. Nothing was changed, unless it says so."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup is of: the revision of its tables and the world of its accounts."""

    revision: str
    world: World


def server_major(database_url: str) -> int:
    """The server's major version: pg_dump must be of that one or a newer one.

    Raises:
        DatabaseError: it can't be reached.
    """
    engine = create_database_engine(database_url)
    try:
        with engine.connect() as connection:
            return int(connection.scalar(text("SHOW server_version_num"))) // 10_000
    except OperationalError as error:
        raise unreachable(error) from error
    finally:
        engine.dispose()


def back_up(database_url: str, file: Path, pg_dump: Path) -> int:
    """Write the database, as it is at one moment, to a new file (mode 0600); its size in bytes.

    Everything else may go on meanwhile. The file is there as a whole or not at all.

    Raises:
        BackupError: the file exists or can't be written, or pg_dump fails.
    """
    if file.exists():
        raise BackupError(f"{file} exists already, and is not overwritten. Choose another name.")
    aside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            _run(
                [pg_dump, "--format=custom", "--no-owner", "--no-privileges"],
                database_url,
                output=stream.fileno(),
            )
            os.fsync(stream.fileno())
        aside.rename(file)
    except OSError as error:
        raise BackupError(f"{file} can't be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)
    return file.stat().st_size


def contents(file: Path, pg_restore: Path) -> Contents:
    """What a backup is of.

    Raises:
        BackupError: it is none of ours.
    """
    if not file.is_file():
        raise BackupError(f"There is no file {file}.")
    command: list[str | Path] = [
        pg_restore,
        "--data-only",
        f"--table={_ALEMBIC}",
        "--table=installation",
        "--file=-",
        file,
    ]
    listing = _run(command, None, what=f"{file} is no backup that 'db backup' has made")
    revision = re.search(rf"^COPY \S*{_ALEMBIC} .*;\n(\S+)$", listing, re.MULTILINE)
    world = re.search(r"^COPY \S*installation .*;\n1\t(\w+)\t", listing, re.MULTILINE)
    if not revision or not world or world[1] not in set(World):
        raise BackupError(f"{file} is a backup, but not of a database of this program.")
    return Contents(revision[1], World(world[1]))


def restore(database_url: str, file: Path, pg_restore: Path, world: World) -> Contents:
    """Restore a backup into an empty database and bring its tables up to date; what it was of.

    Empty is a database without tables, or with ours and nothing in them, as ``up`` leaves it.

    Raises:
        BackupError: the database is not empty, or the backup is of another world or of a newer version.
    """
    found = contents(file, pg_restore)
    if found.world is not world:
        raise BackupError(
            f"{file} is of the world '{found.world}', but SPOTIFY_PIPELINES_WORLD is '{world}': they never mix. "
            "Change over, or take another backup."
        )
    if found.revision not in known_revisions():
        raise BackupError(
            f"{file} was made by a newer version of this program (its tables are at revision {found.revision}). "
            "Update the program first."
        )
    engine = create_database_engine(database_url, application_name="spotify_pipelines restore")
    try:
        _make_room(engine)
    except OperationalError as error:
        raise unreachable(error) from error
    finally:
        engine.dispose()
    options = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
    _run([pg_restore, *options, file], database_url, what="Nothing was restored")
    upgrade(database_url, world)
    return found


def _make_room(engine: Engine) -> None:
    """Take empty tables of ours out of the way; refuse where there is anything else."""
    with engine.begin() as connection:
        tables = set(inspect(connection).get_table_names())
        strangers = tables - {_ALEMBIC, *Base.metadata.tables}
        if strangers:
            raise BackupError(
                f"The database is not empty (it has the table '{min(strangers)}'). Restore into an empty one: "
                "name it in SPOTIFY_PIPELINES_DATABASE_URL."
            )
        for table in Base.metadata.sorted_tables:
            if table.name not in tables or table.name == Installation.__tablename__:
                continue
            if connection.scalar(select(func.count()).select_from(select(table).limit(1).subquery())):
                raise BackupError(
                    f"The database is not empty (there are rows in '{table.name}'), and nothing is overwritten. "
                    "Restore into an empty one: name it in SPOTIFY_PIPELINES_DATABASE_URL."
                )
        Base.metadata.drop_all(connection)
        connection.execute(text("DROP FUNCTION IF EXISTS refuse_to_rewrite_history()"))
        connection.execute(text(f"DROP TABLE IF EXISTS {_ALEMBIC}"))


def _run(
    command: Iterable[str | Path],
    database_url: str | None,
    *,
    what: str = "No backup was made",
    output: int | None = None,
) -> str:
    """Run one of PostgreSQL's programs; the password goes by the environment, which others can't read."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    words = [str(word) for word in command]
    if database_url is not None:
        url = create_database_engine(database_url).url
        words.insert(1, f"--dbname={_conninfo(url)}")
        environment["PGPASSWORD"] = url.password or ""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.PIPE,
            env=environment,
            check=False,
        )
    except OSError as error:
        raise BackupError(f"{what}: {words[0]} does not run ({error.strerror}).") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BackupError(f"{what}: {Path(words[0]).name} says '{said[0][:300] if said else 'nothing'}'.")
    return "" if done.stdout is None else done.stdout.decode(errors="replace")


def _conninfo(url: URL) -> str:
    parts = {"host": url.host, "port": url.port, "user": url.username, "dbname": url.database}
    options = {name: value for name, value in url.query.items() if isinstance(value, str)}
    return make_conninfo(**{name: value for name, value in parts.items() if value is not None}, **options)  # type: ignore[arg-type]

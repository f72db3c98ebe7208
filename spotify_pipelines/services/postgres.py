"""PostgreSQL: Dagster's storage and the product's databases.

What belongs here: making a cluster, the server's settings, creating databases.
What does not: tables (``spotify_pipelines.store``).

A cluster is made aside and renamed, so a start that was killed within ``initdb`` leaves nothing half made.
"""

import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from spotify_pipelines.services import processes
from spotify_pipelines.services.binaries import Programs, find_postgres, runnable_by
from spotify_pipelines.services.errors import ServiceError
from spotify_pipelines.services.files import make_folder, replace_file, secret_in_file
from spotify_pipelines.services.server_user import ServerUser, shared_cache
from spotify_pipelines.services.supervisor import LOOPBACK, Record, Service

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["SUPERUSER", "Postgres"]

SUPERUSER = "spotify_pipelines"

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For data that nobody will miss: a crash of the machine may ruin them.
_THROWAWAY_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_BUILTIN_LOCALES_SINCE = 17


class Postgres(Service):
    """One PostgreSQL cluster on loopback TCP with a random password."""

    name = "postgres"
    title = "PostgreSQL"
    # SIGINT: disconnect everybody and shut down cleanly. SIGQUIT: at once, recover at the next start.
    stop_signals = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0))
    # Orphans of a server that was killed hold its shared memory for a moment longer.
    retry_seconds = 5.0

    def __init__(self, state_dir: Path, *, databases: Sequence[str], throwaway: bool = False) -> None:
        """Args:
        databases: exist after ``ensure``.
        throwaway: trade safety against power loss for speed.
        """
        super().__init__(state_dir)
        self._databases = databases
        self._throwaway = throwaway
        self._programs: Programs | None = None

    @property
    def password(self) -> str:
        """Made at random on first use, kept in a file that only its owner reads."""
        return secret_in_file(self.home / "password", secrets.token_urlsafe(24))

    def url(self, port: int, database: str) -> str:
        """For clients, with the password and the driver's name."""
        return (
            f"postgresql+psycopg://{SUPERUSER}:{self.password}@{LOOPBACK}:{port}/{quote(database, safe='')}"
        )

    @property
    def version(self) -> str:
        return self._found().version

    def user(self) -> ServerUser | None:
        return ServerUser.stand_in(self._cluster)

    def ensure(self) -> Record:
        record = super().ensure()
        self._create_databases(record.port)
        return record

    def prepare(self) -> None:
        user = self.user()
        self._make_home(user)
        if self._programs is None:
            self._programs = runnable_by(user, find_postgres())
        note = self._programs.note
        if note and note not in self.notes:
            self.notes.append(note)
        if self._cluster.exists():
            self._check_version()
            self._drop_stale_pid_file()
        else:
            self._make_cluster(user)

    def command(self, record: Record) -> list[str | Path]:
        settings = {**_SETTINGS, **(_THROWAWAY_SETTINGS if self._throwaway else {}), "port": str(record.port)}
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [self._found().server, "-D", self._cluster.resolve(), *arguments]

    def answers(self, port: int) -> bool:
        import psycopg

        try:
            with self._connect(port):
                return True
        except psycopg.OperationalError:
            return False

    def remove_data(self) -> None:
        """Remove all data, also where they are kept outside of the state folder. The server must be down."""
        shutil.rmtree(self.home.resolve(), ignore_errors=True)
        if self.home.is_symlink():
            self.home.unlink()

    @property
    def _cluster(self) -> Path:
        return self.home / "data"

    def _found(self) -> Programs:
        if self._programs is None:
            raise RuntimeError("prepare() comes first")
        return self._programs

    def _make_home(self, user: ServerUser | None) -> None:
        if self.home.is_dir():
            return
        if self.home.is_symlink():
            self.home.unlink()  # led to a cache folder that was cleaned up
        if user is None or user.can_enter(self.state_dir):
            make_folder(self.home, 0o711 if user else 0o700)
            return
        # A name that is never used again: data of a state folder that was deleted must not come back.
        elsewhere = shared_cache(user) / f"postgres-{secrets.token_hex(8)}"
        make_folder(elsewhere, 0o711)
        self.home.symlink_to(elsewhere)
        self.notes.append(
            f"PostgreSQL: runs as '{user.name}', who can't enter {self.state_dir}; its data are in "
            f"{elsewhere} ('make clean' removes them)."
        )

    def _make_cluster(self, user: ServerUser | None) -> None:
        home = self.home.resolve()
        for leftover in home.glob("init-*"):
            # An initdb whose starter was killed may still write there, in vain.
            shutil.rmtree(leftover, ignore_errors=True)
        aside = home / f"init-{secrets.token_hex(4)}"
        aside.mkdir(mode=0o700)
        password_file = aside.with_name("initdb-password")
        replace_file(password_file, self.password)
        if user:
            user.own(aside)
            user.own(password_file)
        try:
            done = subprocess.run(
                self._initdb(aside, password_file),
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                cwd=home,
                env=processes.bare_environment(),
                **(user.popen_arguments() if user else {}),
            )
        finally:
            password_file.unlink()
        if done.returncode != 0:
            raise ServiceError(f"PostgreSQL's initdb failed in {home}:\n{done.stderr.strip()}")
        aside.rename(self._cluster)

    def _initdb(self, folder: Path, password_file: Path) -> list[str | Path]:
        programs = self._found()
        if programs.initdb is None:
            raise RuntimeError("find_postgres() gives initdb")
        # The built-in provider sorts by code point and knows Unicode's letters alike on Linux and macOS,
        # whatever locales are installed.
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return [
            programs.initdb,
            f"--pgdata={folder}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            *(builtin if programs.major >= _BUILTIN_LOCALES_SINCE else []),
            *(["--no-sync"] if self._throwaway else []),
        ]

    def _check_version(self) -> None:
        made_with = (self._cluster / "PG_VERSION").read_text().strip()
        programs = self._found()
        if made_with != str(programs.major):
            raise ServiceError(
                f"The data in {self.data_dir} were made by PostgreSQL {made_with}, but {programs.server} is "
                f"{programs.version}. Put PostgreSQL {made_with} on PATH, or start anew with 'make clean', "
                "which deletes the data."
            )

    def _drop_stale_pid_file(self) -> None:
        """After a kill -9 the server's own pid file may name a stranger by now, and block every start."""
        file = self._cluster / "postmaster.pid"
        try:
            pid = int(file.read_text().splitlines()[0])
            if str(self._cluster.resolve()) not in psutil.Process(pid).cmdline():
                file.unlink()
        except (OSError, ValueError, IndexError, psutil.Error):
            return

    def _connect(self, port: int, database: str = "postgres") -> "Connection":
        import psycopg

        return psycopg.connect(
            host=LOOPBACK,
            port=port,
            user=SUPERUSER,
            password=self.password,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )

    def _create_databases(self, port: int) -> None:
        from psycopg import errors, sql

        with self._connect(port) as connection:
            present = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for database in self._databases:
                if database in present:
                    continue
                try:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
                except (errors.DuplicateDatabase, errors.UniqueViolation):
                    continue  # another start was faster

"""One server of one state folder: started once, found again, mended after a crash, stopped.

What belongs here: everything the services have in common, and the record each keeps of itself.
What does not: what is special to one of them (``postgres``, ``valkey``, ``simulator``), or which of them are
wanted at all (``embedded``).

Every change happens under one lock per service, so any number of processes may call at the same time; the
record says what to do after anyone was killed anywhere.
"""

import json
import random
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import psutil

from spotify_pipelines.services import processes
from spotify_pipelines.services.errors import ServiceError
from spotify_pipelines.services.files import locked, make_folder, replace_file
from spotify_pipelines.services.server_user import ServerUser

__all__ = ["LOOPBACK", "Record", "Service", "ServiceStatus"]

LOOPBACK = "127.0.0.1"

# Below the ranges from which Linux and macOS take ports for outgoing connections: while a server is down,
# nobody gets its port by chance.
_PORTS = range(20_000, 32_000)
_START_SECONDS = 120.0
"""A server that lives gets this long to answer: PostgreSQL may have a crash to recover from."""
_LOOK_SECONDS = 0.02
_RELEASE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """What a service remembers of itself. The port outlives the process: ``.env`` holds it."""

    port: int
    pid: int | None = None
    started: float | None = None
    """Start of the process as ``processes.start_of`` tells; ``None`` while nobody has looked yet."""
    version: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as ``status`` shows it."""

    name: str
    running: bool
    pid: int | None
    port: int | None
    version: str | None
    data_dir: Path
    since: datetime | None
    note: str = ""


class Service(ABC):
    """A supervised server. Subclasses say how to prepare, run, ask and stop it."""

    name: ClassVar[str]
    title: ClassVar[str]
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 15.0),)
    retry_seconds: ClassVar[float] = 0.0
    """For so long, a server that ends right after its start is tried again."""

    def __init__(self, state_dir: Path) -> None:
        """Nothing is touched yet; ``state_dir`` is the folder of all services."""
        self.state_dir = state_dir
        self.home = state_dir / self.name
        self.notes: list[str] = []

    @abstractmethod
    def prepare(self) -> None:
        """Make ready what a start needs; called under the lock, and again before each start."""

    @abstractmethod
    def command(self, record: Record) -> list[str | Path]:
        """The command line of a server on the record's port with its options."""

    @abstractmethod
    def answers(self, port: int) -> bool:
        """Whether *our* server answers on ``port`` (it knows our password) and is ready for work."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the server that ``prepare`` found."""

    def options(self, before: Mapping[str, str]) -> Mapping[str, str]:
        """Options the server shall run with, given those it ran with; another set means a restart."""
        return before

    def user(self) -> ServerUser | None:
        """Who the server runs as; ``None`` for the caller."""
        return None

    def environment(self) -> dict[str, str]:
        """The server's environment."""
        return processes.bare_environment()

    @property
    def data_dir(self) -> Path:
        """Where the server's data really are."""
        return self.home.resolve()

    @property
    def log_file(self) -> Path:
        """What the server printed since it was started last."""
        return self.home / "log"

    def ensure(self) -> Record:
        """The running server's record; starts it where it doesn't run, or runs with other options.

        Raises:
            ServiceError: it can't be started; holds the end of its log.
        """
        with self._lock() as lock:
            record = self._read()
            options = self.options(record.options if record else {})
            process = self._process(record)
            if record and process:
                if record.options == options and self._answers_soon(record.port, process):
                    return self._note_process(record, process)
                processes.stop(process, self.stop_signals)
            try:
                return self._start(record, options, lock)
            except ServiceError:
                self._forget_options(record)
                raise

    def stop(self) -> bool:
        """Stop the server and wait for its end; whether one was running."""
        if not self.home.is_dir():
            return False
        with self._lock():
            record = self._read()
            process = self._process(record)
            if process:
                processes.stop(process, self.stop_signals)
            if record:
                self._write(replace(record, pid=None, started=None))
            return process is not None

    def status(self) -> ServiceStatus:
        """What runs now, without waiting for anybody who is starting or stopping it."""
        record = self._read()
        process = self._process(record)
        since = datetime.fromtimestamp(process.create_time(), UTC) if process else None
        return ServiceStatus(
            name=self.name,
            running=process is not None,
            pid=process.pid if process else None,
            port=record.port if record else None,
            version=record.version if record else None,
            data_dir=self.data_dir,
            since=since,
        )

    @contextmanager
    def _lock(self) -> Iterator[int]:
        # Open for search, closed for listing: root's stand-in passes through to what is its own.
        make_folder(self.state_dir, 0o711)
        with locked(self.state_dir / f"{self.name}.lock") as lock:
            yield lock

    @property
    def _pid_file(self) -> Path:
        return self.home / "pid"

    def _start(self, record: Record | None, options: Mapping[str, str], lock: int) -> Record:
        first_end: float | None = None
        self.prepare()
        port = record.port if record and _becomes_free(record.port) else _free_port()
        while True:
            record = Record(port, version=self.version, options=options)
            process = self._launch(record, lock)
            if process and self._answers_soon(port, process):
                return self._note_process(record, process)
            if process and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                processes.stop(process, self.stop_signals)
                raise self._failure(f"did not answer within {_START_SECONDS:.0f} seconds")
            now = time.monotonic()
            first_end = first_end or now
            if not _is_free(port):
                port = _free_port()  # somebody was faster
            elif now - first_end >= self.retry_seconds:
                raise self._failure("ended right after its start")
            else:
                time.sleep(0.2)

    def _forget_options(self, before: Record | None) -> None:
        """Go back to the options ``before``: with those that failed, every further start would fail too."""
        failed = self._read()
        if failed:
            options = before.options if before else {}
            self._write(replace(failed, pid=None, started=None, options=options))

    def _launch(self, record: Record, lock: int) -> psutil.Process | None:
        user = self.user()
        self.log_file.write_bytes(b"")
        self.log_file.chmod(0o600)
        self._pid_file.write_text("")
        if user:
            user.own(self._pid_file)
        self._write(record)
        return processes.launch(
            self.command(record),
            pid_file=self._pid_file.resolve(),
            log_file=self.log_file,
            lock=lock,
            folder=self.data_dir,
            environment=self.environment(),
            user=user,
        )

    def _answers_soon(self, port: int, process: psutil.Process) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        try:
            started = processes.start_of(process)
        except psutil.NoSuchProcess:
            return False
        while time.monotonic() < deadline:
            if self.answers(port):
                return True
            if processes.find(process.pid, started) is None:
                return False
            time.sleep(_LOOK_SECONDS)
        return False

    def _failure(self, what: str) -> ServiceError:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(f"  {line}" for line in lines[-8:])
        return ServiceError(f"{self.title} {what}. The end of {self.log_file}:\n{tail or '  (empty)'}")

    def _process(self, record: Record | None) -> psutil.Process | None:
        if record is None:
            return None
        if record.pid is not None and record.started is not None:
            return processes.find(record.pid, record.started)
        # The starter was killed before it could note the process; the process noted itself, as it started.
        return processes.started_by(self._pid_file)

    def _note_process(self, record: Record, process: psutil.Process) -> Record:
        try:
            started = processes.start_of(process)
        except psutil.NoSuchProcess:
            return record
        noted = replace(record, pid=process.pid, started=started)
        if noted != record:
            self._write(noted)
        return noted

    def _read(self) -> Record | None:
        try:
            return Record(**json.loads((self.home / "service.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, record: Record) -> None:
        replace_file(self.home / "service.json", json.dumps(asdict(record)))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do it: connections of a server that is gone don't keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _becomes_free(port: int) -> bool:
    """Whether the port is free, or is soon: a server that was killed a moment ago may still hold it."""
    deadline = time.monotonic() + _RELEASE_SECONDS
    while not _is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _free_port() -> int:
    candidates = iter(lambda: random.choice(_PORTS), None)  # noqa: S311 - no secret
    return next(port for port in candidates if _is_free(port))

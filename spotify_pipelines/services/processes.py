"""Processes that outlive the one who started them: launched, recognised again and stopped.

What belongs here: process handling that is the same on Linux and macOS (psutil, no /proc).
What does not: what the processes serve (``supervisor`` and the services).

A process is known by its id *and* its start time: ids are used again, and a signal must never hit a stranger. The
start is counted from where setting the clock, or a pause of the whole machine, does not move it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from spotify_pipelines.services.server_user import ServerUser

__all__ = ["bare_environment", "find", "launch", "start_of", "started_by", "stop"]

_SLACK = 0.1
"""Seconds by which two readings of one process' start may differ: kernels count in hundredths."""
_FILE_SLACK = 2.0
"""Seconds by which the start of a process may differ from the date of the file that it wrote as it started."""

# The child writes its own id before it becomes the server, and until it has, it holds the caller's lock (as
# its standard input): whoever gets the lock next finds the id even if the caller was killed in between.
_LAUNCHER = 'echo "$$" >"$0"; exec "$@" </dev/null'

# A Popen object that is dropped while its process lives complains; kept here, it also reaps the process.
_children: dict[int, subprocess.Popen[bytes]] = {}


def launch(
    command: Sequence[str | Path],
    *,
    pid_file: Path,
    log_file: Path,
    lock: int,
    folder: Path,
    environment: Mapping[str, str],
    user: ServerUser | None,
) -> psutil.Process | None:
    """Start ``command`` in a session of its own; ``None`` if it was gone at once.

    Args:
        pid_file: where the process leaves its id; must exist and be writable for ``user``.
        log_file: gets standard output and error.
        lock: descriptor of the lock the caller holds.
        folder: working directory.
        environment: the whole environment of the process.
        user: who it runs as; ``None`` for the caller.
    """
    with log_file.open("ab") as log:
        child = subprocess.Popen(
            ["/bin/sh", "-c", _LAUNCHER, pid_file, *command],
            stdin=lock,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
            **(user.popen_arguments() if user else {}),
        )
    _children[child.pid] = child
    try:
        return psutil.Process(child.pid)
    except psutil.NoSuchProcess:
        return None


def start_of(process: psutil.Process) -> float:
    """When a process started: in seconds since the boot on Linux, whose kernel counts so, else since the epoch.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    while True:
        # Read anew: psutil remembers, and Linux derives the date from the clock as it is now.
        boot, date = _boot(), psutil.Process(process.pid).create_time()
        if _boot() == boot:
            return float(date - boot)


def find(pid: int, started: float, *, slack: float = _SLACK) -> psutil.Process | None:
    """The living process with this id that started at ``started`` (as ``start_of`` tells), if any."""
    if pid in _children:
        _children[pid].poll()
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return process if abs(start_of(process) - started) <= slack else None
    except psutil.Error:
        return None


def started_by(pid_file: Path) -> psutil.Process | None:
    """The living process that wrote its id into ``pid_file`` as it started, if any."""
    try:
        return find(int(pid_file.read_text()), pid_file.stat().st_mtime - _boot(), slack=_FILE_SLACK)
    except (OSError, ValueError):
        return None


def stop(process: psutil.Process, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn and wait the given seconds for the end; SIGKILL is the last resort.

    Raises:
        PermissionError: the process belongs to another user.
    """
    try:
        started = start_of(process)
    except psutil.NoSuchProcess:
        return
    for number, patience in (*signals, (signal.SIGKILL, 10.0)):
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            break
        except psutil.AccessDenied:
            raise PermissionError(f"process {process.pid} belongs to another user") from None
        # Not psutil's wait: it would wait for a zombie until that one's parent cares.
        deadline = time.monotonic() + patience
        while find(process.pid, started) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not find(process.pid, started):
            break
    _children.pop(process.pid, None)


def _boot() -> float:
    """What Linux adds to a process' start to make it a date; setting the clock changes it."""
    return psutil.boot_time() if psutil.LINUX else 0.0


def bare_environment() -> dict[str, str]:
    """An environment for servers: nothing of the caller's can change how they work (PGPORT, LC_ALL, …)."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

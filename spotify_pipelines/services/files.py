"""Small files that must never be half written or read by others: locks, secrets, records.

What belongs here: file-system helpers without any knowledge of services.
What does not: what stands in the files (``supervisor``, ``dotenv``, ``vault_key``).
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked", "make_folder", "replace_file", "secret_in_file"]


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on ``path`` (made if absent); yields its descriptor.

    The lock belongs to the open file, so a child process that inherits the descriptor holds it as well, and
    the kernel drops it when the last holder dies, however it dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def make_folder(path: Path, mode: int) -> Path:
    """Create ``path`` with parents; ``mode`` holds for the last folder, and only if it is new."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
    return path


def replace_file(path: Path, content: str, mode: int = 0o600) -> None:
    """Write ``content`` so that a reader, or a crash, sees either the old file or the new one.

    An existing file's owner is kept: root must not take a user's file away.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if os.geteuid() == 0 and path.exists():
            before = path.stat()
            os.chown(temporary, before.st_uid, before.st_gid)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def secret_in_file(path: Path, first: str) -> str:
    """The secret kept in ``path`` (mode 0600); ``first`` is written there if there is none yet."""
    try:
        kept = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        kept = ""
    if not kept:
        replace_file(path, first)
        kept = first
    return kept

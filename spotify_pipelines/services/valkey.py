"""Valkey (or Redis): counters, limiter windows and shared pauses; everything in it may be lost.

What belongs here: Valkey's configuration and how to ask it. What does not: clients of the product.
"""

import secrets
import socket
from pathlib import Path

from spotify_pipelines.services.binaries import Programs, find_valkey
from spotify_pipelines.services.files import make_folder, replace_file, secret_in_file
from spotify_pipelines.services.supervisor import LOOPBACK, Record, Service

__all__ = ["Valkey"]

# Nothing is saved, by design, and nothing is ever evicted silently: a full server says so.
_CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
tcp-backlog 128
"""


class Valkey(Service):
    """One Valkey server with a password, without persistence."""

    name = "redis"
    title = "Redis (Valkey)"

    _programs: Programs | None = None

    @property
    def password(self) -> str:
        """Made at random on first use, kept in a file that only its owner reads."""
        return secret_in_file(self.home / "password", secrets.token_urlsafe(24))

    def url(self, port: int) -> str:
        """For clients, with the password."""
        return f"redis://:{self.password}@{LOOPBACK}:{port}/0"

    @property
    def version(self) -> str:
        return self._found().version

    def prepare(self) -> None:
        make_folder(self.home, 0o700)
        note = self._found().note
        if note and note not in self.notes:
            self.notes.append(note)

    def command(self, record: Record) -> list[str | Path]:
        # By file, not by argument: arguments are there for every user to read.
        file = self.home.resolve() / "valkey.conf"
        replace_file(file, _CONFIGURATION.format(host=LOOPBACK, port=record.port, password=self.password))
        return [self._found().server, file]

    def answers(self, port: int) -> bool:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while chunk := connection.recv(256):
                    answer += chunk
                    if answer.startswith(b"-") or b"PONG" in answer:
                        return answer == b"+OK\r\n+PONG\r\n"
        except OSError:
            pass
        return False

    def _found(self) -> Programs:
        if self._programs is None:
            self._programs = find_valkey()
        return self._programs

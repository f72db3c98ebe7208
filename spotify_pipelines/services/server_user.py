"""Who PostgreSQL runs as when root starts it, and the folders that user can reach.

What belongs here: users, and probing what they can enter. What does not: which programs run (``binaries``).

PostgreSQL refuses to run as root. Its stand-in ``nobody`` can't enter a private folder such as ``/root``, and
opening other people's folders is no way to help it: programs and data go to a cache folder instead.
"""

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotify_pipelines.services.errors import ServiceError

__all__ = ["ServerUser", "shared_cache"]

_CACHE_PARENTS = ("/var/cache", "/var/lib", "/opt", "/var/tmp")  # noqa: S108 - see shared_cache


@dataclass(frozen=True, slots=True)
class ServerUser:
    """An unprivileged user that root hands a server to."""

    name: str
    uid: int
    gid: int

    @classmethod
    def stand_in(cls, data: Path) -> "ServerUser | None":
        """The user for a server on ``data``: its owner, else ``nobody``; ``None`` if the caller isn't root.

        Raises:
            ServiceError: root has no user to hand over to.
        """
        if os.geteuid() != 0:
            return None
        try:
            owner = data.stat().st_uid if data.exists() else 0
            entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
        except KeyError:
            raise ServiceError(
                "PostgreSQL refuses to run as root, and this machine has no user 'nobody' to run it as. "
                "Work as an ordinary user, or name a server of your own in SPOTIFY_PIPELINES_DATABASE_URL."
            ) from None
        # macOS gives nobody the id -2, which is a positive number to every call that takes it.
        return cls(entry.pw_name, entry.pw_uid & 0xFFFFFFFF, entry.pw_gid & 0xFFFFFFFF)

    def popen_arguments(self) -> dict[str, Any]:
        """What makes ``subprocess`` start a child as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can get into ``folder``: asked of the system, which knows about ACLs too."""
        probe = ["/bin/sh", "-c", 'cd "$0"', str(folder.resolve())]
        quiet = subprocess.DEVNULL
        done = subprocess.run(
            probe, check=False, cwd="/", stdin=quiet, stdout=quiet, stderr=quiet, **self.popen_arguments()
        )
        return done.returncode == 0

    def own(self, path: Path) -> None:
        """Make ``path`` this user's."""
        os.chown(path, self.uid, self.gid)


def shared_cache(user: ServerUser) -> Path:
    """A folder of root's that ``user`` can enter, for programs and data that can't stay where they are.

    Raises:
        ServiceError: there is none on this machine.
    """
    for parent in _CACHE_PARENTS:
        folder = Path(parent) / "spotify-pipelines"
        try:
            folder.mkdir(mode=0o755, exist_ok=True)
            found = folder.lstat()
            # In a folder that everybody can write to, somebody else may have put a trap there.
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0:
                continue
            folder.chmod(0o755)
        except OSError:
            continue
        if user.can_enter(folder):
            return folder
    raise ServiceError(
        f"PostgreSQL would run as '{user.name}', who can't enter this checkout, and none of "
        f"{', '.join(_CACHE_PARENTS)} can take its files. Work as an ordinary user, or name a server of your "
        "own in SPOTIFY_PIPELINES_DATABASE_URL."
    )

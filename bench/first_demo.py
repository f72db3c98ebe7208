"""Time and disk of the first ``make demo`` in a fresh clone. Told, not judged: most of it is the network's.

What is cloned is what is committed. The folder is removed afterwards, servers and all; pip's own cache is not: it
belongs to the user, and whether it was warm is part of what was measured.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.figures import Figure

_ROOT = Path(__file__).resolve().parents[1]


def figures() -> Iterator[Figure]:
    """Clone, install, run the demo twice, weigh what is there, and clean up."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SPOTIFY_PIPELINES_", "DAGSTER_", "VIRTUAL_ENV"))
    }
    with tempfile.TemporaryDirectory() as folder:
        # As a home folder usually is: where nobody else may enter, root's PostgreSQL puts its data elsewhere.
        Path(folder).chmod(0o755)
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(_ROOT), str(clone)], check=True, env=env)
        try:
            install = _seconds(["make", ".venv"], clone, env)
            first = _seconds(["make", "demo"], clone, env)
            sizes = {part: _mebibytes(clone / part) for part in (".venv", ".state")}
            second = _seconds(["make", "demo"], clone, env)
        finally:
            subprocess.run(["make", "clean"], cwd=clone, check=True, env=env, stdout=subprocess.DEVNULL)
    yield Figure(
        "first 'make demo' in a fresh clone",
        install + first,
        unit="s",
        detail=f"{install:.0f} s of it make .venv with the pinned packages; the second demo takes {second:.0f} s",
    )
    yield Figure(
        "disk after it",
        sum(sizes.values()),
        unit="MiB",
        detail=", ".join(f"{part} {size:.0f} MiB" for part, size in sizes.items()),
    )


def _seconds(command: list[str], folder: Path, env: Mapping[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, env=dict(env), stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _mebibytes(folder: Path) -> float:
    """Disk in use, as du counts it: blocks, with sparse and linked files taken once."""
    inodes = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                found = (Path(parent) / name).lstat()
            except FileNotFoundError:  # the servers go on working
                continue
            inodes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(inodes.values()) / 1024**2

"""A checkout of each test's own, whose services are stopped and deleted afterwards."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotify_pipelines import services
from spotify_pipelines.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
NO_SIMULATOR = {"simulator": "this test is about the others"}


def settings_in(root: Path, **values: object) -> Settings:
    """Settings of a checkout in ``root``, whatever the environment says."""
    return Settings.model_validate({"state_dir": root / ".state", **values})


def python(code: str, *arguments: str | Path, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run ``code`` in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that looks like a checkout and that every user can enter."""
    for name in ("DAGSTER_HOME", "SPOTIFY_PIPELINES_WORLD", "SPOTIFY_PIPELINES_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    root = Path(tempfile.mkdtemp(prefix="checkout-"))
    root.chmod(0o755)
    for name in ("workspace.yaml", "dagster.yaml"):
        shutil.copy(REPOSITORY / name, root)
    yield root
    services.purge(settings_in(root), root)
    shutil.rmtree(root)

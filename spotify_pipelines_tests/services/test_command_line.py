"""``up``, ``status`` and ``down`` as a person types them in a checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path

from dotenv import dotenv_values
from sqlalchemy import create_engine, inspect

COMMAND = [sys.executable, "-c", "from spotify_pipelines.cli import main; main()"]


def spotify_pipelines(root: Path, *arguments: str, **exported: str) -> "subprocess.CompletedProcess[str]":
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SPOTIFY_", "DAGSTER_"))
    }
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=root,
        env={**kept, **exported},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_up_status_and_down_from_a_folder_below_the_checkouts(checkout: Path) -> None:
    below = checkout / "docs"
    below.mkdir()
    done = spotify_pipelines(below, "up", "--albums", "20")
    assert done.returncode == 0, done.stderr
    assert "World 'sandbox' is ready" in done.stdout

    url = dotenv_values(checkout / ".env")["SPOTIFY_PIPELINES_DATABASE_URL"]
    assert url
    engine = create_engine(url)
    assert "playlists" in inspect(engine).get_table_names()
    engine.dispose()
    password = url.partition("//")[2].partition("@")[0].partition(":")[2]
    assert password not in done.stdout + done.stderr

    shown = spotify_pipelines(below, "status", "--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert [each["name"] for each in found["services"] if each["running"]] == [
        "postgres",
        "redis",
        "simulator",
    ]
    assert "running for" in spotify_pipelines(below, "status").stdout

    assert spotify_pipelines(below, "down").stdout == (
        "Stopped: The Spotify simulator, Redis (Valkey), PostgreSQL.\n"
    )
    stopped = spotify_pipelines(below, "status")
    assert stopped.returncode == 1
    assert stopped.stdout.count("stopped") == 3

    removed = spotify_pipelines(below, "down", "--remove-data")
    assert removed.returncode == 0, removed.stderr
    assert not (checkout / ".state").exists()
    assert not (checkout / ".env").exists()


def test_what_can_not_be_done_is_one_sentence_and_an_exit_code(checkout: Path) -> None:
    done = spotify_pipelines(checkout, "up", "--world", "live", SPOTIFY_PIPELINES_WORLD="sandbox")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("--world live contradicts SPOTIFY_PIPELINES_WORLD")

    done = spotify_pipelines(checkout, "up", "--catalogue", "none.csv")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "There is no catalogue file none.csv.\n"

"""``policies check | apply | list`` as a person or a script meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from spotify_pipelines.cli.root import build_app

GOOD = """
policies:
  - name: morning
    size: 20
  - name: evening
"""
Command = Callable[..., Result]


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """``spotify-pipelines policies …`` on a database of this test's own, in a folder with a good file."""
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    Path("policies.yaml").write_text(GOOD, "utf-8")

    def run(*words: str) -> Result:
        return CliRunner().invoke(build_app(), ["policies", *words], catch_exceptions=False)

    return run


def test_a_good_file_is_checked_and_nothing_is_stored(command: Command) -> None:
    result = command("check", "policies.yaml")

    assert (result.exit_code, result.stdout) == (
        0,
        "morning: 20 tracks every 7 days\nevening: 50 tracks every 7 days\n",
    )
    assert "No policy is in force yet" in command("list").stdout


@pytest.mark.parametrize("name", ["check", "apply"])
def test_a_bad_file_is_refused_with_line_and_path_of_the_key(command: Command, name: str) -> None:
    Path("bad.yaml").write_text(GOOD.replace("size: 20", "sise: 20\n    caps: {artist: 0}"), "utf-8")

    result = command(name, "bad.yaml")

    assert result.exit_code == 2
    assert "bad.yaml: 2 problems" in result.stderr
    assert "line 4: policies[0].sise: unknown key; did you mean size?" in result.stderr
    assert "line 5: policies[0].caps.artist" in result.stderr
    assert result.stdout == ""
    assert json.loads(command("list", "--json").stdout)["policies"] == []


def test_a_file_that_is_not_there_or_is_no_text_is_refused_in_a_sentence(command: Command) -> None:
    Path("noise.yaml").write_bytes(b"\xff\xfe\x00\x01")

    missing, noise = command("check", "nowhere.yaml"), command("check", "noise.yaml")

    assert (missing.exit_code, missing.stderr) == (
        2,
        "nowhere.yaml can't be read: No such file or directory.\n",
    )
    assert noise.exit_code == 2
    assert noise.stderr.startswith("noise.yaml: ")


def test_a_file_without_an_end_is_read_so_far_and_refused(command: Command) -> None:
    result = command("check", "/dev/zero")

    assert result.exit_code == 2
    assert "/dev/zero is larger than a megabyte" in result.stderr


def test_applying_says_what_became_of_each_policy(command: Command) -> None:
    assert command("apply", "policies.yaml").stdout == "morning: version 1\nevening: version 1\n"
    assert command("apply", "policies.yaml").stdout == "morning: unchanged\nevening: unchanged\n"

    Path("policies.yaml").write_text("policies:\n  - {name: morning, size: 30}\n", "utf-8")
    changed = command("apply", "policies.yaml")
    assert changed.stdout == "morning: version 2\n"
    assert "policy 'evening' is not in the file and stays in force" in changed.stderr

    pruned = json.loads(command("apply", "policies.yaml", "--prune", "--json").stdout)
    assert {row["policy"]: row["what"] for row in pruned["policies"]} == {
        "morning": "unchanged",
        "evening": "deactivated",
    }


def test_the_list_shows_the_newest_version_of_each_policy(command: Command) -> None:
    command("apply", "policies.yaml")

    rows = {row["name"]: row for row in json.loads(command("list", "--json").stdout)["policies"]}

    assert (rows["morning"]["version"], rows["morning"]["in_force"], rows["morning"]["playlists"]) == (
        1,
        True,
        0,
    )
    assert rows["morning"]["definition"]["size"] == 20
    assert "morning" in command("list").stdout

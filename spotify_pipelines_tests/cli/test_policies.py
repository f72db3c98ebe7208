"""``policies check | diff | apply | list | show | schema`` as a person or a script meets them."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner, Result

from spotify_pipelines.cli.root import build_app
from spotify_pipelines.store.tables import Account, Playlist, SpotifyApp
from spotify_pipelines_tests.support.databases import open_database

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


def edit(old: str, new: str) -> None:
    Path("policies.yaml").write_text(GOOD.replace(old, new), "utf-8")


def test_a_diff_says_what_would_change_and_changes_nothing(command: Command) -> None:
    new = command("diff", "policies.yaml").stdout
    assert "morning: version 1\n  no playlist yet: the next plan makes them\n" in new
    command("apply", "policies.yaml")

    edit("size: 20", "size: 30\n    exclude: {artists: [Ana]}\n    cooldown: {days: 3}")
    told = command("diff", "policies.yaml").stdout
    assert told == (
        "morning: version 2\n  size: 20 → 30\n  exclude.artists: + Ana\n  cooldown.days: (none) → 3\n"
        "  cooldown.scope: (none) → playlist\n  no playlist yet: the next plan makes them\nevening: unchanged\n"
    )
    machine = json.loads(command("diff", "policies.yaml", "--json").stdout)["policies"]
    assert machine[0]["changes"][0] == {"key": "size", "before": 20, "after": 30}
    assert json.loads(command("list", "--json").stdout)["policies"][1]["version"] == 1


def test_a_diff_names_the_playlists_that_are_drawn_anew(command: Command, database_url: str) -> None:
    command("apply", "policies.yaml")
    plan_two_playlists(database_url)

    edit("size: 20", "size: 30")
    assert "  drawn anew: morning@ana, morning-2@ana\n" in command("diff", "policies.yaml").stdout
    edit("  - name: morning\n    size: 20\n", "")
    assert "morning: not in the file\n" in command("diff", "policies.yaml").stdout
    pruned = command("diff", "policies.yaml", "--prune").stdout
    assert "morning: deactivated\n  retired with the next plan: morning@ana, morning-2@ana\n" in pruned


def plan_two_playlists(database_url: str) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        app = session.scalar(insert(SpotifyApp).values(name="app", client_id="c").returning(SpotifyApp.id))
        account = session.scalar(
            insert(Account).values(app_id=app, name="ana", spotify_user_id="u").returning(Account.id)
        )
        for sequence in (1, 2):
            session.execute(
                insert(Playlist).values(
                    account_id=account, policy_name="morning", sequence=sequence, anchor=date(2026, 1, 1)
                )
            )


@pytest.mark.parametrize(
    ("answer", "words", "stored"), [("n\n", (), 0), ("y\n", (), 2), ("", ("--yes",), 2), ("", ("--json",), 2)]
)
def test_in_a_terminal_applying_asks_first(
    command: Command, monkeypatch: pytest.MonkeyPatch, answer: str, words: tuple[str, ...], stored: int
) -> None:
    monkeypatch.setattr("spotify_pipelines.cli.policies._has_terminal", lambda: True)

    result = CliRunner().invoke(build_app(), ["policies", "apply", "policies.yaml", *words], input=answer)

    assert result.exit_code == (0 if stored else 3)
    assert ("morning: version 1" in result.stderr) == (not words)
    assert len(json.loads(command("list", "--json").stdout)["policies"]) == stored


def test_nothing_is_asked_where_nothing_changes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command("apply", "policies.yaml")
    monkeypatch.setattr("spotify_pipelines.cli.policies._has_terminal", lambda: True)

    assert command("apply", "policies.yaml").stdout == "morning: unchanged\nevening: unchanged\n"


def test_a_version_is_shown_as_a_file_that_says_the_same(command: Command) -> None:
    edit("size: 20", "size: 20\n    reshuffle: {at: '05:15'}\n    pool: {added_since: 2026-01-31}")
    command("apply", "policies.yaml")
    Path("policies.yaml").write_text("policies:\n  - {name: morning, size: 30}\n", "utf-8")
    command("apply", "policies.yaml")

    old = command("show", "morning", "--version", "1")
    assert old.stdout.startswith("# morning, version 1 of 2, not in force, stored ")
    for words in ((), ("--defaults",)):
        Path("policies.yaml").write_text(command("show", "morning", "--version", "1", *words).stdout, "utf-8")
        assert "  reshuffle.at: 04:00 → 05:15\n" in command("diff", "policies.yaml").stdout
    assert "size: 30" in command("show", "morning").stdout
    machine = json.loads(command("show", "morning", "--json").stdout)["policy"]
    assert (machine["version"], machine["in_force"], len(machine["versions"])) == (2, True, 2)


def test_a_policy_or_version_that_is_not_there_is_named(command: Command) -> None:
    command("apply", "policies.yaml")

    stranger, version = command("show", "noon"), command("show", "morning", "--version", "7")

    assert (stranger.exit_code, version.exit_code) == (2, 2)
    assert "There is no policy 'noon'; known are: evening, morning." in stranger.stderr
    assert "Policy 'morning' has the versions 1 to 1, and no version 7." in version.stderr


def test_the_schema_is_printed_for_editors(command: Command) -> None:
    assert json.loads(command("schema").stdout)["title"] == "Playlist policies"
    assert "| `pool.tags` |" in command("schema", "--markdown").stdout

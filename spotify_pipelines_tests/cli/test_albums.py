"""``albums add | list | retry | tag | untag`` as a person or a script meets them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from spotify_pipelines.cli.root import build_app
from spotify_pipelines.store import queue
from spotify_pipelines_tests.support.databases import open_database

ONE = "4aawyAB9vmqN3uQ7FjRGTy"
TWO = "2eia0myWFgoHuttJytCxgX"
TRACK = f"https://open.spotify.com/track/{ONE}"

Command = Callable[..., Result]


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """``spotify-pipelines albums …`` on a database of this test's own."""
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, text: str | bytes | None = None) -> Result:
        return CliRunner().invoke(build_app(), ["albums", *words], input=text, catch_exceptions=False)

    return run


def as_json(result: Result) -> Any:
    return json.loads(result.stdout)


def fail(database_url: str, album_id: str, *, transient: bool) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        queue.failed(
            session,
            album_id,
            kind="NotFound",
            reason="The album is gone.",
            now=datetime.now(UTC),
            max_attempts=5,
            transient=transient,
        )


def test_urls_are_queued_once_and_the_sentence_says_what_happened(command: Command) -> None:
    first = command("add", ONE, f"https://open.spotify.com/intl-de/album/{TWO}?si=x", f"spotify:album:{ONE}")
    assert (first.exit_code, first.stdout) == (
        0,
        "2 albums queued, 0 known already, 1 given more than once.\n",
    )
    assert command("add", TWO).stdout == "0 albums queued, 1 known already.\n"


def test_a_file_gives_what_it_can_and_tells_the_lines_that_it_cannot(command: Command) -> None:
    Path("albums.txt").write_text(f"\ufeff# mine\r\n{ONE}\r\n{TRACK}\r\n\r\n{TWO}\r\n{ONE}\r\n", "utf-8")
    result = command("add", "albums.txt")
    assert result.exit_code == 1
    assert result.stdout == "2 albums queued, 0 known already, 1 given more than once, 1 refused.\n"
    assert result.stderr.splitlines() == [
        f"albums.txt, line 3: '{TRACK}' is not taken: it is a track link; only albums can be queued.",
        "albums.txt, line 6: the same album as in line 2.",
    ]


def test_several_sources_are_one_call_and_a_bad_one_spoils_nothing(command: Command) -> None:
    Path("albums.txt").write_text(ONE, "utf-8")
    result = command("add", "nowhere.txt", "albums.txt", "-", TRACK, text=f"{TWO}\n")
    assert result.exit_code == 1
    assert result.stdout == "2 albums queued, 0 known already, 2 refused.\n"
    assert "argument 1: 'nowhere.txt' is not taken: there is no such file" in result.stderr
    assert f"argument 4: '{TRACK}' is not taken: it is a track link" in result.stderr


def test_json_tells_the_same_with_a_version(command: Command) -> None:
    result = command("add", "-", "--json", text=f"{ONE}\nspoti.fi/x\n{ONE}\n")
    assert result.exit_code == 1
    answer = as_json(result)
    refused = answer.pop("refused")
    assert answer == {"version": 1, "added": 1, "known": 0, "repeated": 1, "refused_count": 1}
    assert [(line["source"], line["line"], line["text"]) for line in refused] == [
        ("standard input", 2, "spoti.fi/x")
    ]
    assert "short link" in refused[0]["reason"]


@pytest.mark.parametrize(
    "text",
    [b"", b"# nothing\n", b"x" * 10_000_000, b"junk\n" * 100_000, bytes(range(256)) * 50],
    ids=["empty", "comment", "10 MB in a line", "many lines", "binary"],
)
def test_where_nothing_is_usable_the_exit_code_is_two(command: Command, text: bytes) -> None:
    result = command("add", "-", text=text)
    assert result.exit_code == 2
    assert "0 albums queued" in result.stdout
    assert "\x1b" not in result.stderr
    assert len(result.stderr.splitlines()) < 1100


def test_no_argument_at_all_is_a_wrong_call(command: Command) -> None:
    assert command("add").exit_code == 2


def test_the_list_shows_failures_first_and_can_show_nothing_else(command: Command, database_url: str) -> None:
    command("add", ONE, TWO)
    fail(database_url, TWO, transient=False)
    result = command("list")
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:]] == [[TWO, "dead"], [ONE, "queued"]]
    assert "The album is gone." in result.stdout
    assert result.stderr == "1 dead, 1 queued\n"
    failed = as_json(command("list", "--failed", "--json"))
    assert (failed["version"], failed["counts"]) == (1, {"dead": 1, "queued": 1})
    assert [(row["album_id"], row["status"], row["error_kind"]) for row in failed["albums"]] == [
        (TWO, "dead", "NotFound")
    ]


def test_a_cut_list_says_so(command: Command) -> None:
    command("add", ONE, TWO)
    assert "(the first 1 are shown)" in command("list", "--limit", "1").stderr


def test_an_empty_queue_says_how_to_fill_it(command: Command) -> None:
    assert "albums add" in command("list").stdout


def test_a_list_shows_foreign_text_as_text(command: Command, database_url: str) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        queue.enqueue(session, [("[red]\x1b[31mboo\n", ONE)], now=datetime.now(UTC))
    shown = command("list").stdout
    assert "[red]�[31mboo" in shown
    assert "\x1b" not in shown


def test_retry_queues_named_albums_anew_and_names_those_that_did_not_fail(
    command: Command, database_url: str
) -> None:
    command("add", ONE, TWO)
    fail(database_url, ONE, transient=False)
    result = command("retry", f"spotify:album:{ONE}", TWO)
    assert (result.exit_code, result.stdout) == (1, "1 albums are queued again.\n")
    assert result.stderr.startswith(f"{TWO}: not among the failed albums")
    assert as_json(command("list", "--json"))["counts"] == {"queued": 2}


def test_retry_all_takes_all_that_failed(command: Command, database_url: str) -> None:
    command("add", ONE, TWO)
    fail(database_url, ONE, transient=False)
    fail(database_url, TWO, transient=True)
    answer = as_json(command("retry", "--all", "--json"))
    assert answer == {"version": 1, "queued": [TWO, ONE], "not_failed": []}


@pytest.mark.parametrize("words", [[], ["--all", ONE], ["junk"]], ids=["nothing", "both", "no album"])
def test_retry_of_nothing_or_of_junk_is_a_wrong_call(command: Command, words: list[str]) -> None:
    assert command("retry", *words).exit_code == 2


@pytest.mark.parametrize("name", ["add", "list", "retry"])
def test_every_command_shows_an_example(command: Command, name: str) -> None:
    assert f"Example: spotify-pipelines albums {name}" in " ".join(command(name, "--help").stdout.split())


def tags_of(command: Command) -> dict[str, list[str]]:
    return {row["album_id"]: row["tags"] for row in as_json(command("list", "--json"))["albums"]}


def test_albums_are_tagged_when_they_are_added_or_later(command: Command) -> None:
    command("add", ONE, TWO)
    assert command("add", ONE, "--tag", "calm", "--tag", "live").exit_code == 0
    assert tags_of(command) == {ONE: ["calm", "live"], TWO: []}

    again = command("tag", "calm", f"spotify:album:{ONE}", TWO)
    assert (again.exit_code, again.stdout) == (0, "1 albums tagged.\n")
    assert tags_of(command) == {ONE: ["calm", "live"], TWO: ["calm"]}

    assert command("untag", "calm", ONE).stdout == "1 albums untagged.\n"
    assert tags_of(command) == {ONE: ["live"], TWO: ["calm"]}
    assert "calm" in command("list").stdout


def test_what_is_not_in_the_queue_can_not_be_tagged_and_is_named(command: Command) -> None:
    command("add", ONE)

    told = command("tag", "calm", ONE, TWO, TRACK)
    assert (told.exit_code, told.stdout) == (1, "1 albums tagged.\n")
    assert f"{TWO}: not in the queue; 'albums add --tag calm' queues and tags it." in told.stderr
    assert "track link" in told.stderr

    machine = as_json(command("untag", "calm", TWO, "--json"))
    assert (machine["untagged"], machine["not_in_queue"]) == (0, [TWO])


@pytest.mark.parametrize("name", ["Calm", "two words", "-x", "", "x" * 61])
def test_a_tag_that_is_misspelt_is_refused(command: Command, name: str) -> None:
    command("add", ONE)
    refused = CliRunner().invoke(build_app(), ["albums", "tag", "--", name, ONE])
    assert refused.exit_code == 2
    assert "is no tag" in refused.stderr
    assert tags_of(command) == {ONE: []}

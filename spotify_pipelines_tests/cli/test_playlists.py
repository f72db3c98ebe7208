"""``playlists …`` as a person or a script meets them."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import insert, select, update
from typer.testing import CliRunner, Result

from spotify_pipelines.cli.root import build_app
from spotify_pipelines.playlists.apply import apply_policies
from spotify_pipelines.playlists.control import Refused
from spotify_pipelines.playlists.plan import plan_playlists
from spotify_pipelines.playlists.policies import parse_policies
from spotify_pipelines.playlists.snapshot import build_snapshots
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Account, Playlist, PlaylistSnapshot, SpotifyApp
from spotify_pipelines_tests.playlists.studio import stock
from spotify_pipelines_tests.support.databases import open_database

Command = Callable[..., Result]
POLICIES = "policies:\n  - {name: morning, size: 8}\n"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        yield database


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """``spotify-pipelines playlists …`` on a database of this test's own."""
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Result:
        return CliRunner().invoke(build_app(), ["playlists", *words], catch_exceptions=False)

    return run


@pytest.fixture
def planned(database: Database) -> Database:
    """Two accounts with a playlist each."""
    with database.transaction() as session:
        stock(session, SyntheticCatalogue(10, 1))
        app = session.scalars(
            insert(SpotifyApp).values(name="app", client_id="c").returning(SpotifyApp.id)
        ).one()
        for name in ("studio-1", "studio-2"):
            session.execute(insert(Account).values(app_id=app, name=name, spotify_user_id=name))
        apply_policies(session, parse_policies(POLICIES, "test"), _now())
    plan_playlists(database, run_id="plan", now=_now)
    return database


def _now() -> datetime:
    return datetime.now(UTC)


def test_without_playlists_the_list_says_how_to_get_some(command: Command) -> None:
    assert command("list").stdout.startswith("There are no playlists yet.")


def test_the_list_tells_planned_from_due_from_done(command: Command, planned: Database) -> None:
    build_snapshots(planned, run_id="draw", now=_now)
    with planned.transaction() as session:
        done = session.scalars(select(Playlist.id).order_by(Playlist.id).limit(1)).one()
        session.execute(
            update(Playlist)
            .where(Playlist.id == done)
            .values(
                status="active",
                spotify_id="37i9dQZF1DX0XUsuxWHRQd",
                confirmed_name="Good \x1b[31mmorning",
                confirmed_items_hash=session.scalars(
                    select(PlaylistSnapshot.items_hash).where(PlaylistSnapshot.playlist_id == done)
                ).one(),
            )
        )

    views = json.loads(command("list", "--json").stdout)["playlists"]
    table = command("list").stdout

    assert [(view["label"], view["status"], view["in_sync"]) for view in views] == [
        ("morning@studio-1", "active", True),
        ("morning@studio-2", "planned", False),
    ]
    assert [view["tracks"] for view in views] == [8, 8]
    assert "as drawn" in table
    assert "\x1b[31m" not in table


def test_one_playlist_is_shown_with_its_tracks_and_figures(command: Command, planned: Database) -> None:
    build_snapshots(planned, run_id="draw", now=_now)

    shown = command("show", "morning@studio-2")
    data = json.loads(command("show", "morning@studio-2", "--json").stdout)

    assert shown.exit_code == 0
    assert "8 of 8 tracks" in shown.stdout
    assert len(data["snapshot"]["tracks"]) == 8
    assert all(track["artists"] and track["name"] and track["why"] for track in data["snapshot"]["tracks"])
    assert data["snapshot"]["tracks"][0]["name"] in shown.stdout


def test_a_playlist_that_was_not_drawn_says_so(command: Command, planned: Database) -> None:
    assert "It was not drawn yet" in command("show", "morning@studio-1").stdout


def test_an_unknown_or_ambiguous_name_is_refused_in_a_sentence(command: Command, planned: Database) -> None:
    with planned.transaction() as session:
        session.execute(update(Playlist).values(confirmed_name="Twins"))

    unknown, twins = command("show", "nothing"), command("show", "Twins")

    assert (unknown.exit_code, twins.exit_code) == (2, 2)
    assert "There is no playlist 'nothing'" in unknown.stderr
    assert "morning@studio-1 (id 1), morning@studio-2 (id 2)" in twins.stderr


# ── in a person's hands ──────────────────────────────────────────────────────────────────────────────────────


def test_states_are_set_shown_and_taken_back(command: Command, planned: Database) -> None:
    build_snapshots(planned, run_id="draw", now=_now)

    locked = command("lock", "morning@studio-1", "--reason", "label asked")
    paused = json.loads(command("pause", "morning@studio-2", "--json").stdout)
    views = json.loads(command("list", "--json").stdout)["playlists"]

    assert locked.stdout == "morning@studio-1: locked\n"
    assert (paused["what"], paused["changed"]) == ("paused", True)
    assert [view["held_back"] for view in views] == ["locked: label asked", "paused: by hand"]
    assert [view["account_health"] for view in views] == ["ok", "ok"]
    assert "locked: label asked" in command("list").stdout
    assert command("unlock", "morning@studio-1").stdout == "morning@studio-1: unlocked\n"
    assert command("resume", "morning@studio-2").stdout == "morning@studio-2: resumed\n"
    assert command("resume", "morning@studio-2").stdout == "morning@studio-2: not paused\n"


def test_nothing_is_taken_away_without_a_yes(command: Command, planned: Database) -> None:
    build_snapshots(planned, run_id="draw", now=_now)

    refused = command("retire", "morning@studio-1", "--no-sync")
    assert (refused.exit_code, refused.stdout.strip()) == (1, "")
    assert json.loads(command("list", "--json").stdout)["playlists"][0]["status"] == "planned"

    done = command("retire", "morning@studio-1", "--yes", "--no-sync")
    assert (done.exit_code, done.stdout) == (0, "morning@studio-1: retired; it stays on Spotify\n")
    assert len(json.loads(command("list", "--json").stdout)["playlists"]) == 1


def test_history_and_versions_are_shown_and_compared(command: Command, planned: Database) -> None:
    build_snapshots(planned, run_id="draw", now=_now)
    build_snapshots(planned, run_id="again", now=_now, force=True)
    told = json.loads(command("history", "morning@studio-1", "--json").stdout)
    newest, first = [each["id"] for each in told["snapshots"]]

    found = json.loads(command("diff", "morning@studio-1", str(first), "next", "--json").stdout)
    shown = command("diff", "morning@studio-1", str(first), str(newest)).stdout

    assert [entry["action"] for entry in told["history"]] == ["planned"]
    assert (found["from"], found["to"]) == (str(first), "next")
    assert len(found["added"]) == len(found["removed"]) > 0
    assert all(each["name"] for each in found["added"])
    assert f"  + {found['added'][0]['name']}" in shown
    assert "forced" in command("history", "morning@studio-1").stdout


def test_a_version_that_is_not_there_is_refused_in_a_sentence(command: Command, planned: Database) -> None:
    build_snapshots(planned, run_id="draw", now=_now)

    wrong = command("diff", "morning@studio-1", "yesterday")
    nowhere = command("diff", "morning@studio-1", "now")

    assert (wrong.exit_code, nowhere.exit_code) == (2, 2)
    assert "'yesterday' is no version" in wrong.stderr
    assert "It is not on Spotify" in nowhere.stderr
    with pytest.raises(Refused, match="Nothing of this playlist was overwritten yet"):
        command("rollback", "morning@studio-1", "--yes", "--no-sync")


def test_a_version_is_brought_back_by_name(command: Command, planned: Database) -> None:
    build_snapshots(planned, run_id="draw", now=_now)
    build_snapshots(planned, run_id="again", now=_now, force=True)
    first = json.loads(command("history", "1", "--json").stdout)["snapshots"][-1]["id"]

    done = command("rollback", "1", "--to", str(first), "--yes", "--no-sync")

    assert done.stdout.startswith(f"morning@studio-1: rolled back to {first}: drawn ")
    shown = json.loads(command("show", "1", "--json").stdout)
    assert (shown["snapshot"]["origin"], len(shown["snapshot"]["tracks"])) == ("rollback", 8)
    same = json.loads(command("diff", "1", str(first), "next", "--json").stdout)
    assert (same["added"], same["removed"], same["moved"], same["words"]) == ([], [], 0, {})


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    """Addresses of a Spotify that nobody may call here: a call would fail."""
    for name, value in {
        "VAULT_KEYS": Fernet.generate_key().decode(),
        "REDIS_URL": redis_url,
        "SPOTIFY_API_URL": "http://127.0.0.1:9/v1",
        "SPOTIFY_ACCOUNTS_URL": "http://127.0.0.1:9",
        "RECCOBEATS_URL": "http://127.0.0.1:9/reccobeats",
    }.items():
        monkeypatch.setenv(f"SPOTIFY_PIPELINES_{name}", value)


@pytest.mark.usefixtures("unreachable")
def test_the_plan_says_what_would_be_done_and_what_it_costs(command: Command, planned: Database) -> None:
    told = json.loads(command("plan", "--json").stdout)
    table = command("plan", "--account", "studio-2", "--tracks").stdout
    unknown = command("plan", "--account", "nobody")

    assert [each["what"] for each in told["playlists"]] == [["create"], ["create"]]
    assert (told["calls"], told["unchanged"]) == (4, 0)
    assert all(len(each["tracks_in"]) == 8 for each in told["playlists"])
    assert "1 to do, 0 stay as they are; 2 calls to Spotify" in table
    assert f"  + {told['playlists'][1]['tracks_in'][0]['name']}" in table
    assert unknown.exit_code == 2
    assert "There are: studio-1, studio-2." in unknown.stderr
    assert [each["what"] for each in json.loads(command("plan", "--json").stdout)["playlists"]] == [
        ["create"]
    ] * 2, "nothing was written"


@pytest.mark.usefixtures("unreachable")
def test_a_rollback_is_synced_at_once_but_for_a_paused_playlist(command: Command, planned: Database) -> None:
    build_snapshots(planned, run_id="draw", now=_now)
    first = json.loads(command("history", "1", "--json").stdout)["snapshots"][0]["id"]
    command("pause", "1")

    done = json.loads(command("rollback", "1", "--to", str(first), "--yes", "--json").stdout)

    assert done["notes"] == ["morning@studio-1 is paused: nothing is written until it is resumed"]
    assert (done["sync"]["changed"], done["sync"]["calls"]) == (0, 0)
    assert done["sync"]["notes"] == ["1 locked or paused and left alone; 'playlists list' says why"]

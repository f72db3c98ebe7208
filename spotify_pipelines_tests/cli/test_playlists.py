"""``playlists list | show`` as a person or a script meets them."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from typer.testing import CliRunner, Result

from spotify_pipelines.cli.root import build_app
from spotify_pipelines.playlists.apply import apply_policies
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

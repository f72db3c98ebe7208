"""``playlists explain | preview`` as a curator or a script meets them."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from typer.testing import CliRunner, Result

from spotify_pipelines.cli.root import build_app
from spotify_pipelines.playlists.apply import apply_policies
from spotify_pipelines.playlists.plan import plan_playlists
from spotify_pipelines.playlists.policies import parse_policies
from spotify_pipelines.playlists.snapshot import build_snapshots
from spotify_pipelines.playlists.trial_draw import TrialError
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Account, Base, PlaylistSnapshot, SpotifyApp, Track
from spotify_pipelines_tests.playlists.studio import stock
from spotify_pipelines_tests.support.databases import open_database

Command = Callable[..., Result]
# Ten albums are too few for two playlists a draw that rest for years: rules give way.
POLICIES = """
policies:
  - name: morning
    size: 40
    cooldown: {days: 3000, scope: fleet}
    caps: {artist: 3}
"""


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
def drawn(database: Database) -> Database:
    """Two accounts with a playlist each, drawn once; the second one by rules that gave way."""
    with database.transaction() as session:
        stock(session, SyntheticCatalogue(10, 1))
        session.execute(update(Track).values(name=Track.name + " \x1b[31m[bold]"))
        app = session.scalars(
            insert(SpotifyApp).values(name="app", client_id="c").returning(SpotifyApp.id)
        ).one()
        for name in ("studio-1", "studio-2"):
            session.execute(insert(Account).values(app_id=app, name=name, spotify_user_id=name))
        apply_policies(session, parse_policies(POLICIES, "test"), _now())
    plan_playlists(database, run_id="plan", now=_now)
    build_snapshots(database, run_id="draw", now=_now)
    return database


def _now() -> datetime:
    return datetime.now(UTC)


def _json(done: Result) -> dict[str, Any]:
    return dict(json.loads(done.stdout))


def _rows(database: Database) -> dict[str, int]:
    with database.transaction() as session:
        return {
            table.name: session.scalars(select(func.count()).select_from(table)).one()
            for table in Base.metadata.sorted_tables
        }


def test_a_draw_is_explained_track_by_track(command: Command, drawn: Database) -> None:
    told = _json(command("explain", "morning@studio-2", "--json"))

    assert told["version"] == 1
    assert [track["position"] for track in told["tracks"]] == list(range(1, len(told["tracks"]) + 1))
    for track in told["tracks"]:
        assert track["why"] in track["because"]
        assert (track["rank"] is not None, track["weight"] is not None) == (True, True)
    relaxed = [track for track in told["tracks"] if track["relaxation"]]
    assert relaxed
    assert all("gave way" in track["because"] for track in relaxed)
    assert told["rejected"]
    assert all(each["name"] and each["artists"] and each["why"] for each in told["rejected"])


def test_a_draw_names_its_policy_its_seed_its_inputs_and_its_algorithm(
    command: Command, drawn: Database
) -> None:
    draw = _json(command("explain", "morning@studio-1", "--json"))["draw"]
    text = command("explain", "morning@studio-1").stdout

    with drawn.transaction() as session:
        stored = session.scalars(select(PlaylistSnapshot).order_by(PlaylistSnapshot.id)).first()
        assert stored is not None
        expected = (stored.seed, stored.input_digest, stored.algorithm)
    assert (draw["seed"], draw["input_digest"], draw["algorithm"]) == expected
    assert (draw["policy"], draw["policy_version"], draw["policy_in_force"]) == ("morning", 1, True)
    assert all(each in text for each in expected)


def test_the_figures_stand_beside_their_bounds(command: Command, drawn: Database) -> None:
    told = _json(command("explain", "morning@studio-2", "--json"))
    bounds = {each["figure"]: each for each in told["bounds"]}
    text = command("explain", "morning@studio-2").stdout

    assert bounds["tracks"]["value"] == told["figures"]["tracks"]
    assert bounds["smallest gap between an artist's tracks"]["at_bound"]
    assert bounds["days of cooldown lacking"]["bound"] == told["figures"]["cooldown_shortfall_bound"]
    assert all(name in text for name in bounds)


def test_explaining_reads_only_what_was_stored(command: Command, drawn: Database) -> None:
    before = _json(command("explain", "morning@studio-1", "--json"))
    with drawn.transaction() as session:
        session.execute(update(Track).values(playable=False))
        apply_policies(session, parse_policies(POLICIES.replace("40", "9"), "test"), _now())

    after = _json(command("explain", "morning@studio-1", "--json"))

    assert after["draw"].pop("policy_in_force") is False
    before["draw"].pop("policy_in_force")
    assert after == before
    assert "version 1 (no longer in force)" in command("explain", "morning@studio-1").stdout


def test_names_from_outside_steer_no_terminal(command: Command, drawn: Database) -> None:
    for done in (command("explain", "morning@studio-2"), command("preview", "morning@studio-2")):
        assert done.exit_code == 0
        assert "\x1b[31m" not in done.stdout
        assert "[bold]" in done.stdout


def test_a_playlist_that_was_not_drawn_has_nothing_to_explain(command: Command, drawn: Database) -> None:
    with drawn.transaction() as session:
        session.query(PlaylistSnapshot).delete()
    assert "It was not drawn yet" in command("explain", "morning@studio-1").stdout
    assert _json(command("explain", "morning@studio-1", "--json"))["draw"] is None


def test_a_preview_writes_nothing(command: Command, drawn: Database, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("policies:\n  - {name: morning, size: 5}\n  - {name: other}\n")
    before = _rows(drawn)

    for words in (
        ("morning@studio-1",),
        ("morning@studio-1", "--seed", "blue", "--json"),
        ("morning@studio-1", "--policy-file", str(file)),
        ("--policy", "other", "--account", "studio-1", "--policy-file", str(file)),
        ("--policy", "morning", "--account", "studio-2"),
    ):
        done = command("preview", *words)
        assert done.exit_code == 0, done.stderr
        assert "Nothing was stored." in done.stderr or "--json" in words

    assert _rows(drawn) == before


def test_a_preview_shows_what_would_change(command: Command, drawn: Database) -> None:
    held = [each["track_id"] for each in _json(command("explain", "morning@studio-1", "--json"))["tracks"]]

    told = _json(command("preview", "morning@studio-1", "--seed", "blue", "--json"))
    text = command("preview", "morning@studio-1", "--seed", "blue").stdout

    new = [each["track_id"] for each in told["tracks"]]
    changes = told["changes"]
    assert {each["track_id"] for each in changes["in"]} == set(new) - set(held)
    assert {each["track_id"] for each in changes["out"]} == set(held) - set(new)
    assert changes["moved"]
    for each in changes["moved"]:
        assert held[each["from"] - 1] == new[each["to"] - 1] == each["track_id"]
    assert f"{len(changes['in'])} in, {len(changes['out'])} out, {len(changes['moved'])} moved" in text


def test_a_policy_can_be_tried_from_its_file(command: Command, drawn: Database, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("policies:\n  - {name: brandnew, size: 7}\n")

    told = _json(command("preview", "--account", "studio-1", "--policy-file", str(file), "--json"))

    assert (told["playlist"], len(told["tracks"]), told["changes"]) == ("brandnew@studio-1", 7, None)


def test_wrong_calls_are_refused_in_a_sentence(command: Command, drawn: Database, tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("policies:\n  - {name: one}\n  - {name: two}\n")
    for words, said in (
        ((), "What to draw for?"),
        (("--policy", "morning"), "What to draw for?"),
        (("morning@studio-1", "--account", "studio-1"), "either a playlist's NAME, or --account"),
        (("--account", "studio-1", "--policy-file", str(file)), "several policies: one, two"),
        (("morning@studio-1", "--policy-file", str(file)), "holds no policy 'morning'"),
        (("nothing",), "There is no playlist 'nothing'"),
    ):
        done = command("preview", *words)
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    with pytest.raises(TrialError, match="There is no account 'nobody'"):
        command("preview", "--policy", "morning", "--account", "nobody")

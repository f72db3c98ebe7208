"""``calls`` as a person or a script meets it."""

import json

import pytest
from typer.testing import CliRunner, Result

from spotify_pipelines.cli.root import build_app
from spotify_pipelines.store.calls import record_calls
from spotify_pipelines.store.tables import SpotifyApp
from spotify_pipelines_tests.support.databases import open_database


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", database_url)


def calls(*words: str) -> Result:
    return CliRunner().invoke(build_app(), ["calls", *words], catch_exceptions=False)


def store_some(database_url: str) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        app = SpotifyApp(name="studio", client_id="c")
        session.add(app)
        session.flush()
        figures = {"calls": 3, "ok": 2, "limited": 1, "errors": 0, "waited": 1.5, "in_flight": 0.25}
        target = {"app_id": app.id, "account_id": None, "endpoint": "GET /albums/{id}"}
        token = {"app_id": app.id, "account_id": None, "endpoint": "POST /api/token"}
        rows = [
            {"service": "web_api", **target, **figures},
            {"service": "accounts", **token, **figures},
        ]
        record_calls(
            session,
            run_id="run",
            use_case="ingest",
            rows=rows,
            minimum={(app.id, None, "GET /albums/{id}"): 2},
        )


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("app", ["studio"]),
        ("account", [None]),
        ("endpoint", ["GET /albums/{id}", "accounts: POST /api/token"]),
    ],
)
def test_calls_stand_beside_their_minimum(database_url: str, by: str, names: list[str | None]) -> None:
    store_some(database_url)
    found = json.loads(calls("--by", by, "--json").stdout)
    assert [row["name"] for row in found["rows"]] == names
    for row in (found["rows"][0], found["total"]):
        assert (row["calls"], row["minimum"], row["ratio"], row["limited"]) == (3, 2, 1.5, 1)
        assert row["waited_seconds"] == 1.5


def test_the_table_shows_the_ratio_and_the_sum(database_url: str) -> None:
    assert calls().stdout.startswith("No calls since")
    store_some(database_url)
    shown = calls("--days", "1").stdout
    assert "1.50" in shown
    assert "all of the Web API" in shown


@pytest.mark.parametrize("words", [("--by", "moon"), ("--days", "0")])
def test_what_makes_no_sense_is_refused(words: tuple[str, ...]) -> None:
    assert calls(*words).exit_code == 2

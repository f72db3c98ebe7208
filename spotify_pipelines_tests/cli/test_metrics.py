"""``metrics`` as a person or a script meets it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner, Result

from spotify_pipelines.cli.root import build_app
from spotify_pipelines.observability.metrics import flatten
from spotify_pipelines.store.metrics import save_metrics
from spotify_pipelines_tests.support.databases import open_database


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", database_url)


def metrics(*words: str) -> Result:
    return CliRunner().invoke(build_app(), ["metrics", *words], catch_exceptions=False)


def capture(database_url: str, *tracks: int) -> None:
    """One snapshot a day, the last one an hour ago."""
    last = datetime.now(UTC) - timedelta(hours=1)
    with open_database(database_url) as database, database.transaction() as session:
        for ago, number in enumerate(reversed(tracks)):
            save_metrics(session, last - timedelta(days=ago), flatten([("tracks", None, number)]))


def test_a_figure_stands_beside_its_way_there(database_url: str) -> None:
    assert metrics().stdout.startswith("No snapshot since")
    capture(database_url, 900, 1000, 1700)
    shown = metrics("tracks").stdout
    [line] = [line.split() for line in shown.splitlines() if line.startswith("tracks ")]
    assert line == ["tracks", "1,700", "900", "1,700", "▁▂█"]
    assert "3 snapshots" in shown
    assert "accounts_ok" in metrics().stdout
    assert "calls_waited_seconds_24h" not in metrics().stdout
    assert "calls_waited_seconds_24h" in metrics("--all").stdout


def test_days_are_counted_back_from_now(database_url: str) -> None:
    capture(database_url, *range(40))
    for days, expected in ((1, 1), (7, 7), (100, 40)):
        found = json.loads(metrics("--days", str(days), "--json").stdout)
        assert len(found["snapshots"]) == expected
        assert found["snapshots"][-1]["metrics"]["tracks"] == 39


def test_prometheus_reads_the_same_figures(database_url: str) -> None:
    capture(database_url, 3)
    assert "\nspotify_pipelines_tracks 3\n" in metrics("--prometheus").stdout


def test_what_makes_no_sense_is_refused(database_url: str) -> None:
    capture(database_url, 3)
    assert metrics("--days", "0").exit_code == 2
    refused = metrics("moon")
    assert refused.exit_code == 2
    assert "No figure begins with moon." in refused.stderr

"""The demo, as its users run it: twice, on made-up albums always, and on real ones where they are at hand."""

import os
from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.queries import count_rows
from spotify_pipelines.store.tables import JobRun, Playlist, PlaylistSnapshotTrack, Track
from spotify_pipelines_tests.support.playground import Playground, playground

pytestmark = pytest.mark.timeout(600)

_SHARED = Path(os.environ.get("SPOTIFY_PIPELINES_SHARED", Path(__file__).resolve().parents[3] / "shared"))
_REAL_ALBUMS = _SHARED / "spotify" / "catalogue" / "real_albums.csv"


@pytest.fixture(scope="module", params=["made-up albums", "real albums"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Demo"]:
    """A playground in which the demo has run twice."""
    options = []
    if request.param == "real albums":
        if not _REAL_ALBUMS.is_file():
            pytest.skip(f"no catalogue of real albums at {_REAL_ALBUMS}")
        options = ["--catalogue", str(_REAL_ALBUMS)]
    with playground(tmp_path_factory.mktemp("demo")) as here:
        yield Demo(here, *options)


class Demo:
    """What two runs of the demo printed and left behind."""

    def __init__(self, here: Playground, *options: str) -> None:
        self.here = here
        self.first = here.run("spotify-pipelines", "demo", *options).stdout
        self.ledger_of_first = here.simulator.ledger()
        position = here.simulator.ledger_position()
        self.second = here.run("spotify-pipelines", "demo", *options).stdout
        self.ledger_of_second = here.simulator.ledger(after=position)
        self.database = Database(create_database_engine(here.database_url))

    def calls(self) -> Counter[str]:
        """Web API requests of the first run by method and endpoint, consent's GET /me apart."""
        return Counter(
            f"{entry['method']} {entry['endpoint']}"
            for entry in self.ledger_of_first
            if entry["path"].startswith("/v1/") and entry["path"] != "/v1/me"
        )


def test_it_ends_with_six_playlists_of_fifty_tracks_on_three_accounts(demo: Demo) -> None:
    playlists = demo.here.simulator.playlists()
    assert len(playlists) == 6
    assert len({playlist["owner"] for playlist in playlists}) == 3
    assert [len(set(playlist["items"])) for playlist in playlists] == [50] * 6


def test_spotify_holds_what_was_drawn_in_that_order(demo: Demo) -> None:
    on_spotify = {playlist["id"]: playlist["items"] for playlist in demo.here.simulator.playlists()}
    with demo.database.transaction() as session:
        drawn = {
            spotify_id: [
                f"spotify:track:{track}"
                for track in session.scalars(
                    select(PlaylistSnapshotTrack.track_id)
                    .where(PlaylistSnapshotTrack.snapshot_id == row)
                    .order_by(PlaylistSnapshotTrack.position)
                )
            ]
            for spotify_id, row in session.execute(
                select(Playlist.spotify_id, Playlist.confirmed_snapshot_row)
            )
        }
    assert drawn == on_spotify


def test_it_takes_the_fewest_calls_that_can_do_it(demo: Demo) -> None:
    tracks = count_rows(demo.database, Track)
    calls = demo.calls()
    assert calls.pop("GET /v1/playlists/{id}", 0) <= 1, "a tenth of the written playlists is read back"
    writes = {name: count for name, count in calls.items() if not name.startswith("GET ")}
    assert sorted(writes.values()) == [6, 6]
    assert calls["GET /v1/albums"] == ceil(60 / 20)
    assert calls["GET /v1/audio-features"] == ceil(tracks / 100)
    pages = sum(ceil(album["tracks"] / 50) - 1 for album in list(demo.here.simulator.albums())[:60])
    assert calls["GET /v1/albums/{id}/tracks"] == pages
    assert sum(calls.values()) == 12 + ceil(60 / 20) + pages + ceil(tracks / 100)


def test_the_summary_says_what_came_out(demo: Demo) -> None:
    assert "60 albums" in demo.first
    assert "Audio features: " in demo.first
    assert "Harbour Lights" in demo.first
    assert "make dev" in demo.first


def test_the_second_run_finds_nothing_due_and_writes_nothing(demo: Demo) -> None:
    assert "Nothing was due: nothing was written to Spotify." in demo.second
    assert [entry for entry in demo.ledger_of_second if entry["path"].startswith("/v1/")] == []


def test_both_runs_are_in_the_job_history(demo: Demo) -> None:
    with demo.database.transaction() as session:
        runs = session.execute(select(JobRun.job_name, JobRun.status, JobRun.trigger)).tuples().all()
    assert list(runs) == [("nightly", "success", "cli")] * 2


def test_every_check_is_green_in_both_runs_and_a_night_is_a_short_log(demo: Demo) -> None:
    env = demo.here.dotenv
    with psycopg.connect(
        host=env["DAGSTER_POSTGRES_HOST"],
        port=env["DAGSTER_POSTGRES_PORT"],
        user=env["DAGSTER_POSTGRES_USER"],
        password=env["DAGSTER_POSTGRES_PASSWORD"],
        dbname=env["DAGSTER_POSTGRES_DB"],
    ) as connection:
        checks = connection.execute(
            "SELECT check_name, execution_status FROM asset_check_executions WHERE run_id IN"
            " (SELECT run_id FROM runs WHERE pipeline_name = 'nightly')"
        ).fetchall()
        rows = connection.execute("SELECT count(*) FROM event_logs GROUP BY run_id").fetchall()
    assert [check for check in checks if check[1] != "SUCCEEDED"] == []
    names = {name for name, _ in checks}
    assert {"spotify_holds_what_it_should", "job_history_has_no_gap", "every_item_was_done"} <= names
    assets = 8
    # A line of the log for what an asset says, and one for what it was asked; each check is an event or two.
    assert max(number for (number,) in rows) <= 65 + 5 * len(checks) // 2 + 2 * assets


def test_no_progress_display_reaches_a_file(demo: Demo) -> None:
    assert "\x1b[" not in demo.first
    assert "Running the job" not in demo.first

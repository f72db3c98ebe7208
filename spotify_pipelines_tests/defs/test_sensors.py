"""Sensors, tick by tick: what starts a run, what is skipped and why."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.defs.sensors import build_sensors
from spotify_pipelines.settings import World
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.tables import (
    Account,
    Album,
    AlbumSource,
    ApiCalls,
    Base,
    Playlist,
    SpotifyApp,
    Track,
)


@dataclass(frozen=True)
class Ticked:
    """What one evaluation of a sensor came to: the runs it asks for, or why it skips."""

    runs: list[dg.RunRequest]
    skipped: str | None

    @property
    def run(self) -> dg.RunRequest:
        (only,) = self.runs
        return only


Tick = Callable[[str], Ticked]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(create_database_engine(database_url))
    yield database
    database.close()


@pytest.fixture
def tick(database_url: str) -> Iterator[Tick]:
    """Evaluate one sensor once: the runs it asks for, or why it skips."""
    sensors = {sensor.name: sensor for sensor in build_sensors()}
    postgres = PostgresResource(url=database_url, world=World.SANDBOX)

    with dg.DagsterInstance.ephemeral() as instance:

        def evaluate(name: str) -> Ticked:
            context = dg.build_sensor_context(instance, resources={"postgres": postgres})
            ticked = sensors[name].evaluate_tick(context)
            return Ticked(list(ticked.run_requests or []), ticked.skip_message)

        yield evaluate


def soon(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


def save(database: Database, *rows: Base) -> None:
    with database.transaction() as session:
        for row in rows:
            session.add(row)
            session.flush()


def an_app(**fields: Any) -> SpotifyApp:
    return SpotifyApp(name="studio", client_id="c1", **fields)


def an_account(app: SpotifyApp, **fields: Any) -> Account:
    return Account(
        app_id=app.id, name="Harbour", spotify_user_id="harbour", refresh_token=b"sealed", **fields
    )


def an_album() -> Album:
    return Album(id="A" * 22, name="Album", total_tracks=1, read_at=soon(), artist_ids=[])


def a_track(**fields: Any) -> Track:
    return Track(
        id="T" * 22,
        album_id="A" * 22,
        name="Track",
        disc_number=1,
        track_number=1,
        duration_ms=1,
        explicit=False,
        **fields,
    )


def queued(**fields: Any) -> AlbumSource:
    return AlbumSource(url="spotify:album:" + "A" * 22, album_id="A" * 22, **fields)


@pytest.mark.parametrize(
    "name", ["albums_queued", "tracks_without_features", "tokens_expiring", "playlists_due"]
)
def test_with_nothing_due_a_sensor_skips_and_says_so(tick: Tick, name: str) -> None:
    assert str(tick(name).skipped).startswith("No ")


def test_a_queued_album_starts_the_ingest_job(tick: Tick, database: Database) -> None:
    save(database, queued(next_attempt_at=soon(minutes=-1)))
    assert tick("albums_queued").run.tags["spotify_pipelines/job"] == "ingest_albums_from_sources"


def test_a_second_tick_for_the_same_work_asks_for_the_same_run(tick: Tick, database: Database) -> None:
    save(database, queued(next_attempt_at=soon(minutes=-1)))
    keys = [tick("albums_queued").run.run_key for _ in range(3)]
    # A ten-minute window may end in between; then two of the three are the same all the same.
    assert len(set(keys)) < 3


@pytest.mark.parametrize(
    "fields",
    [
        {"next_attempt_at": soon(hours=1)},
        {"status": "dead"},
        {"status": "ingested"},
        {"claimed_by": "run", "claimed_until": soon(minutes=5)},
    ],
    ids=["its next try is later", "it is dead", "it was read", "a run holds it"],
)
def test_an_album_starts_nothing_when(tick: Tick, database: Database, fields: dict[str, Any]) -> None:
    save(database, queued(**({"next_attempt_at": soon(minutes=-1)} | fields)))
    assert tick("albums_queued") == Ticked([], "No queued albums.")


def test_a_cooldown_of_every_app_keeps_sensors_from_firing(tick: Tick, database: Database) -> None:
    until = soon(hours=13)
    save(database, an_app(cooldown_until=until), queued(next_attempt_at=soon(minutes=-1)))
    ticked = tick("albums_queued")
    assert not ticked.runs
    assert f"{until:%Y-%m-%d %H:%M}" in str(ticked.skipped)


def test_one_app_that_may_be_called_is_enough(tick: Tick, database: Database) -> None:
    other = SpotifyApp(name="label", client_id="c2")
    save(database, an_app(cooldown_until=soon(hours=13)), other, queued(next_attempt_at=soon(minutes=-1)))
    assert len(tick("albums_queued").runs) == 1


@pytest.mark.parametrize(("budget", "fires"), [(None, True), (4, True), (3, False), (1, False)])
def test_albums_wait_for_tomorrows_budget(
    tick: Tick, database: Database, budget: int | None, fires: bool
) -> None:
    app, banned = (
        an_app(calls_per_day=budget),
        SpotifyApp(name="b", client_id="b", cooldown_until=soon(hours=1)),
    )
    save(database, app, banned, queued(next_attempt_at=soon(minutes=-1)))
    save(
        database,
        ApiCalls(run_id="r", use_case="ingest", app_id=app.id, endpoint="GET /albums", calls=3),
        ApiCalls(run_id="r", use_case="ingest", app_id=app.id, endpoint="accounts: POST /api/token", calls=9),
    )
    ticked = tick("albums_queued")
    assert bool(ticked.runs) is fires
    assert fires or "budgets are spent until" in str(ticked.skipped)


@pytest.mark.parametrize(
    ("fields", "fires"),
    [
        ({}, True),
        ({"features_retry_after": soon(days=-1)}, True),
        ({"features_retry_after": soon(days=1)}, False),
        ({"audio_features": {"tempo": 120.0}}, False),
    ],
    ids=["never asked", "may be asked again", "missing until later", "known"],
)
def test_tracks_without_features_start_the_features_job(
    tick: Tick, database: Database, fields: dict[str, Any], fires: bool
) -> None:
    save(database, an_album(), a_track(**fields))
    assert bool(tick("tracks_without_features").runs) is fires


def test_without_a_source_of_features_no_track_starts_anything(database: Database, database_url: str) -> None:
    save(database, an_album(), a_track())
    postgres = PostgresResource(url=database_url, world=World.SANDBOX)
    for sensor in build_sensors(feature_sources=False):
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance, resources={"postgres": postgres})
            ticked = sensor.evaluate_tick(context)
        assert not ticked.run_requests
        if sensor.name == "tracks_without_features":
            assert "FEATURE_SOURCES" in str(ticked.skip_message)


@pytest.mark.parametrize(
    ("fields", "fires"),
    [
        ({"expires_at": soon(minutes=3)}, True),
        ({"expires_at": soon(minutes=40)}, False),
        ({"expires_at": soon(minutes=3), "health": "quarantined"}, False),
    ],
    ids=["expires soon", "lives", "is quarantined"],
)
def test_a_token_starts_a_refresh_when_it(
    tick: Tick, database: Database, fields: dict[str, Any], fires: bool
) -> None:
    app = an_app()
    save(database, app)
    save(database, an_account(app, **fields))
    assert bool(tick("tokens_expiring").runs) is fires


def test_a_playlist_whose_cycle_is_over_starts_a_reshuffle(tick: Tick, database: Database) -> None:
    app = an_app()
    save(database, app)
    account = an_account(app)
    save(database, account)
    place = {"account_id": account.id, "policy_name": "fresh", "anchor": soon().date()}
    save(database, Playlist(**place, sequence=1, next_reshuffle_at=soon(hours=1)))
    assert tick("playlists_due") == Ticked([], "No playlists due.")
    save(database, Playlist(**place, sequence=2, next_reshuffle_at=soon(minutes=-1)))
    assert tick("playlists_due").run.tags["spotify_pipelines/job"] == "reshuffle_due_playlists"

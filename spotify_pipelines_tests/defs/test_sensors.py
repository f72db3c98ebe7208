"""Sensors, tick by tick: what starts a run, what is skipped and why."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import delete, select, update

from spotify_pipelines.defs.default_status import sensor_status
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.defs.sensors import Look, build_sensors
from spotify_pipelines.settings import World
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.playlists import next_draw, set_playlist, store_snapshot
from spotify_pipelines.store.tables import (
    Account,
    Album,
    AlbumSource,
    ApiCalls,
    Base,
    Playlist,
    Policy,
    SpotifyApp,
    Track,
)


@dataclass(frozen=True)
class Ticked:
    """What one evaluation of a sensor came to: the runs it asks for, or why it skips."""

    runs: list[dg.RunRequest]
    skipped: str | None
    cursor: str | None = None

    @property
    def run(self) -> dg.RunRequest:
        (only,) = self.runs
        return only


Tick = Callable[[str], Ticked]
Ticks = Callable[..., Iterator[Ticked]]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(create_database_engine(database_url))
    yield database
    database.close()


@pytest.fixture
def ticks(database_url: str) -> Iterator[Ticks]:
    """Ticks of one sensor, one after the other: each begins with the cursor that the last one left."""
    postgres = PostgresResource(url=database_url, world=World.SANDBOX)

    def of(name: str, *, cursor: str | None = None, **options: Any) -> Iterator[Ticked]:
        sensor = next(each for each in build_sensors(**options) if each.name == name)
        while True:
            context = dg.build_sensor_context(instance, cursor=cursor, resources={"postgres": postgres})
            ticked = sensor.evaluate_tick(context)
            cursor = ticked.cursor
            yield Ticked(list(ticked.run_requests or []), ticked.skip_message, cursor)

    with dg.DagsterInstance.ephemeral() as instance:
        yield of


@pytest.fixture
def tick(ticks: Ticks) -> Tick:
    """The first tick of a sensor: the runs it asks for, or why it skips."""

    def first(name: str) -> Ticked:
        return next(ticks(name))

    return first


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
    "name",
    ["albums_queued", "tracks_without_features", "tokens_expiring", "playlists_due", "playlists_to_sync"],
)
def test_with_nothing_due_a_sensor_skips_and_says_so(tick: Tick, name: str) -> None:
    assert str(tick(name).skipped).startswith("No ")


def test_a_queued_album_starts_the_ingest_job(tick: Tick, database: Database) -> None:
    save(database, queued(next_attempt_at=soon(minutes=-1)))
    assert tick("albums_queued").run.tags["spotify_pipelines/job"] == "ingest_albums_from_sources"


def test_what_a_run_was_started_for_starts_no_second_one_at_the_next_tick(
    ticks: Ticks, database: Database
) -> None:
    save(database, queued(next_attempt_at=soon(minutes=-1)))
    sensor = ticks("albums_queued")
    assert next(sensor).runs
    assert "none of them new" in str(next(sensor).skipped)


def test_work_that_comes_after_a_run_was_started_starts_another(ticks: Ticks, database: Database) -> None:
    save(database, queued(next_attempt_at=soon(minutes=-1)))
    sensor = ticks("albums_queued")
    first = next(sensor).run
    save(database, AlbumSource(url="b", album_id="B" * 22, next_attempt_at=soon()))
    assert next(sensor).run.run_key != first.run_key


def test_once_all_is_done_the_same_number_again_is_news(ticks: Ticks, database: Database) -> None:
    save(database, an_album(), a_track())
    sensor = ticks("tracks_without_features")
    assert next(sensor).runs
    with database.transaction() as session:
        session.execute(delete(Track))
    assert next(sensor).skipped == "No tracks without features."
    save(database, a_track())
    assert next(sensor).runs


def test_work_that_no_run_can_do_is_tried_more_and_more_seldom(ticks: Ticks, database: Database) -> None:
    """A day of ticks, each of them ten minutes on: the cursor's times are moved instead of the clock."""
    save(database, queued(next_attempt_at=soon(minutes=-1)))
    cursor, started = None, 0
    for _ in range(144):
        ticked = next(ticks("albums_queued", cursor=cursor))
        started += len(ticked.runs)
        look = Look.from_cursor(ticked.cursor)
        assert look
        cursor = replace(look, at=look.at - timedelta(minutes=10)).to_cursor()
    assert started <= 11


def test_a_run_that_makes_work_less_is_followed_by_another_soon(ticks: Ticks, database: Database) -> None:
    save(database, queued(next_attempt_at=soon(minutes=-1)))
    earlier = Look(soon(minutes=-11), count=7, latest=soon(), runs=1)
    ticked = next(ticks("albums_queued", cursor=earlier.to_cursor()))
    assert ticked.runs
    assert Look.from_cursor(ticked.cursor) == replace(
        Look.from_cursor(ticked.cursor) or earlier, count=1, runs=1
    )


@pytest.mark.parametrize("cursor", ["", "v1:123", "{}", '{"at": 5}', "[]", "null"])
def test_a_cursor_that_cannot_be_read_is_no_cursor(ticks: Ticks, database: Database, cursor: str) -> None:
    save(database, queued(next_attempt_at=soon(minutes=-1)))
    assert next(ticks("albums_queued", cursor=cursor)).runs


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
    assert tick("albums_queued").skipped == "No queued albums."


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


def test_without_a_source_of_features_no_track_starts_anything(ticks: Ticks, database: Database) -> None:
    save(database, an_album(), a_track())
    ticked = next(ticks("tracks_without_features", feature_sources=False))
    assert not ticked.runs
    assert "FEATURE_SOURCES" in str(ticked.skipped)


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


BANNED = "its app is banned"


def a_shelf(database: Database, *, app: dict[str, Any] | None = None, **fields: Any) -> int:
    """An account with a policy in force; the account's id."""
    owner = an_app(**(app or {}))
    save(database, owner, Policy(name="fresh", version=1, digest="d", definition={}))
    account = an_account(owner, **fields)
    save(database, account)
    return account.id


def a_playlist(database: Database, account_id: int, **fields: Any) -> Playlist:
    playlist = Playlist(
        **{
            "account_id": account_id,
            "policy_name": "fresh",
            "sequence": 1,
            "anchor": soon().date(),
            "spotify_id": "P" * 22,
        }
        | fields
    )
    save(database, playlist)
    return playlist


def test_a_playlist_whose_cycle_is_over_starts_a_reshuffle(tick: Tick, database: Database) -> None:
    account = a_shelf(database)
    a_playlist(database, account, next_reshuffle_at=soon(hours=1))
    assert tick("playlists_due").skipped == "No playlists due."
    a_playlist(database, account, sequence=2, spotify_id=None, next_reshuffle_at=soon(minutes=-1))
    assert tick("playlists_due").run.tags["spotify_pipelines/job"] == "reshuffle_due_playlists"


@pytest.mark.parametrize(
    "fields",
    [{"locked_at": soon()}, {"status": "retired"}, {"policy_name": "gone"}],
    ids=["it is locked", "it is retired", "its policy is not in force"],
)
def test_a_playlist_whose_cycle_is_over_starts_nothing_when(
    tick: Tick, database: Database, fields: dict[str, Any]
) -> None:
    a_playlist(database, a_shelf(database), **({"next_reshuffle_at": soon(minutes=-1)} | fields))
    assert tick("playlists_due").skipped == "No playlists due."


def drawn(database: Database, playlist: Playlist, items_hash: str = "new", **confirmed: Any) -> int:
    """Store a draw of a playlist, as runs do."""
    with database.transaction() as session:
        policy = session.scalars(select(Policy.id)).one()
        row = store_snapshot(
            session,
            {
                "playlist_id": playlist.id,
                "policy_id": policy,
                "cycle": 1,
                "draw": next_draw(session, playlist.id, 1),
                "reason": "new cycle",
                "seed": "",
                "algorithm": "",
                "input_digest": "",
                "items_hash": items_hash,
                "figures": {},
            },
            [],
        )
        assert row
        if confirmed:
            set_playlist(session, playlist.id, **confirmed)
    return row


def test_a_draw_that_spotify_does_not_hold_starts_a_sync(tick: Tick, database: Database) -> None:
    playlist = a_playlist(database, a_shelf(database))
    drawn(database, playlist)
    assert tick("playlists_to_sync").run.tags["spotify_pipelines/job"] == "ensure_playlist_for_account"


def test_a_sync_that_was_put_off_starts_when_its_time_has_come(tick: Tick, database: Database) -> None:
    playlist = a_playlist(database, a_shelf(database), sync_not_before=soon(hours=2))
    drawn(database, playlist)
    assert tick("playlists_to_sync").skipped == "No playlists to be written."
    with database.transaction() as session:
        set_playlist(session, playlist.id, sync_not_before=soon(seconds=-1))
    assert tick("playlists_to_sync").runs


def test_a_playlist_that_is_to_be_read_back_starts_a_sync(tick: Tick, database: Database) -> None:
    playlist = a_playlist(database, a_shelf(database), read_back_at=soon(minutes=5))
    assert not tick("playlists_to_sync").runs
    with database.transaction() as session:
        set_playlist(session, playlist.id, read_back_at=soon(seconds=-1))
    assert tick("playlists_to_sync").runs


@pytest.mark.parametrize("read_back", [False, True], ids=["a new draw", "to be read back"])
@pytest.mark.parametrize(
    "where",
    [
        ({"locked_at": soon()}, {}, {}),
        ({"paused_at": soon()}, {}, {}),
        ({"status": "retired"}, {}, {}),
        ({"sync_not_before": soon(hours=1)}, {}, {}),
        ({}, {"health": "quarantined"}, {}),
        ({}, {"health": "quarantined", "next_probe_at": soon(hours=1)}, {}),
        ({}, {}, {"cooldown_until": soon(hours=13)}),
        ({}, {}, {"calls_per_day": 0}),
    ],
    ids=["locked", "paused", "retired", "put off", "quarantined", "probed later", BANNED, "budget spent"],
)
def test_a_playlist_starts_no_sync_while_it_is(
    tick: Tick,
    database: Database,
    read_back: bool,
    where: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
) -> None:
    playlist, account, app = where
    # Another app may call, so that it is not the installation that waits.
    save(database, SpotifyApp(name="other", client_id="c2"))
    mark = {"read_back_at": soon(minutes=-1)} if read_back else {}
    row = a_playlist(database, a_shelf(database, app=app, **account), **playlist, **mark)
    if not read_back:
        drawn(database, row)
    assert tick("playlists_to_sync").skipped == "No playlists to be written."


def test_a_quarantined_account_that_is_due_for_a_probe_is_looked_at(tick: Tick, database: Database) -> None:
    account = a_shelf(database, health="quarantined", next_probe_at=soon(minutes=-1))
    drawn(database, a_playlist(database, account))
    assert tick("playlists_to_sync").runs


@pytest.mark.parametrize("confirmed", ["confirmed_snapshot_row", "kept_snapshot_row"])
def test_what_spotify_holds_or_may_keep_starts_nothing(
    tick: Tick, database: Database, confirmed: str
) -> None:
    playlist = a_playlist(database, a_shelf(database))
    row = drawn(database, playlist)
    with database.transaction() as session:
        set_playlist(session, playlist.id, **{confirmed: row})
    assert not tick("playlists_to_sync").runs


def test_a_draw_that_comes_to_what_is_there_already_starts_nothing(tick: Tick, database: Database) -> None:
    playlist = a_playlist(database, a_shelf(database), confirmed_items_hash="same")
    drawn(database, playlist, "same")
    assert not tick("playlists_to_sync").runs


@pytest.mark.parametrize(
    ("name", "fields"),
    [("tokens_expiring", {}), ("playlists_due", {"next_reshuffle_at": soon(minutes=-1)})],
)
def test_an_account_whose_app_is_banned_starts_nothing_though_another_may_call(
    tick: Tick, database: Database, name: str, fields: dict[str, Any]
) -> None:
    save(database, SpotifyApp(name="other", client_id="c2"))
    ban = {"cooldown_until": soon(hours=13)}
    a_playlist(database, a_shelf(database, app=ban, expires_at=soon(minutes=2)), **fields)
    assert str(tick(name).skipped).startswith("No ")
    with database.transaction() as session:
        session.execute(update(SpotifyApp).values(cooldown_until=None))
    assert tick(name).runs


def test_every_sensor_says_what_it_does_and_for_which_job() -> None:
    for sensor in build_sensors():
        assert sensor.description
        assert sensor.tags["spotify_pipelines/job"] == sensor.job_name
        assert sensor.default_status is sensor_status()

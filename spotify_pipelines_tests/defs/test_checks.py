"""The installation's promises: green where all is well, red as soon as a fault contradicts one of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import insert, text

from spotify_pipelines.definitions import definitions
from spotify_pipelines.defs.checks import CHECKS
from spotify_pipelines.defs.history import reconcile_job_history
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.playlists.apply import apply_policies
from spotify_pipelines.playlists.desired import targets_from
from spotify_pipelines.playlists.plan import plan_playlists
from spotify_pipelines.playlists.policies import parse_policies, policy_from_json
from spotify_pipelines.playlists.snapshot import build_snapshots
from spotify_pipelines.settings import World
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines.store.cooldowns import save_cooldown
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.playlists import set_playlist, sync_rows
from spotify_pipelines.store.policies import policy_definitions
from spotify_pipelines.store.tables import Account, SpotifyApp
from spotify_pipelines_tests.playlists.studio import stock
from spotify_pipelines_tests.support.checks import look_at
from spotify_pipelines_tests.support.databases import open_database

POLICIES = """
policies:
  - {name: morning, size: 10}
  - {name: evening, size: 10}
"""
BAN = "no_ban_is_waited_out"
HISTORY = "job_history_has_no_gap"
ON_SPOTIFY = "spotify_holds_what_it_should"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An installation in which all is well: a catalogue with features, an account, two playlists on Spotify."""
    with open_database(database_url) as database:
        with database.transaction() as session:
            stock(session, SyntheticCatalogue(6, 1))
            app = session.scalars(
                insert(SpotifyApp).values(name="app", client_id="c").returning(SpotifyApp.id)
            ).one()
            expires_at = datetime.now(UTC) + timedelta(minutes=40)
            session.execute(
                insert(Account).values(
                    app_id=app,
                    name="studio",
                    spotify_user_id="studio",
                    refresh_token=b"sealed",
                    expires_at=expires_at,
                )
            )
            apply_policies(session, parse_policies(POLICIES, "test"), datetime.now(UTC))
        plan_playlists(database, run_id="plan", now=now)
        build_snapshots(database, run_id="draw", now=now)
        publish(database)
        yield database


def now() -> datetime:
    return datetime.now(UTC)


def publish(database: Database) -> None:
    """Let Spotify hold what it should, as far as the database knows."""
    with database.transaction() as session:
        rows = sync_rows(session)
        definitions = policy_definitions(session, {row.policy_id for row in rows})
        policies = {id_: policy_from_json(definition) for id_, definition in definitions.items()}
        for target in targets_from(rows, policies, now()):
            content = target.desired(None)
            set_playlist(
                session,
                target.row.id,
                status="active",
                spotify_id=f"on-spotify-{target.row.id}",
                confirmed_snapshot_row=target.row.snapshot_row,
                confirmed_items_hash=content.items_hash,
                confirmed_name=content.name,
                confirmed_description=content.description,
                confirmed_public=content.public,
            )


def change(database: Database, statement: str, **values: object) -> None:
    with database.transaction() as session:
        assert session.execute(text(statement), values).rowcount  # type: ignore[attr-defined]


def look(database: Database, asset: str, **options: Any) -> dict[str, dg.AssetCheckResult]:
    url = database.engine.url.render_as_string(hide_password=False)
    return look_at(asset, url, **options)


def first(result: dg.AssetCheckResult) -> list[dict[str, Any]]:
    """The rows that a broken promise names."""
    table = result.metadata["first"]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


@pytest.mark.parametrize(
    "asset",
    sorted({key.asset_key.to_user_string() for each in CHECKS for key in each.check_keys}),
)
def test_where_all_is_well_every_promise_is_kept(database: Database, asset: str) -> None:
    results = look(database, asset)
    assert results
    assert [name for name, result in results.items() if not result.passed] == []


DEAD = """
INSERT INTO album_sources (url, album_id, status, attempts, next_attempt_at, error_kind, error)
VALUES ('u', 'dead', 'dead', 1, :next, 'NotFound', 'no such album')
"""


def test_an_album_that_died_today_is_told_with_its_reason_and_one_that_died_earlier_is_not(
    database: Database,
) -> None:
    # After one try, the next one would have been five minutes later.
    change(database, DEAD, next=now() + timedelta(minutes=5) - timedelta(hours=25))
    assert look(database, "albums")["no_new_dead_letters"].passed
    change(database, "UPDATE album_sources SET next_attempt_at = :next", next=now() - timedelta(hours=23))
    result = look(database, "albums")["no_new_dead_letters"]
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert first(result)[0] | {"since (UTC)": ""} == {
        "album": "dead",
        "url": "u",
        "kind": "NotFound",
        "error": "no such album",
        "since (UTC)": "",
    }


COMPLETE = "every_track_has_artist_and_album"


def test_a_track_without_an_artist_warns_and_blocks_nothing(database: Database) -> None:
    change(
        database,
        "DELETE FROM track_artists WHERE track_id = (SELECT min(track_id) FROM track_artists)",
    )
    result = look(database, "tracks")[COMPLETE]
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert [row["lacks"] for row in first(result)] == ["artist"]


def test_a_track_without_an_album_is_found_though_the_database_should_not_let_it_be(
    database: Database,
) -> None:
    change(database, "ALTER TABLE tracks DROP CONSTRAINT fk_tracks_album_id_albums; SELECT 1")
    change(database, "DELETE FROM albums WHERE id = (SELECT min(id) FROM albums)")
    assert {row["lacks"] for row in first(look(database, "tracks")[COMPLETE])} == {"album"}


def test_a_catalogue_without_artists_is_an_error_and_keeps_draws_from_running(database: Database) -> None:
    change(database, "DELETE FROM track_artists")
    assert look(database, "tracks")[COMPLETE].severity == dg.AssetCheckSeverity.ERROR

    @dg.asset(deps=["tracks"])
    def playlist_snapshots() -> None: ...

    @dg.asset
    def tracks() -> None: ...

    url = database.engine.url.render_as_string(hide_password=False)
    (checks,) = (each for each in CHECKS if COMPLETE in {key.name for key in each.check_keys})
    ran = dg.materialize(
        [tracks, playlist_snapshots, checks],
        resources={"postgres": PostgresResource(url=url, world=World.SANDBOX)},
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )
    assert {
        event.asset_key.to_user_string()
        for event in ran.get_asset_materialization_events()
        if event.asset_key
    } == {"tracks"}


def test_nothing_else_may_block_a_run() -> None:
    specs = [spec for each in CHECKS for spec in each.check_specs]
    assert [spec.name for spec in specs if spec.blocking] == [COMPLETE]


def test_features_of_fewer_than_half_of_the_tracks_asked_for_warn(database: Database) -> None:
    missing = "UPDATE tracks SET audio_features = NULL, features_missing_reason = 'unknown' WHERE "
    change(database, "UPDATE tracks SET audio_features = '{\"tempo\": 120}'::jsonb".replace(":", r"\:"))
    change(database, f"{missing} track_number % 2 = 0")
    assert look(database, "audio_features")["features_cover_the_catalogue"].passed
    change(database, f"{missing} track_number > 1")
    result = look(database, "audio_features")["features_cover_the_catalogue"]
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_tracks_that_nobody_asked_for_yet_are_not_missing(database: Database) -> None:
    change(database, "UPDATE tracks SET audio_features = NULL, features_missing_reason = NULL")
    assert look(database, "audio_features")["features_cover_the_catalogue"].passed


TOKEN = "no_token_has_expired"


@pytest.mark.parametrize("health", ["ok", "degraded"])
def test_an_expired_token_of_an_account_in_use_is_found(database: Database, health: str) -> None:
    change(
        database,
        "UPDATE accounts SET expires_at = now() - interval '1 minute', health = :health",
        health=health,
    )
    result = look(database, "account_tokens")[TOKEN]
    assert not result.passed
    assert first(result)[0]["account"] == "studio"


def test_an_account_in_quarantine_is_no_account_in_use(database: Database) -> None:
    change(database, "UPDATE accounts SET expires_at = now() - interval '1 day', health = 'quarantined'")
    assert look(database, "account_tokens")[TOKEN].passed


@pytest.mark.parametrize(
    ("fault", "lacks"),
    [
        ("confirmed_name = 'renamed'", "details"),
        ("confirmed_items_hash = 'other', confirmed_snapshot_row = NULL", "items"),
        ("spotify_id = NULL", "create, fill"),
    ],
    ids=["its name", "its tracks", "all of it"],
)
def test_a_playlist_differs_from_what_it_should_be_in(database: Database, fault: str, lacks: str) -> None:
    change(database, f"UPDATE playlists SET {fault} WHERE policy_name = 'morning'")
    result = look(database, "spotify_playlists")[ON_SPOTIFY]
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert [(row["playlist"], row["to be written"]) for row in first(result)] == [("morning@studio", lacks)]


def test_a_playlist_that_a_person_holds_back_may_differ(database: Database) -> None:
    change(database, "UPDATE playlists SET confirmed_name = 'mine', paused_at = now(), pause_reason = 'mine'")
    assert look(database, "spotify_playlists")[ON_SPOTIFY].passed


def test_a_playlist_says_why_it_waits(database: Database) -> None:
    change(database, "UPDATE playlists SET confirmed_name = 'x', sync_not_before = '2030-01-01 00\\:00Z'")
    assert (
        first(look(database, "spotify_playlists")[ON_SPOTIFY])[0]["why"]
        == "put off until 2030-01-01 00:00 UTC"
    )


def ban(database: Database, until: datetime) -> None:
    with database.transaction() as session:
        app = SpotifyApp(name=f"app {until:%H%M%S%f}", client_id=f"{until:%H%M%S%f}")
        session.add(app)
        session.flush()
        save_cooldown(
            session,
            app.id,
            kind="quota",
            until=until,
            observed_at=datetime.now(UTC),
            retry_after="48925",
            endpoint="GET /me",
            reason="QUOTA_EXCEEDED: Too many requests",
        )


def test_a_ban_that_is_over_is_no_news(database: Database) -> None:
    ban(database, now() - timedelta(minutes=1))
    assert look(database, "metric_snapshots")[BAN].passed


def test_a_ban_warns_with_its_end_and_spotifys_own_words(database: Database) -> None:
    until = now() + timedelta(hours=13)
    ban(database, until)
    ban(database, until - timedelta(hours=1))
    found = look(database, "metric_snapshots")[BAN]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["until"] == dg.MetadataValue.timestamp(until)
    assert found.metadata["reason"] == dg.MetadataValue.text("QUOTA_EXCEEDED: Too many requests")
    assert [row["Retry-After"] for row in first(found)] == ["48925", "48925"]
    assert f"{until:%Y-%m-%d %H:%M}" in (found.description or "")


def test_a_run_that_ended_and_was_not_written_is_a_gap_in_the_history(
    database: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.op
    def work() -> None: ...

    @dg.job(name="nightly")
    def job() -> None:
        work()

    run_id = job.execute_in_process(instance=instance).run_id
    # A run of this very minute is not missed yet.
    assert look(database, "metric_snapshots", instance=instance)[HISTORY].passed
    monkeypatch.setattr("spotify_pipelines.defs.history._GRACE", timedelta(0))
    (row,) = first(look(database, "metric_snapshots", instance=instance)[HISTORY])
    assert (row["run"], row["job"], row["status"]) == (run_id, "nightly", "success")
    reconcile_job_history(instance, database)
    assert look(database, "metric_snapshots", instance=instance)[HISTORY].passed
    change(database, "UPDATE job_history SET status = 'started'")
    assert not look(database, "metric_snapshots", instance=instance)[HISTORY].passed


@pytest.mark.parametrize("job", ["metrics_snapshot", "nightly"])
def test_a_run_that_captures_metrics_looks_for_bans(job: str) -> None:
    layer = definitions().get_repository_def().get_job(job).asset_layer
    assert {BAN, HISTORY} <= {key.name for key in layer.asset_graph.asset_check_keys}


def test_all_promises_of_an_asset_are_one_step() -> None:
    assets = [key for each in CHECKS for key in {key.asset_key for key in each.check_keys}]
    assert len(assets) == len(set(assets))

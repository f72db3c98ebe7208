"""Metrics: stable names, zeros included, counted in one query, stored once per moment."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import event, select

from spotify_pipelines.observability.metrics import capture
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.tables import (
    Account,
    Album,
    AlbumSource,
    ApiCalls,
    Artist,
    Base,
    JobRun,
    MetricSnapshot,
    Playlist,
    PlaylistHistory,
    PlaylistSnapshot,
    Policy,
    SpotifyApp,
    Track,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(create_database_engine(database_url))
    yield database
    database.close()


def fill(database: Database) -> None:
    apps = [
        SpotifyApp(name="a", client_id="a"),
        SpotifyApp(name="b", client_id="b", cooldown_until=NOW + HOUR),
    ]
    policy = Policy(name="p", version=1, digest="d", definition={})
    add(
        database,
        *apps,
        policy,
        Artist(id="r1", name="r"),
        Album(id="al", name="al", total_tracks=3, read_at=NOW),
    )
    accounts = [
        Account(app_id=apps[0].id, name=name, spotify_user_id=name, health=health)
        for name, health in (("x", "ok"), ("y", "ok"), ("z", "quarantined"))
    ]
    add(
        database,
        *accounts,
        track("t1", audio_features={"energy": 1}, features_source="spotify"),
        track(
            "t2", features_missing_reason="Spotify: unknown", features_retry_after=NOW + HOUR, playable=False
        ),
        track("t3"),
        *(
            AlbumSource(url=id_, album_id=id_, status=status, next_attempt_at=due)
            for id_, status, due in (
                ("q1", "queued", NOW),
                ("q2", "failed", NOW + HOUR),
                ("q3", "dead", NOW + HOUR),
            )
        ),
        *(
            JobRun(run_id=name, job_name="nightly", trigger="cli", status=status, finished_at=at)
            for name, status, at in (
                ("j1", "success", NOW - HOUR),
                ("j2", "success", NOW - 2 * HOUR),
                ("j3", "failure", NOW - HOUR),
                ("j4", "failure", NOW - 25 * HOUR),
                ("j5", "started", None),
            )
        ),
        *(
            ApiCalls(
                run_id="r",
                use_case="u",
                endpoint=endpoint,
                calls=calls,
                ok=calls - 2,
                limited=1,
                failed=1,
                waited_seconds=6.6,
                minimum=2,
                at=at,
            )
            for endpoint, calls, at in (
                ("GET /albums/{id}", 5, NOW - HOUR),
                ("GET /albums/{id}", 7, NOW - 25 * HOUR),
                ("accounts: POST /api/token", 11, NOW - HOUR),
            )
        ),
    )
    playlists = [
        Playlist(
            account_id=accounts[0].id, policy_name="p", sequence=number, anchor=date(2026, 1, 1), **state
        )
        for number, state in enumerate(
            (
                {"status": "active", "next_reshuffle_at": NOW - HOUR},
                {"status": "active", "next_reshuffle_at": NOW + HOUR, "sync_not_before": NOW + HOUR},
                {"status": "retired", "next_reshuffle_at": NOW - HOUR},
            )
        )
    ]
    add(database, *playlists)
    add(
        database,
        *(
            PlaylistHistory(playlist_id=playlists[0].id, action=action, at=at)
            for action, at in (
                ("created", NOW - 2 * HOUR),
                ("drift found", NOW - HOUR),
                ("synced", NOW - HOUR),
                ("synced", NOW - 48 * HOUR),
            )
        ),
        *(
            PlaylistSnapshot(
                playlist_id=playlists[0].id,
                policy_id=policy.id,
                cycle=cycle,
                draw=0,
                reason="new cycle",
                seed="0",
                algorithm="a",
                input_digest="i",
                items_hash="h",
                figures={},
                created_at=at,
            )
            for cycle, at in enumerate((NOW - HOUR, NOW - 48 * HOUR))
        ),
    )


def track(id_: str, **details: object) -> Track:
    return Track(
        id=id_,
        album_id="al",
        name=id_,
        disc_number=1,
        track_number=1,
        duration_ms=1,
        explicit=False,
        **details,
    )


def add(database: Database, *rows: Base) -> None:
    with database.transaction() as session:
        session.add_all(rows)


def test_everything_is_counted_under_its_name(database: Database) -> None:
    fill(database)
    with database.transaction() as session:
        metrics = capture(session, NOW, "run-1")
    counted = {name: number for name, number in metrics.items() if number}
    assert counted == {
        "accounts_ok": 2,
        "accounts_quarantined": 1,
        "albums": 1,
        "apps": 2,
        "apps_in_cooldown": 1,
        "artists": 1,
        "calls_24h": 5,
        "calls_failed_24h": 1,
        "calls_limited_24h": 1,
        "calls_minimum_24h": 2,
        "calls_ok_24h": 3,
        "calls_ratio_24h": 2.5,
        "calls_waited_seconds_24h": 7,
        "deferred_albums": 1,
        "deferred_features": 1,
        "deferred_playlists": 1,
        "features_coverage": 0.3333,
        "features_missing": 2,
        "features_missing_not_asked_yet": 1,
        "features_missing_spotify_unknown": 1,
        "features_spotify": 1,
        "history_24h_created": 1,
        "history_24h_drift_found": 1,
        "history_24h_synced": 1,
        "playlists_active": 2,
        "playlists_due": 1,
        "playlists_retired": 1,
        "queue_dead": 1,
        "queue_depth": 2,
        "queue_failed": 1,
        "queue_queued": 1,
        "runs_24h_failure": 1,
        "runs_24h_success": 2,
        "snapshots": 2,
        "snapshots_24h": 1,
        "tracks": 3,
        "tracks_unplayable": 1,
    }


def test_an_empty_installation_has_all_figures_at_zero(database: Database) -> None:
    with database.transaction() as session:
        metrics = capture(session, NOW, "run-1")
    assert set(metrics.values()) == {0}
    assert {"accounts_ok", "features_spotify", "queue_dead", "calls_24h"} <= metrics.keys()


def test_a_moment_is_stored_once_with_its_newest_figures(database: Database) -> None:
    for _ in range(2):
        with database.transaction() as session:
            metrics = capture(session, NOW, "run-1")
        add(database, Artist(id=f"r{metrics['artists']}", name="r"))
    with database.transaction() as session:
        [row] = session.scalars(select(MetricSnapshot)).all()
    assert row.captured_at == NOW
    assert row.metrics == metrics
    assert metrics["artists"] == 1


def test_counting_takes_one_query_and_storing_another(database: Database) -> None:
    statements: list[str] = []
    with database.transaction() as session:
        event.listen(
            database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]), named=False
        )
        capture(session, NOW, "run-1")
    assert [statement.split()[0] for statement in statements] == ["SELECT", "INSERT"]

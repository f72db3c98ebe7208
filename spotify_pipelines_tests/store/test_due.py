"""What sensors ask every minute is answered by indexes, however much there is."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from spotify_pipelines import services
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.due import (
    albums_due,
    features_due,
    playlists_due,
    playlists_to_sync,
    tokens_due,
)
from spotify_pipelines_tests.support.databases import open_database
from spotify_pipelines_tests.support.services import fresh_database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GROWING = ("tracks", "albums", "album_sources", "playlists", "playlist_snapshots", "accounts", "api_calls")

# Everything is done but for one item each: what a sensor looks at on most of its ticks.
INSTALLATION = """
INSERT INTO spotify_apps (name, client_id, calls_per_day) VALUES ('app', 'c', 100000);
INSERT INTO policies (name, version, digest, definition) VALUES ('fresh', 1, 'd', '{}');
INSERT INTO accounts (app_id, name, spotify_user_id, refresh_token, expires_at)
  SELECT a.id, 'account ' || n, 'user ' || n, 'sealed',
    timestamptz '2026-11-23 12:40Z' - (n = 1)::int * interval '1 hour'
  FROM generate_series(1, 3000) n, spotify_apps a;
INSERT INTO api_calls (run_id, use_case, app_id, endpoint, calls, at)
  SELECT 'r', 'u', a.id, 'GET /me', 1, timestamptz '2026-11-23 11:00Z' - n * interval '10 minutes'
  FROM generate_series(1, 5000) n, spotify_apps a;
INSERT INTO albums (id, name, total_tracks, read_at, tracks_read_at)
  SELECT 'album ' || n, 'Album', 10, now(), now() FROM generate_series(1, 1000) n;
INSERT INTO album_sources (url, album_id, status, next_attempt_at)
  SELECT 'u', 'album ' || n, CASE n WHEN 1 THEN 'queued' ELSE 'ingested' END, timestamptz '2026-11-20Z'
  FROM generate_series(1, 8000) n;
INSERT INTO tracks (id, album_id, name, disc_number, track_number, duration_ms, explicit, audio_features)
  SELECT 'track ' || n, 'album ' || (n % 1000 + 1), 'Track', 1, 1, 1, false,
    CASE n WHEN 1 THEN NULL ELSE '{"tempo": 120}'::jsonb END
  FROM generate_series(1, 10000) n;
INSERT INTO playlists (account_id, policy_name, sequence, anchor, status, next_reshuffle_at, spotify_id)
  SELECT a.id, 'fresh', n, date '2026-11-01', 'active',
    timestamptz '2026-11-25Z' - (a.name = 'account 1')::int * interval '5 days', a.id || ':' || n
  FROM accounts a, generate_series(1, 2) n;
INSERT INTO playlist_snapshots
    (playlist_id, policy_id, cycle, draw, reason, seed, algorithm, input_digest, items_hash, figures, created_at)
  SELECT p.id, y.id, n, 0, 'r', '', '', '', 'hash ' || n, '{}', timestamptz '2026-11-20Z'
  FROM playlists p, policies y, generate_series(1, 3) n;
UPDATE playlists p SET newest_snapshot_row = s.id, confirmed_items_hash = 'hash 3',
    confirmed_snapshot_row = s.id
  FROM playlist_snapshots s WHERE s.playlist_id = p.id AND s.cycle = 3;
UPDATE playlists p SET confirmed_snapshot_row = s.id, confirmed_items_hash = 'hash 2'
  FROM playlist_snapshots s, accounts a
  WHERE s.playlist_id = p.id AND s.cycle = 2 AND a.id = p.account_id AND a.name = 'account 7';
UPDATE playlists p SET read_back_at = timestamptz '2026-11-23 11:00Z'
  FROM accounts a WHERE a.id = p.account_id AND a.name = 'account 9';
ANALYZE;
"""


@pytest.fixture(scope="module")
def grown(services_endpoints: services.Endpoints, migrated_template: str) -> Iterator[Database]:
    """An installation of 10,000 tracks and 6,000 playlists, of which the planner has the statistics."""
    with fresh_database(services_endpoints, migrated_template) as url, open_database(url) as database:
        with database.transaction() as session:
            session.execute(text(INSTALLATION.replace(":", r"\:")))
        yield database


QUESTIONS: dict[str, tuple[Callable[[Session, datetime], object], int]] = {
    "albums": (albums_due, 1),
    "features": (features_due, 1),
    "tokens": (lambda session, now: tokens_due(session, now, timedelta(minutes=5)), 1),
    "playlists": (playlists_due, 2),
    "sync": (playlists_to_sync, 4),
}


@pytest.mark.parametrize(("question", "due"), QUESTIONS.values(), ids=QUESTIONS)
def test_no_question_of_a_sensor_reads_a_whole_table(
    grown: Database, question: Callable[[Session, datetime], object], due: int
) -> None:
    plans: list[str] = []
    with grown.transaction() as session:
        asked: list[tuple[str, Any]] = []
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
        assert getattr(question(session, NOW), "count") == due  # noqa: B009 - any of the questions
        for statement, values in list(asked):
            plans += connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars().all()
    assert plans
    read_whole = [line for line in plans for table in GROWING if f"Seq Scan on {table}" in line]
    assert read_whole == []

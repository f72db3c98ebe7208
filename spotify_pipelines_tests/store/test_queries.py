"""Shared figures: what the catalogue holds, by source and by reason."""

from datetime import UTC, datetime

from spotify_pipelines.store.catalogue import save_features, save_missing_features
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.queries import CatalogueCounts, catalogue_counts, count_rows
from spotify_pipelines.store.tables import Album, Artist, Track
from spotify_pipelines.store.upserts import upsert

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def test_an_empty_catalogue_counts_nothing(database: Database) -> None:
    with database.transaction() as session:
        assert catalogue_counts(session) == CatalogueCounts(0, 0, 0, 0, {}, {})


def test_tracks_are_counted_by_source_and_by_why_they_have_no_features(database: Database) -> None:
    album = {"name": "A", "total_tracks": 3, "read_at": NOW}
    track = {"album_id": "read", "name": "T", "disc_number": 1, "duration_ms": 1, "explicit": False}
    with database.transaction() as session:
        upsert(session, Artist, [{"id": "a", "name": "A"}], key=["id"])
        rows = [
            {"id": "read", "tracks_read_at": NOW, **album},
            {"id": "not", "tracks_read_at": None, **album},
        ]
        upsert(session, Album, rows, key=["id"])
        upsert(session, Track, [{"id": f"t{n}", "track_number": n, **track} for n in range(5)], key=["id"])
        save_features(session, {"t0": {"tempo": 1}, "t1": {"tempo": 2}}, source="spotify", at=NOW)
        save_features(session, {"t2": {"tempo": 3}}, source="reccobeats", at=NOW)
        save_missing_features(session, {"t3": "nobody knows it", "t0": "known all the same"}, retry_after=NOW)
    with database.transaction() as session:
        assert catalogue_counts(session) == CatalogueCounts(
            albums=2,
            unread_albums=1,
            tracks=5,
            artists=1,
            features={"spotify": 2, "reccobeats": 1},
            missing={"nobody knows it": 1, "not asked yet": 1},
        )
    assert count_rows(database, Track) == 5
    assert count_rows(database, Track, Track.features_source == "spotify", Track.id != "t0") == 1

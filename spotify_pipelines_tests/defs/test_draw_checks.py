"""The promises of draws: green after the chain, red as soon as a stored row contradicts one of them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import func, insert, select, text, update

from spotify_pipelines.definitions import definitions
from spotify_pipelines.playlists.apply import apply_policies
from spotify_pipelines.playlists.plan import plan_playlists
from spotify_pipelines.playlists.policies import parse_policies
from spotify_pipelines.playlists.snapshot import build_snapshots
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import (
    Account,
    Playlist,
    PlaylistSnapshot,
    PlaylistSnapshotTrack,
    SpotifyApp,
    TrackArtist,
)
from spotify_pipelines_tests.playlists.studio import stock
from spotify_pipelines_tests.support.checks import look_at
from spotify_pipelines_tests.support.databases import open_database

SIZE = "every_draw_has_the_feasible_size"
CAPS = "caps_hold_or_it_is_recorded"
COOLDOWN = "cooldown_holds_or_it_is_recorded"
DRAWN = "every_playlist_is_drawn"
GAP = "every_gap_equals_its_target"
# ``ample`` keeps all its rules; ``tight`` can't: caps and cooldowns give way, and that is recorded.
POLICIES = """
policies:
  - {name: ample, size: 10, cooldown: {draws: 1}}
  - {name: spare, size: 10, cooldown: {draws: 1}}
  - {name: tight, size: 60, cooldown: {days: 90}, caps: {artist: 2, album: 4}}
"""
SPARE = " AND p.policy_name = 'spare'"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Three playlists, each drawn and published in two cycles."""
    with open_database(database_url) as database:
        with database.transaction() as session:
            stock(session, SyntheticCatalogue(8, 1))
            app = session.scalars(
                insert(SpotifyApp).values(name="app", client_id="c").returning(SpotifyApp.id)
            ).one()
            session.execute(insert(Account).values(app_id=app, name="studio", spotify_user_id="studio"))
            apply_policies(session, parse_policies(POLICIES, "test"), NOW)
        plan_playlists(database, run_id="plan", now=lambda: NOW)
        for cycle_begins in (NOW, NOW + timedelta(days=7)):
            build_snapshots(database, run_id="draw", now=partial(_always, cycle_begins))
            with database.transaction() as session:
                session.execute(update(PlaylistSnapshot).values(published_at=NOW))
        with database.transaction() as session:
            session.execute(update(Playlist).values(next_reshuffle_at=func.now() + timedelta(days=1)))
        yield database


def _always(moment: datetime) -> datetime:
    return moment


def look(database: Database) -> dict[str, dg.AssetCheckResult]:
    """The results of all promises, by name."""
    return look_at("playlist_snapshots", database.engine.url.render_as_string(hide_password=False))


def red(database: Database) -> dict[str, list[dict[str, Any]]]:
    """The checks that warn, with the rows they name."""
    found = {}
    for name, result in look(database).items():
        if not result.passed:
            assert result.severity == dg.AssetCheckSeverity.WARN
            table = result.metadata["first"]
            assert isinstance(table, dg.TableMetadataValue)
            found[name] = [dict(record.data) for record in table.records]
    return found


def change(database: Database, statement: str, **values: object) -> None:
    with database.transaction() as session:
        assert session.execute(text(statement), values).rowcount  # type: ignore[attr-defined]


def newest(database: Database, policy: str) -> int:
    with database.transaction() as session:
        return session.scalars(
            select(func.max(PlaylistSnapshot.id))
            .join(Playlist, Playlist.id == PlaylistSnapshot.playlist_id)
            .where(Playlist.policy_name == policy)
        ).one()


def test_after_the_chain_all_promises_are_kept_though_rules_gave_way(database: Database) -> None:
    with database.transaction() as session:
        gave_way = session.scalars(
            select(PlaylistSnapshot.figures["relaxations"]).where(
                PlaylistSnapshot.id == newest(database, "tight")
            )
        ).one()
    assert {"cooldown", "artist_cap", "album_cap"} <= set(gave_way)
    results = look(database)
    assert set(results) == {DRAWN, SIZE, CAPS, COOLDOWN, GAP}
    assert all(result.passed for result in results.values())


def test_a_playlist_without_any_draw_is_found_unless_somebody_locked_it(database: Database) -> None:
    change(database, "DELETE FROM playlist_snapshots s USING playlists p WHERE p.id = s.playlist_id" + SPARE)
    (row,) = red(database)[DRAWN]
    assert row["playlist"] == "spare@studio"
    change(database, "UPDATE playlists p SET locked_at = now() WHERE true" + SPARE)
    assert DRAWN not in red(database)


def test_a_reshuffle_that_is_hours_late_is_found(database: Database) -> None:
    late = "UPDATE playlists p SET next_reshuffle_at = now() - make_interval(hours => :hours) WHERE true"
    change(database, late + SPARE, hours=2)
    assert DRAWN not in red(database)
    change(database, late + SPARE, hours=5)
    (row,) = red(database)[DRAWN]
    assert (row["playlist"], row["asked"]) == ("spare@studio", 5)


def test_a_draw_that_lost_a_track_is_shorter_than_feasible(database: Database) -> None:
    change(
        database,
        "DELETE FROM playlist_snapshot_tracks WHERE snapshot_id = :id AND position = 9",
        id=newest(database, "ample"),
    )
    rows = red(database)[SIZE]
    assert rows == [{"playlist": "ample@studio", "of": "", "found": 9, "asked": 10}]


def test_an_artist_beyond_the_cap_needs_a_record(database: Database) -> None:
    snapshot = newest(database, "ample")
    with database.transaction() as session:
        artist = session.scalars(select(TrackArtist.artist_id).limit(1)).one()
        tracks = session.scalars(
            select(PlaylistSnapshotTrack.track_id).where(
                PlaylistSnapshotTrack.snapshot_id == snapshot, PlaylistSnapshotTrack.position < 3
            )
        ).all()
        session.execute(text("DELETE FROM track_artists WHERE track_id = ANY(:ids)"), {"ids": list(tracks)})
        session.execute(
            insert(TrackArtist),
            [{"track_id": track, "artist_id": artist, "position": 0} for track in tracks],
        )
    assert (red(database)[CAPS][0]["found"], red(database)[CAPS][0]["asked"]) >= (3, 2)


@pytest.mark.parametrize(
    ("check", "rule"), [(CAPS, "artist_cap"), (CAPS, "album_cap"), (COOLDOWN, "cooldown")]
)
def test_a_breach_whose_record_is_lost_is_found(database: Database, check: str, rule: str) -> None:
    change(
        database,
        "UPDATE playlist_snapshot_tracks SET relaxation = NULL WHERE snapshot_id = :id"
        " AND relaxation @> CAST(:record AS jsonb)",
        id=newest(database, "tight"),
        record=json.dumps({"breaches": [{"rule": rule}]}),
    )
    rows = red(database)[check]
    assert {row["playlist"] for row in rows} == {"tight@studio"}
    assert all(row["of"] for row in rows)


def test_a_track_of_the_last_draw_comes_back_too_early(database: Database) -> None:
    change(
        database,
        "UPDATE playlist_snapshot_tracks now SET track_id = last.track_id FROM playlist_snapshot_tracks last"
        " WHERE now.snapshot_id = :id AND now.position = 4 AND last.position = 0 AND last.snapshot_id ="
        " (SELECT max(s.id) FROM playlist_snapshots s JOIN playlist_snapshots n USING (playlist_id)"
        "  WHERE n.id = :id AND s.id < n.id)",
        id=newest(database, "ample"),
    )
    (row,) = red(database)[COOLDOWN]
    assert (row["playlist"], row["found"], row["asked"]) == ("ample@studio", 0, 1)


def test_a_pinned_track_may_come_again_at_once(database: Database) -> None:
    change(
        database,
        "UPDATE playlist_snapshot_tracks SET relaxation = NULL, why = 'pinned' WHERE snapshot_id = :id AND age < 90",
        id=newest(database, "tight"),
    )
    assert COOLDOWN not in red(database)


def test_two_tracks_that_changed_places_are_not_as_far_apart_as_was_aimed_at(database: Database) -> None:
    snapshot = newest(database, "tight")
    with database.transaction() as session:
        places = session.execute(
            select(PlaylistSnapshotTrack.position, TrackArtist.artist_id)
            .join(TrackArtist, TrackArtist.track_id == PlaylistSnapshotTrack.track_id)
            .where(PlaylistSnapshotTrack.snapshot_id == snapshot)
            .order_by(TrackArtist.artist_id, PlaylistSnapshotTrack.position)
        ).all()
        target = session.scalars(
            select(PlaylistSnapshot.figures["gap_target"].as_integer()).where(PlaylistSnapshot.id == snapshot)
        ).one()
        first, second = next(
            (one.position, other.position)
            for one, other in pairwise(places)
            if one.artist_id == other.artist_id and one.position + 1 < other.position
        )
        beside = PlaylistSnapshotTrack.position == first + 1
        moved = PlaylistSnapshotTrack.position == second
        at = PlaylistSnapshotTrack.snapshot_id == snapshot
        for where, to in (
            (beside, 1000),
            (moved, first + 1),
            (PlaylistSnapshotTrack.position == 1000, second),
        ):
            session.execute(update(PlaylistSnapshotTrack).where(at, where).values(position=to))
    assert target > 1
    (row,) = red(database)[GAP]
    assert (row["playlist"], row["found"], row["asked"]) == ("tight@studio", 1, target)


def test_a_gap_where_none_was_aimed_at_is_found(database: Database) -> None:
    change(
        database,
        "UPDATE playlist_snapshots SET figures = jsonb_set(figures, '{gap_target}', 'null') WHERE id = :id",
        id=newest(database, "tight"),
    )
    (row,) = red(database)[GAP]
    assert row["asked"] == "none"


@pytest.mark.parametrize(
    "version",
    [
        "UPDATE playlist_snapshots SET figures = '{\"tracks\": 10}' WHERE id = :id",
        "UPDATE playlist_snapshots s SET seed = (SELECT min(seed) FROM playlist_snapshots o"
        " WHERE o.playlist_id = s.playlist_id AND o.id < s.id) WHERE id = :id",
        "UPDATE playlists SET status = 'retired' WHERE id ="
        " (SELECT playlist_id FROM playlist_snapshots WHERE id = :id)",
    ],
    ids=["brought back by hand", "amended later", "of a retired playlist"],
)
def test_what_is_no_draw_any_more_promises_nothing(database: Database, version: str) -> None:
    snapshot = newest(database, "ample")
    change(database, "DELETE FROM playlist_snapshot_tracks WHERE snapshot_id = :id", id=snapshot)
    assert SIZE in red(database)
    change(database, version, id=snapshot)
    assert red(database) == {}


@pytest.mark.parametrize("job", ["build_playlist_snapshot", "reshuffle_due_playlists", "nightly"])
def test_a_run_that_draws_looks_at_the_promises(job: str) -> None:
    layer = definitions().get_repository_def().get_job(job).asset_layer
    assert {DRAWN, SIZE, CAPS, COOLDOWN, GAP} <= {key.name for key in layer.asset_graph.asset_check_keys}

"""Pictures and links of materializations: what they tell, that no name is markup, and how small they stay."""

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import dagster as dg
import pytest
from dagster import serialize_value
from sqlalchemy import insert, text

from spotify_pipelines.defs.assets import catalogue, playlists
from spotify_pipelines.defs.assets.results import on_postgres
from spotify_pipelines.defs.assets.shown import catalogue_growth, features_coverage, playlists_by_health
from spotify_pipelines.defs.column_lineage import COLUMN_LINEAGE
from spotify_pipelines.report import Deferral, Failure, Report
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.overview import PlaylistHealth, playlist_health
from spotify_pipelines.store.tables import Account, SpotifyApp
from spotify_pipelines_tests.defs.test_results import spotify
from spotify_pipelines_tests.playlists.studio import stock
from spotify_pipelines_tests.support.databases import open_database

HOSTILE = "<img src=x onerror=alert(1)> ](javascript:alert(1)) ![x](http://evil)\n# *x* `y` \u202e"
IMAGE = re.compile(r"!\[[\w ]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)")
LINK = re.compile(
    r"- \[((?:[^\[\]\\\n<>`*#]|\\[!-/:-@\[-`{-~])*)\]\((https://open\.spotify\.com/[\w:/.-]+)\)"
)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A catalogue, an account and forty playlists, everything named by somebody who means harm."""
    with open_database(database_url) as database:
        with database.transaction() as session:
            stock(session, SyntheticCatalogue(30, 1))
            for table in ("albums", "tracks", "artists"):
                session.execute(
                    text(f"UPDATE {table} SET name = :name || repeat('x', 3000)"), {"name": HOSTILE}
                )
            session.execute(
                text(
                    "INSERT INTO album_sources (url, album_id, status) SELECT 'u', id, 'ingested' FROM albums"
                )
            )
            app = session.scalars(
                insert(SpotifyApp).values(name="app", client_id="c").returning(SpotifyApp.id)
            ).one()
            session.execute(insert(Account).values(app_id=app, name=HOSTILE, spotify_user_id="studio"))
            session.execute(
                text(
                    "INSERT INTO playlists (account_id, policy_name, sequence, anchor, spotify_id, confirmed_name,"
                    " newest_snapshot_row, confirmed_snapshot_row) SELECT a.id, 'p', n, current_date, 'pl' || n,"
                    " :name || n, n, n FROM accounts a, generate_series(1, 40) n"
                ),
                {"name": HOSTILE},
            )
        yield database


def picture(metadata: dict[str, Any], name: str) -> list[str]:
    """The texts of a picture, which is an image and nothing else."""
    found = IMAGE.fullmatch(metadata[name].value)
    assert found
    root = ElementTree.fromstring(base64.b64decode(found[1]))
    return ["".join(each.itertext()) for each in root.iter() if each.tag.endswith("text")]


def links(metadata: dict[str, Any], name: str) -> list[str]:
    """Where a list of links leads, which is a list of links and nothing else."""
    found = [LINK.fullmatch(line) for line in metadata[name].value.splitlines()]
    assert all(found)
    return [each[2] for each in found if each]


def test_the_catalogue_shows_its_growth_and_the_albums_read_last(database: Database) -> None:
    metadata = catalogue_growth(database)
    assert "30" in picture(metadata, "catalogue_growth")
    leads = links(metadata, "albums_read_last")
    assert len(leads) == 20
    assert all(lead.startswith("https://open.spotify.com/album/") for lead in leads)


def test_features_show_from_which_source_they_are_and_why_some_are_not(database: Database) -> None:
    with database.transaction() as session:
        session.execute(
            text("UPDATE tracks SET audio_features = '{}', features_source = :name WHERE track_number = 1"),
            {"name": HOSTILE},
        )
        session.execute(
            text(
                "UPDATE tracks SET audio_features = NULL, features_missing_reason = 'nobody knows it'"
                " WHERE track_number = 2"
            )
        )
        session.execute(text("UPDATE tracks SET audio_features = NULL WHERE track_number = 3"))
    told = " ".join(picture(features_coverage(database), "features_coverage"))
    assert "nobody knows it" in told
    assert "not asked yet" in told


def test_playlists_show_their_health_and_lead_to_spotify(database: Database) -> None:
    metadata = playlists_by_health(database)
    assert "40 (100%)" in picture(metadata, "playlists_by_health")
    leads = links(metadata, "playlists_written_last")
    assert len(leads) == 20
    assert all(lead.startswith("https://open.spotify.com/playlist/pl") for lead in leads)


@pytest.mark.parametrize(
    ("state", "change"),
    [
        (PlaylistHealth.FINE, "UPDATE playlists SET sync_failures = 0"),
        (PlaylistHealth.PAUSED, "UPDATE playlists SET locked_at = now()"),
        (PlaylistHealth.PAUSED, "UPDATE playlists SET paused_at = now()"),
        (PlaylistHealth.NEVER_DRAWN, "UPDATE playlists SET newest_snapshot_row = NULL"),
        (PlaylistHealth.DEFERRED, "UPDATE playlists SET sync_not_before = now() + interval '1 hour'"),
        (PlaylistHealth.FAILING, "UPDATE playlists SET sync_failures = 2"),
        (PlaylistHealth.WAITING, "UPDATE playlists SET confirmed_snapshot_row = NULL"),
        (PlaylistHealth.QUARANTINED, "UPDATE accounts SET health = 'quarantined'"),
    ],
)
def test_a_playlist_is_counted_by_what_keeps_it(
    database: Database, state: PlaylistHealth, change: str
) -> None:
    with database.transaction() as session:
        session.execute(text(change))
        health = playlist_health(session)
    assert {each: number for each, number in health.items() if number} == {state: 40}


def test_the_worst_report_is_a_small_event(database: Database, database_url: str, redis_url: str) -> None:
    """Twenty of everything, all of it endless."""
    from spotify_pipelines.defs.assets.declaration import Results, table_asset
    from spotify_pipelines.defs.assets.results import Rows
    from spotify_pipelines.defs.freshness import DAILY
    from spotify_pipelines.defs.resources import PostgresResource
    from spotify_pipelines.store.tables import Playlist

    endless = HOSTILE * 1_000
    until = datetime(2030, 1, 1, tzinfo=UTC)
    report = Report(
        "playlists",
        failed=[Failure(endless, endless, "Kind")] * 1_000,
        deferred=[Deferral(endless, until, endless)] * 1_000,
        notes=[endless] * 1_000,
        rows=[{"playlist": endless, "account": endless}] * 1_000,
    )

    @table_asset(group="playlists", kinds={"postgres"}, model=Playlist, every=DAILY, check="All is done")
    def spotify_playlists(context: dg.AssetExecutionContext, postgres: PostgresResource) -> Results:
        """Everything at once."""
        yield from on_postgres(
            context,
            postgres,
            lambda _: report,
            rows=Rows(Playlist),
            more=lambda database: (
                catalogue_growth(database) | features_coverage(database) | playlists_by_health(database)
            ),
        )

    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [spotify_playlists], resources=spotify(database_url, redis_url), instance=instance
        )
        kinds = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        sizes = [
            len(serialize_value(event))
            for kind in kinds
            for event in instance.all_logs(done.run_id, of_type=kind)
        ]
    assert len(sizes) == 2
    assert max(sizes) < 50_000


@pytest.mark.parametrize(
    ("asset", "shown"),
    [
        (catalogue.albums, {"catalogue_growth", "albums_read_last"}),
        (catalogue.audio_features, {"features_coverage", "features_known"}),
        (playlists.spotify_playlists, {"playlists_by_health", "playlists_written_last"}),
    ],
    ids=["albums", "audio_features", "spotify_playlists"],
)
def test_assets_show_them_with_the_lineage_of_their_columns(
    asset: dg.AssetsDefinition, shown: set[str], database: Database, database_url: str, redis_url: str
) -> None:
    with database.transaction() as session:
        # Nobody is there to be asked.
        session.execute(text("UPDATE tracks SET audio_features = '{}', features_source = 'csv'"))
        session.execute(text("DELETE FROM playlist_snapshots"))
    result = dg.materialize([asset], resources=spotify(database_url, redis_url), selection=[asset])
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert shown <= set(metadata)
    lineage = metadata["dagster/column_lineage"]
    assert isinstance(lineage, dg.TableColumnLineageMetadataValue)
    name = event.materialization.asset_key.to_user_string()
    assert set(lineage.value.deps_by_column) == set(COLUMN_LINEAGE[name])

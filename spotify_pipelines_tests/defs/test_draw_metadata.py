"""What a materialization of ``playlist_snapshots`` shows of its draws, and how large it is in the event log."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster import serialize_value
from sqlalchemy import insert, text

from spotify_pipelines.definitions import definitions
from spotify_pipelines.defs.assets.results import utc_now
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.playlists.apply import apply_policies
from spotify_pipelines.playlists.plan import plan_playlists
from spotify_pipelines.playlists.policies import parse_policies
from spotify_pipelines.settings import World
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Account, SpotifyApp
from spotify_pipelines_tests.playlists.studio import stock
from spotify_pipelines_tests.support.databases import open_database

POLICIES = """
policies:
  - {name: ample, size: 10, playlists_per_account: 30}
  - {name: tight, size: 100, cooldown: {days: 90}, caps: {artist: 1}}
"""
HOSTILE = "<img src=x onerror=alert(1)> ![x](javascript:alert(1)) "


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        with database.transaction() as session:
            stock(session, SyntheticCatalogue(10, 1))
            session.execute(text("UPDATE artists SET name = :hostile || name"), {"hostile": HOSTILE})
            session.execute(
                text(
                    "UPDATE tracks SET audio_features = jsonb_build_object("
                    "'tempo', 80 + duration_ms % 100, 'energy', (duration_ms % 97) / 97.0)"
                )
            )
            app = session.scalars(
                insert(SpotifyApp).values(name="app", client_id="c").returning(SpotifyApp.id)
            ).one()
            session.execute(insert(Account).values(app_id=app, name=HOSTILE, spotify_user_id="studio"))
            apply_policies(session, parse_policies(POLICIES, "test"), utc_now())
        plan_playlists(database, run_id="plan", now=utc_now)
        yield database


def _materialized(database: Database, **config: Any) -> tuple[dict[str, Any], int]:
    """Metadata of a run of the asset, and the size of the event as it is stored."""
    url = database.engine.url.render_as_string(hide_password=False)
    asset = next(
        each
        for each in definitions().assets or ()
        if isinstance(each, dg.AssetsDefinition) and each.keys == {dg.AssetKey("playlist_snapshots")}
    )
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [asset],
            resources={"postgres": PostgresResource(url=url, world=World.SANDBOX)},
            run_config={"ops": {"playlist_snapshots": {"config": config}}},
            instance=instance,
        )
        events = instance.all_logs(done.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    (materialization,) = done.asset_materializations_for_node("playlist_snapshots")
    return dict(materialization.metadata), len(serialize_value(events[0]))


def test_a_run_tells_its_figures_its_worst_draws_and_two_pictures_in_a_small_event(
    database: Database,
) -> None:
    metadata, size = _materialized(database)

    assert size < 50_000
    numbers = {name: each.value for name, each in metadata.items() if isinstance(each.value, int | float)}
    assert numbers["draws"] == 31
    assert numbers["relaxed_tracks"] > 0
    assert numbers["gap_by_target_min"] == 1.0
    worst = metadata["items"]
    assert isinstance(worst, dg.TableMetadataValue)
    assert len(worst.records) == 20
    assert str(worst.records[0].data["playlist"]).startswith("tight@")
    for name in ("tempo_and_energy", "artist_spacing"):
        assert metadata[name].value.startswith(
            f"![{name.replace('_', ' ')} along the playlist](data:image/svg+xml;"
        )


def test_markdown_holds_nothing_that_comes_from_outside(database: Database) -> None:
    metadata, _ = _materialized(database)
    marked = [each.value for each in metadata.values() if isinstance(each, dg.MarkdownMetadataValue)]
    assert len(marked) == 2
    assert not any("<" in each or "onerror" in each or each.count("](") != 1 for each in marked)


def test_a_run_that_drew_nothing_has_no_picture(database: Database) -> None:
    _materialized(database)
    metadata, _ = _materialized(database)
    assert metadata["draws"].value == 0
    assert not {"items", "tempo_and_energy", "artist_spacing"} & metadata.keys()


def test_a_run_is_about_its_own_draws(database: Database) -> None:
    _materialized(database)
    metadata, _ = _materialized(database, force=True, policy="ample", limit=2)
    assert metadata["draws"].value == 2

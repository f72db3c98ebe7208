"""The hourly asset: every figure is a number that plots, the trend is a picture, and the event stays small."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from spotify_pipelines.defs.assets.metrics import ASSETS
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.observability.metrics import flatten
from spotify_pipelines.settings import World
from spotify_pipelines.store.metrics import save_metrics
from spotify_pipelines_tests.support.databases import open_database

_MOST_BYTES = 50_000


def materialize(database_url: str) -> dict[str, dg.MetadataValue]:
    postgres = PostgresResource(url=database_url, world=World.SANDBOX)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(ASSETS, instance=instance, resources={"postgres": postgres})
        [event] = result.get_asset_materialization_events()
        assert len(dg.serialize_value(event)) < _MOST_BYTES
    return dict(event.step_materialization_data.materialization.metadata)


def test_the_first_hour_has_figures_and_no_trend_yet(database_url: str) -> None:
    shown = materialize(database_url)
    assert "trends" not in shown
    assert isinstance(shown["tracks"], dg.IntMetadataValue)
    assert {"features_coverage", "queue_depth", "runs_24h_failure", "deferred_features"} <= shown.keys()


def test_a_week_of_hours_makes_a_picture(database_url: str) -> None:
    now = datetime.now(UTC)
    with open_database(database_url) as database, database.transaction() as session:
        for hour in range(1, 24 * 14):
            figures = flatten(
                [("tracks", None, 10_000 + hour * 7919 % 1009), ("calls_24h", None, hour * 31 % 997)]
            )
            save_metrics(session, now - timedelta(hours=hour), figures)
    trends = materialize(database_url)["trends"]
    assert isinstance(trends, dg.MarkdownMetadataValue)
    assert str(trends.md_str).startswith("![trends](data:image/svg+xml;base64,")

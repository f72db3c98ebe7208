"""The operators' asset: what there is at this hour, in figures that plot over time."""

from datetime import timedelta

import dagster as dg

from spotify_pipelines.defs.assets.results import utc_now
from spotify_pipelines.defs.freshness import HOURLY, fresh_for
from spotify_pipelines.defs.names import GROUP_OWNERS, Group
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.defs.tables import code_reference, table_metadata
from spotify_pipelines.store.tables import MetricSnapshot

__all__ = ["ASSETS"]

_SHOWN = timedelta(days=7)


@dg.asset(
    deps=["audio_features", "spotify_playlists"],
    group_name=Group.OBSERVABILITY,
    owners=GROUP_OWNERS[Group.OBSERVABILITY],
    kinds={"postgres"},
    metadata=table_metadata(MetricSnapshot) | code_reference(__file__),
    freshness_policy=fresh_for(HOURLY),
)
def metric_snapshots(
    context: dg.AssetExecutionContext, postgres: PostgresResource
) -> dg.MaterializeResult[None]:
    """Accounts by health, playlists by status, tracks, features by source, calls, queue: once an hour.

    Each figure is a number that plots over time; `trends` is a picture of the last seven days.
    """
    from spotify_pipelines.observability.drawing import as_markdown
    from spotify_pipelines.observability.metrics import capture
    from spotify_pipelines.observability.trends import trends_picture
    from spotify_pipelines.store.metrics import metrics_since

    now = utc_now()
    with postgres.open() as database, database.transaction() as session:
        metrics = capture(session, now, context.run_id)
        picture = trends_picture(metrics_since(session, now - _SHOWN))
    trends = {"trends": dg.MetadataValue.md(as_markdown(picture, "trends"))} if picture else {}
    return dg.MaterializeResult(metadata={**metrics, **trends})


ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [metric_snapshots]

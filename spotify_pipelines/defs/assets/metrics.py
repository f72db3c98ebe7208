"""The operators' asset: what there is at this hour, in figures that plot over time."""

import dagster as dg

from spotify_pipelines.defs.assets.results import utc_now
from spotify_pipelines.defs.names import GROUP_OWNERS, Group
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.defs.tables import table_metadata
from spotify_pipelines.store.tables import MetricSnapshot

__all__ = ["ASSETS"]


@dg.asset(
    deps=["audio_features", "spotify_playlists"],
    group_name=Group.OBSERVABILITY,
    owners=GROUP_OWNERS[Group.OBSERVABILITY],
    kinds={"postgres"},
    metadata=table_metadata(MetricSnapshot),
)
def metric_snapshots(
    context: dg.AssetExecutionContext, postgres: PostgresResource
) -> dg.MaterializeResult[None]:
    """Accounts by health, playlists by status, tracks, features by source, calls, queue: once an hour."""
    from spotify_pipelines.observability.metrics import capture

    with postgres.open() as database, database.transaction() as session:
        metrics = capture(session, utc_now(), context.run_id)
    return dg.MaterializeResult(metadata=metrics)


ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [metric_snapshots]

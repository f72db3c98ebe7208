"""Run the checks of one asset as Dagster does, without the asset.

What belongs here: the run, and its results by name. What does not: what they should be.
"""

import dagster as dg

from spotify_pipelines.defs.checks import CHECKS
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.settings import World

__all__ = ["look_at"]


def look_at(
    asset: str, database_url: str, instance: dg.DagsterInstance | None = None
) -> dict[str, dg.AssetCheckResult]:
    """The results of all promises of an asset, by name; on an instance that forgets, unless one is given."""
    checks = [each for each in CHECKS if {key.asset_key for key in each.check_keys} == {dg.AssetKey(asset)}]
    found = dg.materialize(
        [dg.AssetSpec(asset), *checks],
        resources={"postgres": PostgresResource(url=database_url, world=World.SANDBOX)},
        instance=instance or dg.DagsterInstance.ephemeral(),
        selection=dg.AssetSelection.all_asset_checks(),
        raise_on_error=False,
    )
    return {
        each.check_name: dg.AssetCheckResult(
            passed=each.passed,
            severity=each.severity,
            description=each.description,
            metadata=dict(each.metadata),
        )
        for each in found.get_asset_check_evaluations()
    }

"""The accounts' asset: access tokens that are good for the work to come."""

import dagster as dg
from pydantic import Field

from spotify_pipelines.accounts.refresh import refresh_tokens
from spotify_pipelines.defs.assets.results import (
    EVERY_ITEM,
    dry_run_result,
    interruptible,
    materialized,
    refuse_dry_run,
    utc_now,
)
from spotify_pipelines.defs.names import GROUP_OWNERS, Group
from spotify_pipelines.defs.resources import SpotifyResource
from spotify_pipelines.defs.tables import table_metadata
from spotify_pipelines.store.tables import Account

__all__ = ["ASSETS"]


class AccountTokensConfig(dg.Config):
    """Narrows which accounts' tokens are refreshed."""

    account_ids: list[int] = Field(default=[], description="Only these accounts")
    limit: int | None = Field(default=None, ge=1, description="At most so many accounts")
    force: bool = Field(default=False, description="Refresh tokens that are still good, too")
    dry_run: bool = Field(
        default=False, description="Say whose token would be refreshed; no call, nothing written"
    )


@dg.asset(
    group_name=Group.ACCOUNTS,
    owners=GROUP_OWNERS[Group.ACCOUNTS],
    kinds={"spotify", "postgres"},
    metadata=table_metadata(Account),
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(
            EVERY_ITEM, asset="account_tokens", description="Every token that was due was refreshed"
        )
    ],
)
async def account_tokens(
    context: dg.AssetExecutionContext, config: AccountTokensConfig, spotify: SpotifyResource
) -> dg.MaterializeResult[None] | None:
    """Access tokens of all connected accounts; those that expire within five minutes are refreshed.

    An account whose consent is gone is quarantined with what its owner has to do; a server in trouble only
    degrades it. One account's failure never stops another.
    """
    if config.dry_run:
        refuse_dry_run(context)
    async with spotify.open(context.run_id) as session:
        report = await interruptible(
            refresh_tokens(
                session.database,
                session.credentials,
                session.calls,
                run_id=context.run_id,
                now=utc_now,
                account_ids=config.account_ids,
                limit=config.limit,
                force=config.force,
                dry_run=config.dry_run,
            )
        )
        if config.dry_run:
            dry_run_result(context, report)
            return None
        return materialized(context, report, row_count=session.count(Account))


ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [account_tokens]

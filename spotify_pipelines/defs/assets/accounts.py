"""The accounts' asset: access tokens that are good for the work to come."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from spotify_pipelines.defs.assets.declaration import Results, table_asset
from spotify_pipelines.defs.assets.results import (
    Rows,
    on_spotify,
    utc_now,
)
from spotify_pipelines.defs.freshness import HALF_HOURLY
from spotify_pipelines.defs.names import Group
from spotify_pipelines.defs.resources import SpotifyResource
from spotify_pipelines.report import Report
from spotify_pipelines.store.tables import Account

if TYPE_CHECKING:
    from spotify_pipelines.session import SpotifySession

__all__ = ["ASSETS"]


class AccountTokensConfig(dg.Config):
    """Narrows which accounts' tokens are refreshed."""

    account_ids: list[int] = Field(default=[], description="Only these accounts")
    limit: int | None = Field(default=None, ge=1, description="At most so many accounts")
    force: bool = Field(default=False, description="Refresh tokens that are still good, too")
    dry_run: bool = Field(
        default=False, description="Say whose token would be refreshed; no call, nothing written"
    )


@table_asset(
    group=Group.ACCOUNTS,
    kinds={"spotify", "postgres"},
    model=Account,
    every=HALF_HOURLY,
    check="Every token that was due was refreshed",
)
def account_tokens(
    context: dg.AssetExecutionContext, config: AccountTokensConfig, spotify: SpotifyResource
) -> Results:
    """Access tokens of all connected accounts; those that expire within five minutes are refreshed.

    An account whose consent is gone is quarantined with what its owner has to do; a server in trouble only
    degrades it. One account's failure never stops another.
    """
    from spotify_pipelines.accounts.refresh import refresh_tokens

    async def work(session: "SpotifySession") -> Report:
        return await refresh_tokens(
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

    yield from on_spotify(context, spotify, work, rows=Rows(Account), dry_run=config.dry_run)


ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [account_tokens]

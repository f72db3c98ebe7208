"""Checks that are about the whole installation rather than one asset's own run.

What belongs here: questions whose answer an operator should see without looking for it. What does not: what an
asset says about its own run (``assets.declaration``). They warn and never block: nothing downstream is spoilt.
"""

from typing import Any

import dagster as dg

from spotify_pipelines.defs.assets.results import utc_now
from spotify_pipelines.defs.draw_checks import DRAW_CHECKS
from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.store.cooldowns import Ban, bans

__all__ = ["CHECKS"]


@dg.asset_check(
    asset="metric_snapshots",
    description="Spotify lets every app call: no quota ban and no long limit is being waited out",
)
def no_ban_is_waited_out(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Warns while any app may not call, with the time at which it may again and Spotify's own words."""
    with postgres.open() as database, database.transaction() as session:
        waiting = bans(session, utc_now())
    if not waiting:
        return dg.AssetCheckResult(passed=True, description="Every app may call.")
    longest = waiting[0]
    apps = ", ".join(sorted(ban.app for ban in waiting))
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"No calls through {apps} until {longest.until:%Y-%m-%d %H:%M} UTC at the latest. Work is deferred "
            "and goes on by itself."
        ),
        metadata={
            "until": dg.MetadataValue.timestamp(longest.until),
            "reason": longest.reason or "not recorded",
            "bans": dg.MetadataValue.table([_record(ban) for ban in waiting]),
        },
    )


def _record(ban: Ban) -> dg.TableRecord:
    row: dict[str, Any] = {
        "app": ban.app,
        "developer account": ban.developer_account or "",
        "until (UTC)": f"{ban.until:%Y-%m-%d %H:%M:%S}",
        "kind": ban.kind or "",
        "reason": ban.reason or "",
        "Retry-After": ban.retry_after or "",
        "endpoint": ban.endpoint or "",
        "since (UTC)": f"{ban.observed_at:%Y-%m-%d %H:%M:%S}" if ban.observed_at else "",
    }
    return dg.TableRecord(row)


CHECKS: list[dg.AssetChecksDefinition] = [no_ban_is_waited_out, *DRAW_CHECKS]

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


@dg.asset_check(
    asset="account_tokens",
    description="No account's consent ends within a month: refreshing does not extend the six months it is given for",
)
def consents_last(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Warns from 30 days before a consent ends, and is an error from 14; nothing is blocked."""
    from spotify_pipelines.accounts.consent import ConsentLevel
    from spotify_pipelines.accounts.registry import account_standings

    with postgres.open() as database, database.transaction() as session:
        accounts = account_standings(session, utc_now())
    ending = [account for account in accounts if account.consent is not ConsentLevel.FINE]
    if not ending:
        return dg.AssetCheckResult(passed=True, description="All consents last for more than a month.")
    ending.sort(key=lambda account: (account.consent_ends_at or utc_now(), account.name))
    is_late = any(account.consent is not ConsentLevel.SOON for account in ending)
    first = ending[0]
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR if is_late else dg.AssetCheckSeverity.WARN,
        description=(
            f"{len(ending)} consents end within a month or have ended, first that of '{first.name}' on "
            f"{first.consent_ends_at:%Y-%m-%d}. Each user has to consent again: 'accounts reauthorize'."
        ),
        metadata={
            "accounts": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "account": account.name,
                            "consent ends (UTC)": f"{account.consent_ends_at:%Y-%m-%d %H:%M}",
                            "how urgent": account.consent.value,
                        }
                    )
                    for account in ending[:_ROWS]
                ]
            )
        },
    )


@dg.asset_check(
    asset="account_tokens",
    description="Spotify does not refuse the consents of many accounts of one app at once",
)
def no_mass_refusal(postgres: PostgresResource) -> dg.AssetCheckResult:
    """An error while an incident is going on: it wants a person to look, whoever turns out to be wrong."""
    from spotify_pipelines.accounts.incidents import incident_standings

    with postgres.open() as database, database.transaction() as session:
        incidents = incident_standings(session)
    if not incidents:
        return dg.AssetCheckResult(passed=True, description="No incident is going on.")
    parts = [
        f"{len(each.accounts)} of {each.connected} accounts of '{each.app}' since {each.began_at:%Y-%m-%d %H:%M} UTC"
        for each in incidents
    ]
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(
            f"Spotify refuses the consents of {'; '.join(parts)}. One account at a time is tried until one gets a "
            "token. 'spotify-pipelines apps incident' ends it by hand."
        ),
        metadata={"next_try": dg.MetadataValue.timestamp(min(each.next_probe_at for each in incidents))},
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


_ROWS = 100
"""Tables in Dagster's log are for people to read."""

CHECKS: list[dg.AssetChecksDefinition] = [no_ban_is_waited_out, consents_last, no_mass_refusal, *DRAW_CHECKS]

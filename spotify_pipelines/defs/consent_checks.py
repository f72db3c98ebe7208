"""What people have to be told of consents: that one ends soon, or that Spotify refuses many at once.

What belongs here: the two checks on ``account_tokens`` whose severity says how soon a person is needed. What does
not: promises that are kept or broken (``checks``), what a consent or an incident is (``accounts``).
"""

import dagster as dg

from spotify_pipelines.defs.assets.results import utc_now
from spotify_pipelines.defs.resources import PostgresResource

__all__ = ["CONSENT_CHECKS", "consents_last", "no_mass_refusal"]

_ROWS = 100
"""Tables in Dagster's log are for people to read."""


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


CONSENT_CHECKS: list[dg.AssetChecksDefinition] = [consents_last, no_mass_refusal]

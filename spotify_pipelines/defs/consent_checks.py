"""What people have to be told of consents: that one ends soon, or that Spotify refuses many at once.

What belongs here: looking for it, and how soon a person is needed. What does not: where these promises stand
(``checks``), what a consent or an incident is (``accounts``).
"""

import dagster as dg

from spotify_pipelines.defs.promises import Breach, Scene

__all__ = ["consents_last", "no_mass_refusal"]


def consents_last(scene: Scene) -> Breach:
    """Consents that end within 30 days, or have ended; severe from 14 days before."""
    from spotify_pipelines.accounts.consent import ConsentLevel
    from spotify_pipelines.accounts.registry import account_standings

    ending = [
        account
        for account in account_standings(scene.session, scene.now)
        if account.consent is not ConsentLevel.FINE
    ]
    ending.sort(key=lambda account: (account.consent_ends_at or scene.now, account.name))
    if not ending:
        return Breach(0)
    first = ending[0]
    return Breach(
        len(ending),
        f"{len(ending)} consents end within a month or have ended, first that of '{first.name}' on "
        f"{first.consent_ends_at:%Y-%m-%d}. Each user has to consent again: 'accounts reauthorize'.",
        [
            {
                "account": account.name,
                "consent ends (UTC)": f"{account.consent_ends_at:%Y-%m-%d %H:%M}",
                "how urgent": account.consent.value,
            }
            for account in ending
        ],
        severe=any(account.consent is not ConsentLevel.SOON for account in ending),
    )


def no_mass_refusal(scene: Scene) -> Breach:
    """Incidents that are going on; severe, for they want a person to look, whoever turns out to be wrong."""
    from spotify_pipelines.accounts.incidents import incident_standings

    incidents = incident_standings(scene.session)
    if not incidents:
        return Breach(0)
    parts = [
        f"{len(each.accounts)} of {each.connected} accounts of '{each.app}' since {each.began_at:%Y-%m-%d %H:%M} UTC"
        for each in incidents
    ]
    return Breach(
        len(incidents),
        f"Spotify refuses the consents of {'; '.join(parts)}. One account at a time is tried until one gets a token. "
        "'spotify-pipelines apps incident' ends it by hand.",
        severe=True,
        metadata={"next_try": dg.MetadataValue.timestamp(min(each.next_probe_at for each in incidents))},
    )

"""The promises that an installation keeps, by asset: questions whose answer an operator should see unasked.

What belongs here: which promises there are, and in which words a breach is told. What does not: finding it
(``store.faults``, ``playlists.divergence``), how a check is declared and run (``promises``), what an asset says about
its own run (``assets.declaration``).
"""

from datetime import timedelta
from typing import Final

import dagster as dg

from spotify_pipelines.defs.consent_checks import consents_last, no_mass_refusal
from spotify_pipelines.defs.draw_checks import DRAW_CHECKS
from spotify_pipelines.defs.history import missing_from_history
from spotify_pipelines.defs.promises import Breach, Promise, Scene, promises_of
from spotify_pipelines.store.cooldowns import Ban, bans

__all__ = ["CHECKS"]

_NEW: Final = timedelta(days=1)
_LEAST_COVERAGE: Final = 0.5
_FLEET_WIDE: Final = 0.1
"""From this part of all tracks on, it is no slip: what was drawn from them would be spoilt everywhere."""


def _no_new_dead_letters(scene: Scene) -> Breach:
    from spotify_pipelines.store.faults import new_dead_letters

    letters = new_dead_letters(scene.session, scene.now - _NEW)
    return Breach(
        len(letters),
        f"{len(letters)} albums became dead letters within a day. 'spotify-pipelines albums list' says why; "
        "'albums retry' queues them anew.",
        [
            {
                "album": each.album_id,
                "url": each.url,
                "kind": each.kind,
                "error": each.error,
                "since (UTC)": f"{each.died_at:%Y-%m-%d %H:%M}",
            }
            for each in letters
        ],
    )


def _tracks_are_complete(scene: Scene) -> Breach:
    from spotify_pipelines.store.faults import incomplete_tracks

    found = incomplete_tracks(scene.session)
    return Breach(
        found.number,
        f"{found.number} of {found.all} tracks lack an artist or their album. Read their albums again: "
        "'ingest_albums_from_sources' with their album_ids and force.",
        [{"track": each.track_id, "name": each.name, "lacks": each.lacks} for each in found.first],
        severe=found.number > found.all * _FLEET_WIDE,
    )


def _features_cover_the_catalogue(scene: Scene) -> Breach:
    from spotify_pipelines.store.faults import features_coverage

    found = features_coverage(scene.session)
    return Breach(
        found.asked - found.known if found.share < _LEAST_COVERAGE else 0,
        f"Audio features of {found.known} of {found.asked} tracks are known ({found.share:.0%}), fewer than half. "
        "Transitions are drawn blindly for the others; another source can be named in "
        "SPOTIFY_PIPELINES_FEATURE_SOURCES.",
        metadata={"tracks": found.tracks, "asked": found.asked, "known": found.known},
    )


def _tokens_are_good(scene: Scene) -> Breach:
    from spotify_pipelines.store.faults import expired_tokens

    tokens = expired_tokens(scene.session, scene.now)
    return Breach(
        len(tokens),
        f"The tokens of {len(tokens)} accounts in use have expired. Run refresh_tokens; "
        "'spotify-pipelines accounts list' says what each account needs.",
        [
            {
                "account": each.account,
                "health": each.health,
                "reason": each.reason,
                "expired (UTC)": f"{each.expires_at:%Y-%m-%d %H:%M}" if each.expires_at else "never had one",
            }
            for each in tokens
        ],
    )


def _spotify_holds_what_it_should(scene: Scene) -> Breach:
    from spotify_pipelines.playlists.divergence import divergent_playlists

    found = divergent_playlists(scene.session, scene.now)
    return Breach(
        len(found),
        f"{len(found)} playlists differ from what they should be. They are written as soon as nothing is in their "
        "way; the table says what is.",
        [
            {
                "playlist": each.playlist,
                "to be written": each.lacks,
                "since (UTC)": f"{each.since:%Y-%m-%d %H:%M}",
                "why": each.why,
            }
            for each in found
        ],
    )


def _no_ban_is_waited_out(scene: Scene) -> Breach:
    waiting = bans(scene.session, scene.now)
    if not waiting:
        return Breach(0)
    longest = waiting[0]
    apps = ", ".join(sorted(ban.app for ban in waiting))
    return Breach(
        len(waiting),
        f"No calls through {apps} until {longest.until:%Y-%m-%d %H:%M} UTC at the latest. Work is deferred and goes "
        "on by itself.",
        [_row(ban) for ban in waiting],
        metadata={
            "until": dg.MetadataValue.timestamp(longest.until),
            "reason": longest.reason or "not recorded",
        },
    )


def _row(ban: Ban) -> dict[str, str | int | float | None]:
    return {
        "app": ban.app,
        "developer account": ban.developer_account,
        "until (UTC)": f"{ban.until:%Y-%m-%d %H:%M:%S}",
        "kind": ban.kind,
        "reason": ban.reason,
        "Retry-After": ban.retry_after,
        "endpoint": ban.endpoint,
        "since (UTC)": f"{ban.observed_at:%Y-%m-%d %H:%M:%S}" if ban.observed_at else None,
    }


def _history_is_complete(scene: Scene) -> Breach:
    missing = missing_from_history(scene.instance, scene.session, scene.now)
    return Breach(
        len(missing),
        f"{len(missing)} runs that ended within a day are not in the job history. Is the sensor job_history on, and "
        "does the daemon run?",
        [{"run": run.run_id, "job": run.job_name, "status": run.status.value.lower()} for run in missing],
    )


CHECKS: list[dg.AssetChecksDefinition] = [
    promises_of(
        "albums",
        "albums_keep_their_promises",
        {
            "no_new_dead_letters": Promise(
                "No album became a dead letter within a day", _no_new_dead_letters
            ),
        },
    ),
    promises_of(
        "tracks",
        "tracks_keep_their_promises",
        {
            "every_track_has_artist_and_album": Promise(
                "Every track has its album and at least one artist", _tracks_are_complete, blocks=True
            ),
        },
    ),
    promises_of(
        "audio_features",
        "features_keep_their_promises",
        {
            "features_cover_the_catalogue": Promise(
                "Audio features of at least half of the tracks that were asked for are known",
                _features_cover_the_catalogue,
            ),
        },
    ),
    promises_of(
        "account_tokens",
        "tokens_keep_their_promises",
        {
            "no_token_has_expired": Promise(
                "The access token of every account in use is good: it was refreshed before it expired",
                _tokens_are_good,
            ),
            "consents_last": Promise(
                "No account's consent ends within a month: refreshing does not extend the six months it is given for",
                consents_last,
            ),
            "no_mass_refusal": Promise(
                "Spotify does not refuse the consents of many accounts of one app at once", no_mass_refusal
            ),
        },
    ),
    promises_of(
        "spotify_playlists",
        "playlists_keep_their_promises",
        {
            "spotify_holds_what_it_should": Promise(
                "Every playlist that nobody locked or paused is on Spotify as it should be",
                _spotify_holds_what_it_should,
            ),
        },
    ),
    promises_of(
        "metric_snapshots",
        "the_installation_keeps_its_promises",
        {
            "no_ban_is_waited_out": Promise(
                "Spotify lets every app call: no quota ban and no long limit is being waited out",
                _no_ban_is_waited_out,
            ),
            "job_history_has_no_gap": Promise(
                "Every run that ended within a day is in the job history", _history_is_complete
            ),
        },
    ),
    *DRAW_CHECKS,
]

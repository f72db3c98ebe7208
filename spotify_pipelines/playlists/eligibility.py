"""Which tracks lie inside a policy's pool, and why the others don't.

What belongs here: holding the facts of one track against the pool and the feature windows of a policy. What
does not: cooldown, caps and chance (``selection``), reading the catalogue, playability (a track that can't be
played is never offered here).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from spotify_pipelines.playlists.policies import Policy, PoolRule, Years

__all__ = ["TrackFacts", "why_outside"]


@dataclass(frozen=True, slots=True)
class TrackFacts:
    """What a policy asks of a track. ``artists`` holds ids and names; None and NaN are unknown values."""

    artists: Collection[str]
    album_id: str | None = None
    year: int | None = None
    explicit: bool | None = None
    features: Mapping[str, float | None] | None = None


def why_outside(policy: Policy, track: TrackFacts) -> str | None:
    """Why a track is not in a policy's pool; None if it is."""
    return _outside_pool(policy.pool, track) or _outside_windows(policy, track.features or {})


def _outside_pool(pool: PoolRule, track: TrackFacts) -> str | None:
    if pool.artists is not None and set(pool.artists).isdisjoint(track.artists):
        return "credits none of the policy's artists"
    if pool.albums is not None and track.album_id not in pool.albums:
        return "not on one of the policy's albums"
    if pool.years is not None and not _in_years(pool.years, track.year):
        return f"released in {track.year or 'an unknown year'}, outside the policy's years"
    if pool.explicit == "exclude" and track.explicit is not False:
        return "explicit, or not known to be clean"
    if pool.explicit == "only" and track.explicit is not True:
        return "not known to be explicit"
    return None


def _in_years(years: Years, year: int | None) -> bool:
    return year is not None and (years.first or year) <= year <= (years.last or year)


def _outside_windows(policy: Policy, features: Mapping[str, float | None]) -> str | None:
    for feature, window in policy.features.given().items():
        value = features.get(feature)
        if value is None or math.isnan(value):
            if policy.missing_features == "exclude":
                return f"has no {feature}"
        elif not window.admits(value):
            return f"{feature} {value:g} is outside the policy's window"
    return None

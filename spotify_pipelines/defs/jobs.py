"""The jobs, under the names that operators know; each materializes some of the assets.

What belongs here: names, selections, descriptions and tags. What does not: when they run (``schedules``,
``sensors``) and how an asset does its work.
"""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from spotify_pipelines.defs.names import JOB_TAG, NARROW_TAG, PRUNE_JOB, WORLD_TAG, Narrow
from spotify_pipelines.settings import World

__all__ = ["JOB_NAMES", "NIGHTLY", "build_jobs"]

NIGHTLY = "nightly"


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    assets: tuple[str, ...]
    description: str
    narrow: Narrow | None = None


_JOBS = (
    _Job(
        "scale_playlists_daily", ("playlist_plan",), "Plan which playlists there should be on which account."
    ),
    _Job("refresh_tokens", ("account_tokens",), "Refresh access tokens that expire within five minutes."),
    _Job(
        "ingest_albums_from_sources",
        ("albums", "tracks"),
        "Read queued albums and their tracks from Spotify.",
    ),
    _Job("fetch_audio_features", ("audio_features",), "Fetch audio features of tracks that lack them."),
    _Job(
        "build_playlist_snapshot",
        ("playlist_snapshots",),
        "Draw the tracks of every playlist that lacks a snapshot for its current cycle.",
    ),
    _Job(
        "ensure_playlist_for_account",
        ("spotify_playlists",),
        "Create and update playlists on Spotify, in waves by the health of accounts.",
    ),
    _Job(
        "reshuffle_due_playlists",
        ("playlist_snapshots", "spotify_playlists"),
        "Draw and write the playlists whose reshuffle is due.",
        Narrow.DUE,
    ),
    _Job("metrics_snapshot", ("metric_snapshots",), "Capture the figures that operators watch."),
    _Job(
        NIGHTLY,
        (
            "albums",
            "tracks",
            "audio_features",
            "account_tokens",
            "playlist_plan",
            "playlist_snapshots",
            "spotify_playlists",
            "metric_snapshots",
        ),
        "The whole chain in one run, from queued albums to playlists on Spotify.",
    ),
)

JOB_NAMES = (*(job.name for job in _JOBS), PRUNE_JOB)
"""All jobs of ours, also the one that ``maintenance`` builds."""


def build_jobs(world: World) -> list[Any]:  # Dagster exports no name for what define_asset_job returns
    """The jobs that materialize assets; each is told apart by tags, which config given at launch can't replace."""
    return [
        dg.define_asset_job(
            job.name,
            selection=dg.AssetSelection.assets(*job.assets),
            description=job.description,
            tags={JOB_TAG: job.name, WORLD_TAG: world.value}
            | ({NARROW_TAG: job.narrow.value} if job.narrow else {}),
        )
        for job in _JOBS
    ]

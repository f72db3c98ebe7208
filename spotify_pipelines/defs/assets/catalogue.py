"""The catalogue's assets: queued URLs become albums, albums become tracks, tracks get audio features."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from spotify_pipelines.defs.assets.declaration import Results, table_asset
from spotify_pipelines.defs.assets.results import (
    Rows,
    on_spotify,
    progress_lines,
    utc_now,
)
from spotify_pipelines.defs.assets.shown import catalogue_growth, features_coverage
from spotify_pipelines.defs.freshness import DAILY
from spotify_pipelines.defs.names import GROUP_OWNERS, Group
from spotify_pipelines.defs.resources import SpotifyResource
from spotify_pipelines.defs.tables import code_reference, table_metadata
from spotify_pipelines.report import Report
from spotify_pipelines.store.tables import Album, AlbumSource, Track

if TYPE_CHECKING:
    from spotify_pipelines.session import SpotifySession

__all__ = ["ASSETS"]

_FEATURE_COLUMNS = (
    "id",
    "audio_features",
    "features_source",
    "features_fetched_at",
    "features_missing_reason",
    "features_retry_after",
)


class AlbumsConfig(dg.Config):
    """Narrows which albums are read."""

    urls: list[str] = Field(
        default=[], description="Album URLs, URIs or ids to queue and read first, in any of Spotify's shapes"
    )
    album_ids: list[str] = Field(default=[], description="Read only these albums of the queue")
    limit: int | None = Field(default=None, ge=1, description="Read at most so many albums")
    force: bool = Field(default=False, description="Read albums again that are known already")


class TracksConfig(dg.Config):
    """Narrows which albums' tracks are stored."""

    album_ids: list[str] = Field(default=[], description="Only the tracks of these albums")
    limit: int | None = Field(default=None, ge=1, description="The tracks of at most so many albums")


class AudioFeaturesConfig(dg.Config):
    """Narrows for which tracks features are fetched."""

    album_ids: list[str] = Field(default=[], description="Only tracks of these albums")
    limit: int | None = Field(default=None, ge=1, description="At most so many tracks")
    force: bool = Field(
        default=False, description="Ask again for tracks whose features are known or were missing"
    )
    dry_run: bool = Field(default=False, description="Say what would be asked for; no call, nothing written")


album_sources = dg.AssetSpec(
    "album_sources",
    description=(
        "The queue of album URLs. People fill it: `spotify-pipelines albums add`, or `urls` in the config of "
        "`ingest_albums_from_sources`."
    ),
    group_name=Group.CATALOGUE,
    owners=GROUP_OWNERS[Group.CATALOGUE],
    kinds={"postgres"},
    metadata=table_metadata(AlbumSource) | code_reference(__file__),
)


@table_asset(
    group=Group.CATALOGUE,
    kinds={"spotify", "postgres"},
    model=Album,
    deps=["album_sources"],
    every=DAILY,
    check="No album was put off or refused",
)
def albums(context: dg.AssetExecutionContext, config: AlbumsConfig, spotify: SpotifyResource) -> Results:
    """Albums that were queued, as Spotify describes them; twenty a call where the app may, else one by one.

    What can't be read stays in the queue with its reason and a time for the next try, and is dead after the
    last one. The track list that comes with an album waits there for the asset `tracks`.
    """
    from spotify_pipelines.catalogue.ingest import ingest_albums
    from spotify_pipelines.session import NO_APP

    async def work(session: "SpotifySession") -> Report:
        catalogue = session.catalogue()
        if catalogue is None:
            return Report("albums", notes=[NO_APP])
        return await ingest_albums(
            session.database,
            catalogue,
            session.calls,
            run_id=context.run_id,
            now=utc_now,
            urls=config.urls,
            album_ids=config.album_ids,
            limit=config.limit,
            force=config.force,
            stale_days=session.settings.album_stale_days,
            max_attempts=session.settings.ingest_max_attempts,
            progress=progress_lines(context, "albums"),
        )

    yield from on_spotify(context, spotify, work, rows=Rows(Album), more=catalogue_growth)


@table_asset(
    group=Group.CATALOGUE,
    kinds={"spotify", "postgres"},
    model=Track,
    deps=["albums"],
    every=DAILY,
    check="No album's tracks were put off",
)
def tracks(context: dg.AssetExecutionContext, config: TracksConfig, spotify: SpotifyResource) -> Results:
    """Tracks of all albums, with every credited artist in order.

    Fifty came with the album and cost nothing; the rest of a longer album is read page by page.
    """
    from spotify_pipelines.catalogue.tracks import read_tracks
    from spotify_pipelines.session import NO_APP

    async def work(session: "SpotifySession") -> Report:
        catalogue = session.catalogue()
        if catalogue is None:
            return Report("albums", notes=[NO_APP])
        return await read_tracks(
            session.database,
            catalogue,
            session.calls,
            run_id=context.run_id,
            now=utc_now,
            album_ids=config.album_ids,
            limit=config.limit,
            max_attempts=session.settings.ingest_max_attempts,
            progress=progress_lines(context, "albums"),
        )

    yield from on_spotify(context, spotify, work, rows=Rows(Track), alone=True)


@table_asset(
    group=Group.CATALOGUE,
    kinds={"spotify", "postgres"},
    model=Track,
    columns=_FEATURE_COLUMNS,
    deps=["tracks"],
    every=DAILY,
    check="No batch of tracks was put off or failed",
)
def audio_features(
    context: dg.AssetExecutionContext, config: AudioFeaturesConfig, spotify: SpotifyResource
) -> Results:
    """Tempo, energy, key … of every track, from the first source that knows them.

    Asked for in full batches across albums. A track that no source knows keeps the reason and is asked for
    again after a while; selection works without features.
    """
    from spotify_pipelines.catalogue.features import fetch_features

    async def work(session: "SpotifySession") -> Report:
        return await fetch_features(
            session.database,
            session.feature_sources(),
            session.calls,
            run_id=context.run_id,
            now=utc_now,
            album_ids=config.album_ids,
            limit=config.limit,
            force=config.force,
            dry_run=config.dry_run,
            retry_after_days=session.settings.feature_retry_days,
            progress=progress_lines(context, "tracks"),
        )

    known = Rows(Track, (Track.audio_features.is_not(None),))
    yield from on_spotify(
        context, spotify, work, rows=known, dry_run=config.dry_run, more=features_coverage, alone=True
    )


ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [album_sources, albums, tracks, audio_features]

"""The playlists' assets: which there should be, what each should hold, and what Spotify holds."""

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from spotify_pipelines.defs.assets.declaration import Results, table_asset
from spotify_pipelines.defs.assets.draw_metadata import draw_metadata
from spotify_pipelines.defs.assets.results import (
    Rows,
    on_postgres,
    on_spotify,
    progress_lines,
    utc_now,
)
from spotify_pipelines.defs.assets.shown import playlists_by_health
from spotify_pipelines.defs.freshness import DAILY
from spotify_pipelines.defs.names import NARROW_TAG, Group, Narrow
from spotify_pipelines.defs.resources import PostgresResource, SpotifyResource
from spotify_pipelines.report import Report
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Playlist, PlaylistSnapshot

if TYPE_CHECKING:
    from spotify_pipelines.session import SpotifySession

__all__ = ["ASSETS"]

_CONFIRMED_COLUMNS = tuple(
    column.name
    for column in Playlist.__table__.columns
    if column.name in {"id", "account_id", "spotify_id"} or column.name.startswith(("confirmed_", "sync_"))
)


class PlanConfig(dg.Config):
    """Narrows what is planned."""

    account_ids: list[int] = Field(default=[], description="Only for these accounts")
    policy: str | None = Field(default=None, description="Only for this policy")
    limit: int | None = Field(default=None, ge=1, description="At most so many changes")
    dry_run: bool = Field(
        default=False, description="Say what would be created and retired; nothing is written"
    )


class SnapshotsConfig(dg.Config):
    """Narrows for which playlists tracks are drawn."""

    playlist_ids: list[int] = Field(default=[], description="Only these playlists")
    account_ids: list[int] = Field(default=[], description="Only playlists of these accounts")
    policy: str | None = Field(default=None, description="Only playlists of this policy")
    limit: int | None = Field(default=None, ge=1, description="At most so many playlists")
    force: bool = Field(default=False, description="Draw anew even where the current cycle has its snapshot")
    dry_run: bool = Field(default=False, description="Draw, and say what would change; nothing is written")


class SyncConfig(dg.Config):
    """Narrows which playlists are written to Spotify."""

    playlist_ids: list[int] = Field(default=[], description="Only these playlists")
    account_ids: list[int] = Field(default=[], description="Only playlists of these accounts")
    policy: str | None = Field(default=None, description="Only playlists of this policy")
    limit: int | None = Field(default=None, ge=1, description="At most so many playlists")
    force: bool = Field(default=False, description="Look at playlists on Spotify even where nothing is due")
    dry_run: bool = Field(
        default=False, description="Say what would be written and what it costs; nothing is sent"
    )


@table_asset(
    group=Group.PLAYLISTS,
    kinds={"postgres"},
    model=Playlist,
    deps=["account_tokens"],
    every=DAILY,
    check="Every playlist that policies ask for is planned",
)
def playlist_plan(
    context: dg.AssetExecutionContext, config: PlanConfig, postgres: PostgresResource
) -> Results:
    """Which playlists there should be: what each policy asks for on each account that can take it."""
    from spotify_pipelines.playlists.plan import plan_playlists

    def work(database: Database) -> Report:
        return plan_playlists(
            database,
            run_id=context.run_id,
            now=utc_now,
            account_ids=config.account_ids,
            policy=config.policy,
            limit=config.limit,
            dry_run=config.dry_run,
        )

    yield from on_postgres(context, postgres, work, rows=Rows(Playlist), dry_run=config.dry_run)


@table_asset(
    group=Group.PLAYLISTS,
    kinds={"postgres", "numpy"},
    model=PlaylistSnapshot,
    deps=["tracks", "audio_features", "playlist_plan"],
    every=DAILY,
    check="Every playlist that was due was drawn",
)
def playlist_snapshots(
    context: dg.AssetExecutionContext, config: SnapshotsConfig, postgres: PostgresResource
) -> Results:
    """What each playlist should hold in its current cycle: fifty tracks, drawn under its policy and ordered.

    Drawn where the newest snapshot is of an older cycle or policy version, or holds a track that became
    unplayable. Figures and relaxed rules are stored with each snapshot.
    """
    from spotify_pipelines.playlists.snapshot import build_snapshots

    def work(database: Database) -> Report:
        return build_snapshots(
            database,
            run_id=context.run_id,
            now=utc_now,
            playlist_ids=config.playlist_ids,
            account_ids=config.account_ids,
            policy=config.policy,
            limit=config.limit,
            only_due=context.run_tags.get(NARROW_TAG) == Narrow.DUE,
            force=config.force,
            dry_run=config.dry_run,
            progress=progress_lines(context, "playlists"),
        )

    more = partial(draw_metadata, run_id=context.run_id)
    rows = Rows(PlaylistSnapshot)
    yield from on_postgres(context, postgres, work, rows=rows, dry_run=config.dry_run, more=more)


@table_asset(
    group=Group.PLAYLISTS,
    kinds={"spotify", "postgres"},
    model=Playlist,
    columns=_CONFIRMED_COLUMNS,
    deps=["playlist_snapshots", "account_tokens"],
    every=DAILY,
    check="Spotify confirmed every playlist that was due",
)
def spotify_playlists(
    context: dg.AssetExecutionContext, config: SyncConfig, spotify: SpotifyResource
) -> Results:
    """What Spotify holds: every playlist created, filled and named as desired, in the fewest calls.

    Worked in waves, healthy accounts first; each account in a lane of its own, so that one in trouble costs
    the others nothing.
    """
    from spotify_pipelines.playlists.sync import sync_playlists
    from spotify_pipelines.playlists.unfollow import unfollow_retired

    async def work(session: "SpotifySession") -> Report:
        report = await sync_playlists(
            session.database,
            session.client,
            session.calls,
            run_id=context.run_id,
            now=utc_now,
            playlist_ids=config.playlist_ids,
            account_ids=config.account_ids,
            policy=config.policy,
            limit=config.limit,
            force=config.force,
            dry_run=config.dry_run,
            max_parallel_accounts=session.settings.max_parallel_accounts,
            read_back_share=session.settings.read_back_share,
            progress=progress_lines(context, "playlists"),
        )
        report.absorb(
            await unfollow_retired(
                session.database,
                session.client,
                session.calls,
                run_id=context.run_id,
                now=utc_now,
                playlist_ids=config.playlist_ids,
                account_ids=config.account_ids,
                policy=config.policy,
                dry_run=config.dry_run,
            )
        )
        return report

    confirmed = Rows(Playlist, (Playlist.confirmed_snapshot_id.is_not(None),))
    yield from on_spotify(
        context, spotify, work, rows=confirmed, dry_run=config.dry_run, more=playlists_by_health
    )


ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [playlist_plan, playlist_snapshots, spotify_playlists]

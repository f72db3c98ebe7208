"""What the commands about playlists share: a database or a session for one command, and which playlist is meant.

What belongs here: opening, and choosing by name. What does not: what a command does or prints.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import typer

from spotify_pipelines.cli.opening import configured_database
from spotify_pipelines.cli.output import Exit, plain
from spotify_pipelines.settings import load_settings

if TYPE_CHECKING:
    from spotify_pipelines.session import SpotifySession
    from spotify_pipelines.store.playlist_views import PlaylistView

__all__ = ["choose", "in_session", "utc_now"]

T = TypeVar("T")


def choose(views: Sequence["PlaylistView"], name: str) -> "PlaylistView":
    """The one playlist that a person means; anything else ends the command with a sentence."""
    found = [view for view in views if name in (view.label, str(view.id), view.spotify_id)]
    found = found or [view for view in views if view.name == name]
    living = [view for view in found if view.status != "retired"] or found
    if len(living) == 1:
        return living[0]
    if not living:
        message = f"There is no playlist '{plain(name)}'. 'spotify-pipelines playlists list' shows all."
    else:
        labels = ", ".join(f"{view.label} (id {view.id})" for view in living)
        message = f"Several playlists are called '{plain(name)}': {labels}. Give one of these ids."
    typer.echo(message, err=True)
    raise typer.Exit(Exit.WRONG_CALL)


def in_session(work: "Callable[[SpotifySession], Awaitable[T]]") -> "T":
    """Do the work in a session of the settings' world, opened for it."""
    from spotify_pipelines.session import open_session
    from spotify_pipelines.spotify.limiter import connect_redis

    settings = load_settings()

    async def opened() -> "T":
        redis = connect_redis(settings.require_redis_url())
        try:
            with configured_database() as database:
                async with open_session(settings, database, redis) as session:
                    return await work(session)
        finally:
            await redis.aclose()

    return asyncio.run(opened())


def utc_now() -> datetime:
    """The clock that use cases are given."""
    return datetime.now(UTC)

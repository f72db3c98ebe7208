"""What can be asked of Spotify, as methods: the catalogue with an app's token, playlists with an account's.

What belongs here: endpoints, both API dialects, batch sizes (on the method that owns them), pages. What does
not: limits, tokens, retries (``caller``), and any decision about what a playlist ought to hold.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import redis.asyncio

from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.errors import SpotifyError
from spotify_pipelines.spotify.models import (
    AlbumItem,
    FeatureSet,
    PlaylistDetail,
    PlaylistEntry,
    PlaylistSummary,
    Profile,
    TrackPage,
)
from spotify_pipelines.spotify.ports import Apps, Credentials

__all__ = ["CatalogueApi", "PlaylistApi", "SpotifyClient"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CatalogueApi:
    """Albums, tracks and features, read with the app's own token."""

    def albums(self, ids: Sequence[str]) -> AsyncIterator[tuple[str, AlbumItem | SpotifyError]]:
        """Each asked-for album, or what is wrong with it, in the order asked.

        Twenty a call where the app may, else one by one; which of the two is found by the first refusal and
        remembered as the capability ``albums_batch``. What concerns the whole app rather than one album is
        raised.

        Raises:
            QuotaExceeded, AuthorizationLost, RateLimited: nothing more can be had now; ids not yet yielded
            are open. Forbidden: the app as a whole is refused (owner's Premium, not registered).
        """
        raise NotImplementedError

    async def album_tracks(self, album_id: str, *, offset: int) -> TrackPage:
        """Fifty tracks from ``offset`` on."""
        raise NotImplementedError

    async def audio_features(self, ids: Sequence[str]) -> dict[str, FeatureSet | None]:
        """Spotify's own features of at most 100 tracks; None for a track it does not know.

        Raises:
            Forbidden: not for this app; remembered as the capability ``audio_features``, and from then on
            raised
                without a call.
        """
        raise NotImplementedError


class PlaylistApi:
    """The playlists of one account."""

    async def me(self) -> Profile:
        """Who the token belongs to."""
        raise NotImplementedError

    async def my_playlists(self) -> list[PlaylistSummary]:
        """All playlists in the account's library, its own and followed ones (⌈n/50⌉ calls, at least one)."""
        raise NotImplementedError

    async def create_playlist(self, name: str, description: str, *, public: bool) -> PlaylistSummary:
        """Make an empty playlist. Sent again only after an answer that rules out any effect (401, 429).

        Raises:
            Ambiguous: it may exist; look for it in ``my_playlists`` before asking again.
        """
        raise NotImplementedError

    async def playlist(self, playlist_id: str, *, with_entries: bool = False) -> PlaylistDetail:
        """Name, description, owner, snapshot id, and all entries if asked for.

        One call, entries included, for up to 100 of them: this endpoint embeds the first hundred, while
        ``/playlists/{id}/items`` gives 50 a call. One more call for every further 50.
        """
        raise NotImplementedError

    async def items(self, playlist_id: str) -> list[PlaylistEntry]:
        """All entries in order, in the calls that ``playlist`` needs for them."""
        raise NotImplementedError

    async def replace_items(self, playlist_id: str, uris: Sequence[str]) -> str | None:
        """Make ``uris`` (at most 100) the whole content; idempotent.

        Returns the snapshot id of the answer, which may become visible to reads only half a minute later;
        None where the answer names none.
        """
        raise NotImplementedError

    async def change_details(
        self,
        playlist_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        public: bool | None = None,
    ) -> None:
        """Change what is not None. Idempotent; an empty description is refused here, as by Spotify."""
        raise NotImplementedError

    async def unfollow(self, playlist_id: str) -> None:
        """Take the playlist out of the account's library; Spotify knows no other delete. Idempotent."""
        raise NotImplementedError


class SpotifyClient:
    """An open client: one connection pool, one limiter, one call log, for all apps and accounts of a world.

    Attributes:
        calls: everything that was sent; ``with client.calls.child() as mine`` counts one use case's own.
    """

    calls: CallLog

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        redis: redis.asyncio.Redis,
        credentials: Credentials,
        apps: Apps,
        calls: CallLog | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> AsyncIterator["SpotifyClient"]:
        """A client of the settings' world, closed at the end of the block.

        Raises:
            SettingsError: an address is missing, or is one of the other world.
        """
        yield cls()

    def as_app(self, app_id: int, *, market: str | None = None) -> CatalogueApi:
        """The catalogue through one app. Without ``market`` (two letters) playability stays unknown."""
        raise NotImplementedError

    def as_account(self, account_id: int) -> PlaylistApi:
        """One account's playlists."""
        raise NotImplementedError

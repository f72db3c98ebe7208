"""Looking at an account's playlists before any is written: by the listing, or one by one.

What belongs here: the reading calls of a sync and what they show. What does not: which look is cheaper
(``call_plan``), what follows from it (``lane``).
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from spotify_pipelines.playlists.call_plan import Content, Look, Sight, SyncNeeds, items_hash, sight_of
from spotify_pipelines.playlists.templates import find_marker, normalize_read_back
from spotify_pipelines.spotify.client import PlaylistApi
from spotify_pipelines.spotify.errors import NotFound
from spotify_pipelines.spotify.models import PlaylistEntry, PlaylistSummary

__all__ = ["AccountView", "Seen", "content_of"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look showed of one playlist; ``content`` and ``uris`` only where it moved and had to be read."""

    sight: Sight
    snapshot_id: str | None = None
    content: Content | None = None
    uris: tuple[str | None, ...] = ()


class AccountView:
    """What one account's playlists are, as far as it had to be looked at.

    Args:
        api: the account's playlists on Spotify.
        owner: the account's Spotify user id; playlists of others are never taken for ours.
        needs: takes down what the look turned out to need.
        now: the clock (aware UTC).
    """

    def __init__(self, api: PlaylistApi, owner: str, needs: SyncNeeds, now: Callable[[], datetime]) -> None:
        self._api = api
        self._owner = owner
        self._needs = needs
        self._now = now
        self._listed: dict[str, PlaylistSummary] | None = None
        self.listed_at: datetime | None = None

    async def open(self, look: Look) -> None:
        """Make the look's first call, if it is the listing."""
        if look is Look.LISTING:
            await self.list_again()

    async def list_again(self) -> None:
        """Read the listing (⌈n/50⌉ calls)."""
        asked_at = self._now()
        self._listed = {each.id: each for each in await self._api.my_playlists()}
        self.listed_at = asked_at
        self._needs.library = len(self._listed)

    def marked(self, marker: str) -> list[PlaylistSummary]:
        """The account's own playlists in the listing that carry ``marker``, the oldest first (it ends with it)."""
        found = reversed((self._listed or {}).values())
        return [each for each in found if self._is_own(each) and find_marker(each.description) == marker]

    def twins(self) -> dict[str, list[PlaylistSummary]]:
        """Playlists in the listing, surely the account's own, that share a marker; the oldest first."""
        found = defaultdict(list)
        for each in reversed((self._listed or {}).values()):
            marker = find_marker(each.description)
            if marker is not None and each.owner_id == self._owner:
                found[marker].append(each)
        return {marker: playlists for marker, playlists in found.items() if len(playlists) > 1}

    async def see(
        self,
        spotify_id: str,
        ours: Collection[str],
        *,
        may_be_hidden: bool,
        public: bool,
        read_back: bool = False,
    ) -> Seen:
        """What a playlist is now; its items are read only where its snapshot id is none of ``ours``.

        Args:
            spotify_id: the playlist.
            ours: every snapshot id that Spotify gave us for it.
            may_be_hidden: it is so young that a listing may not show it yet.
            public: what we last set; what is read back can't be relied on.
            read_back: read its items in any case. A snapshot id of ours proves little while a write of a run that
                is gone may be under way, or while Spotify shows an older one.
        """
        if self._listed is None:
            return await self._see_alone(spotify_id, () if read_back else ours, public)
        listed = self._listed.get(spotify_id)
        sight = sight_of(listed is not None, listed.snapshot_id if listed else None, ours)
        if sight is Sight.MISSING and may_be_hidden:
            return Seen(Sight.UNMOVED)
        if listed is None or (sight is not Sight.MOVED and not read_back):
            return Seen(sight)
        if sight is Sight.MOVED:
            self._needs.moved += 1
        else:
            self._needs.read_backs += 1
        return _read(listed, await self._api.items(spotify_id), public)

    async def _see_alone(self, spotify_id: str, ours: Collection[str], public: bool) -> Seen:
        try:
            playlist = await self._api.playlist(spotify_id, with_entries=True)
        except NotFound:
            return Seen(Sight.MISSING)
        if sight_of(True, playlist.snapshot_id, ours) is Sight.UNMOVED:
            return Seen(Sight.UNMOVED)
        return _read(playlist, list(playlist.entries or ()), public)

    def _is_own(self, playlist: PlaylistSummary) -> bool:
        return playlist.owner_id in (None, self._owner)


def content_of(name: str, description: str, public: bool, uris: Collection[str | None]) -> Content:
    """Content as read back, brought to the form in which we write it."""
    return Content(
        items_hash(list(uris)), normalize_read_back(name), normalize_read_back(description), public
    )


def _read(playlist: PlaylistSummary, entries: list[PlaylistEntry], public: bool) -> Seen:
    uris = tuple(entry.uri for entry in entries)
    content = content_of(playlist.name, playlist.description, public, uris)
    return Seen(Sight.MOVED, playlist.snapshot_id, content, uris)

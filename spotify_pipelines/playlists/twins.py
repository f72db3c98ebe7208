"""Twins: one creation that made two playlists, found in the listing by their common marker and healed to one.

What belongs here: which of them stays, and taking the others out of the account's library. What does not: how they
come about. A creation is sent again when a whole settle window went by without its playlist in the listing; a listing
that lags longer shows both later, as it does where a worker that had lost its lease had one call in flight.

The playlist that our database names stays. Of the others only those go that are empty or hold exactly what one of our
own draws holds: a copy that the owner made and filled is not ours, whatever its description says. Going means that
they are unfollowed, which is Spotify's only way to delete, and which the owner can undo for 90 days.
"""

import structlog

from spotify_pipelines.playlists.call_plan import SyncNeeds, items_hash
from spotify_pipelines.playlists.look import AccountView
from spotify_pipelines.playlists.records import Records
from spotify_pipelines.spotify.client import PlaylistApi
from spotify_pipelines.spotify.models import PlaylistSummary

__all__ = ["TwinSweep"]

_log = structlog.get_logger(__name__)


class TwinSweep:
    """Heals the twins that an account's listing shows.

    Args:
        api: the account's playlists on Spotify.
        view: the account as looked at; without a listing there is nothing to sweep.
        records: writes down what happened.
        needs: takes down what was needed.
    """

    def __init__(self, api: PlaylistApi, view: AccountView, records: Records, needs: SyncNeeds) -> None:
        self._api = api
        self._view = view
        self._records = records
        self._needs = needs

    async def sweep(self, account_id: int) -> int:
        """Remove them; how many there were.

        Raises:
            SpotifyError: the rest is left to the next listing.
        """
        groups = self._view.twins()
        if not groups:
            return 0
        removed = 0
        for marker, (playlist_id, kept) in self._records.created_by_marker(account_id, groups.keys()).items():
            if kept not in {each.id for each in groups[marker]}:
                continue  # not shown yet, or deleted by its owner: no time to take anything away
            for twin in groups[marker]:
                if twin.id != kept:
                    removed += await self._remove(playlist_id, kept, twin)
        return removed

    async def _remove(self, playlist_id: int, kept: str, twin: PlaylistSummary) -> bool:
        self._needs.read_backs += 1
        uris = [entry.uri for entry in await self._api.items(twin.id)]
        if uris and not self._records.is_own_draw(playlist_id, items_hash(uris)):
            _log.warning("playlist.twin_left", playlist_id=playlist_id, kept=kept, twin=twin.id)
            return False
        self._needs.twins += 1
        await self._api.unfollow(twin.id, before_send=self._records.may_write)
        self._records.twin_removed(playlist_id, kept, twin, uris)
        return True

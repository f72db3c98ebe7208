"""Soon after the writes of a run, some of the playlists are read back: do they hold, in order, what was written?

What belongs here: reading with growing pauses until what was written is visible, and noting that it is. What does
not: which playlists (``call_plan.is_sampled``), and mending. Spotify shows items about a second after they were
written, but at times later, and the version's own name half a minute later: writing again because of that would go
on for as long as it is behind. So what is not visible in the end keeps its mark, and a sync after the settle window
reads it once more, and then believes what it sees (``lane``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from spotify_pipelines.playlists.account_lease import hold_account
from spotify_pipelines.playlists.call_plan import items_hash
from spotify_pipelines.playlists.desired import Target
from spotify_pipelines.playlists.records import Records
from spotify_pipelines.spotify.client import PlaylistApi
from spotify_pipelines.spotify.errors import SpotifyError
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.leases import LeaseLost

__all__ = ["ReadBack", "ReadBackResult"]

_log = structlog.get_logger(__name__)

_PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each look at what was not visible until then."""


@dataclass(slots=True)
class ReadBackResult:
    """How many playlists hold what was written, and how many don't show it yet."""

    right: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Reads written playlists of one account back.

    Attributes:
        database: the truth.
        api: the account's playlists on Spotify.
        load: playlists by our ids, as the database has them.
        run_id: the run that does this.
        now: the clock (aware UTC).
        sleep: takes the pauses.
    """

    database: Database
    api: PlaylistApi
    load: Callable[[Sequence[int]], list[Target]]
    run_id: str
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def account(self, account_id: int, playlist_ids: Sequence[int]) -> ReadBackResult:
        """Look until all are right or the pauses are used up. Spotify's errors end it: nothing was due."""
        result, left = ReadBackResult(), list(playlist_ids)
        for pause in _PAUSES:
            await self.sleep(pause)
            try:
                found = await self._round(account_id, left)
            except (SpotifyError, LeaseLost) as error:
                _log.warning("playlist.not_read_back", account_id=account_id, reason=str(error))
                break
            result.right += len(left) - len(found)
            left = found
            if not left:
                break
        result.late = len(left)
        if left:
            _log.warning("playlist.not_visible_yet", account_id=account_id, playlist_ids=left)
        return result

    async def _round(self, account_id: int, playlist_ids: Sequence[int]) -> list[int]:
        """One look at each; those that are not right yet."""
        late = []
        async with hold_account(self.database, account_id, self.run_id) as lease:
            if lease is None:
                return list(playlist_ids)
            records = Records(lease, run_id=self.run_id, now=self.now)
            for target in self.load(playlist_ids):
                if target.row.spotify_id is None or target.row.read_back_at is None:
                    continue  # done by another run meanwhile
                seen = await self.api.playlist(target.row.spotify_id, with_entries=True)
                items = items_hash([entry.uri for entry in seen.entries or ()])
                if items == target.row.confirmed_items_hash:
                    records.found_right(target)
                else:
                    late.append(target.row.id)
        return late

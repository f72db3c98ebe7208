"""A track that Spotify takes no more spoils the write of a whole playlist: finding it, and doing without it.

What belongs here: telling such a body from an outage, the search, what takes the dead tracks' places. What does not:
the write itself (``lane``), rows (``records``).

The search looks the tracks up where the app may ask for fifty at once: one or two calls, and nobody sees anything.
Single look-ups would cost an app in development mode a call for each track. There, and where every track is known
and the write fails all the same, the body is halved. A write that fails changes nothing; one that succeeds shows
listeners what it holds, so each body is everything that proved good so far with one more group: the first success
shows at least a part of the new tracks, each later one more, and the last all of them. Whatever is tried is written
down before, so that a run that is killed in between leaves nothing that could be taken for an edit by hand.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

import structlog

from spotify_pipelines.playlists.call_plan import items_hash
from spotify_pipelines.playlists.desired import Target
from spotify_pipelines.playlists.records import Records
from spotify_pipelines.playlists.uris import id_of, uri_of
from spotify_pipelines.spotify.client import CatalogueApi, PlaylistApi
from spotify_pipelines.spotify.errors import SpotifyError, Unavailable
from spotify_pipelines.store.playlists import Spare

__all__ = ["DeadTracks", "NothingDead", "WriteArrived", "amended", "find_dead", "is_spoiled"]

_log = structlog.get_logger(__name__)

_MOST_WITHOUT_SUCCESS: Final = 3
"""Tracks that seem dead while no write succeeded at all: then writing is what fails."""
_SURE: Final = 3
"""Attempts after which a failure is the body's."""


class NothingDead(Exception):
    """The write fails for another reason than the tracks in it."""


class WriteArrived(Exception):
    """The write took effect, whatever its answers said: Spotify holds it, as version ``snapshot_id``."""

    def __init__(self, snapshot_id: str | None) -> None:
        super().__init__()
        self.snapshot_id = snapshot_id


def is_spoiled(error: SpotifyError) -> bool:
    """Whether a write that was tried again and again failed as one does that holds a dead track."""
    return isinstance(error, Unavailable) and error.status is not None and error.status >= 500


async def find_dead(uris: Sequence[str], takes: Callable[[Sequence[str], bool], Awaitable[bool]]) -> set[str]:
    """Those of ``uris``, known to fail together, that fail alone, in about 2·log₂(n) bodies for each.

    Args:
        uris: the body that fails.
        takes: whether a body, a part of ``uris`` in their order, is taken; told whether that is to decide.

    Raises:
        NothingDead: nothing is taken, whatever it holds.
    """
    order = list(dict.fromkeys(uris))
    good: set[str] = set()
    dead: set[str] = set()
    groups = _halves(order)
    while groups:
        group = groups.pop(0)
        members = good.union(group)
        if await takes([uri for uri in uris if uri in members], len(group) == 1):
            good.update(group)
        elif len(group) > 1:
            groups = _halves(group) + groups
        else:
            dead.update(group)
            if not good and len(dead) >= _MOST_WITHOUT_SUCCESS:
                raise NothingDead
    if not dead:
        raise NothingDead
    return dead


def amended(uris: Sequence[str], dead: Collection[str], reserve: Sequence[Spare]) -> list[str]:
    """``uris`` with the best of ``reserve`` that may be there in each dead one's place; without it where none may.

    >>> spare = [Spare("a", None), Spare("x", frozenset({3})), Spare("y", None)]
    >>> [uri[14:] for uri in amended([uri_of(track) for track in "abcd"], {uri_of("b"), uri_of("d")}, spare)]
    ['a', 'y', 'c', 'x']
    """
    left = [each for each in reserve if uri_of(each.track_id) not in {*dead, *uris}]
    better: list[str] = []
    for place, uri in enumerate(uris):
        if uri not in dead:
            better.append(uri)
            continue
        found = next((each for each in left if each.places is None or place in each.places), None)
        if found is not None:
            left.remove(found)
            better.append(uri_of(found.track_id))
    return better


class DeadTracks:
    """Finds dead tracks and replaces them in what a playlist should be.

    Args:
        api: the account's playlists on Spotify.
        catalogue: the catalogue, through the account's app.
        records: writes down what happened.
    """

    def __init__(self, api: PlaylistApi, catalogue: CatalogueApi, records: Records) -> None:
        self._api = api
        self._catalogue = catalogue
        self._records = records

    async def replace(self, target: Target, spotify_id: str, uris: Sequence[str]) -> tuple[Target, set[str]]:
        """The playlist as it should be instead, and the dead tracks' ids; what it should be is not written yet.

        Raises:
            NothingDead: that is not why the write failed.
            WriteArrived: it did not fail.
            SpotifyError: it can't be found out now.
        """
        # Where reading fails as well, the trouble is not what is written.
        playlist = await self._api.playlist(spotify_id, with_entries=True)
        if [entry.uri for entry in playlist.entries or ()] == list(uris):
            raise WriteArrived(playlist.snapshot_id)
        reserve = self._records.reserve(target)
        unknown = await self._catalogue.missing_tracks(
            [*map(id_of, uris), *(each.track_id for each in reserve)]
        )
        dead = {uri_of(track) for track in unknown or ()}
        rest = [uri for uri in uris if uri not in dead]
        if len(rest) == len(uris) or not await self._takes(target, spotify_id, rest):
            dead |= await find_dead(rest, lambda *body: self._takes(target, spotify_id, *body))
        better = amended(uris, dead, reserve)
        if set(better) - set(uris) and not await self._takes(target, spotify_id, better):
            better = [uri for uri in uris if uri not in dead]
        ids = {id_of(uri) for uri in dead.intersection(uris)}
        _log.warning("playlist.dead_tracks", playlist=target.row.label, tracks=sorted(ids))
        return self._records.tracks_replaced(target, ids, [id_of(uri) for uri in better]), ids

    async def _takes(
        self, target: Target, spotify_id: str, uris: Sequence[str], decides: bool = True
    ) -> bool:
        digest = items_hash(list(uris))
        try:
            await self._api.replace_items(
                spotify_id,
                uris,
                before_send=lambda: self._records.tried(target, digest),
                # A group that fails by chance is halved, and both halves are taken; a single track has no halves.
                max_attempts=_SURE if decides else 1,
            )
        except Unavailable as error:
            if not is_spoiled(error):
                raise
            return False
        return True


def _halves(group: Sequence[str]) -> list[Sequence[str]]:
    middle = -(-len(group) // 2)
    return [half for half in (group[:middle], group[middle:]) if half]

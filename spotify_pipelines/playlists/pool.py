"""The pools of a run: the catalogue read once, and from it one pool per policy, shared by all its playlists.

What belongs here: holding the catalogue's columns against policies. What does not: the query (``store.columns``),
the rules (``eligibility``), the draw (``selection``).
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Final

from spotify_pipelines.playlists.eligibility import TrackFacts, why_outside
from spotify_pipelines.playlists.policies import Policy
from spotify_pipelines.playlists.track_pool import Pool, PoolTrack
from spotify_pipelines.store.columns import CatalogueColumns, read_catalogue
from spotify_pipelines.store.database import Database

__all__ = ["PolicyPool", "Pools", "pool_for"]

_REASONS_SHOWN: Final = 3


class PolicyPool:
    """What a policy may draw from, and the look-ups by track that ordering and figures need."""

    def __init__(self, policy: Policy, catalogue: CatalogueColumns) -> None:
        self.tracks: Pool
        self.outside: dict[str, int] = {}
        self.tracks = pool_for(policy, catalogue, self.outside)
        self._catalogue = catalogue

    @cached_property
    def digest(self) -> str:
        """A digest of everything in the pool."""
        return self.tracks.digest()

    def credits(self, track_id: str) -> tuple[str, ...]:
        """Ids of the artists that a track of the pool credits."""
        index = self.tracks.find(track_id)
        return () if index is None else self.tracks.artists_of(index)

    def album(self, track_id: str) -> str | None:
        """Id of a track's album."""
        index = self.tracks.find(track_id)
        return None if index is None else self.tracks.album_of(index)

    def artist_name(self, artist_id: str) -> str:
        """An artist's name, or the id where it is unknown."""
        return self._catalogue.artist_names.get(artist_id, artist_id)

    def why_empty(self) -> str:
        """Why there is nothing to draw from, in a sentence."""
        if not len(self._catalogue):
            return "The catalogue holds no playable track yet; queue albums and ingest them first."
        most = sorted(self.outside.items(), key=lambda item: (-item[1], item[0]))[:_REASONS_SHOWN]
        reasons = "; ".join(f"{count} of them: {reason}" for reason, count in most)
        return f"None of the catalogue's {len(self._catalogue)} tracks passes the policy's rules ({reasons})."


class Pools:
    """Reads the catalogue when the first pool is asked for, and only then.

    Args:
        database: where the catalogue is.
        policies: all policies of the run: their feature windows say which features are read.
    """

    def __init__(self, database: Database, policies: Iterable[Policy]) -> None:
        self._database = database
        self._features = {name for policy in policies for name in policy.features.given()}
        self._pools: dict[str, PolicyPool] = {}

    @cached_property
    def _catalogue(self) -> CatalogueColumns:
        with self._database.transaction() as session:
            return read_catalogue(session, self._features)

    def of(self, policy: Policy) -> PolicyPool:
        """The policy's pool, made once."""
        if policy.name not in self._pools:
            self._pools[policy.name] = PolicyPool(policy, self._catalogue)
        return self._pools[policy.name]


def pool_for(policy: Policy, catalogue: CatalogueColumns, outside: dict[str, int]) -> Pool:
    """The tracks of ``catalogue`` that the policy may draw; ``outside`` counts the others by reason."""
    windows = [name for name in policy.features.given() if name in catalogue.features]
    names = catalogue.artist_names if policy.pool.artists is not None else {}

    def inside() -> Iterable[PoolTrack]:
        for index, track_id in enumerate(catalogue.track_ids):
            artists = catalogue.credits[index]
            facts = TrackFacts(
                artists=[*artists, *(names[artist] for artist in artists if artist in names)],
                album_id=catalogue.album_ids[index],
                year=catalogue.years[index],
                explicit=catalogue.explicit[index],
                features={name: float(catalogue.features[name][index]) for name in windows},
            )
            reason = why_outside(policy, facts)
            if reason is None:
                yield PoolTrack(track_id, tuple(artists), catalogue.album_ids[index])
            else:
                kind = _kind(reason)
                outside[kind] = outside.get(kind, 0) + 1

    return Pool.build(inside())


def _kind(reason: str) -> str:
    """A reason without the track's own value, so that equal ones can be counted."""
    return " ".join(word for word in reason.split() if not word.rstrip(",").replace(".", "").isdigit())

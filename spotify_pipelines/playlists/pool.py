"""The pools of a run: the catalogue read once, and from it one pool per policy, shared by all its playlists.

What belongs here: reading the catalogue when the first draw needs it, and look-ups by track that ordering, figures
and explanations need. What does not: the query (``store.columns``), the rules (``eligibility``), the draw
(``selection``).

Pools share the catalogue's columns; a policy adds a weight, its running sum and a verdict for each track.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Final

from spotify_pipelines.playlists.eligibility import Lookup, eligibility
from spotify_pipelines.playlists.policies import Policy
from spotify_pipelines.playlists.track_pool import Columns, Pool
from spotify_pipelines.store.columns import CatalogueColumns, read_catalogue
from spotify_pipelines.store.database import Database

__all__ = ["FLOW_FEATURES", "PolicyPool", "Pools", "SharedCatalogue"]

FLOW_FEATURES: Final = ("energy", "key", "mode", "tempo")
"""The audio features that an order with a flow goes by."""

_REASONS_SHOWN: Final = 3


class SharedCatalogue:
    """The catalogue of a run, and what all pools share of it."""

    def __init__(self, catalogue: CatalogueColumns) -> None:
        self.facts = catalogue
        self.lookup = Lookup(catalogue)
        self.columns = Columns(
            track_ids=catalogue.track_ids,
            offsets=catalogue.offsets,
            credits=catalogue.credits,
            albums=catalogue.albums,
            artist_ids=catalogue.artist_ids,
            album_ids=catalogue.album_ids,
        )

    def __len__(self) -> int:
        return len(self.facts)


class PolicyPool:
    """What a policy may draw from; ``now`` (aware) is what the policy's days are counted back from."""

    def __init__(self, policy: Policy, catalogue: SharedCatalogue, now: datetime) -> None:
        self._catalogue = catalogue
        self._eligibility = eligibility(policy, catalogue.lookup, now)
        self.tracks = Pool.of(catalogue.columns, self._eligibility.weights)

    @cached_property
    def digest(self) -> str:
        """A digest of everything in the pool."""
        return self.tracks.digest()

    @property
    def notes(self) -> tuple[str, ...]:
        """Entries of the policy that nothing in the catalogue answers to: misspelt, or not ingested yet."""
        return self._eligibility.unmatched

    def credits(self, track_id: str) -> tuple[str, ...]:
        """Ids of the artists that a track credits."""
        index = self.tracks.find(track_id)
        return () if index is None else self.tracks.artists_of(index)

    def album(self, track_id: str) -> str | None:
        """Id of a track's album."""
        index = self.tracks.find(track_id)
        return None if index is None else self.tracks.album_of(index)

    def features(self, track_id: str) -> dict[str, float]:
        """A track's audio features, as far as they were read; NaN where it has none."""
        index = self.tracks.find(track_id)
        if index is None:
            return {}
        return {name: float(values[index]) for name, values in self._catalogue.facts.features.items()}

    def artist_name(self, artist_id: str) -> str:
        """An artist's name, or the id where it is unknown."""
        facts = self._catalogue.facts
        place = bisect_left(facts.artist_ids, artist_id)
        known = place < len(facts.artist_ids) and facts.artist_ids[place] == artist_id
        return facts.artist_names[place] if known else artist_id

    def why_outside(self, track_id: str) -> str | None:
        """Why a track is not in the pool; None if it is."""
        index = self.tracks.find(track_id)
        return "not in the catalogue" if index is None else self._eligibility.why_outside(index)

    def why_barred(self, track_id: str) -> str | None:
        """Why a track may not come even if it is pinned (not playable, excluded); None if it may, or is unknown."""
        index = self.tracks.find(track_id)
        return None if index is None else self._eligibility.why_barred(index)

    def why_empty(self) -> str:
        """Why there is nothing to draw from, in a sentence."""
        if not len(self._catalogue):
            return "The catalogue holds no track yet; queue albums and ingest them first."
        most = islice(self._eligibility.counts().items(), _REASONS_SHOWN)
        reasons = "; ".join(f"{count} of them: {reason}" for reason, count in most)
        notes = "".join(f" {note}." for note in self.notes[:_REASONS_SHOWN])
        return f"None of the catalogue's {len(self._catalogue)} tracks passes the policy's rules ({reasons}).{notes}"


class Pools:
    """Reads the catalogue when the first pool is asked for, and only then.

    Args:
        database: where the catalogue is.
        policies: all policies of the run: they say which features and countries are read.
        now: the moment of the run (aware); ``added_since`` counts its days back from there.
        features: further audio features to read, for figures.
    """

    def __init__(
        self,
        database: Database,
        policies: Iterable[Policy],
        now: datetime,
        *,
        features: Collection[str] = (),
    ) -> None:
        self._database = database
        self._now = now
        self._features, self._markets = set(features), set[str]()
        for policy in policies:
            self._features |= policy.features.given().keys()
            if policy.order.flow != "none":
                self._features.update(FLOW_FEATURES)
            if policy.pool.market is not None:
                self._markets.add(policy.pool.market)
        self._pools: dict[str, PolicyPool] = {}

    @cached_property
    def catalogue(self) -> SharedCatalogue:
        """The catalogue as it is when this is first asked for."""
        with self._database.transaction() as session:
            return SharedCatalogue(read_catalogue(session, self._features, self._markets))

    @property
    def notes(self) -> list[str]:
        """What the pools that were made have to say about their policies, for the run's report."""
        return [f"policy {name}: {note}" for name, pool in self._pools.items() for note in pool.notes]

    def of(self, policy: Policy) -> PolicyPool:
        """The policy's pool, made once."""
        if policy.name not in self._pools:
            self._pools[policy.name] = PolicyPool(policy, self.catalogue, self._now)
        return self._pools[policy.name]

"""The tracks that a draw reaches into, as columns: read once, shared by all playlists of a run.

What belongs here: ids, weights, credits and albums as arrays, how they are made and told apart by a digest. What
does not: deciding which tracks a policy takes (``eligibility``), drawing (``selection``).
"""

import hashlib
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from spotify_pipelines.playlists.randomness import derive_seed, word_block

__all__ = ["Columns", "Pool", "PoolError", "PoolTrack"]

_LARGEST_WEIGHT: Final = 1 << 32

Column = NDArray[np.int64]


class PoolError(ValueError):
    """A track of the pool can't be drawn from; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class PoolTrack:
    """A track that a policy may draw: every artist it credits, its album, and a weight ≥ 0 (0 = never)."""

    track_id: str
    artists: tuple[str, ...]
    album: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Columns:
    """What tracks are, whoever draws them: sorted by id, one entry for each.

    ``credits[offsets[i]:offsets[i + 1]]`` are the artists of track i, each once, ``albums[i]`` its album (−1:
    none), both as positions in ``artist_ids`` and ``album_ids``.
    """

    track_ids: tuple[str, ...]
    offsets: Column
    credits: Column
    albums: Column
    artist_ids: tuple[str, ...]
    album_ids: tuple[str, ...]

    @classmethod
    def build(
        cls, track_ids: Sequence[str], credits_: Iterable[Iterable[str]], albums: Iterable[str | None]
    ) -> Self:
        """Columns of tracks that come sorted by id, each once; raises :class:`PoolError` where they don't."""
        for place in range(1, len(track_ids)):
            if track_ids[place - 1] >= track_ids[place]:
                raise PoolError(f"track {track_ids[place]} comes twice or out of sequence")
        artists, artist_column, offsets = _Names(), array("q"), array("q", [0])
        for names in credits_:
            artist_column.extend(artists.number(name) for name in dict.fromkeys(names))
            offsets.append(len(artist_column))
        starts = np.array(offsets, dtype=np.int64)
        releases = _Names()
        album_column = array("q", [-1 if name is None else releases.number(name) for name in albums])
        return cls(
            track_ids=tuple(track_ids),
            offsets=starts,
            credits=_sorted_within(artists.ranked(artist_column), starts),
            albums=releases.ranked(album_column),
            artist_ids=artists.sorted(),
            album_ids=releases.sorted(),
        )

    def __len__(self) -> int:
        return len(self.track_ids)

    @cached_property
    def has_guests(self) -> bool:
        """Whether some track credits several artists."""
        return bool((np.diff(self.offsets) > 1).any())

    @cached_property
    def artist_marks(self) -> NDArray[np.uint64]:
        """Equal for tracks that credit the same artists (and else, in 64 bits, for practically none)."""
        words = word_block(b"artists", 0, len(self.artist_ids))
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(words[self.credits], dtype=np.uint64)])
        marks: NDArray[np.uint64] = sums[self.offsets[1:]] - sums[self.offsets[:-1]]
        return marks

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over all of it."""
        digest = hashlib.sha256()
        for names in (self.track_ids, self.artist_ids, self.album_ids):
            digest.update(derive_seed(*names))
        for column in (self.offsets, self.credits, self.albums):
            digest.update(column.astype("<i8", copy=False).tobytes())
        return digest.digest()


@dataclass(frozen=True, eq=False)
class Pool:
    """Columns, and the chance of each track under one policy.

    ``weights`` are integers in proportion to the given ones, the largest 2^32, 0 for what the policy doesn't take;
    ``cumulative`` is their running sum.
    """

    columns: Columns
    weights: Column
    cumulative: Column

    @classmethod
    def build(cls, tracks: Iterable[PoolTrack]) -> Self:
        """A pool of ``tracks``, in any sequence.

        A track that comes twice with the same content counts once. Raises :class:`PoolError` for one that
        comes twice with different content, and for a weight that is negative, infinite or not a number.
        """
        rows: dict[str, PoolTrack] = {}
        for track in tracks:
            if not (math.isfinite(track.weight) and track.weight >= 0):
                raise _bad_weight(track.track_id, track.weight)
            if rows.setdefault(track.track_id, track) != track:
                raise PoolError(f"track {track.track_id} is in the pool twice, with different content")
        ordered = [rows[track_id] for track_id in sorted(rows)]
        columns = Columns.build(
            [track.track_id for track in ordered],
            (track.artists for track in ordered),
            (track.album for track in ordered),
        )
        return cls.of(columns, np.array([track.weight for track in ordered], dtype=np.float64))

    @classmethod
    def of(cls, columns: Columns, weights: NDArray[np.float64]) -> Self:
        """A pool over columns that others share; raises :class:`PoolError` for a weight that is none."""
        if len(weights) != len(columns):
            raise PoolError(f"{len(weights)} weights were given for {len(columns)} tracks")
        wrong = ~((weights >= 0) & (weights < np.inf))
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise _bad_weight(columns.track_ids[first], float(weights[first]))
        quantized = _quantized(weights)
        return cls(columns=columns, weights=quantized, cumulative=np.cumsum(quantized))

    def __len__(self) -> int:
        """How many tracks the policy may draw."""
        return self._drawable

    @cached_property
    def _drawable(self) -> int:
        return int(np.count_nonzero(self.weights))

    @property
    def track_ids(self) -> tuple[str, ...]:
        """Ids of all tracks in the columns, sorted."""
        return self.columns.track_ids

    def find(self, track_id: str) -> int | None:
        """The position of a track in the columns, or None."""
        ids = self.columns.track_ids
        index = bisect_left(ids, track_id)
        return index if index < len(ids) and ids[index] == track_id else None

    def artists_of(self, index: int) -> tuple[str, ...]:
        """Ids of the artists that a track credits."""
        columns = self.columns
        numbers = columns.credits[columns.offsets[index] : columns.offsets[index + 1]].tolist()
        return tuple(columns.artist_ids[number] for number in numbers)

    def album_of(self, index: int) -> str | None:
        """Id of a track's album."""
        number = int(self.columns.albums[index])
        return None if number < 0 else self.columns.album_ids[number]

    def digest(self) -> str:
        """SHA-256 over everything that a draw depends on, to be stored beside the seed."""
        return hashlib.sha256(
            self.columns.digest + self.weights.astype("<i8", copy=False).tobytes()
        ).hexdigest()


class _Names:
    """Numbers for names: first in the sequence they come, then by the alphabet."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def sorted(self) -> tuple[str, ...]:
        return tuple(sorted(self._numbers))

    def ranked(self, column: "array[int]") -> Column:
        """The column with each name's place in the alphabet; −1 stays."""
        rank = np.full(len(self._numbers) + 1, -1, dtype=np.int64)
        for place, name in enumerate(self.sorted()):
            rank[self._numbers[name]] = place
        return rank[np.array(column, dtype=np.int64)]


def _sorted_within(credits_: Column, offsets: Column) -> Column:
    """Credits in ascending sequence within each track, so that the same content gives the same columns."""
    track = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return credits_[np.lexsort((credits_, track))]


def _bad_weight(track_id: str, weight: float) -> PoolError:
    return PoolError(f"track {track_id} has the weight {weight}; a weight is finite and 0 or more")


def _quantized(weights: NDArray[np.float64]) -> Column:
    """Integers in proportion to the weights, the largest 2^32; 0 stays 0 and everything else is at least 1."""
    largest = weights.max(initial=0.0)
    if largest == 0:
        return np.zeros(len(weights), dtype=np.int64)
    scaled = weights / largest
    scaled *= _LARGEST_WEIGHT
    np.rint(scaled, out=scaled)
    quantized: Column = scaled.astype(np.int64)
    quantized[(weights > 0) & (quantized == 0)] = 1
    return quantized

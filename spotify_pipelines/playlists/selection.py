"""Which tracks go into a playlist: a weighted draw without replacement under cooldown and caps.

What belongs here: the pool as columns, the draw, and how rules give way when they can't all hold. What does
not: deciding which tracks are in the pool (``policies``, use cases) or in what order they play (``order``).

Draw by draw, each admissible track comes with a chance in proportion to its weight: the distribution of
Efraimidis & Spirakis (2006), here from one cumulative sum of integer weights that all playlists of a policy
share, with rejection, so that it is exact, cheap per playlist and the same bits everywhere.
"""

import hashlib
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import combinations, count
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from spotify_pipelines.playlists.randomness import BitSource, derive_seed, word_block

__all__ = [
    "ALGORITHM_VERSION",
    "DEFAULT_RELAXATION",
    "FULL_FACTOR",
    "Breach",
    "Pick",
    "Pool",
    "PoolError",
    "PoolTrack",
    "Rejection",
    "Relaxation",
    "Rule",
    "Selection",
    "freshness_factor",
    "select",
]

ALGORITHM_VERSION: Final = 1
"""Rises whenever the same seed and inputs would give other tracks; batch and rebuild limit are part of it."""

FULL_FACTOR: Final = 1 << 32
"""A freshness factor of 1: the weight counts in full."""

_LARGEST_WEIGHT: Final = 1 << 32
_BATCH: Final = 96
_REJECTIONS_BEFORE_REBUILD: Final = 400
_SWAP_TRIES: Final = 50
_NOTES: Final = 25


class Rule(StrEnum):
    """A rule that may give way; size is what remains when none may."""

    ARTIST_COOLDOWN = "artist_cooldown"
    COOLDOWN = "cooldown"
    ALBUM_CAP = "album_cap"
    ARTIST_CAP = "artist_cap"


# An artist or an album with a cap: the rule, and its position in the pool's names.
_Group = tuple[Rule, int]

DEFAULT_RELAXATION: Final = (Rule.COOLDOWN, Rule.ALBUM_CAP, Rule.ARTIST_CAP)


class PoolError(ValueError):
    """A track of the pool can't be drawn from; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class PoolTrack:
    """A track that a policy may draw: every artist it credits, its album, and a weight ≥ 0 (0 = never)."""

    track_id: str
    artists: tuple[str, ...]
    album: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The tracks of a policy as columns, sorted by track id, shared by all its playlists.

    ``weights`` are integers in proportion to the given ones, the largest 2^32; ``cumulative`` is their running
    sum. ``credits[offsets[i]:offsets[i + 1]]`` are the artists of track i, ``albums[i]`` its album (−1: none),
    both as positions in ``artist_ids`` and ``album_ids``.
    """

    track_ids: tuple[str, ...]
    weights: NDArray[np.int64]
    cumulative: NDArray[np.int64]
    offsets: NDArray[np.int64]
    credits: NDArray[np.int64]
    albums: NDArray[np.int64]
    artist_ids: tuple[str, ...]
    album_ids: tuple[str, ...]

    @classmethod
    def build(cls, tracks: Iterable[PoolTrack]) -> Self:
        """Columns from ``tracks``, in any sequence.

        A track that comes twice with the same content counts once. Raises :class:`PoolError` for one that
        comes twice with different content, and for a weight that is negative, infinite or not a number.
        """
        rows: dict[str, PoolTrack] = {}
        for track in tracks:
            known = rows.setdefault(track.track_id, track)
            if not (math.isfinite(track.weight) and track.weight >= 0):
                raise PoolError(
                    f"track {track.track_id} has the weight {track.weight}; a weight is finite and 0 or more"
                )
            if known != track:
                raise PoolError(f"track {track.track_id} is in the pool twice, with different content")
        ordered = [rows[track_id] for track_id in sorted(rows)]
        credits_ = [sorted(set(track.artists)) for track in ordered]
        artist_ids, credit_column = _numbered(artist for names in credits_ for artist in names)
        album_ids, album_column = _numbered(track.album for track in ordered)
        weights = _quantized(np.array([track.weight for track in ordered], dtype=np.float64))
        return cls(
            track_ids=tuple(track.track_id for track in ordered),
            weights=weights,
            cumulative=np.cumsum(weights),
            offsets=np.cumsum([0, *map(len, credits_)], dtype=np.int64),
            credits=credit_column,
            albums=album_column,
            artist_ids=artist_ids,
            album_ids=album_ids,
        )

    def __len__(self) -> int:
        return len(self.track_ids)

    def find(self, track_id: str) -> int | None:
        """The position of a track, or None."""
        index = bisect_left(self.track_ids, track_id)
        return index if index < len(self) and self.track_ids[index] == track_id else None

    def digest(self) -> str:
        """SHA-256 over everything that a draw depends on, to be stored beside the seed."""
        digest = hashlib.sha256()
        for names in (self.track_ids, self.artist_ids, self.album_ids):
            digest.update(derive_seed(*names))
        for column in (self.weights, self.offsets, self.credits, self.albums):
            digest.update(column.astype("<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule that a track breaks, and by how much: units of cooldown missing, or tracks beyond the cap."""

    rule: Rule
    amount: int


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Why a track is there although it breaks rules: ``rule`` gave way last; ``breaches`` are all it breaks."""

    rule: Rule
    breaches: tuple[Breach, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Pick:
    """A drawn track: its rank in the draw (0 came first), why it is there, and what gave way for it."""

    track_id: str
    why: str
    relaxation: Relaxation | None
    rank: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """A track that came up in the draw and was refused, and why (the first few are noted, each once)."""

    track_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What was drawn, in the sequence of the draw; ``shortfall`` is how many tracks the size lacks."""

    picks: tuple[Pick, ...]
    shortfall: int
    rejections: tuple[Rejection, ...]

    @property
    def track_ids(self) -> tuple[str, ...]:
        """The drawn tracks, in the sequence of the draw."""
        return tuple(pick.track_id for pick in self.picks)

    @property
    def relaxed(self) -> tuple[Pick, ...]:
        """The tracks for which a rule gave way."""
        return tuple(pick for pick in self.picks if pick.relaxation)


def freshness_factor(age: int, horizon: int, exponent: float) -> int:
    """(min(age, horizon) / horizon) ^ exponent as an integer out of 2^32, never 0.

    ``age`` and ``horizon`` in the same unit; ``exponent`` a multiple of ½ from 0 (no effect) upwards, so that
    integers suffice and the result is the same on every machine.
    """
    halves = round(2 * exponent)
    if halves < 0 or halves != 2 * exponent:
        raise ValueError(f"a freshness exponent is a multiple of 0.5 from 0, got {exponent}")
    if horizon < 1:
        raise ValueError(f"a freshness horizon is at least 1, got {horizon}")
    reached = max(0, min(age, horizon))
    return max(1, math.isqrt((reached**halves << 64) // horizon**halves))


def select(
    pool: Pool,
    *,
    size: int,
    seed: bytes,
    artist_cap: int | None = None,
    album_cap: int | None = None,
    cooldown: int = 0,
    resting: Mapping[str, int] | None = None,
    freshness: Mapping[str, int] | None = None,
    blocked: Collection[str] = frozenset(),
    relaxation: Sequence[Rule] = DEFAULT_RELAXATION,
) -> Selection:
    """Draw ``size`` tracks of ``pool``.

    ``resting`` are the tracks whose cooldown is not over: track id → age of the last use, in the unit of
    ``cooldown`` (its length). ``freshness`` maps recently used tracks to a factor out of 2^32
    (:func:`freshness_factor`). ``blocked`` tracks never come. The caps count over all credited artists.

    Where fewer than ``size`` tracks obey all rules, one track is first swapped for two where that is possible;
    then the rules of ``relaxation`` give way in that sequence, as little as possible, the oldest use first, each
    time noted on the track. With one artist per track, and albums by one artist, no selection has more tracks
    that obey all rules; with several credits that is a packing problem, and swaps come close. The result
    depends on the pool's content and the seed only.
    """
    for name, value, least in (("size", size, 0), ("artist_cap", artist_cap, 1), ("album_cap", album_cap, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} is at least {least}, got {value}")
    draw = _Draw(
        pool,
        size=size,
        seed=derive_seed("selection", ALGORITHM_VERSION, seed),
        caps={Rule.ARTIST_CAP: artist_cap, Rule.ALBUM_CAP: album_cap},
        cooldown=cooldown,
        resting=resting or {},
        freshness=freshness or {},
        blocked=frozenset(blocked),
    )
    draw.by_weight()
    draw.swap_one_for_two()
    draw.relax(tuple(relaxation))
    return draw.selection()


class _Draw:
    """One selection in the making: what is chosen, how full artists and albums are, and the moves."""

    def __init__(
        self,
        pool: Pool,
        *,
        size: int,
        seed: bytes,
        caps: Mapping[Rule, int | None],
        cooldown: int,
        resting: Mapping[str, int],
        freshness: Mapping[str, int],
        blocked: frozenset[str],
    ) -> None:
        self.pool = pool
        self.size = size
        self.seed = seed
        self.bits = BitSource(derive_seed("repair and relaxation", seed))
        self.artist_cap = caps[Rule.ARTIST_CAP]
        self.album_cap = caps[Rule.ALBUM_CAP]
        self.cooldown = cooldown
        self.resting = resting
        self.freshness = freshness
        self.blocked = blocked
        self.picks: dict[int, tuple[str, Relaxation | None]] = {}
        self.artists: Counter[int] = Counter()
        self.albums: Counter[int] = Counter()
        self.rejections: dict[int, str] = {}

    @property
    def lacking(self) -> int:
        return self.size - len(self.picks)

    def selection(self) -> Selection:
        ids = self.pool.track_ids
        return Selection(
            picks=tuple(
                Pick(track_id=ids[index], why=why, relaxation=relaxation, rank=rank)
                for rank, (index, (why, relaxation)) in enumerate(self.picks.items())
            ),
            shortfall=self.lacking,
            rejections=tuple(
                Rejection(ids[index], why)
                for index, why in self.rejections.items()
                if index not in self.picks
            )[:_NOTES],
        )

    # ── the moves ────────────────────────────────────────────────────────────────────────────────────────

    def take(self, index: int, why: str, relaxation: Relaxation | None = None) -> None:
        self.picks[index] = (why, relaxation)
        self.artists.update(self._credits(index))
        self.albums[int(self.pool.albums[index])] += 1

    def put_back(self, index: int) -> None:
        del self.picks[index]
        self.artists.subtract(self._credits(index))
        self.albums[int(self.pool.albums[index])] -= 1

    def by_weight(self) -> None:
        """The draw proper: in proportion to the weights among the tracks that obey every rule."""
        urn = _Urn(None, self.pool.cumulative, self.freshness)
        rejected = 0
        for block in count():
            if not self.lacking or not urn.total:
                return
            for index, chance in urn.draw(word_block(self.seed, block, 2 * _BATCH)):
                refusal = self._refusal(index)
                if refusal is None and chance >= urn.factors.get(self.pool.track_ids[index], FULL_FACTOR):
                    refusal = "used recently: passed over by its freshness"
                if refusal is None:
                    self.take(index, "drawn by weight")
                    if not self.lacking:
                        return
                else:
                    rejected += 1
                    if index not in self.picks:
                        self.rejections.setdefault(index, refusal)
            if rejected > _REJECTIONS_BEFORE_REBUILD:
                # Most of what comes up is refused by now. Drawing from what is left is just as exact.
                left = self._admissible()
                urn = _Urn(left, np.cumsum(self._weights(left)), {})
                rejected = 0

    def swap_one_for_two(self) -> None:
        """Where tracks with several credits, or albums across artists, block each other: one out, two in."""
        if self.album_cap is None and not (np.diff(self.pool.offsets) > 1).any():
            return
        while self.lacking:
            chosen = list(self.picks)
            self.bits.shuffle(chosen)
            if not any(self._swap_out(index) for index in chosen):
                return
            while self.lacking and len(left := self._admissible()):
                self.take(self._one_of(left), "drawn by weight after a swap")

    def _swap_out(self, index: int) -> bool:
        """Replace one chosen track by two, if it alone keeps two others out; False if nothing changed."""
        full = self._full_groups(index)
        if len(full) < 2:
            # Whatever it keeps out needs that one place, and two can't have it.
            return False
        before = dict(self.picks)
        self.put_back(index)
        kept_out: dict[frozenset[_Group], list[int]] = {}
        for other in self._admissible().tolist():
            if other != index:
                kept_out.setdefault(full.intersection(self._groups(other)), []).append(other)
        for ones, others in combinations(kept_out, 2):
            if ones.isdisjoint(others) and self._take_two(kept_out[ones], kept_out[others]):
                return True
        self.take(index, *before[index])
        self.picks = before
        return False

    def _take_two(self, ones: list[int], others: list[int]) -> bool:
        for candidates in (ones, others):
            self.bits.shuffle(candidates)
        for one in ones[:_SWAP_TRIES]:
            self.take(one, "swapped in: two for one")
            other = next((o for o in others[:_SWAP_TRIES] if self._refusal(o) is None), None)
            if other is not None:
                self.take(other, "swapped in: two for one")
                return True
            self.put_back(one)
        return False

    def relax(self, sequence: tuple[Rule, ...]) -> None:
        """Let the first rule give way, then the first two, …: each track breaks the later ones least."""
        if not self.lacking:
            return
        reason = f"only {len(self.picks)} of the {self.size} tracks could obey every rule"
        live = self._live()
        ages = self._ages(live)
        while self.lacking:
            amounts = {
                Rule.ARTIST_COOLDOWN: np.zeros(len(live), dtype=np.int64),
                Rule.COOLDOWN: np.where(ages < 0, 0, np.maximum(self.cooldown - ages, 1)),
                Rule.ALBUM_CAP: self._beyond_album_cap(live),
                Rule.ARTIST_CAP: self._beyond_artist_cap(live),
            }
            candidates = _least_breaching(amounts, sequence)
            if not len(candidates):
                return
            index = self._one_of(live[candidates])
            place = int(np.searchsorted(live, index))
            breaches = tuple(
                Breach(rule, int(amounts[rule][place])) for rule in sequence if amounts[rule][place]
            )
            self.take(
                index,
                "taken by relaxation",
                Relaxation(rule=breaches[-1].rule, breaches=breaches, reason=reason),
            )
            live, ages = np.delete(live, place), np.delete(ages, place)

    # ── what is allowed ──────────────────────────────────────────────────────────────────────────────────

    def _credits(self, index: int) -> list[int]:
        credits_: list[int] = self.pool.credits[
            self.pool.offsets[index] : self.pool.offsets[index + 1]
        ].tolist()
        return credits_

    def _refusal(self, index: int) -> str | None:
        """Why a track may not be taken now; None if it may."""
        track_id = self.pool.track_ids[index]
        if index in self.picks:
            return "chosen already"
        if track_id in self.blocked:
            return "excluded"
        if track_id in self.resting:
            return f"in cooldown: last used {self.resting[track_id]} of {self.cooldown} ago"
        if self.artist_cap is not None:
            for artist in self._credits(index):
                if self.artists[artist] >= self.artist_cap:
                    return f"artist {self.pool.artist_ids[artist]} is full: {self.artist_cap} tracks"
        album = int(self.pool.albums[index])
        if self.album_cap is not None and album >= 0 and self.albums[album] >= self.album_cap:
            return f"album {self.pool.album_ids[album]} is full: {self.album_cap} tracks"
        return None

    def _groups(self, index: int) -> Iterator[_Group]:
        """What a track counts for: each credited artist, and its album."""
        for artist in self._credits(index):
            yield Rule.ARTIST_CAP, artist
        if self.pool.albums[index] >= 0:
            yield Rule.ALBUM_CAP, int(self.pool.albums[index])

    def _full_groups(self, index: int) -> frozenset[_Group]:
        caps = {Rule.ARTIST_CAP: self.artist_cap, Rule.ALBUM_CAP: self.album_cap}
        counts = {Rule.ARTIST_CAP: self.artists, Rule.ALBUM_CAP: self.albums}
        return frozenset(
            (rule, number)
            for rule, number in self._groups(index)
            if (cap := caps[rule]) is not None and counts[rule][number] >= cap
        )

    def _live(self) -> NDArray[np.int64]:
        """Positions of the tracks that can be taken at all: weight above 0, not chosen, not blocked."""
        open_ = self.pool.weights > 0
        open_[list(self.picks)] = False
        open_[self._blocked_positions] = False
        return np.flatnonzero(open_)

    def _admissible(self) -> NDArray[np.int64]:
        """Positions of the tracks that obey every rule as things stand."""
        live = self._live()
        obeys = (
            (self._ages(live) < 0)
            & (self._beyond_album_cap(live) == 0)
            & (self._beyond_artist_cap(live) == 0)
        )
        return np.asarray(live[obeys])

    @cached_property
    def _blocked_positions(self) -> list[int]:
        found = (self.pool.find(track_id) for track_id in self.blocked)
        return [index for index in found if index is not None]

    @cached_property
    def _resting_ages(self) -> NDArray[np.int64]:
        ages = np.full(len(self.pool), -1, dtype=np.int64)
        for track_id, age in self.resting.items():
            index = self.pool.find(track_id)
            if index is not None:
                ages[index] = max(0, age)
        return ages

    def _ages(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ages of tracks in cooldown, −1 for those that aren't."""
        return self._resting_ages[indices]

    def _beyond_album_cap(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """How far beyond its album's cap each track would be."""
        if self.album_cap is None:
            return np.zeros(len(indices), dtype=np.int64)
        # One place more than there are albums: tracks without one (−1) count there, and it is never full.
        filled = _counts(self.albums, len(self.pool.album_ids) + 1)
        filled[-1] = -1
        return np.maximum(filled[self.pool.albums[indices]] + 1 - self.album_cap, 0)

    def _beyond_artist_cap(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """How far beyond the cap the fullest credited artist of each track would be."""
        if self.artist_cap is None or not len(self.pool.credits):
            return np.zeros(len(indices), dtype=np.int64)
        filled = _counts(self.artists, len(self.pool.artist_ids))
        starts, ends = self.pool.offsets[indices], self.pool.offsets[indices + 1]
        lengths = ends - starts
        most = np.full(len(indices), -1, dtype=np.int64)
        for place in range(int(lengths.max(initial=0))):
            has = lengths > place
            most[has] = np.maximum(most[has], filled[self.pool.credits[starts[has] + place]])
        return np.maximum(most + 1 - self.artist_cap, 0)

    # ── chance ───────────────────────────────────────────────────────────────────────────────────────────

    def _weights(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Weight × freshness of tracks, as integers ≥ 1."""
        weights = self.pool.weights[indices]
        if self.freshness:
            for place, index in enumerate(indices.tolist()):
                factor = self.freshness.get(self.pool.track_ids[index], FULL_FACTOR)
                if factor < FULL_FACTOR:
                    weights[place] = max(1, int(weights[place]) * factor >> 32)
        return weights

    def _one_of(self, indices: NDArray[np.int64]) -> int:
        """One of ``indices`` in proportion to weight × freshness."""
        cumulative = np.cumsum(self._weights(indices))
        point = self.bits.below(int(cumulative[-1]))
        return int(indices[np.searchsorted(cumulative, point, side="right")])


@dataclass(frozen=True, slots=True)
class _Urn:
    """What a draw reaches into: tracks (None: the whole pool) with the running sum of their weights.

    ``factors`` are the freshness factors that the sum does not contain and that the draw has yet to apply.
    """

    indices: NDArray[np.int64] | None
    cumulative: NDArray[np.int64]
    factors: Mapping[str, int]

    @property
    def total(self) -> int:
        return int(self.cumulative[-1]) if len(self.cumulative) else 0

    def draw(self, words: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
        """One candidate for each word of the first half, with 32 random bits from the second half."""
        points, chances = np.split(words, 2)
        scaled = [(word * self.total) >> 64 for word in points.tolist()]
        found = np.searchsorted(self.cumulative, scaled, side="right")
        indices = found if self.indices is None else self.indices[found]
        return zip(indices.tolist(), (chances >> np.uint64(32)).tolist(), strict=True)


def _least_breaching(
    amounts: Mapping[Rule, NDArray[np.int64]], sequence: tuple[Rule, ...]
) -> NDArray[np.int64]:
    """Places of the tracks that let the fewest leading rules of ``sequence`` give way, the last ones least."""
    for end in range(1, len(sequence) + 1):
        given_way = sequence[:end]
        kept = [amounts[rule] for rule in Rule if rule not in given_way]
        places = np.flatnonzero(np.sum(kept, axis=0) == 0) if kept else np.arange(len(amounts[sequence[0]]))
        if not len(places):
            continue
        for rule in reversed(given_way):
            here = amounts[rule][places]
            places = places[here == here.min()]
        return places
    return np.empty(0, dtype=np.int64)


def _counts(counter: Counter[int], length: int) -> NDArray[np.int64]:
    counts = np.zeros(length, dtype=np.int64)
    for number, value in counter.items():
        counts[number] = value
    return counts


def _numbered(values: Iterable[str | None]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The distinct names in sorted sequence, and for each value its position there (−1 for None)."""
    listed = list(values)
    names = tuple(sorted({value for value in listed if value is not None}))
    number: dict[str | None, int] = {name: index for index, name in enumerate(names)}
    number[None] = -1
    return names, np.array([number[value] for value in listed], dtype=np.int64)


def _quantized(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Integers in proportion to the weights, the largest 2^32; 0 stays 0 and everything else is at least 1."""
    largest = weights.max(initial=0.0)
    if largest == 0:
        return np.zeros(len(weights), dtype=np.int64)
    scaled: NDArray[np.int64] = np.rint(weights / largest * _LARGEST_WEIGHT).astype(np.int64)
    scaled[(weights > 0) & (scaled == 0)] = 1
    return scaled

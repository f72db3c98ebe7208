"""What a pool can carry, computed before anything is drawn: bounds that no selection beats.

What belongs here: the most tracks under caps, for one playlist or for ever, the longest reuse that can be kept, and
what a pool lacks. What does not: drawing (``selection``), the figures of a draw (``figures``).

A *group* is an artist or an album with a cap, a *round* one draw of all playlists that share a cooldown. Whatever
set S of groups is taken, a round holds at most cap(S) tracks of S, and of the others each once in W rounds:
**C ≤ cap(S) + (tracks outside S) / W**. Where each track counts for one group at most, the best S is plain to see and
the bound is reached (C* = Σ min(cap, N / W)); with several credits S is found greedily and the bound lies less
than one per cent above the linear programme's.
"""

import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spotify_pipelines.playlists.filling import Filling
from spotify_pipelines.playlists.rules import CAPS, RESTS, Limits, Rule
from spotify_pipelines.playlists.track_pool import Pool

__all__ = ["Capacity", "DrawBounds", "Supply", "capacity", "draw_bounds", "least_cost", "most_tracks"]

Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a pool sustains under one policy, round after round.

    Attributes:
        asked: tracks that all playlists of a round ask for.
        rounds: the cooldown W in rounds: a track comes again in the W-th round after, at the earliest.
        sustained: C*, the most tracks a round that can be kept up without breaking a rule.
        longest_reuse: W*, the longest cooldown in rounds that could be kept; below 1 not even the caps can.
        is_exact: whether both are reached; else they are bounds that nothing exceeds.
        tracks_lacking: how many tracks more the pool needs at least, by artists who are not full yet.
        artists_lacking: or how many artists more, each with ``tracks_per_artist`` tracks; None without a cap.
        tracks_per_artist: as many as one artist can contribute.
    """

    asked: int
    rounds: int
    sustained: float
    longest_reuse: float
    is_exact: bool
    tracks_lacking: int
    artists_lacking: int | None
    tracks_per_artist: int | None

    @property
    def holds(self) -> bool:
        """Whether the policy can be kept for good, as far as the bound tells."""
        return self.tracks_lacking == 0

    def sentence(self, unit: str = "draw") -> str:
        """What a curator wants to know; ``unit`` is what one round is called."""
        most = "" if self.is_exact else "at most "
        told = (
            f"this pool sustains {most}{self.sustained:.1f} tracks a {unit} at W = {self.rounds} "
            f"({self.asked} asked); longest reuse that can be kept: {most}{self.longest_reuse:.1f}"
        )
        if self.holds:
            return told
        told += f"; lacking: {self.tracks_lacking} tracks by artists who are not full"
        if self.artists_lacking is not None:
            told += f", or {self.artists_lacking} more artists with {self.tracks_per_artist} tracks each"
        return told


def capacity(
    pool: Pool,
    limits: Limits,
    *,
    size: int,
    playlists: int = 1,
    rounds: int = 1,
    artist_rounds: int | None = None,
) -> Capacity:
    """What ``pool`` sustains for ``playlists`` of ``size`` tracks that share a cooldown of ``rounds`` rounds.

    ``artist_rounds`` is the artists' cooldown: whoever was heard comes again in that round after, at the earliest
    (1: in the next one, and until then in no other playlist); None: artists don't rest.
    """
    supply = Supply.for_rounds(pool, limits, size=size, playlists=playlists, artist_rounds=artist_rounds)
    asked = size * playlists
    sustained = supply.most(rounds)
    lacking = max(0.0, asked - sustained)
    # An artist can give a track each time the cap lets one in, for as long as the cooldown keeps the others out.
    cap = supply.cap_of_artist
    per_artist = None if cap is None else max(1, math.floor(cap * rounds))
    return Capacity(
        asked=asked,
        rounds=rounds,
        sustained=sustained,
        longest_reuse=supply.longest(asked),
        is_exact=supply.is_simple,
        tracks_lacking=math.ceil(round(lacking * rounds, 6)),
        artists_lacking=None if per_artist is None else math.ceil(round(lacking * rounds / per_artist, 6)),
        tracks_per_artist=per_artist,
    )


@dataclass(frozen=True, slots=True)
class DrawBounds:
    """What one draw could have come out as at best, from its own inputs; with several credits, a bound.

    Attributes:
        tracks: the most tracks, up to the size, with every rule given way that may.
        obeying: the most tracks that obey every rule.
        cooldown_shortfall: the least sum of cooldown that so many tracks lack, while the rules hold that did.
        artist_excess: the least tracks beyond their artist's cap, likewise.
        album_excess: the least tracks beyond their album's cap, likewise.
    """

    tracks: int
    obeying: int
    cooldown_shortfall: int = 0
    artist_excess: int = 0
    album_excess: int = 0


def draw_bounds(filling: Filling, *, size: int, sequence: Sequence[Rule]) -> DrawBounds:
    """Bounds on a finished selection of ``size`` tracks, in which the rules of ``sequence`` might give way."""
    broken = {breach.rule for breaches in filling.breaches().values() for breach in breaches}
    drawn = len(filling.chosen)
    if drawn == size and not broken:
        return DrawBounds(size, size)
    every = np.concatenate([np.array(list(filling.chosen), dtype=np.int64), filling.live()])
    pinned = np.isin(every, np.array(list(filling.pinned), dtype=np.int64))
    needs = {rule: np.where(pinned, 0, filling.amounts(rule, every)) for rule in RESTS}

    def most(soft: Collection[Rule]) -> int:
        return most_tracks(filling, every[_rested(needs, soft)], soft=soft)

    def least_excess(rule: Rule) -> int:
        # Without the tracks beyond the cap, what was drawn would keep it.
        return max(0, drawn - most({*broken, *CAPS}.difference({rule}))) if rule in broken else 0

    shortfall = 0
    if Rule.COOLDOWN in broken:
        able = _rested(needs, broken)
        shortfall = least_cost(filling, every[able], needs[Rule.COOLDOWN][able], drawn)
    return DrawBounds(
        # Pinned tracks come whatever they break.
        tracks=max(drawn, min(size, most(sequence))) if filling.pinned else min(size, most(sequence)),
        obeying=min(size, most(())),
        cooldown_shortfall=shortfall,
        artist_excess=least_excess(Rule.ARTIST_CAP),
        album_excess=least_excess(Rule.ALBUM_CAP),
    )


def least_cost(filling: Filling, tracks: Column, costs: Column, asked: int) -> int:
    """The least sum of ``costs`` of ``asked`` tracks that exceed the caps by no more than what is chosen does.

    Caps admit only so many tracks that cost less than c, and the excess so many more: the rest cost c or more.
    """
    excess = filling.excess
    total, below = 0, 0
    for cost in np.unique(costs[costs > 0]).tolist():
        cheaper = tracks[costs < cost]
        most = min(len(cheaper), most_tracks(filling, cheaper) + excess)
        if most >= asked:
            break
        total += (cost - below) * (asked - most)
        below = cost
    return total


def most_tracks(filling: Filling, tracks: Column, *, soft: Collection[Rule] = ()) -> int:
    """The most of ``tracks`` that one selection can hold under the caps that are not ``soft``."""
    limits = filling.limits
    supply = Supply(
        filling.pool,
        tracks,
        artist_cap=None if Rule.ARTIST_CAP in soft else limits.artist_cap,
        album_cap=None if Rule.ALBUM_CAP in soft else limits.album_cap,
    )
    return supply.most_at_once()


def _rested(needs: Mapping[Rule, Column], soft: Collection[Rule]) -> NDArray[np.bool_]:
    """Which tracks obey the cooldowns that are not ``soft``."""
    kept = [need for rule, need in needs.items() if rule not in soft]
    rested: NDArray[np.bool_] = np.sum([np.zeros_like(next(iter(needs.values()))), *kept], axis=0) == 0
    return rested


class Supply:
    """Tracks and the capped groups they count for.

    Args:
        pool: where they are from.
        tracks: their positions.
        artist_cap: how many tracks of an artist a round takes, in parts of ``unit``; None: any number.
        album_cap: the same for an album.
        unit: what the caps are counted in: ``unit`` parts are one track.
    """

    def __init__(
        self, pool: Pool, tracks: Column, *, artist_cap: int | None, album_cap: int | None, unit: int = 1
    ) -> None:
        columns = pool.columns
        self._unit = unit
        self._artist_cap = artist_cap
        owners, groups = [], []
        number_of_artists = len(columns.artist_ids)
        if artist_cap is not None:
            lengths = columns.offsets[tracks + 1] - columns.offsets[tracks]
            owners.append(np.repeat(np.arange(len(tracks)), lengths))
            groups.append(columns.credits[_ranges(columns.offsets[tracks], lengths)])
        if album_cap is not None:
            with_album = np.flatnonzero(columns.albums[tracks] >= 0)
            owners.append(with_album)
            groups.append(number_of_artists + columns.albums[tracks[with_album]])
        self._count = len(tracks)
        self._owners = np.concatenate([*owners, np.empty(0, dtype=np.int64)]).astype(np.int64)
        self._groups = np.concatenate([*groups, np.empty(0, dtype=np.int64)]).astype(np.int64)
        self._caps = np.full(number_of_artists + len(columns.album_ids), artist_cap or 0, dtype=np.int64)
        self._caps[number_of_artists:] = album_cap or 0
        self._sizes = np.bincount(self._groups, minlength=len(self._caps))

    @classmethod
    def for_rounds(
        cls, pool: Pool, limits: Limits, *, size: int, playlists: int, artist_rounds: int | None
    ) -> "Supply":
        """All that a policy may draw, under what a round of ``playlists`` takes of an artist or an album.

        An artist who rests for several rounds gives what one playlist takes, and then nothing: with a rest,
        the playlists of a round can't share an artist either.
        """
        artist_cap: int | None = None
        if artist_rounds is not None:
            artist_cap = limits.artist_cap or size
        elif limits.artist_cap is not None:
            artist_cap = limits.artist_cap * playlists
        album_cap = None if limits.album_cap is None else limits.album_cap * playlists * (artist_rounds or 1)
        return cls(
            pool,
            np.flatnonzero(pool.weights > 0),
            artist_cap=artist_cap,
            album_cap=album_cap,
            unit=artist_rounds or 1,
        )

    @property
    def cap_of_artist(self) -> float | None:
        """Tracks of one artist that a round takes; None: any number."""
        return None if self._artist_cap is None else self._artist_cap / self._unit

    @cached_property
    def is_simple(self) -> bool:
        """Whether each track counts for one group at most: then the bounds are reached."""
        return bool(np.bincount(self._owners, minlength=1).max() <= 1)

    def most(self, rounds: float = 1) -> float:
        """The most tracks a round, where each comes once in ``rounds`` rounds at most."""
        parts, uncovered = self._cover(rounds)
        return parts / self._unit + uncovered / rounds

    def most_at_once(self) -> int:
        """The most tracks of one selection: :meth:`most` in a single round, as a whole number."""
        parts, uncovered = self._cover(1)
        return parts // self._unit + uncovered

    def longest(self, asked: int) -> float:
        """The largest number of rounds at which :meth:`most` is still ``asked``; 0 where none is.

        Each S that lies below ``asked`` gives a number of rounds at which it no longer does (Dinkelbach 1967).
        """
        if asked == 0:
            return math.inf
        rounds = self._count / asked
        while rounds > 0:
            parts, uncovered = self._cover(rounds)
            if parts / self._unit + uncovered / rounds >= asked * (1 - 1e-12):
                return rounds
            rounds = uncovered / (asked - parts / self._unit)
        return 0.0

    def _cover(self, rounds: float) -> tuple[int, int]:
        """cap(S) in parts, and the tracks outside S, for a set S that makes the bound small."""
        worth = self._sizes * self._unit > self._caps * rounds
        if self.is_simple:
            return int(self._caps[worth].sum()), self._count - int(self._sizes[worth].sum())
        return self._greedy_cover(np.flatnonzero(worth).tolist(), rounds)

    def _greedy_cover(self, candidates: Sequence[int], rounds: float) -> tuple[int, int]:
        """Groups with most uncovered tracks for their cap first; then those that became superfluous leave."""
        caps, unit = self._caps.tolist(), self._unit
        uncovered = self._sizes.copy()
        times = np.zeros(self._count, dtype=np.int64)
        heap = [(-int(uncovered[group]) / caps[group], group) for group in candidates]
        heapq.heapify(heap)
        taken: list[int] = []
        while heap:
            ratio, group = heapq.heappop(heap)
            left = int(uncovered[group])
            if left * unit <= caps[group] * rounds:
                continue
            if -left / caps[group] > ratio:
                heapq.heappush(heap, (-left / caps[group], group))
                continue
            taken.append(group)
            tracks = self._tracks_of(group)
            fresh = tracks[times[tracks] == 0]
            times[tracks] += 1
            np.subtract.at(uncovered, self._groups_of(fresh), 1)
        parts = sum(caps[group] for group in taken)
        for group in taken:
            tracks = self._tracks_of(group)
            if int((times[tracks] == 1).sum()) * unit <= caps[group] * rounds:
                times[tracks] -= 1
                parts -= caps[group]
        return parts, int((times == 0).sum())

    def _tracks_of(self, group: int) -> Column:
        owners, starts = self._by_group
        return owners[starts[group] : starts[group + 1]]

    def _groups_of(self, tracks: Column) -> Column:
        groups, starts = self._by_track
        return groups[_ranges(starts[tracks], starts[tracks + 1] - starts[tracks])]

    @cached_property
    def _by_group(self) -> tuple[Column, Column]:
        order = np.argsort(self._groups, kind="stable")
        return self._owners[order], _starts(self._sizes)

    @cached_property
    def _by_track(self) -> tuple[Column, Column]:
        order = np.argsort(self._owners, kind="stable")
        return self._groups[order], _starts(np.bincount(self._owners, minlength=self._count))


def _starts(lengths: Column) -> Column:
    starts: Column = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    return starts


def _ranges(starts: Column, lengths: Column) -> Column:
    """start, start + 1, … of each start in turn, ``lengths`` of them."""
    ends = np.cumsum(lengths)
    steps: Column = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
    return steps

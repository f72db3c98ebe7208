"""Which tracks go into a playlist: a weighted draw without replacement under cooldowns and caps.

What belongs here: the stages of a draw, and what comes out of it. What does not: the account of what is chosen
(``filling``), swaps (``repair``), the tracks as columns (``track_pool``), in what order they play (``order``).

Draw by draw, each admissible track comes with a chance in proportion to its weight: the distribution of
Efraimidis & Spirakis (2006), here from one cumulative sum of integer weights that all playlists of a policy
share, with rejection, so that it is exact, cheap per playlist and the same bits everywhere.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from spotify_pipelines.playlists.bounds import DrawBounds, draw_bounds, least_cost, most_tracks
from spotify_pipelines.playlists.filling import Filling
from spotify_pipelines.playlists.randomness import BitSource, derive_seed, word_block
from spotify_pipelines.playlists.repair import Repair
from spotify_pipelines.playlists.rules import CAPS, DEFAULT_RELAXATION, RESTS, Limits, Relaxation, Rule
from spotify_pipelines.playlists.track_pool import Pool

__all__ = [
    "ALGORITHM_VERSION",
    "FULL_FACTOR",
    "Pick",
    "Rejection",
    "Reserve",
    "Selection",
    "freshness_factor",
    "select",
]

ALGORITHM_VERSION: Final = 2
"""Rises whenever the same seed and inputs would give other tracks; batch and rebuild limit are part of it."""

FULL_FACTOR: Final = 1 << 32
"""A freshness factor of 1: the weight counts in full."""

_BATCH: Final = 96
_REJECTIONS_BEFORE_REBUILD: Final = 400
_NOTES: Final = 25
# Amounts are far below it, so that a track that breaks a later rule of the sequence costs more than any
# that breaks earlier ones only.
_NEXT_RULE: Final = 1_000_000
_LEVELS: Final = 128

Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pick:
    """A chosen track: its rank in the draw (0 came first), why it is there, and what gave way for it.

    ``weight`` is its chance against the weightiest track of the pool, freshness included (0 to 1).
    """

    track_id: str
    why: str
    relaxation: Relaxation | None
    rank: int
    weight: float


@dataclass(frozen=True, slots=True)
class Rejection:
    """A track that was refused, and why."""

    track_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Reserve:
    """A track that would come next, should a chosen one be lost.

    ``replaces`` are the chosen tracks whose place it can take without breaking a rule; None: any of them, also
    together with the reserve tracks before it.
    """

    track_id: str
    replaces: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, in the sequence of the draw; ``shortfall`` is how many tracks the size lacks.

    ``rejections`` are the first few tracks that came up in the draw and were refused, each once; ``left_out``
    the pinned tracks that could not come.
    """

    picks: tuple[Pick, ...]
    shortfall: int
    rejections: tuple[Rejection, ...]
    reserve: tuple[Reserve, ...]
    left_out: tuple[Rejection, ...]
    bounds: DrawBounds

    @property
    def track_ids(self) -> tuple[str, ...]:
        """The chosen tracks, in the sequence of the draw."""
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
    limits: Limits = Limits(),  # noqa: B008  (frozen)
    resting: Mapping[str, int] | None = None,
    resting_artists: Mapping[str, int] | None = None,
    freshness: Mapping[str, int] | None = None,
    blocked: Mapping[str, str] | None = None,
    pinned: Sequence[str] = (),
    reserve: int = 0,
    relaxation: Sequence[Rule] = DEFAULT_RELAXATION,
) -> Selection:
    """Choose ``size`` tracks of ``pool``. The result depends on the pool's content, the values and the seed only.

    Args:
        pool: what there is; a track of weight 0 comes only if it is pinned.
        size: how many tracks.
        seed: names the draw.
        limits: caps (over all credited artists) and the lengths of the cooldowns.
        resting: tracks whose cooldown is not over: id → age of the last use, in the cooldown's unit.
        resting_artists: the same for artists.
        freshness: recently used tracks → a factor out of 2^32 (:func:`freshness_factor`).
        blocked: tracks that never come, not even pinned → the reason.
        pinned: tracks that come first of all and fill caps; those that are not in the columns are left out.
        reserve: how many tracks to name beyond those chosen.
        relaxation: the rules that may give way, first to last.

    Where fewer than ``size`` tracks obey all rules, tracks are first swapped so that more of them fit; then the
    rules of ``relaxation`` give way in that sequence, as little as possible, the oldest use first, each time noted
    on the track. With one artist per track, and albums by one artist, no selection has more tracks that obey all
    rules, nor breaks cooldowns by less in sum; with several credits that is a packing problem, where small pools
    are searched to the end, and large ones come close.
    """
    if size < 0:
        raise ValueError(f"size is at least 0, got {size}")
    draw = _Draw(
        Filling(
            pool,
            limits,
            resting=resting or {},
            resting_artists=resting_artists or {},
            blocked=blocked or {},
        ),
        size=size,
        seed=derive_seed("selection", ALGORITHM_VERSION, seed),
        freshness=freshness or {},
    )
    draw.pin(pinned)
    draw.by_weight(reserve)
    draw.let_give_way(tuple(relaxation))
    draw.fill_reserve(reserve)
    return draw.selection(tuple(relaxation))


class _Draw:
    """One selection in the making: its stages."""

    def __init__(self, filling: Filling, *, size: int, seed: bytes, freshness: Mapping[str, int]) -> None:
        self.filling = filling
        self.pool = filling.pool
        self.size = size
        self.seed = seed
        self.bits = BitSource(derive_seed("repair and relaxation", seed))
        self.freshness = freshness
        self.rejections: dict[int, str] = {}
        self.left_out: list[Rejection] = []
        self.reserve: list[Reserve] = []

    @property
    def lacking(self) -> int:
        return self.size - len(self.filling.chosen)

    # ── the stages ───────────────────────────────────────────────────────────────────────────────────────

    def pin(self, track_ids: Sequence[str]) -> None:
        """Tracks that the policy names; they come whatever they break, as long as they exist."""
        for track_id in dict.fromkeys(track_ids):
            index = self.pool.find(track_id)
            if index is None:
                self.left_out.append(Rejection(track_id, "not in the catalogue"))
            elif track_id in self.filling.blocked:
                self.left_out.append(Rejection(track_id, self.filling.blocked[track_id]))
            elif not self.lacking:
                self.left_out.append(Rejection(track_id, "more tracks are pinned than the size holds"))
            else:
                self.filling.is_strict = False
                self.filling.pinned.add(index)
                self.filling.take(index, "pinned")

    def by_weight(self, beyond: int) -> None:
        """The draw proper: in proportion to the weights among the tracks that obey every rule.

        It goes on for ``beyond`` more tracks, which become the reserve: they fit with all that is chosen.
        """
        drawn: list[int] = []
        wanted = self.lacking + beyond if self.lacking else 0
        for index in self._drawn(wanted):
            self.filling.take(index, "drawn by weight")
            drawn.append(index)
            if len(drawn) == wanted:
                break
        for index in reversed(drawn[wanted - beyond :]):
            self.filling.put_back(index)
        self.reserve = [Reserve(self.pool.track_ids[index], None) for index in drawn[wanted - beyond :]]

    def let_give_way(self, sequence: tuple[Rule, ...]) -> None:
        """No rule at first, then the first, the first two, …: fill up, then make room, until nothing lacks."""
        for end in range(len(sequence) + 1):
            if not self.lacking:
                break
            soft = sequence[:end]
            if soft:
                self.filling.is_strict = False
                self._fill_up(soft)
            if self.lacking:
                self._make_room(soft)
        self._cheapen(sequence)

    def fill_reserve(self, wanted: int) -> None:
        """Where too few tracks fit anyhow: those that obey every rule in the place of certain chosen ones."""
        lacking = wanted - len(self.reserve)
        if lacking <= 0 or not self.filling.chosen:
            return
        filling = self.filling
        rested = filling.live()
        for rule in RESTS:
            rested = rested[filling.amounts(rule, rested) == 0]
        taken = {self.pool.find(each.track_id) for each in self.reserve}
        places: dict[int, tuple[str, ...]] = {}
        chosen = {
            index: set(filling.groups(index)) for index in filling.chosen if index not in filling.pinned
        }
        for alike in filling.alike(rested):
            tight = {group: filling.room(group) for group in filling.full_groups(alike[0])}
            replaced = [
                index
                for index, groups in chosen.items()
                if all(room == 0 and group in groups for group, room in tight.items())
            ]
            if replaced:
                names = tuple(self.pool.track_ids[index] for index in replaced)
                places |= {index: names for index in alike if index not in taken}
        left = np.array(sorted(places), dtype=np.int64)
        while len(left) and lacking:
            index = self._one_of(left)
            left = left[left != index]
            lacking -= 1
            self.reserve.append(Reserve(self.pool.track_ids[index], places[index]))

    def selection(self, sequence: tuple[Rule, ...]) -> Selection:
        """What came out; the rules gave way in ``sequence``."""
        filling, ids = self.filling, self.pool.track_ids
        relaxations = self._relaxations(sequence)
        return Selection(
            picks=tuple(
                Pick(ids[index], why, relaxations.get(index), rank, self._share(index))
                for rank, (index, why) in enumerate(filling.chosen.items())
            ),
            shortfall=self.lacking,
            rejections=tuple(
                Rejection(ids[index], why)
                for index, why in self.rejections.items()
                if index not in filling.chosen
            )[:_NOTES],
            reserve=tuple(self.reserve),
            left_out=tuple(self.left_out),
            bounds=draw_bounds(filling, size=self.size, sequence=sequence),
        )

    def _relaxations(self, sequence: tuple[Rule, ...]) -> dict[int, Relaxation]:
        filling = self.filling
        breaches = filling.breaches()
        reason = f"only {len(filling.chosen) - len(breaches)} of the {self.size} tracks could obey every rule"
        found = {}
        for index, broken in breaches.items():
            # A pinned track may break a rule that is not in the sequence.
            ordered = tuple(sorted(broken, key=lambda breach: (*sequence, breach.rule).index(breach.rule)))
            why = "pinned by the policy" if index in filling.pinned else reason
            found[index] = Relaxation(ordered[-1].rule, ordered, why)
        return found

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────────────

    def _drawn(self, wanted: int) -> Iterator[int]:
        """Tracks that obey every rule, one by one by weight; each has to be taken before the next is asked for."""
        filling = self.filling
        urn = _Urn(None, self.pool.cumulative, self.freshness)
        rejected = 0
        for block in count():
            if not wanted or not urn.total:
                return
            for index, chance in urn.draw(word_block(self.seed, block, 2 * _BATCH)):
                refusal = filling.refusal(index)
                if refusal is None and chance >= urn.factors.get(self.pool.track_ids[index], FULL_FACTOR):
                    refusal = "used recently: passed over by its freshness"
                if refusal is None:
                    yield index
                else:
                    rejected += 1
                    if index not in filling.chosen:
                        self.rejections.setdefault(index, refusal)
            if rejected > _REJECTIONS_BEFORE_REBUILD:
                # Most of what comes up is refused by now. Drawing from what is left is just as exact.
                left = filling.admissible()
                urn = _Urn(left, np.cumsum(self._weights(left)), {})
                rejected = 0

    def _weights(self, indices: Column) -> Column:
        """Weight × freshness of tracks, as integers ≥ 1."""
        weights = self.pool.weights[indices]
        if self.freshness:
            for place, index in enumerate(indices.tolist()):
                factor = self.freshness.get(self.pool.track_ids[index], FULL_FACTOR)
                if factor < FULL_FACTOR:
                    weights[place] = max(1, int(weights[place]) * factor >> 32)
        return weights

    def _one_of(self, indices: Column) -> int:
        """One of ``indices`` in proportion to weight × freshness."""
        cumulative = np.cumsum(self._weights(indices))
        point = self.bits.below(int(cumulative[-1]))
        return int(indices[np.searchsorted(cumulative, point, side="right")])

    def _share(self, index: int) -> float:
        factor = self.freshness.get(self.pool.track_ids[index], FULL_FACTOR)
        return int(self.pool.weights[index]) * min(factor, FULL_FACTOR) / FULL_FACTOR**2

    # ── giving way ───────────────────────────────────────────────────────────────────────────────────────

    def _fill_up(self, soft: tuple[Rule, ...]) -> None:
        """Take what breaks only ``soft`` rules, the last of them least, until nothing lacks or nothing is left."""
        filling = self.filling
        left = self._able(soft)
        minded = [rule for rule in reversed(soft) if filling.can_break(rule)]
        while self.lacking and len(left):
            least = left
            for rule in minded:
                amounts = filling.amounts(rule, least)
                least = least[amounts == amounts.min()]
            index = self._one_of(least)
            filling.take(index, "taken by relaxation")
            left = left[left != index]
            for rule in CAPS:
                if rule not in soft and filling.can_break(rule):
                    left = left[filling.amounts(rule, left) == 0]

    def _make_room(self, soft: tuple[Rule, ...]) -> None:
        """Swap and search for more tracks that break only ``soft`` rules."""
        if not self._may_block(soft):
            return
        filling = self.filling
        everything = np.concatenate([np.array(list(filling.chosen), dtype=np.int64), self._rested(soft)])
        most = min(self.size, most_tracks(filling, everything, soft=soft) + len(filling.pinned))
        repair = self._repair(soft)
        while len(filling.chosen) < most and (repair.take_fitting() or repair.add_one() or repair.pack(most)):
            pass

    def _cheapen(self, sequence: tuple[Rule, ...]) -> None:
        """Swap what was used last out of the selection, as far as swaps go."""
        filling = self.filling
        broken = {breach.rule for breaches in filling.breaches().values() for breach in breaches}
        soft = tuple(rule for rule in sequence if rule in RESTS)
        if broken.isdisjoint(soft) or not self._may_block(soft):
            return
        movable = np.array([index for index in filling.chosen if index not in filling.pinned], dtype=np.int64)
        able = np.concatenate([movable, self._rested(soft)])
        costs = self._costs(soft)
        least = 0
        if len(np.unique(costs[able])) <= _LEVELS:
            least = least_cost(filling, able, costs[able], len(movable))
        repair = self._repair(soft)
        while repair.total_cost > least and repair.cheapen():
            pass

    def _repair(self, soft: tuple[Rule, ...]) -> Repair:
        return Repair(
            self.filling,
            candidates=self._rested(soft),
            cost=self._costs(soft).item,
            soft=soft,
            bits=self.bits,
            one_of=self._one_of,
        )

    def _costs(self, soft: tuple[Rule, ...]) -> Column:
        """What each track breaks of the cooldowns that give way, as one number."""
        everything = np.arange(len(self.pool.track_ids))
        costs = np.zeros(len(everything), dtype=np.int64)
        for place, rule in enumerate(rule for rule in soft if rule in RESTS):
            costs += self.filling.amounts(rule, everything) * _NEXT_RULE**place
        return costs

    def _rested(self, soft: tuple[Rule, ...]) -> Column:
        """Tracks that obey the cooldowns, but for ``soft`` ones, whatever the caps say."""
        live = self.filling.live()
        for rule in RESTS:
            if rule not in soft:
                live = live[self.filling.amounts(rule, live) == 0]
        return live

    def _able(self, soft: tuple[Rule, ...]) -> Column:
        """Tracks that obey every rule but ``soft`` ones."""
        able = self._rested(soft)
        for rule in CAPS:
            if rule not in soft:
                able = able[self.filling.amounts(rule, able) == 0]
        return able

    def _may_block(self, soft: tuple[Rule, ...]) -> bool:
        """Whether one chosen track may keep two others out: only if it counts for several groups."""
        limits, columns = self.filling.limits, self.pool.columns
        artists = limits.artist_cap is not None and Rule.ARTIST_CAP not in soft
        albums = limits.album_cap is not None and Rule.ALBUM_CAP not in soft
        return (artists and columns.has_guests) or (artists and albums)


@dataclass(frozen=True, slots=True)
class _Urn:
    """What a draw reaches into: tracks (None: the whole pool) with the running sum of their weights.

    ``factors`` are the freshness factors that the sum does not contain and that the draw has yet to apply.
    """

    indices: Column | None
    cumulative: Column
    factors: Mapping[str, int]

    @property
    def total(self) -> int:
        return int(self.cumulative[-1]) if len(self.cumulative) else 0

    def draw(self, words: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
        """One candidate for each word of the first half, with 32 random bits from the second half."""
        points, chances = np.split(words, 2)
        total = self.total
        scaled = [(word * total) >> 64 for word in points.tolist()]
        found = np.searchsorted(self.cumulative, scaled, side="right")
        indices = found if self.indices is None else self.indices[found]
        return zip(indices.tolist(), (chances >> np.uint64(32)).tolist(), strict=True)

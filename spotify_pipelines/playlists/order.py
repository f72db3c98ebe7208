"""In what order a playlist plays: random, with tracks of one artist as far apart as asked and possible.

What belongs here: arranging a given set of tracks. What does not: choosing them (``selection``), making their
transitions follow a flow once they stand apart (``flow``).

A track that credits several artists counts as each of them. The largest gap of a list is known in closed form
for one artist per track (Leung, Vornberger & Witthoff 1984) and bounded by the same expression for several.
"Most remaining first" finds out whether a gap can be kept; random fills and swaps that never go below it make
the order random; the opening track is uniform over the tracks that can open.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from spotify_pipelines.playlists.figures import neighbour_bound, neighbours, smallest_gap
from spotify_pipelines.playlists.flow import follow
from spotify_pipelines.playlists.randomness import BitSource, derive_seed
from spotify_pipelines.playlists.spacing import Spacing
from spotify_pipelines.playlists.transitions import (
    FLOWS,
    UNKNOWN,
    Flow,
    Sound,
    place_costs,
    transition_costs,
)
from spotify_pipelines.playlists.walk import Walks

__all__ = ["ALGORITHM_VERSION", "Arrangement", "Gap", "OrderError", "OrderTrack", "arrange", "gap_bound"]

ALGORITHM_VERSION: Final = 2
"""Rises whenever the same seed would give another order."""

_FILLS: Final = 12
_SWAPS: Final = 500
_LOWERING_SWAPS: Final = 4_000
_BUILDS: Final = 60

Gap = Literal["best", "half"] | int


class OrderError(ValueError):
    """The tracks, the gap or the pins contradict themselves; the text names which."""


@dataclass(frozen=True, slots=True)
class OrderTrack:
    """A track to be placed, with every artist it credits and, where a flow asks for it, how it sounds."""

    track_id: str
    artists: tuple[str, ...]
    sound: Sound = UNKNOWN


@dataclass(frozen=True, slots=True)
class Arrangement:
    """An order and how good it is.

    ``gap`` is the least distance between two tracks of one artist, ``target`` the one that was aimed at, which
    it always equals, and ``upper_bound`` the one that no order can exceed; all three are None where no artist
    repeats. ``neighbours`` counts adjacent pairs that share an artist; no order has fewer than
    ``neighbour_bound``.
    """

    track_ids: tuple[str, ...]
    gap: int | None
    target: int | None
    upper_bound: int | None
    neighbours: int
    neighbour_bound: int


def gap_bound(artists: Sequence[tuple[str, ...]]) -> int | None:
    """The gap that no order of these tracks exceeds, ⌊(n − m) / (c − 1)⌋; None if no artist repeats.

    c is the number of tracks of the most frequent artist, m the number of artists with that many which share
    no track. Exact for one artist per track.
    """
    counts = Counter(artist for names in artists for artist in set(names))
    most = max(counts.values(), default=0)
    if most < 2:
        return None
    seen: set[int] = set()
    disjoint = 0
    for artist in sorted(name for name, count in counts.items() if count == most):
        tracks = {index for index, names in enumerate(artists) if artist in names}
        if seen.isdisjoint(tracks):
            seen |= tracks
            disjoint += 1
    return (len(artists) - disjoint) // (most - 1)


def arrange(
    tracks: Sequence[OrderTrack],
    *,
    gap: Gap = "half",
    seed: bytes,
    pinned: Mapping[str, int] | None = None,
    flow: Flow = "none",
) -> Arrangement:
    """Put ``tracks`` in a random order whose same-artist gap is the largest up to ``gap`` that can be kept.

    ``gap`` is ``best`` (as far apart as possible), ``half`` of that (far apart and still random) or a number
    of positions (1: neighbours happen). ``pinned`` holds track ids at 0-based positions. Only where pins leave
    no order with just the gap that was asked for, it is larger.

    ``flow`` makes transitions small (``smooth``), or small along a line of energy that goes up (``rise``), down
    (``fall``) or both (``wave``), as far as gap and pins leave room. The opening track is drawn before, as
    without a flow: uniformly from the tracks that can open. The flow begins with the second one.

    The result depends on the set of tracks and the seed, not on the order in which they come. Raises
    :class:`OrderError` for tracks given twice and pins that contradict the list. O(n² + swaps), a few
    milliseconds for 50 tracks, and some tens with a flow.
    """
    if flow not in FLOWS:
        raise OrderError(f"flow is one of {', '.join(FLOWS)}, got {flow!r}")
    board = _Board(tracks, pinned or {}, BitSource(derive_seed("order", ALGORITHM_VERSION, seed)))
    wanted = _wanted_gap(gap, board.bound)
    order, target = board.construct(wanted)
    few_neighbours = target == 1 and board.bound is not None and (wanted > 1 or board.bound < 2)
    if few_neighbours:
        board.lower_neighbours(order)
    else:
        board.mix(order, target)
    order, target = board.settle(order, target, wanted)
    if flow != "none":
        order = board.follow(flow, order, target, few_neighbours=few_neighbours)
    credits_ = [board.tracks[index].artists for index in order]
    return Arrangement(
        track_ids=tuple(board.tracks[index].track_id for index in order),
        gap=smallest_gap(credits_),
        target=None if board.bound is None else target,
        upper_bound=board.bound,
        neighbours=neighbours(credits_),
        neighbour_bound=neighbour_bound(credits_),
    )


def _wanted_gap(gap: Gap, bound: int | None) -> int:
    if isinstance(gap, int):
        if gap < 1:
            raise OrderError(f"a gap is at least 1 (neighbours allowed), got {gap}")
        return min(gap, bound or 1)
    if gap not in ("best", "half"):
        raise OrderError(f"gap is 'best', 'half' or a number of positions, got {gap!r}")
    if bound is None or bound < 2:
        return 1
    return bound if gap == "best" else max(2, -(-bound // 2))


class _Board:
    """The tracks of one list, as numbers, and the moves on an order of them.

    Walks place classes of tracks that credit the same *repeating* artists; tracks are dealt to the slots of
    their class at random.
    """

    def __init__(self, tracks: Sequence[OrderTrack], pinned: Mapping[str, int], bits: BitSource) -> None:
        self.tracks = sorted(tracks, key=lambda track: track.track_id)
        self.bits = bits
        self.n = len(self.tracks)
        self.pins = _checked_pins(self.tracks, pinned)
        counts = Counter(artist for track in self.tracks for artist in set(track.artists))
        repeating = sorted(artist for artist, count in counts.items() if count > 1)
        number = {artist: index for index, artist in enumerate(repeating)}
        self.credits = [tuple(sorted({number[a] for a in t.artists if a in number})) for t in self.tracks]
        self.count = [counts[artist] for artist in repeating]
        self.classes = sorted(set(self.credits))
        self.class_of = [self.classes.index(names) for names in self.credits]
        sizes = Counter(self.class_of)
        self.walks = Walks(
            self.classes,
            [sizes[kind] for kind in range(len(self.classes))],
            {slot: self.class_of[index] for slot, index in self.pins.items()},
            bits,
        )
        members: list[set[int]] = [set() for _ in repeating]
        for index, names in enumerate(self.credits):
            for artist in names:
                members[artist].add(index)
        self.clashing = [
            tuple(sorted(set().union(*(members[a] for a in names)) - {index}))
            for index, names in enumerate(self.credits)
        ]
        self.bound = self._bound()

    def _bound(self) -> int | None:
        """What neither the list nor its pins let a gap exceed."""
        bound = gap_bound([track.artists for track in self.tracks])
        between_pins = (
            abs(one - other)
            for one, index in self.pins.items()
            for other, clashing in self.pins.items()
            if clashing in self.clashing[index]
        )
        return None if bound is None else min((bound, *between_pins))

    def construct(self, wanted: int) -> tuple[list[int], int]:
        """An order with the largest gap up to ``wanted`` that "most remaining first" completes; that gap."""
        for gap in range(wanted, 1, -1):
            order = self._construct_with(gap)
            if order is not None:
                return order, gap
        if self._largest() > (self.n + 1) / 2 and not self.pins:
            return self._separate_singly(), 1
        order = self._construct_with(1)
        assert order is not None, "with a gap of 1 every track is always ready"  # noqa: S101
        return order, 1

    def _construct_with(self, gap: int) -> list[int] | None:
        openers: list[int | None] = [None]
        if 0 not in self.pins:
            free = [index for index in range(self.n) if index not in self.pins.values()]
            self.bits.shuffle(free)
            openers = list(free) or [None]
        hopeless: set[int] = set()
        for opener in openers:
            # Tracks of one class open the same lists, so one failure speaks for all of them.
            if opener is not None and self.class_of[opener] in hopeless:
                continue
            kind = None if opener is None else self.class_of[opener]
            witness = self.walks.most_remaining_first(gap, kind)
            if witness is not None:
                # The more of them got stuck, the less is left to chance.
                fills = (self.walks.at_random(gap, kind, picks=1 + fill // 3) for fill in range(_FILLS))
                return self._deal(next((fill for fill in fills if fill is not None), witness), opener)
            if kind is not None:
                hopeless.add(kind)
        return None

    def _deal(self, kinds: list[int], opener: int | None) -> list[int]:
        """Give each slot a random track of its class; pins and the opener stay what they are."""
        hands: list[list[int]] = [[] for _ in self.classes]
        for index, kind in enumerate(self.class_of):
            if index != opener and index not in self.pins.values():
                hands[kind].append(index)
        for hand in hands:
            self.bits.shuffle(hand)
        order = []
        for slot, kind in enumerate(kinds):
            fixed = self.pins.get(slot, opener if slot == 0 else None)
            order.append(hands[kind].pop() if fixed is None else fixed)
        return order

    def _largest(self) -> int:
        return max(self.count, default=0)

    def _separate_singly(self) -> list[int]:
        """One artist on over half of the tracks: every other track stands alone between random runs of it."""
        artist = self.count.index(self._largest())
        own = [index for index in range(self.n) if artist in self.credits[index]]
        others = [index for index in range(self.n) if artist not in self.credits[index]]
        self.bits.shuffle(own)
        self.bits.shuffle(others)
        cuts = list(range(1, len(own)))
        self.bits.shuffle(cuts)
        separator_before = dict(zip(sorted(cuts[: len(others)]), others, strict=True))
        order: list[int] = []
        for place, index in enumerate(own):
            if place in separator_before:
                order.append(separator_before[place])
            order.append(index)
        return order

    def _movable(self) -> list[int]:
        return [slot for slot in range(1, self.n) if slot not in self.pins]

    def mix(self, order: list[int], gap: int) -> None:
        """Swap random slots wherever every clashing track stays ``gap`` away; opener and pins stay."""
        movable = self._movable()
        if len(movable) < 2:
            return
        position = [0] * self.n
        for slot, index in enumerate(order):
            position[index] = slot
        for _ in range(_SWAPS):
            one, other = divmod(self.bits.below(len(movable) ** 2), len(movable))
            self._swap_if_apart(order, position, movable[one], movable[other], gap)

    def _swap_if_apart(self, order: list[int], position: list[int], one: int, other: int, gap: int) -> bool:
        a, b = order[one], order[other]
        for c in self.clashing[a]:
            if c != b and -gap < position[c] - other < gap:
                return False
        for c in self.clashing[b]:
            if c != a and -gap < position[c] - one < gap:
                return False
        order[one], order[other] = b, a
        position[a], position[b] = other, one
        return True

    def settle(self, order: list[int], target: int, wanted: int) -> tuple[list[int], int]:
        """The order with a gap of exactly its target; and that.

        Where chance left every pair further apart than promised, one is brought to just the promised distance:
        the target is stored beside the order, and two figures that always agree are worth more to a reader than
        a slot or two of distance that the next draw would not repeat. A target is raised only where swaps went
        beyond what the construction could do, or where pins keep all pairs further apart.
        """
        gap = self._gap_of(order)
        if gap is None or gap == target:
            return order, target
        target = min(gap, wanted)
        met = (
            order
            if gap == target
            else self._draw_together(order, target) or self._built_around(order, target)
        )
        return (order, gap) if met is None else (met, target)

    def _gap_of(self, order: Sequence[int]) -> int | None:
        return smallest_gap([self.tracks[index].artists for index in order])

    def _draw_together(self, order: list[int], gap: int) -> list[int] | None:
        """The order after one swap that brings a clashing pair to a distance of just ``gap``."""
        movable = set(self._movable())
        position = [0] * self.n
        for slot, index in enumerate(order):
            position[index] = slot
        for a, b in self._clashing_pairs():
            for slot in (position[a] - gap, position[a] + gap):
                if {slot, position[b]} <= movable and self._swap_if_apart(
                    order, position, position[b], slot, gap
                ):
                    return order
        return None

    def _built_around(self, order: list[int], gap: int) -> list[int] | None:
        """An order with the same opener, built around a clashing pair that is pinned just ``gap`` apart."""
        fixed = {self.tracks[index].track_id: slot for slot, index in self.pins.items()}
        fixed[self.tracks[order[0]].track_id] = 0
        tries = 0
        for a, b in self._clashing_pairs():
            for slot in range(self.n - gap):
                pins = fixed | {self.tracks[a].track_id: slot, self.tracks[b].track_id: slot + gap}
                if len(set(pins.values())) < len(pins) or any(pins[name] != fixed[name] for name in fixed):
                    continue
                found = _Board(self.tracks, pins, self.bits)._construct_with(gap)
                tries += 1
                if found is not None or tries == _BUILDS:
                    return found
        return None

    def _clashing_pairs(self) -> list[tuple[int, int]]:
        pairs = [(a, b) for a in range(self.n) for b in self.clashing[a]]
        self.bits.shuffle(pairs)
        return pairs

    def follow(self, flow: Flow, order: list[int], gap: int, *, few_neighbours: bool) -> list[int]:
        """The order after its transitions were made to follow a flow; opener, pins and gap stay."""
        sounds = [track.sound for track in self.tracks]
        clashes = sum(order[slot] in self.clashing[order[slot + 1]] for slot in range(self.n - 1))
        return follow(
            order,
            transition_costs(sounds),
            places=place_costs(flow, sounds),
            spacing=Spacing(self.clashing, gap, most_neighbours=clashes if few_neighbours else None),
            fixed={0, *self.pins},
            bits=self.bits,
        )

    def lower_neighbours(self, order: list[int]) -> None:
        """Where a gap of 2 is out of reach: random swaps that never add a pair of same-artist neighbours."""
        movable = self._movable()
        if len(movable) < 2:
            return
        clashing = [set(others) for others in self.clashing]

        def pairs_at(slots: set[int]) -> int:
            return sum(order[s + 1] in clashing[order[s]] for s in slots if 0 <= s < self.n - 1)

        everywhere = set(range(self.n))
        bound = max(0, 2 * self._largest() - self.n - 1)
        now = pairs_at(everywhere)
        for attempt in range(_LOWERING_SWAPS):
            if attempt >= _SWAPS and now <= bound:
                break
            one, other = (movable[self.bits.below(len(movable))] for _ in range(2))
            touched = {one - 1, one, other - 1, other}
            before = pairs_at(touched)
            order[one], order[other] = order[other], order[one]
            change = pairs_at(touched) - before
            if change > 0:
                order[one], order[other] = order[other], order[one]
            else:
                now += change


def _checked_pins(tracks: Sequence[OrderTrack], pinned: Mapping[str, int]) -> dict[int, int]:
    """Position → index of the track pinned there."""
    index_of = {track.track_id: index for index, track in enumerate(tracks)}
    if len(index_of) < len(tracks):
        twice = next(a.track_id for a, b in pairwise(tracks) if a.track_id == b.track_id)
        raise OrderError(f"track {twice} is in the list twice; a playlist holds a track once")
    pins: dict[int, int] = {}
    for track_id, position in sorted(pinned.items()):
        if track_id not in index_of:
            raise OrderError(f"pinned track {track_id} is not in the list")
        if not 0 <= position < len(tracks):
            raise OrderError(f"track {track_id} is pinned to position {position} of {len(tracks)}")
        if position in pins:
            raise OrderError(
                f"tracks {tracks[pins[position]].track_id} and {track_id} are both pinned to {position}"
            )
        pins[position] = index_of[track_id]
    return pins

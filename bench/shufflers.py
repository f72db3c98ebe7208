"""How others shuffle: own versions from the published descriptions, to compare with on the same lists.

What belongs here: playing orders from lists of credits. What does not: judging them (``order``). All of them know
one artist per track; where a track credits several, the first one counts.
"""

import heapq
from collections.abc import Callable, Sequence

from spotify_pipelines.playlists.figures import neighbours, smallest_gap
from spotify_pipelines.playlists.randomness import BitSource

__all__ = ["SHUFFLERS", "Credits", "Shuffler", "fisher_yates"]

Credits = Sequence[tuple[str, ...]]
Shuffler = Callable[[Credits, BitSource], list[int]]


def fisher_yates(credits_: Credits, bits: BitSource) -> list[int]:
    """A uniform order."""
    order = list(range(len(credits_)))
    bits.shuffle(order)
    return order


def best_of_30(credits_: Credits, bits: BitSource) -> list[int]:
    """Of 30 uniform orders the one with fewest neighbours, then the widest gap."""

    def score(order: list[int]) -> tuple[int, int]:
        played = [credits_[track] for track in order]
        return neighbours(played), -(smallest_gap(played) or 0)

    return min((fisher_yates(credits_, bits) for _ in range(30)), key=score)


def heap_spacing(credits_: Credits, bits: BitSource) -> list[int]:
    """The artist with most tracks left that did not play last, from a heap; ties and tracks at random."""
    heap = [(-len(tracks), bits.word(), tracks) for tracks in _by_artist(credits_, bits)]
    heapq.heapify(heap)
    order: list[int] = []
    resting: tuple[int, int, list[int]] | None = None
    while heap or resting:
        if not heap and resting:
            heapq.heappush(heap, resting)
            resting = None
        _, _, tracks = heapq.heappop(heap)
        order.append(tracks.pop())
        if resting:
            heapq.heappush(heap, resting)
        resting = (-len(tracks), bits.word(), tracks) if tracks else None
    return order


def spread_2014(credits_: Credits, bits: BitSource) -> list[int]:
    """Each artist's tracks at even distances from a random start, a little off (Poláček, Spotify Labs, 2014)."""
    places: list[tuple[float, int]] = []
    for tracks in _by_artist(credits_, bits):
        share = 1 / len(tracks)
        start = _uniform(bits) * share
        for number, track in enumerate(tracks):
            off = (_uniform(bits) - 0.5) * 0.2 * share
            places.append((start + number * share + off, track))
    return [track for _, track in sorted(places)]


def merge_shuffle(credits_: Credits, bits: BitSource) -> list[int]:
    """Artist after artist, small ones first, the shorter list is spread through the longer (van Asseldonk 2023)."""
    merged: list[int] = []
    for tracks in sorted(_by_artist(credits_, bits), key=len):
        longer, shorter = (merged, tracks) if len(merged) > len(tracks) else (tracks, merged)
        merged = _spread_through(longer, shorter, bits)
    return merged


def _spread_through(longer: list[int], shorter: list[int], bits: BitSource) -> list[int]:
    """The items of ``shorter`` between segments of ``longer`` that are as equal as can be, extras at random."""
    size, extra = divmod(len(longer), len(shorter) + 1)
    sizes = [size + 1] * extra + [size] * (len(shorter) + 1 - extra)
    bits.shuffle(sizes)
    rest = iter(longer)
    out: list[int] = []
    for place, length in enumerate(sizes):
        out += [next(rest) for _ in range(length)]
        out += shorter[place : place + 1]
    return out


def _by_artist(credits_: Credits, bits: BitSource) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for track, names in enumerate(credits_):
        groups.setdefault(names[0], []).append(track)
    out = list(groups.values())
    for tracks in out:
        bits.shuffle(tracks)
    bits.shuffle(out)
    return out


def _uniform(bits: BitSource) -> float:
    return bits.below(1 << 53) / (1 << 53)


SHUFFLERS: dict[str, Shuffler] = {
    "Fisher–Yates": fisher_yates,
    "best of 30": best_of_30,
    "heap spacing": heap_spacing,
    "spread of 2014": spread_2014,
    "merge shuffle": merge_shuffle,
}

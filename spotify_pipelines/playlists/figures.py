"""Figures of a playlist: plain numbers that say how good a selection and its order are, beside their bounds.

What belongs here: functions of ordered credits, caps and ages that anyone can recompute from a stored
snapshot. What does not: deciding anything, reading or storing.

"Credits" are, track by track in playing order, the artists that the track names; a track counts for each.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = [
    "SnapshotFigures",
    "cap_excess",
    "jaccard",
    "largest_artist",
    "neighbour_bound",
    "neighbours",
    "smallest_gap",
    "smallest_reuse",
    "snapshot_figures",
]

Credits = Sequence[Collection[str]]


@dataclass(frozen=True, slots=True)
class SnapshotFigures:
    """What one snapshot came out as.

    ``largest_share`` is the share of tracks that credit the most frequent artist (0 to 1); ``smallest_gap``
    the least distance in positions between tracks of one artist (1 = neighbours; None: no artist repeats);
    ``smallest_reuse`` the least age of a reused track in the unit of the ages given (None: none reused);
    ``artist_excess`` and ``album_excess`` count tracks beyond the caps.
    """

    tracks: int
    artists: int
    largest_artist: str | None
    largest_share: float
    smallest_gap: int | None
    neighbours: int
    neighbour_bound: int
    artist_excess: int
    album_excess: int
    smallest_reuse: int | None


def snapshot_figures(
    track_ids: Sequence[str],
    credits_: Credits,
    *,
    albums: Sequence[str | None] = (),
    artist_cap: int | None = None,
    album_cap: int | None = None,
    ages: Mapping[str, int] | None = None,
) -> SnapshotFigures:
    """All figures of one snapshot. ``ages``: how long ago each recently used track was used last."""
    top = largest_artist(credits_)
    return SnapshotFigures(
        tracks=len(track_ids),
        artists=len({artist for names in credits_ for artist in names}),
        largest_artist=top[0] if top else None,
        largest_share=top[1] / len(track_ids) if top else 0.0,
        smallest_gap=smallest_gap(credits_),
        neighbours=neighbours(credits_),
        neighbour_bound=neighbour_bound(credits_),
        artist_excess=cap_excess((artist for names in credits_ for artist in set(names)), artist_cap),
        album_excess=cap_excess((album for album in albums if album is not None), album_cap),
        smallest_reuse=smallest_reuse(track_ids, ages or {}),
    )


def largest_artist(credits_: Iterable[Collection[str]]) -> tuple[str, int] | None:
    """The artist on most tracks (the smallest name among equals) and on how many; None: nobody is named."""
    counts = _tracks_per_artist(credits_)
    return min(counts.items(), key=lambda item: (-item[1], item[0])) if counts else None


def smallest_gap(credits_: Credits) -> int | None:
    """The least distance in positions between two tracks that share an artist; None if none do."""
    last: dict[str, int] = {}
    gap: int | None = None
    for position, names in enumerate(credits_):
        for artist in set(names):
            if artist in last:
                distance = position - last[artist]
                gap = distance if gap is None else min(gap, distance)
            last[artist] = position
    return gap


def neighbours(credits_: Credits) -> int:
    """How many pairs of adjacent tracks share an artist."""
    sets = [set(names) for names in credits_]
    return sum(not a.isdisjoint(b) for a, b in pairwise(sets))


def neighbour_bound(credits_: Credits) -> int:
    """The least same-artist neighbours of any order: max(0, 2c − n − 1), c the largest artist's tracks."""
    top = largest_artist(credits_)
    return max(0, 2 * top[1] - len(credits_) - 1) if top else 0


def cap_excess(groups: Iterable[Hashable], cap: int | None) -> int:
    """How many members stand beyond ``cap`` in their group, over all groups; 0 without a cap."""
    if cap is None:
        return 0
    return sum(max(0, count - cap) for count in Counter(groups).values())


def smallest_reuse(track_ids: Iterable[str], ages: Mapping[str, int]) -> int | None:
    """The least age among the tracks that were used before; None if none was."""
    return min((ages[track_id] for track_id in track_ids if track_id in ages), default=None)


def jaccard(one: Iterable[str], other: Iterable[str]) -> float:
    """Common tracks ÷ all tracks of two playlists, 0 to 1; two empty ones are the same (1)."""
    a, b = set(one), set(other)
    return len(a & b) / len(a | b) if a or b else 1.0


def _tracks_per_artist(credits_: Iterable[Collection[str]]) -> Counter[str]:
    return Counter(artist for names in credits_ for artist in set(names))

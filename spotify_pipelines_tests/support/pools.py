"""Reference pools for selections: made-up tracks whose sizes by artist follow Zipf's law.

What belongs here: the pools, the same on every machine. What does not: measuring.
"""

from collections.abc import Iterator

import numpy as np

from spotify_pipelines.playlists.randomness import BitSource, derive_seed
from spotify_pipelines.playlists.track_pool import Columns, PoolTrack

__all__ = ["large_columns", "large_weights", "reference_tracks"]

_EXPONENT = 0.8
_TRACKS_PER_ARTIST = 4
_GUESTS_IN_TEN = 4
_MOST_GUESTS = 3


def reference_tracks(count: int, *, guests: bool) -> list[PoolTrack]:
    """``count`` tracks by a quarter as many artists; with ``guests``, 1 to 3 more credits on 40 % of them.

    Without guests, 240, 320 and 420 tracks sustain 34.5, 45 and 58 tracks a day at q = 2 and W = 6.
    """
    artists = count // _TRACKS_PER_ARTIST
    shares = 1 / np.arange(1, artists + 1) ** _EXPONENT
    steps = np.rint(shares / shares.sum() * 1e9).astype(np.int64)
    bits = BitSource(derive_seed("reference pool", count, int(guests)))
    bounds = np.cumsum(steps)

    def anyone() -> str:
        return f"a{int(np.searchsorted(bounds, bits.below(int(bounds[-1])), side='right')):05d}"

    tracks = []
    for place, artist in enumerate(_apportioned(count, shares)):
        names = [f"a{artist:05d}"]
        if guests and bits.below(10) < _GUESTS_IN_TEN:
            names += [anyone() for _ in range(1 + bits.below(_MOST_GUESTS))]
        tracks.append(PoolTrack(f"t{place:06d}", tuple(dict.fromkeys(names))))
    return tracks


def large_columns(tracks: int) -> Columns:
    """Ids of 22 letters, ten tracks to an album, twenty to an artist, a guest on every fifth."""
    artists = tracks // 20

    def credited() -> Iterator[tuple[str, ...]]:
        for place in range(tracks):
            names = (f"a{place % artists:021d}", f"a{place * 7 % artists:021d}")
            yield names if place % 5 == 0 else names[:1]

    return Columns.build(
        [f"{place:022d}" for place in range(tracks)],
        credited(),
        (f"r{place // 10:021d}" for place in range(tracks)),
    )


def large_weights(tracks: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Weights from 1 to 5."""
    return 1.0 + np.arange(tracks) % 17 / 4


def _apportioned(count: int, shares: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Iterator[int]:
    """The artist of each track, by largest remainders."""
    exact = shares / shares.sum() * count
    sizes = np.floor(exact).astype(int)
    short = np.argsort(sizes - exact, kind="stable")[: count - int(sizes.sum())]
    sizes[short] += 1
    for artist, size in enumerate(sizes.tolist()):
        yield from [artist] * size

"""The lists of 50 tracks that orders are judged by, in tests and in ``bench``, and a digest of many orders.

What belongs here: made-up lists, the same everywhere. What does not: judging.
"""

import hashlib
from collections import Counter

from spotify_pipelines.playlists.order import Gap, OrderTrack, arrange
from spotify_pipelines.playlists.randomness import BitSource, derive_seed
from spotify_pipelines.playlists.transitions import FLOWS, Sound

__all__ = ["REFERENCE", "SINGLE_CREDIT", "one_artist_each", "order_digest", "with_guests", "with_sounds"]


def one_artist_each(*counts: int) -> list[OrderTrack]:
    """Tracks of one artist each; ``counts`` says how many each artist has."""
    return [
        OrderTrack(f"track-{artist:02}-{number:02}", (f"artist-{artist:02}",))
        for artist, count in enumerate(counts)
        for number in range(count)
    ]


def with_guests(name: str, *, cap: int | None = None) -> list[OrderTrack]:
    """50 tracks of which 40 % credit two to four of 40 artists, none more than ``cap`` times."""
    bits = BitSource(derive_seed("guests", name))
    counts: Counter[str] = Counter()
    tracks: list[OrderTrack] = []
    tries = 0
    while len(tracks) < 50:
        tries += 1
        size = 2 + bits.below(3) if bits.below(10) < 4 else 1
        names = {f"artist-{min(bits.below(40), bits.below(40)):02}" for _ in range(size)}
        if cap is not None and any(counts[artist] >= cap for artist in names):
            if tries < 2_000:
                continue
            names = {f"filler-{len(tracks):02}"}
        counts.update(names)
        tracks.append(OrderTrack(f"track-{len(tracks):02}", tuple(sorted(names))))
    return tracks


def with_sounds(tracks: list[OrderTrack], seed: bytes, *, missing: int = 0) -> list[OrderTrack]:
    """The tracks with tempos around 120, keys of all kinds and energies mostly high; ``missing`` % lack each."""
    bits = BitSource(derive_seed("sounds", seed))

    def known(value: float) -> float:
        return float("nan") if bits.below(100) < missing else value

    def sound() -> Sound:
        tempo = 60 + sum(bits.below(41) for _ in range(3)) + bits.below(1_000) / 1_000
        energy = max(bits.below(1_001), bits.below(1_001)) / 1_000
        key, mode = bits.below(12), int(bits.below(100) < 65)
        return Sound(known(tempo), known(key), known(mode), known(energy))

    return [OrderTrack(track.track_id, track.artists, sound()) for track in tracks]


SINGLE_CREDIT = {
    # name: (tracks, largest gap, neighbour bound)
    "typical": (one_artist_each(5, 4, 3, 3, *[2] * 8, *[1] * 19), 12, 0),
    "eight artists": (one_artist_each(7, 7, *[6] * 6), 8, 0),
    "20 of 50": (one_artist_each(20, *[1] * 30), 2, 0),
    "25 of 50": (one_artist_each(25, *[1] * 25), 2, 0),
    "30 of 50": (one_artist_each(30, *[1] * 20), 1, 9),
    "caps of 2": (one_artist_each(*[2] * 20, *[1] * 10), 30, 0),
    "caps of 3": (one_artist_each(*[3] * 12, *[2] * 4, *[1] * 6), 19, 0),
    "one artist": (one_artist_each(50), 1, 49),
}
REFERENCE = {name: tracks for name, (tracks, _, _) in SINGLE_CREDIT.items()} | {
    "guests": with_guests("a"),
    "guests, caps of 2": with_guests("b", cap=2),
    "guests, caps of 3": with_guests("c", cap=3),
}


def order_digest(count: int) -> str:
    """SHA-256 of ``count`` orders that go through lists, gaps and flows; every seventh has a pin."""
    digest = hashlib.sha256()
    gaps: tuple[Gap, ...] = ("half", 3, "best")
    lists = list(REFERENCE.values())
    for number in range(count):
        # 11 lists, 3 gaps and 5 flows: no two of these numbers have a divisor in common, so all pairs meet.
        seed = derive_seed("golden", number)
        order = arrange(
            with_sounds(lists[number % 11], seed, missing=number % 4),
            gap=gaps[number % 3],
            flow=FLOWS[number % 5],
            pinned={lists[number % 11][number % 50].track_id: number % 7} if number % 7 == 0 else None,
            seed=seed,
        )
        digest.update(" ".join(order.track_ids).encode() + b"\n")
    return digest.hexdigest()

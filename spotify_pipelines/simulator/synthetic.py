"""An invented catalogue of any size from a seed, made on demand: no table, no start-up time.

An id is the scrambled position of its album and track (``ids.IdPermutation``), and an album is drawn from a
generator seeded with its position, so ten albums or ten million cost the same to start. Albums come in every
kind that has broken a client: singles, several discs, more than fifty tracks, guests, compilations, tracks
without features, tracks that nobody may play, and reissues to whose tracks a listener's market relinks.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal

from spotify_pipelines.simulator.catalogue import Album, Artist, Features, FeatureSource, Track
from spotify_pipelines.simulator.ids import IdPermutation
from spotify_pipelines.simulator.names import album_title, artist_name, track_title

__all__ = ["SyntheticCatalogue"]

_ALBUM, _TRACK, _ARTIST = 1, 2, 3
_ORIGINAL, _REISSUE = 0, 1
_CACHED_ALBUMS = 2048
_CACHED_IDS = 32_768
_FIRST_DAY, _LAST_DAY = dt.date(1960, 1, 1).toordinal(), dt.date(2026, 10, 30).toordinal()


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a thing stands in the catalogue; packed into the 128 bits behind its id.

    64 bits stay zero, so that a foreign id practically never decodes into an address.
    """

    kind: int
    index: int
    track: int = 0
    edition: int = _ORIGINAL

    def pack(self) -> int:
        return self.kind << 56 | self.edition << 48 | self.index << 16 | self.track

    @classmethod
    def unpack(cls, number: int) -> "_Address | None":
        if number >> 64:
            return None
        return cls(number >> 56, number >> 16 & 0xFFFFFFFF, number & 0xFFFF, number >> 48 & 0xFF)


class SyntheticCatalogue:
    """``albums`` invented albums by roughly a third as many artists, Zipf-distributed, from ``seed``."""

    def __init__(self, albums: int, seed: int) -> None:
        if not 1 <= albums < 2**32:
            raise ValueError(f"A synthetic catalogue has from 1 to {2**32 - 1:,} albums, not {albums:,}.")
        self._albums = albums
        self._artists = max(12, albums // 3)
        self._seed = seed
        self._ids = IdPermutation(f"spotify-pipelines/{seed}")
        self._cached = lru_cache(maxsize=_CACHED_ALBUMS)(self._make_album)
        self._address = lru_cache(maxsize=_CACHED_IDS)(self._find_address)

    def __len__(self) -> int:
        return self._albums

    def album_ids(self, start: int, count: int) -> Sequence[str]:
        """Up to ``count`` ids of original albums; reissues exist but are in no list."""
        return [self._album_id(index) for index in range(start, min(start + count, self._albums))]

    def album(self, album_id: str) -> Album | None:
        """The album with all its tracks."""
        address = self._address(album_id, _ALBUM)
        return self._cached(address.index, address.edition) if address else None

    def track(self, track_id: str) -> Track | None:
        """One track."""
        address = self._address(track_id, _TRACK)
        if address is None:
            return None
        tracks = self._cached(address.index, address.edition).tracks
        return tracks[address.track] if address.track < len(tracks) else None

    def artist(self, artist_id: str) -> Artist | None:
        """One artist."""
        if artist_id == _VARIOUS_ARTISTS.id:
            return _VARIOUS_ARTISTS
        address = self._address(artist_id, _ARTIST)
        return self._artist(address.index) if address else None

    def _find_address(self, spotify_id: str, kind: int) -> _Address | None:
        number = self._ids.number_of(spotify_id)
        address = None if number is None else _Address.unpack(number)
        if address is None or address.kind != kind or address.edition > _REISSUE:
            return None
        return address if address.index < (self._artists if kind == _ARTIST else self._albums) else None

    def _album_id(self, index: int, edition: int = _ORIGINAL) -> str:
        return self._ids.id_of(_Address(_ALBUM, index, edition=edition).pack())

    def _track_id(self, index: int, track: int, edition: int) -> str:
        return self._ids.id_of(_Address(_TRACK, index, track, edition).pack())

    def _artist(self, rank: int) -> Artist:
        return Artist(self._ids.id_of(_Address(_ARTIST, rank).pack()), artist_name(rank))

    def _draw_artist(self, rng: Random) -> Artist:
        """An artist of rank k with a probability near 1/k: Zipf's law by inversion of its continuous form."""
        return self._artist(min(int((self._artists + 1) ** rng.random()) - 1, self._artists - 1))

    def _make_album(self, index: int, edition: int) -> Album:
        rng = Random(f"{self._seed}/{index}")  # noqa: S311 - the point is that it repeats
        discs = _disc_lengths(index, rng)
        total = sum(discs)
        is_compilation = index % 25 == 11
        main_artist = self._draw_artist(rng)
        name = album_title(rng)
        released = _release_date(rng)
        has_reissue = index % 8 == 3
        positions = [
            (disc, number) for disc, length in enumerate(discs, 1) for number in range(1, length + 1)
        ]
        tracks = []
        for position, (disc, number) in enumerate(positions):
            artists = self._credits(main_artist, is_compilation, rng)
            features, source = _draw_features(rng)
            playable = rng.random() >= 0.02
            is_relinked = has_reissue and edition == _ORIGINAL and position % 5 == 2
            tracks.append(
                Track(
                    id=self._track_id(index, position, edition),
                    name=track_title(rng),
                    album_id=self._album_id(index, edition),
                    artists=artists,
                    disc_number=disc,
                    track_number=number,
                    duration_ms=int(min(max(rng.gauss(222_000, 55_000), 31_000), 900_000)),
                    explicit=rng.random() < 0.12,
                    features=features,
                    feature_source=source,
                    playable=playable or edition == _REISSUE or is_relinked,
                    relinked_to=self._track_id(index, position, _REISSUE) if is_relinked else None,
                )
            )
        return Album(
            id=self._album_id(index, edition),
            name=f"{name} (Reissue)" if edition == _REISSUE else name,
            kind=_kind(total, is_compilation),
            artists=(_VARIOUS_ARTISTS,) if is_compilation else (main_artist,),
            release_date=released,
            tracks=tuple(tracks),
        )

    def _credits(self, main_artist: Artist, is_compilation: bool, rng: Random) -> tuple[Artist, ...]:
        first = self._draw_artist(rng) if is_compilation else main_artist
        guests = rng.choices((0, 1, 2, 3), weights=(84, 12, 3, 1))[0]
        # A dict keeps the order of the credits and drops an artist drawn twice.
        return tuple(dict.fromkeys([first, *(self._draw_artist(rng) for _ in range(guests))]))


_VARIOUS_ARTISTS = Artist("0LyfQWJT6nXafLPZqxe9Of", "Various Artists")


def _disc_lengths(index: int, rng: Random) -> list[int]:
    """Tracks per disc. The rare shapes come at fixed positions: even a small catalogue has them all."""
    if index % 40 == 13:
        return [rng.randint(17, 24) for _ in range(rng.randint(3, 5))]
    if index % 20 == 7:
        return [rng.randint(9, 16), rng.randint(9, 16)]
    if index % 10 == 4:
        return [rng.randint(1, 3)]
    return [rng.randint(4, 7)] if rng.random() < 0.1 else [rng.randint(8, 16)]


def _kind(total_tracks: int, is_compilation: bool) -> Literal["album", "single", "compilation"]:
    if is_compilation:
        return "compilation"
    return "single" if total_tracks <= 6 else "album"


def _release_date(rng: Random) -> str:
    # The square root leans towards the present, as real catalogues do.
    day = _FIRST_DAY + int((_LAST_DAY - _FIRST_DAY) * rng.random() ** 0.5)
    length = rng.choices((10, 7, 4), weights=(85, 3, 12))[0]
    return dt.date.fromordinal(day).isoformat()[:length]


def _draw_features(rng: Random) -> tuple[Features | None, FeatureSource | None]:
    features = _invent_features(rng)
    fate = rng.random()
    if fate < 0.05:
        return None, None
    return features, "reccobeats" if fate < 0.12 else "spotify"


def _invent_features(rng: Random) -> Features:
    """Features that hang together as real ones do: loud tracks are energetic, and seldom acoustic."""
    energy = rng.betavariate(3.2, 2.1)
    return Features(
        danceability=round(rng.betavariate(4.5, 3.4), 3),
        energy=round(energy, 3),
        key=rng.randrange(12),
        loudness=round(min(-24 + 20 * energy + rng.gauss(0, 2), -0.5), 3),
        mode=int(rng.random() < 0.66),
        speechiness=round(0.025 + 0.4 * rng.betavariate(1, 7), 4),
        acousticness=round(min(max((1 - energy) ** 1.5 + rng.gauss(0, 0.12), 0.0001), 0.995), 4),
        instrumentalness=round(rng.betavariate(0.5, 4) if rng.random() < 0.4 else 0.0, 5),
        liveness=round(0.04 + 0.7 * rng.betavariate(1.3, 5), 4),
        valence=round(rng.betavariate(2, 2), 3),
        tempo=round(min(max(rng.gauss(121, 28), 50), 215), 3),
        time_signature=rng.choices((4, 3, 5), weights=(92, 7, 1))[0],
    )

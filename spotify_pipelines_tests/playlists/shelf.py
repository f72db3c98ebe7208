"""A small catalogue in memory for tests of pools: tracks as a test writes them, in the columns of the real one.

What belongs here: making columns. What does not: assertions, databases.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from spotify_pipelines.store.columns import NO, UNKNOWN, YES, CatalogueColumns

__all__ = ["Record", "Song", "shelf"]


@dataclass(frozen=True)
class Record:
    """An album; what is not said is unknown."""

    id: str = "album-1"
    name: str = "First"
    label: str | None = None
    year: int = 0
    tags: tuple[str, ...] = ()
    added: float = float("nan")
    popularity: int = -1


@dataclass(frozen=True)
class Song:
    """A track; ``artists`` by id → name."""

    id: str
    artists: Mapping[str, str] = field(default_factory=dict)
    album: Record = field(default_factory=Record)
    explicit: bool = False
    playable: bool | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    markets: tuple[str, ...] | None = None


def shelf(
    songs: Iterable[Song], features: Iterable[str] = ("energy", "tempo"), markets: Iterable[str] = ("DE",)
) -> CatalogueColumns:
    """The songs as columns."""
    tracks = sorted(songs, key=lambda song: song.id)
    names = dict(sorted((id_, name) for song in tracks for id_, name in song.artists.items()))
    artists = {id_: place for place, id_ in enumerate(names)}
    albums = sorted({song.album for song in tracks}, key=lambda album: album.id)
    places = {album.id: place for place, album in enumerate(albums)}
    credits_ = [sorted(artists[id_] for id_ in song.artists) for song in tracks]
    return CatalogueColumns(
        track_ids=tuple(song.id for song in tracks),
        albums=np.array([places[song.album.id] for song in tracks], dtype=np.int64),
        offsets=np.cumsum([0, *map(len, credits_)], dtype=np.int64),
        credits=np.array([each for of in credits_ for each in of], dtype=np.int64),
        explicit=np.array([song.explicit for song in tracks], dtype=np.bool_),
        playable=np.array([_told(song.playable) for song in tracks], dtype=np.int8),
        features={name: np.array([song.features.get(name, np.nan) for song in tracks]) for name in features},
        available={
            name: np.array(
                [_told(None if song.markets is None else name in song.markets) for song in tracks],
                dtype=np.int8,
            )
            for name in markets
        },
        artist_ids=tuple(names),
        artist_names=tuple(names.values()),
        album_ids=tuple(places),
        album_names=tuple(album.name for album in albums),
        album_labels=tuple(album.label for album in albums),
        album_tags=tuple(album.tags for album in albums),
        album_years=np.array([album.year for album in albums], dtype=np.int16),
        album_added=np.array([album.added for album in albums], dtype=np.float64),
        album_popularity=np.array([album.popularity for album in albums], dtype=np.int16),
    )


def _told(value: bool | None) -> int:
    return UNKNOWN if value is None else YES if value else NO

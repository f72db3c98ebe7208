"""Spotify's answers as rows of the catalogue's tables.

What belongs here: which field goes to which column, and making texts storable. What does not: storing them.
Pure; the time of reading is handed in.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from spotify_pipelines.spotify.models import AlbumItem, ArtistRef, TrackItem

__all__ = ["album_row", "artist_rows", "credit_rows", "storable", "track_row"]


def album_row(album_id: str, album: AlbumItem, *, read_at: datetime) -> dict[str, Any]:
    """The album under the id that was asked for, with its first page of tracks."""
    return {
        "id": album_id,
        "name": storable(album.name),
        "album_type": album.album_type,
        "artist_ids": [artist.id for artist in _named(album.artists)],
        "release_date": album.released_on,
        "release_precision": album.release_date_precision,
        "label": storable(album.label),
        "markets": storable(album.available_markets),
        "popularity": album.popularity,
        "image_url": storable(max(album.images, key=lambda image: image.width or 0).url)
        if album.images
        else None,
        "total_tracks": max(album.total_tracks or 0, album.tracks.total, len(album.tracks.items)),
        "first_page": storable([_entry(track, album) for track in album.tracks.items]),
        "read_at": read_at,
    }


def artist_rows(artists: Iterable[ArtistRef]) -> list[dict[str, Any]]:
    """One row per artist; a credit without an id can't be referred to and is left out."""
    return [{"id": artist.id, "name": storable(artist.name)} for artist in _named(artists)]


def track_row(album_id: str, track: TrackItem) -> dict[str, Any]:
    """The track under the id that was asked for. What it says of features stays untouched."""
    return {
        "id": track.id,
        "album_id": album_id,
        "name": storable(track.name),
        "disc_number": track.disc_number,
        "track_number": track.track_number,
        "duration_ms": track.duration_ms,
        "explicit": track.explicit,
        "playable": track.is_playable,
        "markets": storable(track.available_markets),
        "linked_from": track.id if track.relinked_id else None,
    }


def credit_rows(track: TrackItem) -> list[dict[str, Any]]:
    """The track's artists in order, each once."""
    artist_ids = dict.fromkeys(artist.id for artist in _named(track.artists))
    return [
        {"track_id": track.id, "artist_id": artist_id, "position": position}
        for position, artist_id in enumerate(artist_ids)
    ]


def storable(value: Any) -> Any:
    """``value`` without what PostgreSQL has no room for: NUL signs and halves of surrogate pairs, at any depth.

    >>> storable({"name": "a\\0b", "more": ["\\ud800c"]})
    {'name': 'ab', 'more': ['?c']}
    """
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {key: storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return value


def _entry(track: TrackItem, album: AlbumItem) -> dict[str, Any]:
    """A track as the first page keeps it; the list of countries, often two hundred, only where it is its own."""
    same = track.available_markets == album.available_markets
    return track.model_dump(exclude_none=True, exclude={"available_markets"} if same else None)


def _named(artists: Iterable[ArtistRef]) -> Iterator[ArtistRef]:
    return (artist for artist in artists if artist.id)

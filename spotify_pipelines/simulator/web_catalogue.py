"""The Web API's catalogue: albums, tracks, artists and audio features.

Reads only, open to app tokens. Batch reads and audio features left the development dialect in February 2026.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from spotify_pipelines.simulator.catalogue import Album, Track
from spotify_pipelines.simulator.errors import ApiError
from spotify_pipelines.simulator.exchange import Call, Endpoint, Reply
from spotify_pipelines.simulator.ids import is_spotify_id
from spotify_pipelines.simulator.people import Regime
from spotify_pipelines.simulator.views import Json, Views

__all__ = ["ENDPOINTS"]

T = TypeVar("T")

_EMBEDDED_TRACKS = 50


def _checked_id(spotify_id: str) -> str:
    if not is_spotify_id(spotify_id):
        raise ApiError(400, "Invalid base62 id")
    return spotify_id


def _ids(call: Call, most: int) -> list[str]:
    ids = [_checked_id(part.strip()) for part in call.query.get("ids", "").split(",") if part.strip()]
    if not ids:
        raise ApiError(400, "Missing required field: ids")
    if len(ids) > most:
        raise ApiError(400, f"Too many ids requested, the maximum is {most}")
    return ids


def _found(look_up: Callable[[str], T | None], spotify_id: str) -> T:
    thing = look_up(_checked_id(spotify_id))
    if thing is None:
        raise ApiError(404, "Resource not found")
    return thing


def _album_view(views: Views, album: Album) -> Json:
    return views.album(album, _tracks_page(views, album, limit=_EMBEDDED_TRACKS))


def _tracks_page(
    views: Views, album: Album, *, limit: int, offset: int = 0, query: Mapping[str, str] | None = None
) -> Json:
    shown = [views.album_track(track) for track in album.tracks[offset : offset + limit]]
    return views.page(
        f"/albums/{album.id}/tracks", shown, len(album.tracks), limit=limit, offset=offset, query=query
    )


def _get_album(call: Call) -> Reply:
    album = _found(call.state.catalogue.album, call.params["id"])
    return Reply(200, _album_view(call.views(), album))


def _get_albums(call: Call) -> Reply:
    views = call.views()
    albums = [call.state.catalogue.album(album_id) for album_id in _ids(call, 20)]
    return Reply(200, {"albums": [album and _album_view(views, album) for album in albums]})


def _get_album_tracks(call: Call) -> Reply:
    album = _found(call.state.catalogue.album, call.params["id"])
    limit, offset = call.integer("limit", 20, 1, 50), call.integer("offset", 0, 0, 10**6)
    return Reply(200, _tracks_page(call.views(), album, limit=limit, offset=offset, query=call.query))


def _get_track(call: Call) -> Reply:
    track = _found(call.state.catalogue.track, call.params["id"])
    return Reply(200, call.views().track(track))


def _get_tracks(call: Call) -> Reply:
    views = call.views()
    tracks = [call.state.catalogue.track(track_id) for track_id in _ids(call, 50)]
    return Reply(200, {"tracks": [track and views.track(track) for track in tracks]})


def _get_artist(call: Call) -> Reply:
    artist = _found(call.state.catalogue.artist, call.params["id"])
    return Reply(200, call.views().artist(artist))


def _check_features_allowed(call: Call) -> None:
    if not call.client.has_audio_features:
        raise ApiError(403, None)


def _get_features(call: Call) -> Reply:
    _check_features_allowed(call)
    views = call.views()
    tracks = [call.state.catalogue.track(track_id) for track_id in _ids(call, 100)]
    return Reply(200, {"audio_features": [track and _features_view(views, track) for track in tracks]})


def _get_features_of_one(call: Call) -> Reply:
    _check_features_allowed(call)
    track = _found(call.state.catalogue.track, call.params["id"])
    view = _features_view(call.views(), track)
    if view is None:
        raise ApiError(404, "analysis not found")
    return Reply(200, view)


def _features_view(views: Views, track: Track) -> Json | None:
    return views.audio_features(track, track.spotify_features) if track.spotify_features else None


_CLASSIC = frozenset({Regime.EXTENDED})

ENDPOINTS = (
    Endpoint("GET", "/v1/albums/{id}", _get_album, "albums", is_cacheable=True),
    Endpoint("GET", "/v1/albums", _get_albums, "albums", regimes=_CLASSIC, is_cacheable=True),
    Endpoint("GET", "/v1/albums/{id}/tracks", _get_album_tracks, "albums", is_cacheable=True),
    Endpoint("GET", "/v1/tracks/{id}", _get_track, "tracks", is_cacheable=True),
    Endpoint("GET", "/v1/tracks", _get_tracks, "tracks", regimes=_CLASSIC, is_cacheable=True),
    Endpoint("GET", "/v1/artists/{id}", _get_artist, "artists", is_cacheable=True),
    # An app keeps or loses its audio features on its own terms: the endpoint itself looks at the client.
    Endpoint("GET", "/v1/audio-features", _get_features, "audio-features", is_cacheable=True),
    Endpoint("GET", "/v1/audio-features/{id}", _get_features_of_one, "audio-features", is_cacheable=True),
)

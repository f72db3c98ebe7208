"""The Web API's personal half: the caller's profile, playlists, their items, covers, and the library.

The traps are Spotify's own: a line break in a description is a 500, an omitted description becomes the text
"null", one dead URI spoils a write with 502, and what is gone from the library is not gone.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from hashlib import sha1

from spotify_pipelines.simulator.errors import ApiError
from spotify_pipelines.simulator.exchange import Call, Endpoint, Reply
from spotify_pipelines.simulator.fields import FieldsError, select_fields
from spotify_pipelines.simulator.ids import is_spotify_id, parse_uri
from spotify_pipelines.simulator.people import Regime
from spotify_pipelines.simulator.playlists import Entry, Playlist, Revision, playlist_uri
from spotify_pipelines.simulator.views import Json

__all__ = ["ENDPOINTS"]

_LONGEST_NAME = 100
_LONGEST_DESCRIPTION = 300
_LARGEST_COVER = 256 * 1024
_LARGEST_PLAYLIST = 10_000
_MOST_PLAYLISTS = 11_000
_MOST_URIS = 100
_MOST_LIBRARY_URIS = 40
_LIBRARY_KINDS = ("track", "album", "episode", "show", "audiobook", "user", "playlist")
_EXTERNAL_LINK = re.compile(r"(https?://|www\.)(?!open\.spotify\.com)", re.IGNORECASE)


# --- who may do what ---


def _find(call: Call) -> Playlist:
    playlist_id = call.params["id"]
    if not is_spotify_id(playlist_id):
        raise ApiError(400, "Invalid base62 id")
    playlist = call.state.playlists.find(playlist_id)
    if playlist is None or (not playlist.public and playlist.owner_id != call.user_id):
        raise ApiError(404, "Resource not found")
    return playlist


def _find_own(call: Call) -> Playlist:
    """The playlist, for a caller who may change it."""
    playlist = _find(call)
    if playlist.owner_id != call.user.user_id:
        raise ApiError(403, "Forbidden")
    call.require_scope(_modify_scope(playlist.public))
    return playlist


def _modify_scope(is_public: bool) -> str:
    return "playlist-modify-public" if is_public else "playlist-modify-private"


def _check_readable(call: Call, playlist: Playlist) -> None:
    if call.client.regime is Regime.DEVELOPMENT and playlist.owner_id != call.user_id:
        raise ApiError(403, "Forbidden")
    if not playlist.public:
        call.require_scope("playlist-read-private")


# --- what is seen, with the delays that faults ask for ---


def _seen_snapshot_id(call: Call, playlist: Playlist) -> str:
    return _seen(call, playlist, "slow_snapshot_ids").snapshot_id


def _seen(call: Call, playlist: Playlist, lag: str) -> Revision:
    """The revision as it was so long ago as ``lag`` says, or else the oldest."""
    playlists, delay = call.state.playlists, call.state.faults.lag(lag)
    if not delay:
        return playlists.latest(playlist.id)
    return playlists.as_of(playlist.id, call.now - delay) or playlists.history(playlist.id)[0]


def _playlist_view(call: Call, playlist: Playlist) -> Json:
    views = call.views()
    if views.regime is Regime.EXTENDED:
        items = _items_page(call, playlist, "tracks", limit=100)
    elif playlist.owner_id == call.user_id:
        items = _items_page(call, playlist, "items", limit=50)
    else:
        items = None
    return views.playlist(
        playlist,
        call.state.playlists.latest(playlist.id),
        _seen_snapshot_id(call, playlist),
        call.state.people.users.get(playlist.owner_id),
        items=items,
        followers=len(call.state.playlists.followers(playlist.id)),
    )


def _items_page(call: Call, playlist: Playlist, collection: str, *, limit: int, offset: int = 0) -> Json:
    views, path = call.views(), f"/playlists/{playlist.id}/{collection}"
    entries = _seen(call, playlist, "slow_items").entries()
    # The new path speaks the new dialect; to a classic app it says the old word as well.
    keys = {"track"} if collection == "tracks" else {"item", views.entry_key}
    shown = [views.playlist_entry(entry, sorted(keys)) for entry in entries[offset : offset + limit]]
    return views.page(path, shown, len(entries), limit=limit, offset=offset, query=_kept_in_links(call.query))


def _kept_in_links(query: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in query.items() if key in ("market", "additional_types")}


def _filtered(call: Call, view: Json) -> object:
    fields = call.query.get("fields")
    try:
        return select_fields(view, fields) if fields else view
    except FieldsError:
        raise ApiError(400, "Invalid fields") from None


# --- profile and listings ---


def _get_me(call: Call) -> Reply:
    return Reply(200, call.views().private_user(call.user, call.scopes))


def _get_my_playlists(call: Call) -> Reply:
    limit, offset = call.integer("limit", 20, 1, 50), call.integer("offset", 0, 0, 100_000)
    views, state = call.views(), call.state
    is_private_seen = "playlist-read-private" in call.scopes
    lag = state.faults.lag("listing_lag")
    listed = [
        playlist
        for playlist in state.playlists.followed(call.user.user_id)
        if (playlist.public or is_private_seen) and playlist.created_at <= call.now - lag
    ]
    shown = [
        views.playlist_ref(
            playlist,
            _seen(call, playlist, "listing_lag"),
            _seen_snapshot_id(call, playlist),
            state.people.users.get(playlist.owner_id),
        )
        for playlist in listed[offset : offset + limit]
    ]
    return Reply(200, views.page("/me/playlists", shown, len(listed), limit=limit, offset=offset))


# --- create and details ---


def _body_object(call: Call) -> dict[str, object]:
    body = call.json()
    if not isinstance(body, dict):
        raise ApiError(400, "Error parsing JSON.")
    return body


def _checked_name(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ApiError(400, "Missing required field: name")
    if len(value) > _LONGEST_NAME:
        raise ApiError(400, "Playlist name is too long")
    return value


def _checked_description(value: object) -> str:
    if not isinstance(value, str):
        raise ApiError(400, "Invalid value for field: description")
    if "\n" in value or "\r" in value or len(value) > _LONGEST_DESCRIPTION:
        raise ApiError(500, "Internal server error")
    if _EXTERNAL_LINK.search(value):
        raise ApiError(400, "Description must not contain links")
    return value


def _flag(body: Mapping[str, object], name: str, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ApiError(400, f"Invalid value for field: {name}")
    return value


def _create(call: Call) -> Reply:
    user = call.user
    body = _body_object(call)
    name = _checked_name(body.get("name"))
    # Omitted, it becomes the text "null", as if a missing value had been printed.
    description = "null" if body.get("description") is None else _checked_description(body["description"])
    public, collaborative = _flag(body, "public", True), _flag(body, "collaborative", False)
    if public and collaborative:
        raise ApiError(400, "A collaborative playlist can't be public")
    call.require_scope(_modify_scope(public))
    if call.state.playlists.count(user.user_id) >= _MOST_PLAYLISTS:
        raise ApiError(400, "Maximum number of playlists reached")
    playlist = call.state.playlists.create(
        user.user_id, name, description, call.now, public=public, collaborative=collaborative
    )
    view = _playlist_view(call, playlist)
    return Reply(201, view, {"Location": str(view["href"])}, effect=True)


def _create_for_user(call: Call) -> Reply:
    if call.params["id"] != call.user.user_id:
        raise ApiError(403, "You cannot create a playlist for another user.")
    return _create(call)


def _get_playlist(call: Call) -> Reply:
    playlist = _find(call)
    return Reply(200, _filtered(call, _playlist_view(call, playlist)))


def _change_details(call: Call) -> Reply:
    playlist = _find_own(call)
    body = _body_object(call)
    name = _checked_name(body["name"]) if "name" in body else None
    description = None
    if body.get("description") is not None:
        description = _checked_description(body["description"])
        if not description:
            raise ApiError(400, "Description must not be empty")
    public = _flag(body, "public", playlist.public)
    collaborative = _flag(body, "collaborative", playlist.collaborative)
    if public and collaborative:
        raise ApiError(400, "A collaborative playlist can't be public")
    call.state.playlists.set_flags(playlist.id, public=public, collaborative=collaborative)
    call.state.playlists.revise(playlist.id, "details", call.now, name=name, description=description)
    return Reply(200, effect=True)


# --- items ---


def _get_items(call: Call, collection: str, default_limit: int, most: int) -> Reply:
    playlist = _find(call)
    _check_readable(call, playlist)
    limit = call.integer("limit", default_limit, 1, most)
    offset = call.integer("offset", 0, 0, 10**6)
    page = _items_page(call, playlist, collection, limit=limit, offset=offset)
    return Reply(200, _filtered(call, page))


def _get_items_new(call: Call) -> Reply:
    return _get_items(call, "items", 20, 50)


def _get_items_classic(call: Call) -> Reply:
    return _get_items(call, "tracks", 100, 100)


def _given_uris(call: Call, body: object) -> list[object] | None:
    """The URIs in the query, in ``uris`` of the body, or the body itself where it is a list."""
    if "uris" in call.query:
        return [uri.strip() for uri in call.query["uris"].split(",") if uri.strip()]
    value = body.get("uris") if isinstance(body, dict) else body
    if value is not None and not isinstance(value, list):
        raise ApiError(400, "Invalid value for field: uris")
    return value


def _checked_uris(call: Call, uris: list[object]) -> list[str]:
    if len(uris) > _MOST_URIS:
        raise ApiError(400, "You can add a maximum of 100 tracks per request.")
    for uri in uris:
        if not isinstance(uri, str) or parse_uri(uri, "track") is None:
            raise ApiError(400, f"Invalid track uri: {uri}")
    checked = [str(uri) for uri in uris]
    if any(_is_dead(call, uri) for uri in checked):
        raise ApiError(502, "Error while loading resource")
    return checked


def _is_dead(call: Call, uri: str) -> bool:
    track_id = parse_uri(uri, "track")
    return track_id is None or call.state.catalogue.track(track_id) is None or call.state.faults.is_dead(uri)


def _new_entries(call: Call, uris: list[str]) -> list[Entry]:
    return [Entry(uri, call.now, call.user.user_id) for uri in uris]


def _write_items(call: Call, playlist: Playlist, entries: list[Entry], status: int) -> Reply:
    if len(entries) > _LARGEST_PLAYLIST:
        raise ApiError(400, "Playlist size limit reached")
    revision = call.state.playlists.revise(playlist.id, "items", call.now, entries=entries)
    return Reply(status, {"snapshot_id": revision.snapshot_id}, effect=True)


def _check_snapshot(call: Call, playlist: Playlist, body: Mapping[str, object]) -> None:
    wanted = body.get("snapshot_id")
    if wanted is not None and wanted not in {
        r.snapshot_id for r in call.state.playlists.history(playlist.id)
    }:
        raise ApiError(400, "Invalid snapshot id")


def _put_items(call: Call) -> Reply:
    """Replace all items (``uris``) or move some (``range_start``), never both."""
    playlist = _find_own(call)
    body = call.json()
    uris = _given_uris(call, body)
    is_reorder = isinstance(body, dict) and "range_start" in body
    if (uris is None) != is_reorder:
        raise ApiError(400, "Use either uris or range_start")
    if uris is not None:
        return _write_items(call, playlist, _new_entries(call, _checked_uris(call, uris)), 200)
    moves = _body_object(call)
    _check_snapshot(call, playlist, moves)
    entries = call.state.playlists.latest(playlist.id).entries()
    return _write_items(call, playlist, _reordered(entries, moves), 200)


def _reordered(entries: list[Entry], moves: Mapping[str, object]) -> list[Entry]:
    start, before, length = moves.get("range_start"), moves.get("insert_before"), moves.get("range_length", 1)
    if not (isinstance(start, int) and isinstance(before, int) and isinstance(length, int)):
        raise ApiError(400, "range_start, insert_before and range_length have to be whole numbers")
    if not (
        0 <= start < len(entries) and 0 <= before <= len(entries) and 1 <= length <= len(entries) - start
    ):
        raise ApiError(400, "Index out of bounds")
    moved, end = entries[start : start + length], start + length
    if start <= before <= end:
        return entries
    if before < start:
        return entries[:before] + moved + entries[before:start] + entries[end:]
    return entries[:start] + entries[end:before] + moved + entries[before:]


def _post_items(call: Call) -> Reply:
    playlist = _find_own(call)
    body = call.json()
    uris = _given_uris(call, body)
    if not uris:
        raise ApiError(400, "No uris provided")
    entries = call.state.playlists.latest(playlist.id).entries()
    position: object = call.integer("position", len(entries), 0, 10**6)
    if isinstance(body, dict) and body.get("position") is not None:
        position = body["position"]
    if not isinstance(position, int) or not 0 <= position <= len(entries):
        raise ApiError(400, "Index out of bounds")
    added = _new_entries(call, _checked_uris(call, uris))
    return _write_items(call, playlist, entries[:position] + added + entries[position:], 201)


def _delete_items(call: Call) -> Reply:
    """Remove every place that holds one of the URIs, or only those at the ``positions`` given with it."""
    playlist = _find_own(call)
    body = _body_object(call)
    _check_snapshot(call, playlist, body)
    objects = body.get("items", body.get("tracks"))
    if not isinstance(objects, list) or not objects:
        raise ApiError(400, "Missing required field: items")
    if len(objects) > _MOST_URIS:
        raise ApiError(400, "You can remove a maximum of 100 items per request.")
    doomed: dict[str, list[int] | None] = {}
    for item in objects:
        if not isinstance(item, dict) or not isinstance(item.get("uri"), str):
            raise ApiError(400, "Missing required field: uri")
        positions = item.get("positions")
        if positions is not None and not isinstance(positions, list):
            raise ApiError(400, "Invalid value for field: positions")
        doomed[item["uri"]] = positions
    entries = call.state.playlists.latest(playlist.id).entries()
    kept = [entry for at, entry in enumerate(entries) if not _is_doomed(entry, at, doomed)]
    return _write_items(call, playlist, kept, 200)


def _is_doomed(entry: Entry, at: int, doomed: Mapping[str, list[int] | None]) -> bool:
    if entry.uri is None or entry.uri not in doomed:
        return False
    positions = doomed[entry.uri]
    return positions is None or at in positions


# --- covers ---


def _put_cover(call: Call) -> Reply:
    # A missing scope is a 401 here, unlike anywhere else.
    if "ugc-image-upload" not in call.scopes:
        raise ApiError(401, "Unauthorized")
    playlist = _find_own(call)
    if len(call.body) > _LARGEST_COVER:
        raise ApiError(413, "Image is too large")
    try:
        image = base64.b64decode(call.body.strip(), validate=True)
    except binascii.Error:
        raise ApiError(400, "Invalid base64 image") from None
    if not image.startswith(b"\xff\xd8\xff"):
        raise ApiError(400, "Image is not a JPEG")
    name = sha1(image, usedforsecurity=False).hexdigest()
    call.state.playlists.revise(playlist.id, "cover", call.now, image=name)
    return Reply(202, effect=True)


def _get_cover(call: Call) -> Reply:
    playlist = _find(call)
    return Reply(200, call.views().playlist_images(call.state.playlists.latest(playlist.id)))


# --- library ---


def _follow(call: Call) -> Reply:
    playlist = _find(call)
    call.require_scope(_modify_scope(playlist.public))
    return Reply(
        200, effect=call.state.playlists.save(call.user.user_id, playlist_uri(playlist.id), call.now)
    )


def _unfollow(call: Call) -> Reply:
    playlist = _find(call)
    call.require_scope(_modify_scope(playlist.public))
    return Reply(200, effect=call.state.playlists.remove(call.user.user_id, playlist_uri(playlist.id)))


def _library_uris(call: Call) -> list[str]:
    uris = [uri.strip() for uri in call.query.get("uris", "").split(",") if uri.strip()]
    if not uris:
        raise ApiError(400, "Missing required field: uris")
    if len(uris) > _MOST_LIBRARY_URIS:
        raise ApiError(400, "Too many uris requested, the maximum is 40")
    for uri in uris:
        if not any(parse_uri(uri, kind) for kind in _LIBRARY_KINDS) and not uri.startswith("spotify:user:"):
            raise ApiError(400, f"Invalid uri: {uri}")
    return uris


def _check_library_scope(call: Call, uri: str) -> None:
    playlist_id = parse_uri(uri, "playlist")
    playlist = call.state.playlists.find(playlist_id) if playlist_id else None
    call.require_scope(
        _modify_scope(playlist is None or playlist.public) if playlist_id else "user-library-modify"
    )


def _change_library(call: Call, *, save: bool) -> Reply:
    uris, playlists, user_id = _library_uris(call), call.state.playlists, call.user.user_id
    for uri in uris:
        _check_library_scope(call, uri)
    if save:
        changes = [playlists.save(user_id, uri, call.now) for uri in uris]
    else:
        changes = [playlists.remove(user_id, uri) for uri in uris]
    return Reply(200, effect=any(changes))


def _put_library(call: Call) -> Reply:
    return _change_library(call, save=True)


def _delete_library(call: Call) -> Reply:
    return _change_library(call, save=False)


def _library_contains(call: Call) -> Reply:
    uris = _library_uris(call)
    return Reply(200, [call.state.playlists.has(call.user.user_id, uri) for uri in uris])


_CLASSIC = frozenset({Regime.EXTENDED})


def _for_users(
    method: str,
    path: str,
    answer: Callable[[Call], Reply],
    family: str = "playlists",
    *,
    classic: bool = False,
) -> Endpoint:
    return Endpoint(
        method, path, answer, family, regimes=_CLASSIC if classic else frozenset(Regime), users_only=True
    )


ENDPOINTS = (
    _for_users("GET", "/v1/me", _get_me, "me"),
    _for_users("GET", "/v1/me/playlists", _get_my_playlists),
    _for_users("POST", "/v1/me/playlists", _create),
    _for_users("POST", "/v1/users/{id}/playlists", _create_for_user, classic=True),
    Endpoint("GET", "/v1/playlists/{id}", _get_playlist, "playlists"),
    _for_users("PUT", "/v1/playlists/{id}", _change_details),
    _for_users("GET", "/v1/playlists/{id}/items", _get_items_new),
    _for_users("PUT", "/v1/playlists/{id}/items", _put_items),
    _for_users("POST", "/v1/playlists/{id}/items", _post_items),
    _for_users("DELETE", "/v1/playlists/{id}/items", _delete_items),
    Endpoint("GET", "/v1/playlists/{id}/tracks", _get_items_classic, "playlists", regimes=_CLASSIC),
    _for_users("PUT", "/v1/playlists/{id}/tracks", _put_items, classic=True),
    _for_users("POST", "/v1/playlists/{id}/tracks", _post_items, classic=True),
    _for_users("DELETE", "/v1/playlists/{id}/tracks", _delete_items, classic=True),
    _for_users("PUT", "/v1/playlists/{id}/images", _put_cover, "cover"),
    Endpoint("GET", "/v1/playlists/{id}/images", _get_cover, "cover"),
    _for_users("PUT", "/v1/playlists/{id}/followers", _follow, classic=True),
    _for_users("DELETE", "/v1/playlists/{id}/followers", _unfollow, classic=True),
    _for_users("PUT", "/v1/me/library", _put_library, "library"),
    _for_users("DELETE", "/v1/me/library", _delete_library, "library"),
    _for_users("GET", "/v1/me/library/contains", _library_contains, "library"),
)

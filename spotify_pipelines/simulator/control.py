"""The control API under ``/_sim/``: set the stage, look behind it, cause trouble. JSON in, JSON out.

    GET    /_sim/health                       {"status": "ok", …}; for the supervisor
    POST   /_sim/reset                        forget everything but the catalogue
    GET    /_sim/clients                      all apps
    POST   /_sim/clients                      create or replace one (``people.Client``)
    GET    /_sim/users                        all users
    POST   /_sim/users                        create or replace one (``people.User``)
    POST   /_sim/tokens                       {client_id, user_id, scopes} → access and refresh token at once
    POST   /_sim/tokens/revoke                {user_id, client_id?}: the user removes the app
    POST   /_sim/tokens/expire                {user_id?}: access tokens expire now
    POST   /_sim/bans                         {developer_account, seconds}: QUOTA_EXCEEDED; 0 seconds lift it
    GET    /_sim/ledger?after=&limit=&client=&user=&path=&method=       every request
    GET    /_sim/ledger/summary?after=        counts by method, endpoint template and status
    DELETE /_sim/ledger                       forget the lines; their numbering goes on
    GET    /_sim/playlists[?user=]            all playlists: owner, texts unescaped, items, snapshot id, followers
    GET    /_sim/playlists/{id}/history       every revision of one
    POST   /_sim/playlists/{id}/edit          change it by hand, as its owner does in the app (``PlaylistEdit``)
    GET    /_sim/catalogue?limit=&offset=     album ids with track counts, by default 1,000 of them
    POST   /_sim/catalogue/tracks/{id}        {playable?, relinked_to?, removed?} (``overrides.TrackOverride``)
    GET    /_sim/clock                        now, speed
    POST   /_sim/clock                        {advance?, speed?} in seconds, and simulated seconds per real one
    GET    /_sim/faults                       what is in force, and how often it struck
    POST   /_sim/faults                       a fault (``faults``); answers its number
    DELETE /_sim/faults[?id=]                 take one or all away
    POST   /_sim/reccobeats                   {limit} in calls per 30 s

There is no login. Instead every request has to name a loopback host, and a browser has to come from one: no web
page can reach in, by DNS rebinding or otherwise.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spotify_pipelines.simulator.clock import iso
from spotify_pipelines.simulator.faults import parse_fault
from spotify_pipelines.simulator.overrides import TrackOverride
from spotify_pipelines.simulator.people import Client, User
from spotify_pipelines.simulator.playlists import Entry, Playlist, Revision, playlist_uri
from spotify_pipelines.simulator.state import SimulatorState
from spotify_pipelines.simulator.tokens import ACCESS_TOKEN_LIFETIME

__all__ = ["PlaylistEdit", "control_routes"]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _TokenRequest(_Input):
    client_id: str
    user_id: str
    scopes: list[str]


class _Revocation(_Input):
    user_id: str
    client_id: str | None = None


class _Expiry(_Input):
    user_id: str | None = None


class _Ban(_Input):
    developer_account: str
    seconds: float = Field(ge=0)


class _ClockChange(_Input):
    advance: float | None = Field(None, ge=0)
    speed: float | None = Field(None, gt=0)


class _ReccoBeats(_Input):
    limit: int = Field(ge=1)


class PlaylistEdit(_Input):
    """What an owner does by hand; None leaves things as they are. ``items`` may hold None and local files."""

    name: str | None = None
    description: str | None = None
    items: list[str | None] | None = None
    public: bool | None = None
    unfollow: bool = False


class _ControlError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


M = TypeVar("M", bound=BaseModel)
_Answer = Callable[[SimulatorState, Request, Any], object]


def control_routes(state: SimulatorState) -> list[Route]:
    """The routes of the control API."""

    def route(method: str, path: str, answer: _Answer) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                _check_origin(request)
                body = _parsed(await request.body())
                with state.database.transaction():
                    return JSONResponse(answer(state, request, body))
            except _ControlError as error:
                return JSONResponse({"error": str(error)}, error.status)

        return Route(path, endpoint, methods=[method])

    return [
        route("GET", "/_sim/health", _health),
        Route("/_sim/reset", _reset_endpoint(state), methods=["POST"]),
        route("GET", "/_sim/clients", _list_clients),
        route("POST", "/_sim/clients", _save_client),
        route("GET", "/_sim/users", _list_users),
        route("POST", "/_sim/users", _save_user),
        route("POST", "/_sim/tokens", _mint_tokens),
        route("POST", "/_sim/tokens/revoke", _revoke_tokens),
        route("POST", "/_sim/tokens/expire", _expire_tokens),
        route("POST", "/_sim/bans", _ban),
        route("GET", "/_sim/ledger", _read_ledger),
        route("GET", "/_sim/ledger/summary", _summarize_ledger),
        route("DELETE", "/_sim/ledger", _clear_ledger),
        route("GET", "/_sim/playlists", _list_playlists),
        route("GET", "/_sim/playlists/{id}/history", _playlist_history),
        route("POST", "/_sim/playlists/{id}/edit", _edit_playlist),
        route("GET", "/_sim/catalogue", _list_catalogue),
        route("POST", "/_sim/catalogue/tracks/{id}", _override_track),
        route("GET", "/_sim/clock", _read_clock),
        route("POST", "/_sim/clock", _set_clock),
        route("GET", "/_sim/faults", _list_faults),
        route("POST", "/_sim/faults", _add_fault),
        route("DELETE", "/_sim/faults", _remove_faults),
        route("POST", "/_sim/reccobeats", _set_reccobeats),
    ]


def _check_origin(request: Request) -> None:
    if request.url.hostname not in _LOOPBACK:
        raise _ControlError(
            403, "The control API answers to loopback names only: use 127.0.0.1, ::1 or localhost."
        )
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).hostname not in _LOOPBACK:
        raise _ControlError(403, "The control API takes no requests from web pages of other hosts.")


def _parsed(body: bytes) -> object:
    if not body:
        return {}
    try:
        return json.loads(body)
    except ValueError as error:
        raise _ControlError(400, f"The body is not JSON: {error}") from None


def _read(model: type[M], body: object) -> M:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _ControlError(400, _explain(error)) from None


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise _ControlError(400, f"{name}: {text!r} is not a whole number")
    return int(text)


# --- the whole ---


def _health(state: SimulatorState, _request: Request, _body: object) -> object:
    return {"status": "ok", "albums": len(state.catalogue), "now": iso(state.clock.now())}


def _reset_endpoint(state: SimulatorState) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            _check_origin(request)
        except _ControlError as error:
            return JSONResponse({"error": str(error)}, error.status)
        state.reset()
        return JSONResponse({"status": "ok"})

    return endpoint


def _read_clock(state: SimulatorState, _request: Request, _body: object) -> object:
    now = state.clock.now()
    return {"now": iso(now), "timestamp": now, "speed": state.clock.setting.speed}


def _set_clock(state: SimulatorState, request: Request, body: object) -> object:
    change = _read(_ClockChange, body)
    if change.advance is not None:
        state.clock.advance(change.advance)
    if change.speed is not None:
        state.clock.set_speed(change.speed)
    state.save_clock()
    return _read_clock(state, request, body)


# --- people and tokens ---


def _list_clients(state: SimulatorState, _request: Request, _body: object) -> object:
    return {"clients": [_client_view(state, client) for client in state.people.clients.values()]}


def _client_view(state: SimulatorState, client: Client) -> object:
    until = state.people.banned_until(client.developer_account)
    return {**client.model_dump(), "banned_until": iso(until) if until > state.clock.now() else None}


def _save_client(state: SimulatorState, _request: Request, body: object) -> object:
    client = _read(Client, body)
    state.people.save_client(client)
    return _client_view(state, client)


def _list_users(state: SimulatorState, _request: Request, _body: object) -> object:
    return {"users": [_user_view(user) for user in state.people.users.values()]}


def _user_view(user: User) -> object:
    return {**user.model_dump(), "account_id": user.account_id}


def _save_user(state: SimulatorState, _request: Request, body: object) -> object:
    user = _read(User, body)
    try:
        state.people.save_user(user)
    except ValueError as error:
        raise _ControlError(400, str(error)) from None
    return _user_view(user)


def _mint_tokens(state: SimulatorState, _request: Request, body: object) -> object:
    wanted = _read(_TokenRequest, body)
    if wanted.client_id not in state.people.clients:
        raise _ControlError(404, f"client_id: there is no client {wanted.client_id!r}")
    if wanted.user_id not in state.people.users:
        raise _ControlError(404, f"user_id: there is no user {wanted.user_id!r}")
    now, scopes = state.clock.now(), frozenset(wanted.scopes)
    access = state.tokens.issue_access(wanted.client_id, wanted.user_id, scopes, now)
    refresh = state.tokens.issue_refresh(wanted.client_id, wanted.user_id, scopes, now, is_public=False)
    return {
        "access_token": access.token,
        "refresh_token": refresh.token,
        "token_type": "Bearer",
        "expires_in": ACCESS_TOKEN_LIFETIME,
        "expires_at": iso(access.expires_at),
        "authorized_at": iso(now),
        "scope": " ".join(sorted(scopes)),
    }


def _revoke_tokens(state: SimulatorState, _request: Request, body: object) -> object:
    wanted = _read(_Revocation, body)
    return {"revoked": state.tokens.revoke_user(wanted.user_id, wanted.client_id)}


def _expire_tokens(state: SimulatorState, _request: Request, body: object) -> object:
    return {"expired": state.tokens.expire_access(_read(_Expiry, body).user_id)}


def _ban(state: SimulatorState, _request: Request, body: object) -> object:
    ban = _read(_Ban, body)
    until = state.clock.now() + ban.seconds
    state.people.ban(ban.developer_account, until if ban.seconds else 0)
    return {"developer_account": ban.developer_account, "until": iso(until)}


# --- ledger ---


def _read_ledger(state: SimulatorState, request: Request, _body: object) -> object:
    query = request.query_params
    entries = state.ledger.read(
        after=_number(request, "after", 0),
        limit=_number(request, "limit", 1000),
        client=query.get("client"),
        user=query.get("user"),
        path=query.get("path"),
        method=query.get("method"),
    )
    return {"entries": entries, "last": state.ledger.last()}


def _summarize_ledger(state: SimulatorState, request: Request, _body: object) -> object:
    return {"counts": state.ledger.summary(_number(request, "after", 0)), "last": state.ledger.last()}


def _clear_ledger(state: SimulatorState, _request: Request, _body: object) -> object:
    return {"deleted": state.ledger.clear()}


# --- playlists and catalogue ---


def _list_playlists(state: SimulatorState, request: Request, _body: object) -> object:
    user = request.query_params.get("user")
    return {
        "playlists": [
            _playlist_view(state, playlist)
            for playlist in state.playlists.all()
            if user in (None, playlist.owner_id)
        ]
    }


def _playlist_view(state: SimulatorState, playlist: Playlist) -> object:
    followers = state.playlists.followers(playlist.id)
    return {
        "id": playlist.id,
        "owner": playlist.owner_id,
        "created_at": iso(playlist.created_at),
        "public": playlist.public,
        "collaborative": playlist.collaborative,
        "followers": followers,
        "followed_by_owner": playlist.owner_id in followers,
        **_revision_view(state.playlists.latest(playlist.id)),
    }


def _revision_view(revision: Revision) -> dict[str, object]:
    return {
        "revision": revision.number,
        "changed_at": iso(revision.at),
        "change": revision.change,
        "snapshot_id": revision.snapshot_id,
        "name": revision.name,
        "description": revision.description,
        "cover": revision.image,
        "items": [entry.uri for entry in revision.entries()],
    }


def _found_playlist(state: SimulatorState, request: Request) -> Playlist:
    playlist = state.playlists.find(request.path_params["id"])
    if playlist is None:
        raise _ControlError(404, f"There is no playlist {request.path_params['id']!r}.")
    return playlist


def _playlist_history(state: SimulatorState, request: Request, _body: object) -> object:
    history = state.playlists.history(_found_playlist(state, request).id)
    return {"revisions": [_revision_view(revision) for revision in history]}


def _edit_playlist(state: SimulatorState, request: Request, body: object) -> object:
    playlist, edit, now = _found_playlist(state, request), _read(PlaylistEdit, body), state.clock.now()
    if edit.public is not None:
        state.playlists.set_flags(playlist.id, public=edit.public, collaborative=playlist.collaborative)
    if edit.name is not None or edit.description is not None:
        state.playlists.revise(playlist.id, "details", now, name=edit.name, description=edit.description)
    if edit.items is not None:
        entries = [Entry(uri, now, playlist.owner_id) for uri in edit.items]
        state.playlists.revise(playlist.id, "items", now, entries=entries)
    if edit.unfollow:
        state.playlists.remove(playlist.owner_id, playlist_uri(playlist.id))
    return _playlist_view(state, playlist)


def _list_catalogue(state: SimulatorState, request: Request, _body: object) -> object:
    limit, offset = _number(request, "limit", 1000), _number(request, "offset", 0)
    albums = [state.catalogue.album(album_id) for album_id in state.catalogue.album_ids(offset, limit)]
    return {
        "total": len(state.catalogue),
        "albums": [
            {"id": album.id, "name": album.name, "tracks": len(album.tracks)} for album in albums if album
        ],
    }


def _override_track(state: SimulatorState, request: Request, body: object) -> object:
    track_id = request.path_params["id"]
    override = _read(TrackOverride, body)
    try:
        state.catalogue.override(track_id, override)
    except KeyError:
        raise _ControlError(404, f"There is no track {track_id!r}.") from None
    return {"id": track_id, **override.model_dump()}


# --- trouble ---


def _list_faults(state: SimulatorState, _request: Request, _body: object) -> object:
    return {
        "faults": [
            {
                "id": f.fault_id,
                "seen": f.seen,
                "struck": f.struck,
                "spent": f.is_spent,
                **f.fault.model_dump(),
            }
            for f in state.faults.listed()
        ]
    }


def _add_fault(state: SimulatorState, _request: Request, body: object) -> object:
    if not isinstance(body, dict):
        raise _ControlError(400, "body: a fault is a JSON object")
    try:
        return {"id": state.faults.add(parse_fault(body))}
    except ValidationError as error:
        raise _ControlError(400, _explain(error)) from None


def _remove_faults(state: SimulatorState, request: Request, _body: object) -> object:
    return {"removed": state.faults.remove(_number(request, "id", 0) or None)}


def _set_reccobeats(state: SimulatorState, _request: Request, body: object) -> object:
    limit = _read(_ReccoBeats, body).limit
    state.set_reccobeats_limit(limit)
    return {"limit": limit}

"""What the client sends and reads, against Spotify's own OpenAPI descriptions from before and after February 2026.

The answers of the simulator are held to the same files in ``simulator/test_contract.py``. Where both files know an
operation, a request has to be right by both: an app of either regime may send it.
"""

import inspect
import json
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest
from pydantic import BaseModel

from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify import models
from spotify_pipelines.spotify.client import CatalogueApi, PlaylistApi
from spotify_pipelines.spotify.conditional import CONDITIONAL_READS, NotModified
from spotify_pipelines.spotify.errors import Forbidden
from spotify_pipelines.spotify.models import (
    AlbumItem,
    ArtistRef,
    FeatureSet,
    ImageRef,
    PlaylistDetail,
    PlaylistEntry,
    PlaylistItems,
    PlaylistSummary,
    Profile,
    TrackItem,
    TrackPage,
)
from spotify_pipelines.spotify.ports import ALBUMS_BATCH, ME_LIBRARY
from spotify_pipelines_tests.spotify.harness import (
    ACCOUNT,
    APP,
    CLIENT_ID,
    SECRET,
    UNLIMITED,
    MemoryApps,
    minted,
    open_desk,
)
from spotify_pipelines_tests.support.openapi import DIALECTS, ITEMS, Description, as_published, needs_openapi
from spotify_pipelines_tests.support.simulator import RunningSimulator

pytestmark = [
    needs_openapi,
    # openapi-core looks at no OAuth scheme; that a bearer token is there is checked by hand.
    pytest.mark.filterwarnings("ignore:Unsupported scheme type"),
]

REGIMES = ["extended", "development"]
DESCRIBED_BY = {"extended": ("classic", "reduced"), "development": ("reduced",)}
"""The files that a regime's requests are held to; an extended app may use the new paths as well."""
ID = "4aawyAB9vmqN3uQ7FjRGTy"


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────


class Recorder(httpx.AsyncBaseTransport):
    """The network, and every request that went through it."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._network = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        return await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


class Stage:
    """An open client in front of a simulated Spotify."""

    def __init__(
        self, catalogue: CatalogueApi, playlists: PlaylistApi, apps: MemoryApps, simulator: RunningSimulator
    ) -> None:
        self.catalogue, self.playlists, self.apps = catalogue, playlists, apps
        self.album_ids = simulator.control.album_ids(21)
        self.long_album = next(a["id"] for a in simulator.control.albums() if a["tracks"] > 50)

    async def track_ids(self, count: int) -> list[str]:
        tracks = [track for id_ in (self.long_album,) async for track in self._tracks(id_)]
        for id_ in self.album_ids:
            if len(tracks) >= count:
                break
            tracks += [track async for track in self._tracks(id_) if track not in tracks]
        return tracks[:count]

    async def _tracks(self, album_id: str) -> Any:
        for offset in (0, 50):
            for track in (await self.catalogue.album_tracks(album_id, offset=offset)).items:
                yield track.id

    async def new_playlist(self) -> str:
        made = await self.playlists.create_playlist("Evening", "From dusk on", public=False)
        return made.id


async def _albums(stage: Stage) -> None:
    assert len([result async for result in stage.catalogue.albums([*stage.album_ids, "0" * 22])]) == 22
    stage.apps.record_capability(APP, ALBUMS_BATCH, False, "as a newer app")
    stage.apps.record_capability(APP, CONDITIONAL_READS, True, "and one with conditional reads")
    [album] = [result async for _, result in stage.catalogue.albums(stage.album_ids[:1])]
    assert isinstance(album, AlbumItem)
    assert album.etag
    known = {album.id: album.etag}
    [again] = [result async for _, result in stage.catalogue.albums([album.id], known=known)]
    assert isinstance(again, NotModified)


async def _album_tracks(stage: Stage) -> None:
    assert (await stage.catalogue.album_tracks(stage.long_album, offset=50)).items


async def _missing_tracks(stage: Stage) -> None:
    unknown = "0" * 22
    assert await stage.catalogue.missing_tracks([*await stage.track_ids(50), unknown]) in ({unknown}, None)


async def _audio_features(stage: Stage) -> None:
    ids = await stage.track_ids(100)
    try:
        assert len(await stage.catalogue.audio_features(ids)) == 100
    except Forbidden:
        assert stage.apps.known.capabilities == {"audio_features": False}


async def _probe(stage: Stage) -> None:
    found = await stage.catalogue.probe(stage.album_ids[0])
    assert found.pop(CONDITIONAL_READS)
    assert len(set(found.values())) == 1, "a regime has all of the rest or nothing"


async def _me(stage: Stage) -> None:
    assert (await stage.playlists.me()).id == "user1"


async def _probe_account(stage: Stage) -> None:
    await stage.playlists.probe()


async def _my_playlists(stage: Stage) -> None:
    for _ in range(51):
        await stage.new_playlist()
    assert len(await stage.playlists.my_playlists()) == 51


async def _create_playlist(stage: Stage) -> None:
    await stage.playlists.create_playlist("A" * 100, "", public=True)
    await stage.playlists.create_playlist("Ä & <b>", "B" * 300, public=False)


async def _playlist(stage: Stage) -> None:
    assert (await stage.playlists.playlist(await stage.new_playlist())).name == "Evening"


async def _items(stage: Stage) -> None:
    playlist_id, tracks = await stage.new_playlist(), await stage.track_ids(100)
    await stage.playlists.replace_items(playlist_id, [f"spotify:track:{id_}" for id_ in tracks])
    assert len(await stage.playlists.items(playlist_id)) == 100


async def _replace_items(stage: Stage) -> None:
    await stage.playlists.replace_items(await stage.new_playlist(), [])


async def _append_items(stage: Stage) -> None:
    playlist_id, tracks = await stage.new_playlist(), await stage.track_ids(2)
    await stage.playlists.append_items(playlist_id, [f"spotify:track:{id_}" for id_ in tracks])


async def _change_details(stage: Stage) -> None:
    playlist_id = await stage.new_playlist()
    await stage.playlists.change_details(playlist_id, name="Night")
    await stage.playlists.change_details(playlist_id, description="After dusk", public=True)


async def _replace_cover(stage: Stage) -> None:
    await stage.playlists.replace_cover(await stage.new_playlist(), b"\xff\xd8\xff\xe0 a picture")


async def _unfollow(stage: Stage) -> None:
    await stage.playlists.unfollow(await stage.new_playlist())
    stage.apps.record_capability(APP, ME_LIBRARY, False, "as an older app")
    try:
        await stage.playlists.unfollow(await stage.new_playlist())
    except Forbidden:
        assert (await stage.playlists.me()).product is None, "only development mode lacks the older way"


USES: dict[Callable[..., object], Callable[[Stage], Awaitable[None]]] = {
    CatalogueApi.albums: _albums,
    CatalogueApi.album_tracks: _album_tracks,
    CatalogueApi.missing_tracks: _missing_tracks,
    CatalogueApi.audio_features: _audio_features,
    CatalogueApi.probe: _probe,
    PlaylistApi.me: _me,
    PlaylistApi.probe: _probe_account,
    PlaylistApi.my_playlists: _my_playlists,
    PlaylistApi.create_playlist: _create_playlist,
    PlaylistApi.playlist: _playlist,
    PlaylistApi.items: _items,
    PlaylistApi.replace_items: _replace_items,
    PlaylistApi.append_items: _append_items,
    PlaylistApi.change_details: _change_details,
    PlaylistApi.replace_cover: _replace_cover,
    PlaylistApi.unfollow: _unfollow,
}
"""Each method of the client, used so that it sends all that it can send."""


@cache
def validator(dialect: str) -> OpenAPI:
    # The files' own conformance is not what is tested here, and checking it takes seconds.
    return OpenAPI.from_dict(as_published(dialect), config=Config(spec_validator_cls=None))


def complaints(request: httpx.Request, dialect: str) -> list[str] | None:
    """What is wrong with a request by one file; None where the file does not know its operation."""
    description = Description(dialect)
    operation = description.operation(request.method, request.url.path.removeprefix("/v1"))
    if operation is None:
        return None
    found = [f"query {name}" for name in set(request.url.params) - description.query_names(operation)]
    if request.headers.get("content-type") == "application/json":
        body = json.loads(request.content)
        found += [f"body {name}" for name in set(body) - description.body_names(operation)]
    asked = MockRequest(
        "https://api.spotify.com",
        request.method.lower(),
        request.url.path,
        args=dict(request.url.params),
        headers=dict(request.headers),
        # A cover is base64 text, which the description calls a string; openapi-core takes bytes for no string.
        data=cast("bytes", request.content.decode()) if _is_picture(request) else request.content or None,
        content_type=request.headers.get("content-type", ""),
    )
    try:
        validator(dialect).validate_request(asked)
    except OpenAPIError as error:
        found.append(f"{type(error).__name__}: {error} {error.__cause__}"[:400])
    return found


def _is_picture(request: httpx.Request) -> bool:
    return str(request.headers.get("content-type")) == "image/jpeg"


def check(request: httpx.Request, regime: str) -> None:
    verdicts = [complaints(request, dialect) for dialect in DESCRIBED_BY[regime]]
    where = f"{request.method} {request.url}"
    assert any(verdict is not None for verdict in verdicts), f"nobody describes {where}"
    assert not any(verdicts), f"{where}: {verdicts}"
    assert request.headers["authorization"].startswith("Bearer ")


def test_every_method_of_the_client_is_used() -> None:
    methods = [
        method
        for api in (CatalogueApi, PlaylistApi)
        for name, method in vars(api).items()
        if not name.startswith("_")
        and (inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method))
    ]

    assert set(methods) == set(USES)


@pytest.mark.parametrize(
    ("method", "market"),
    [*((method, None) for method in USES), (CatalogueApi.albums, "DE"), (CatalogueApi.album_tracks, "DE")],
    ids=lambda value: getattr(value, "__qualname__", value),
)
@pytest.mark.parametrize("regime", REGIMES)
async def test_everything_that_is_sent_is_what_spotify_describes(
    *,
    method: Callable[..., object],
    market: str | None,
    regime: str,
    simulator: RunningSimulator,
    settings: Settings,
    redis_url: str,
    key_prefix: str,
) -> None:
    simulator.control.add_client(CLIENT_ID, SECRET, regime=regime, limit=UNLIMITED)
    recorder = Recorder()
    async with open_desk(
        redis_url, key_prefix, settings, credentials=minted(simulator), mounted=recorder
    ) as desk:
        catalogue = desk.client.as_app(APP, market=market)
        await USES[method](Stage(catalogue, desk.client.as_account(ACCOUNT), desk.apps, simulator))

    assert recorder.requests
    for request in recorder.requests:
        check(request, regime)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/albums", None),
        ("GET", f"/albums/{ID}/tracks?limit=51", None),
        ("GET", f"/albums/{ID}?colour=red", None),
        ("POST", "/me/playlists", {"description": "without a name"}),
        ("POST", "/me/playlists", {"name": 3}),
        ("PUT", f"/playlists/{ID}/items", {"uris": [1]}),
        ("PUT", f"/playlists/{ID}/items", {"urls": []}),
        ("GET", "/no/such/path", None),
    ],
    ids=str,
)
def test_a_wrong_request_would_be_noticed(method: str, path: str, body: dict[str, Any] | None) -> None:
    wrong = httpx.Request(
        method, f"http://localhost/v1{path}", json=body, headers={"authorization": "Bearer x"}
    )

    with pytest.raises(AssertionError):
        check(wrong, "development")


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────────────

_IN_BOTH: list[tuple[type[BaseModel], str, tuple[str, ...]]] = [
    (AlbumItem, "get /albums/{id}", ()),
    (AlbumItem, "get /albums", ("albums", ITEMS)),
    (ImageRef, "get /albums/{id}", ("images", ITEMS)),
    (TrackPage, "get /albums/{id}/tracks", ()),
    (TrackItem, "get /albums/{id}/tracks", ("items", ITEMS)),
    (ArtistRef, "get /albums/{id}/tracks", ("items", ITEMS, "artists", ITEMS)),
    (FeatureSet, "get /audio-features", ("audio_features", ITEMS)),
    (Profile, "get /me", ()),
    (PlaylistSummary, "get /me/playlists", ("items", ITEMS)),
    (PlaylistSummary, "post /users/{user_id}/playlists", ()),
    (PlaylistDetail, "get /playlists/{playlist_id}", ()),
    (PlaylistItems, "get /playlists/{playlist_id}/tracks", ()),
    (PlaylistEntry, "get /playlists/{playlist_id}/tracks", ("items", ITEMS)),
]
_IN_ONE: list[tuple[str, type[BaseModel], str, tuple[str, ...]]] = [
    ("classic", PlaylistItems, "get /playlists/{playlist_id}", ("tracks",)),
    ("reduced", PlaylistItems, "get /playlists/{playlist_id}", ("items",)),
    ("reduced", PlaylistSummary, "post /me/playlists", ()),
    ("reduced", PlaylistItems, "get /playlists/{playlist_id}/items", ()),
    ("reduced", PlaylistEntry, "get /playlists/{playlist_id}/items", ("items", ITEMS)),
]
ANSWERS = [(dialect, *each) for dialect in DIALECTS for each in _IN_BOTH] + _IN_ONE
"""Dialect, model, operation, and where in its answer the model's part is."""

NOT_DESCRIBED: dict[tuple[str, type[BaseModel]], set[str]] = {
    ("classic", Profile): {"account_id"},
    ("classic", PlaylistDetail): {"entries"},
    ("reduced", PlaylistDetail): {"entries"},
}
"""What an example with all fields leaves open: ids that came later, and entries, which are read page by page."""

each_answer = pytest.mark.parametrize(
    ("dialect", "model", "operation", "way"), ANSWERS, ids=lambda value: getattr(value, "__name__", None)
)


def described(dialect: str, operation: str, way: tuple[str, ...]) -> Any:
    method, template = operation.split(" ")
    return Description(dialect).answer(method, template, way)


@cache
def strangers() -> frozenset[str]:
    """Keys that no answer has: a new one, and the names that our models have for what they work out."""
    ours = {name for model in map(vars(models).get, models.__all__) for name in model.model_fields}  # type: ignore[union-attr]
    theirs = set().union(*(Description(dialect).property_names() for dialect in DIALECTS))
    return frozenset((ours - theirs) | {"unheard_of"})


def with_id(model: type[BaseModel], answer: dict[str, Any]) -> dict[str, Any]:
    """``answer`` under an id, where the model is of no use without one."""
    field = model.model_fields.get("id")
    return {**answer, "id": ID} if field is not None and field.is_required() else answer


def test_every_model_is_held_to_the_description() -> None:
    assert {model.__name__ for _, model, _, _ in ANSWERS} == set(models.__all__)


@each_answer
def test_an_answer_made_of_the_examples_is_read_in_full(
    dialect: str, model: type[BaseModel], operation: str, way: tuple[str, ...]
) -> None:
    example = Description(dialect).example(described(dialect, operation, way))

    parsed = model.model_validate(with_id(model, example))

    # What is excluded is of a header, not of the body.
    read = (name for name, field in model.model_fields.items() if not field.exclude)
    unread = {name for name in read if getattr(parsed, name) in (None, "", [])}
    assert unread == NOT_DESCRIBED.get((dialect, model), set())


@each_answer
@pytest.mark.parametrize("fate", ["absent", "null", "extra"])
def test_no_field_is_needed_and_none_too_many(
    dialect: str, model: type[BaseModel], operation: str, way: tuple[str, ...], fate: str
) -> None:
    description = Description(dialect)
    example = description.example(described(dialect, operation, way))
    fates: dict[str, dict[str, Any]] = {
        "absent": {},
        "null": dict.fromkeys(example),
        "extra": {**example, **{key: {"unheard": "of"} for key in strangers()}},
    }

    parsed = model.model_validate(with_id(model, fates[fate]))

    expected = example if fate == "extra" else {}
    assert parsed == model.model_validate(with_id(model, expected))


@each_answer
@settings(max_examples=20)
@given(data=st.data())
def test_any_mix_of_absent_null_and_new_fields_is_read(
    dialect: str, model: type[BaseModel], operation: str, way: tuple[str, ...], data: st.DataObject
) -> None:
    schema = described(dialect, operation, way)
    answer = with_id(model, data.draw(Description(dialect).answers(schema, strangers=strangers())))

    parsed = model.model_validate(answer)

    for name in model.model_fields.keys() & schema["properties"].keys() - {"id", "description", "is_local"}:
        if isinstance(answer.get(name), str | int | float):
            assert getattr(parsed, name) == answer[name], name

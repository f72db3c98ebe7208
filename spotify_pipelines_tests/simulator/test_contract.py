"""Every answer of every endpoint against Spotify's own OpenAPI description, in both dialects.

Where the facts known about Spotify contradict its description, the facts win: each such place is an entry of
``EXCEPTIONS`` with its reason, applied to the description before validating.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from spotify_pipelines_tests.simulator.conftest import ApiFactory, http, track_uris
from spotify_pipelines_tests.support.openapi import DIALECTS, SHARED, as_published, needs_openapi
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

pytestmark = needs_openapi

Schemas = dict[str, Any]

NULL = {"type": "object", "nullable": True, "enum": [None]}


@dataclass(frozen=True)
class SpecException:
    """Where real answers differ from the description."""

    dialects: tuple[str, ...]
    reason: str
    apply: Callable[[Schemas, Schemas], None]


def _not_required(schema: str, *fields: str) -> Callable[[Schemas, Schemas], None]:
    def apply(schemas: Schemas, _responses: Schemas) -> None:
        for name in fields:
            schemas[schema]["required"].remove(name)

    return apply


def _nullable_elements(response: str, key: str) -> Callable[[Schemas, Schemas], None]:
    def apply(_schemas: Schemas, responses: Schemas) -> None:
        array = responses[response]["content"]["application/json"]["schema"]["properties"][key]
        array["items"] = {"anyOf": [array["items"], NULL]}

    return apply


def _one_beat_per_bar(schemas: Schemas, _responses: Schemas) -> None:
    schemas["TimeSignature"]["minimum"] = 0


def _empty_entries(schemas: Schemas, _responses: Schemas) -> None:
    properties = schemas["PlaylistTrackObject"]["properties"]
    for key in {"item", "track"} & properties.keys():
        properties[key] = {"anyOf": [{"$ref": "#/components/schemas/TrackObject"}, NULL]}


def _local_files(schemas: Schemas, _responses: Schemas) -> None:
    for schema in ("TrackObject", "SimplifiedArtistObject", "AlbumBase"):
        for field in ("id", "href", "uri"):
            schemas[schema]["properties"][field]["nullable"] = True
    schemas["AlbumBase"]["required"] = ["name", "type"]


BOTH = ("classic", "reduced")
EXCEPTIONS = (
    SpecException(
        ("reduced",),
        "availability is gone in development mode",
        _not_required("AlbumBase", "available_markets"),
    ),
    SpecException(
        ("reduced",),
        "label and popularity are deprecated, and gone in development mode",
        _not_required("AlbumObject", "label", "popularity"),
    ),
    SpecException(BOTH, "null stands for an unknown id", _nullable_elements("ManyAlbums", "albums")),
    SpecException(BOTH, "null stands for an unknown id", _nullable_elements("ManyTracks", "tracks")),
    SpecException(
        BOTH, "null stands for an unknown id", _nullable_elements("ManyAudioFeatures", "audio_features")
    ),
    SpecException(BOTH, "real tracks have time signatures of 0 and 1", _one_beat_per_bar),
    SpecException(BOTH, "entries of a playlist can be null", _empty_entries),
    SpecException(BOTH, "entries of a playlist can be local files, which have no id", _local_files),
    SpecException(
        ("reduced",),
        "403 for audio features comes without a message",
        _not_required("ErrorObject", "message"),
    ),
)


@cache
def description(dialect: str) -> OpenAPI:
    spec = deepcopy(as_published(dialect))
    for exception in EXCEPTIONS:
        if dialect in exception.dialects:
            exception.apply(spec["components"]["schemas"], spec["components"]["responses"])
    # The files' own conformance is not what is tested here, and checking it takes seconds.
    return OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))


def validate(dialect: str, answer: httpx.Response) -> None:
    """Compare an answer with the description of its endpoint."""
    asked = answer.request
    request = MockRequest(
        "https://api.spotify.com",
        asked.method.lower(),
        asked.url.path,
        args=dict(asked.url.params),
        data=asked.content,
    )
    content_type = answer.headers.get("content-type", "application/json").partition(";")[0]
    response = MockResponse(answer.read(), status_code=answer.status_code, content_type=content_type)
    try:
        description(dialect).validate_response(request, response)
    except OpenAPIError as error:
        # The library's own text repeats the whole answer: hundreds of thousands of signs for twenty albums.
        reasons = [problem.message[:300] for problem in getattr(error.__cause__, "schema_errors", ())]
        where = f"{asked.method} {asked.url.path} → {answer.status_code}"
        raise AssertionError(
            f"{where} breaks the {dialect} contract: {reasons or str(error)[:300]}"
        ) from None


@pytest.fixture(params=sorted(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def checked(api: ApiFactory, dialect: str) -> httpx.Client:
    """A client that validates everything it gets."""
    client = api(dialect, "ann")
    client.event_hooks = {"response": [lambda answer: validate(dialect, answer)]}
    return client


def classic_only(answer: httpx.Response, dialect: str) -> None:
    assert answer.status_code == (200 if dialect == "classic" else 403), answer.text


def test_the_validator_notices_a_wrong_type_and_a_missing_field(dialect: str) -> None:
    request = httpx.Request("GET", "http://localhost/v1/albums/x")
    for body in ({"id": 3}, {"name": "An album without the rest"}):
        with pytest.raises(AssertionError, match="breaks the"):
            validate(dialect, httpx.Response(200, json=body, request=request))


def test_every_album_of_the_catalogue_keeps_the_contract(
    checked: httpx.Client, simulator: RunningSimulator
) -> None:
    for album_id in simulator.control.album_ids():
        album = checked.get(f"/albums/{album_id}").json()
        page = album["tracks"]
        while page["next"]:
            page = checked.get(page["next"]).json()
    assert checked.get(f"/albums/{album_id}/tracks", params={"limit": 3, "market": "SE"}).json()["limit"] == 3


def test_catalogue_reads_keep_the_contract(
    checked: httpx.Client, simulator: RunningSimulator, dialect: str
) -> None:
    album_ids = simulator.control.album_ids()[:19]
    uris = track_uris(simulator, 49)
    track_ids = [uri.rsplit(":", 1)[1] for uri in uris]
    unknown = "0" * 22
    track = checked.get(f"/tracks/{track_ids[0]}", params={"market": "DE"}).json()
    assert checked.get(f"/artists/{track['artists'][0]['id']}").is_success
    classic_only(checked.get("/albums", params={"ids": ",".join([*album_ids, unknown])}), dialect)
    classic_only(checked.get("/tracks", params={"ids": ",".join([*track_ids, unknown])}), dialect)
    features = checked.get("/audio-features", params={"ids": ",".join([*track_ids, unknown])})
    classic_only(features, dialect)
    if dialect == "classic":
        found = [view["id"] for view in features.json()["audio_features"] if view]
        assert 30 < len(found) < len(track_ids)
        assert checked.get(f"/audio-features/{found[0]}").json()["id"] == found[0]


def test_the_profile_keeps_the_contract(checked: httpx.Client, dialect: str) -> None:
    profile = checked.get("/me").json()
    assert profile["account_id"]
    assert ("country" in profile, "product" in profile, "email" in profile) == (dialect == "classic",) * 3


def test_playlists_keep_the_contract_from_creation_to_the_end(
    checked: httpx.Client, simulator: RunningSimulator, dialect: str
) -> None:
    uris = track_uris(simulator, 120)
    items, entry, items_key = (
        ("tracks", "track", "tracks") if dialect == "classic" else ("items", "item", "items")
    )
    if dialect == "classic":
        created = checked.post("/users/ann/playlists", json={"name": "One", "description": "Two"}).json()
        assert "items" not in created
    else:
        created = _create_in_development(checked)
        assert "tracks" not in created
    path = f"/playlists/{created['id']}"
    assert checked.put(f"{path}/{items}", json={"uris": uris[:100]}).status_code == 200
    assert checked.post(f"{path}/{items}", json={"uris": uris[100:]}).status_code == 201
    assert checked.put(f"{path}/{items}", json={"range_start": 0, "insert_before": 5}).status_code == 200
    removal = {"tracks" if dialect == "classic" else "items": [{"uri": uris[7]}]}
    assert checked.request("DELETE", f"{path}/{items}", json=removal).status_code == 200
    simulator.control.edit_playlist(
        created["id"], items=[*uris[:60], None, "spotify:local:An+Artist:An+Album:A+Title:187"]
    )
    page = checked.get(f"{path}/{items}", params={"limit": 50, "offset": 20}).json()
    assert page["items"][0][entry]["uri"] == uris[20]
    assert [place[entry] and place[entry]["id"] for place in page["items"][-2:]] == [None, None]
    assert (
        checked.put(path, json={"name": "Three", "description": "Four", "public": False}).status_code == 200
    )
    cover = b64encode(b"\xff\xd8\xff\xe0 a picture").decode()
    assert (
        checked.put(f"{path}/images", content=cover, headers={"Content-Type": "image/jpeg"}).status_code
        == 202
    )
    assert len(checked.get(f"{path}/images").json()) == 1
    full = checked.get(path).json()
    assert full[items_key]["total"] == 62
    assert full["name"] == "Three"
    listed = checked.get("/me/playlists", params={"limit": 50}).json()["items"]
    assert [(p["id"], p[items_key]["total"]) for p in listed] == [(created["id"], 62)]
    if dialect == "classic":
        assert checked.delete(f"{path}/followers").status_code == 200
    else:
        uri = {"uris": f"spotify:playlist:{created['id']}"}
        assert checked.get("/me/library/contains", params=uri).json() == [True]
        assert checked.delete("/me/library", params=uri).status_code == 200
        assert checked.get("/me/library/contains", params=uri).json() == [False]
    assert checked.get("/me/playlists").json()["total"] == 0


def _create_in_development(client: httpx.Client) -> dict[str, Any]:
    answer = client.post("/me/playlists", json={"name": "One", "description": "Two"})
    assert answer.status_code == 201
    return dict(answer.json())


def test_the_new_paths_serve_classic_apps_too_and_keep_the_new_contract(
    api: ApiFactory, simulator: RunningSimulator
) -> None:
    client = api("classic", "ann")
    client.event_hooks = {"response": [lambda answer: validate("reduced", answer)]}
    playlist_id = _create_in_development(client)["id"]
    uris = track_uris(simulator, 3)
    assert client.put(f"/playlists/{playlist_id}/items", json={"uris": uris}).status_code == 200
    place = client.get(f"/playlists/{playlist_id}/items").json()["items"][0]
    assert place["item"] == place["track"]


def test_errors_keep_the_contract(checked: httpx.Client, simulator: RunningSimulator, dialect: str) -> None:
    no_token = http.get(f"{simulator.api_url}/me")
    validate(dialect, no_token)
    assert no_token.status_code == 401
    if dialect == "reduced":
        assert checked.get("/audio-features", params={"ids": "0" * 22}).status_code == 403
    simulator.control.add_client(dialect, "secret", regime=_regime(dialect), limit=1)
    answers = [checked.get("/me") for _ in range(3)]
    assert answers[-1].status_code == 429
    simulator.control.ban(f"developer-of-{dialect}", 50_000)
    assert checked.get("/me").json()["error"]["reason"] == "QUOTA_EXCEEDED"


def _regime(dialect: str) -> str:
    return "extended" if dialect == "classic" else "development"


@pytest.fixture
def real_albums(tmp_path: Path) -> Iterator[RunningSimulator]:
    path = SHARED / "spotify" / "catalogue" / "real_albums.csv"
    if not path.is_file():
        pytest.skip(f"needs the real albums in {path}")
    with running_simulator(tmp_path / "real", catalogue_csv=path) as running:
        running.control.add_user("ann")
        for name in DIALECTS:
            running.control.add_client(name, "secret", regime=_regime(name), limit=10_000)
        yield running


def test_real_albums_keep_the_contract_and_their_features(
    real_albums: RunningSimulator, dialect: str
) -> None:
    token = real_albums.control.mint_tokens(dialect, "ann")["access_token"]
    with httpx.Client(base_url=real_albums.api_url, headers={"Authorization": f"Bearer {token}"}) as client:
        client.event_hooks = {"response": [lambda answer: validate(dialect, answer)]}
        albums = [client.get(f"/albums/{album_id}").json() for album_id in real_albums.control.album_ids()]
        tracks = [track["id"] for album in albums for track in album["tracks"]["items"]]
        assert (len(albums), len(tracks)) == (66, 865)
        if dialect == "classic":
            batches = [tracks[start : start + 100] for start in range(0, len(tracks), 100)]
            features = [
                found
                for batch in batches
                for found in client.get("/audio-features", params={"ids": ",".join(batch)}).json()[
                    "audio_features"
                ]
            ]
            assert sum(found is not None for found in features) == 764


def test_the_description_files_say_what_the_exceptions_are_about() -> None:
    for exception in EXCEPTIONS:
        for name in exception.dialects:
            components = deepcopy(as_published(name)["components"])
            exception.apply(components["schemas"], components["responses"])
            assert components != as_published(name)["components"], exception.reason

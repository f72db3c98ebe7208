"""The Web API beyond its shapes: who may do what, what is refused and how, and Spotify's known traps."""

from base64 import b64encode
from html import unescape

import httpx
import pytest

from spotify_pipelines_tests.simulator.conftest import (
    ALL_SCOPES,
    ApiFactory,
    http,
    message,
    new_playlist,
    track_uris,
)
from spotify_pipelines_tests.support.simulator import RunningSimulator

UNKNOWN = "0" * 22


def test_tokens_that_are_missing_wrong_or_expired_are_told_apart(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    url = f"{simulator.api_url}/me"
    missing = http.get(url)
    wrong = http.get(url, headers={"Authorization": "Bearer nonsense"})
    basic = http.get(url, auth=("classic", "secret"))
    client = api()
    simulator.control.advance(3601)
    expired = client.get("/me")
    assert [(a.status_code, message(a)) for a in (missing, wrong, basic, expired)] == [
        (401, "No token provided"),
        (401, "Invalid access token"),
        (400, "Only valid bearer authentication supported"),
        (401, "The access token expired"),
    ]
    assert missing.headers["www-authenticate"].startswith("Bearer")


def test_an_app_token_reads_the_catalogue_but_has_no_profile_and_creates_nothing(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    client = api(user=None)
    assert client.get(f"/albums/{simulator.control.album_ids()[0]}").status_code == 200
    assert client.get("/me").status_code == 401
    refused = client.post("/me/playlists", json={"name": "No"})
    assert (refused.status_code, message(refused)) == (403, "This request requires user authentication.")
    assert simulator.control.playlists() == []


def test_scopes_are_needed_for_what_they_name(simulator: RunningSimulator, api: ApiFactory) -> None:
    public_only = api(scopes=("playlist-modify-public",))
    playlist_id = new_playlist(public_only)
    private = public_only.post("/me/playlists", json={"name": "Private", "public": False})
    assert (private.status_code, message(private)) == (403, "Insufficient client scope")
    cover = public_only.put(f"/playlists/{playlist_id}/images", content=b64encode(b"\xff\xd8\xff"))
    assert cover.status_code == 401
    hidden_id = new_playlist(api(), "Hidden", public=False)
    assert [p["id"] for p in public_only.get("/me/playlists").json()["items"]] == [playlist_id]
    assert public_only.get(f"/playlists/{hidden_id}/items").status_code == 403
    assert api().get("/me/playlists").json()["total"] == 2


def test_users_off_the_list_and_owners_who_stopped_paying_are_refused_with_the_reason(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    simulator.control.add_user("carl", clients=["classic"])
    refused = api("reduced", "carl").get("/me")
    assert (refused.status_code, message(refused)) == (403, "User not registered in the Developer Dashboard")
    assert api("classic", "carl").get("/me").status_code == 200
    simulator.control.add_client("reduced", "secret", regime="development", owner_premium=False)
    lapsed = api("reduced", "ann").get("/me")
    assert lapsed.status_code == 403
    assert str(message(lapsed)).startswith("Active premium subscription required for the owner of the app")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/albums?ids={UNKNOWN}"),
        ("GET", f"/tracks?ids={UNKNOWN}"),
        ("GET", f"/audio-features?ids={UNKNOWN}"),
        ("GET", f"/audio-features/{UNKNOWN}"),
        ("POST", "/users/ann/playlists"),
        ("GET", "/playlists/{playlist}/tracks"),
        ("PUT", "/playlists/{playlist}/tracks"),
        ("POST", "/playlists/{playlist}/tracks"),
        ("DELETE", "/playlists/{playlist}/tracks"),
        ("DELETE", "/playlists/{playlist}/followers"),
    ],
)
def test_what_left_the_development_dialect_is_forbidden_there(
    api: ApiFactory, method: str, path: str
) -> None:
    client = api("reduced")
    answer = client.request(
        method, path.format(playlist=new_playlist(client)), json={"name": "x", "uris": []}
    )
    assert answer.status_code == 403
    assert message(answer) == (None if "audio-features" in path else "Forbidden")


def test_an_app_may_lose_audio_features_and_keep_the_rest_of_its_regime(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    simulator.control.add_client("classic", "secret", audio_features=False)
    client = api()
    assert client.get("/audio-features", params={"ids": UNKNOWN}).status_code == 403
    assert client.get("/albums", params={"ids": UNKNOWN}).json() == {"albums": [None]}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/albums/short", 400),
        (f"/albums/{UNKNOWN}", 404),
        ("/tracks/not-base-62-not-base-62", 400),
        (f"/artists/{UNKNOWN}", 404),
        (f"/playlists/{UNKNOWN}", 404),
        ("/albums", 400),
        (f"/albums?ids={','.join([UNKNOWN] * 21)}", 400),
        (f"/tracks?ids={','.join([UNKNOWN] * 51)}", 400),
        (f"/audio-features?ids={','.join([UNKNOWN] * 101)}", 400),
        (f"/albums?ids={UNKNOWN},junk", 400),
        ("/me/playlists?limit=51", 400),
        ("/me/playlists?limit=many", 400),
        ("/me/playlists?offset=-1", 400),
        ("/nowhere", 404),
        ("/me/library/contains?uris=junk", 400),
    ],
)
def test_bad_reads_are_refused_in_spotifys_style(api: ApiFactory, path: str, status: int) -> None:
    answer = api().get(path)
    assert answer.status_code == status
    assert answer.json()["error"]["status"] == status


def test_a_wrong_method_is_refused_and_booked(simulator: RunningSimulator, api: ApiFactory) -> None:
    assert api().delete("/me").status_code == 405
    assert simulator.control.ledger()[-1]["status"] == 405


def test_catalogue_reads_can_be_revalidated(simulator: RunningSimulator, api: ApiFactory) -> None:
    client, path = api(), f"/albums/{simulator.control.album_ids()[0]}"
    etag = client.get(path).headers["etag"]
    again = client.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(path, headers={"If-None-Match": f'"other", W/{etag}'}).status_code == 304
    assert [entry["status"] for entry in simulator.control.ledger(path="/albums")][-3:] == [304, 200, 304]


def test_playability_and_relinking_show_in_classic_and_only_in_a_playlist_in_development(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    lost, moved, target = (uri.rsplit(":", 1)[1] for uri in track_uris(simulator, 3))
    simulator.control.set_track(lost, playable=False)
    simulator.control.set_track(moved, relinked_to=target)
    classic, reduced = api("classic"), api("reduced")
    assert classic.get(f"/tracks/{lost}").json()["is_playable"] is False
    relinked = classic.get(f"/tracks/{moved}").json()
    assert (relinked["id"], relinked["linked_from"]["id"]) == (target, moved)
    without_market = api(user=None)
    assert without_market.get(f"/tracks/{moved}").json()["id"] == moved
    assert without_market.get(f"/tracks/{lost}").json()["available_markets"] == []
    assert "DE" in without_market.get(f"/tracks/{target}").json()["available_markets"]
    assert (
        not {"is_playable", "linked_from", "available_markets"} & reduced.get(f"/tracks/{lost}").json().keys()
    )
    playlist_id = new_playlist(reduced)
    uris = [f"spotify:track:{track_id}" for track_id in (lost, moved)]
    reduced.put(f"/playlists/{playlist_id}/items", json={"uris": uris})
    entries = reduced.get(f"/playlists/{playlist_id}/items").json()["items"]
    assert [(entry["item"]["uri"], entry["item"]["is_playable"]) for entry in entries] == [
        (uris[0], False),
        (uris[1], True),
    ]
    simulator.control.set_track(lost, removed=True)
    assert reduced.get(f"/playlists/{playlist_id}/items").json()["items"][0]["item"] is None
    assert reduced.get(f"/tracks/{lost}").status_code == 404


def test_a_foreign_playlist_can_be_seen_but_not_changed(simulator: RunningSimulator, api: ApiFactory) -> None:
    ann, bob = api("reduced", "ann"), api("reduced", "bob")
    playlist_id = new_playlist(ann)
    secret_id = new_playlist(ann, "Secret", public=False)
    assert "items" not in bob.get(f"/playlists/{playlist_id}").json()
    assert bob.get(f"/playlists/{playlist_id}/items").status_code == 403
    assert bob.put(f"/playlists/{playlist_id}", json={"name": "Bob's"}).status_code == 403
    assert bob.put(f"/playlists/{playlist_id}/items", json={"uris": []}).status_code == 403
    assert bob.get(f"/playlists/{secret_id}").status_code == 404
    assert api("classic", "bob").get(f"/playlists/{playlist_id}/tracks").status_code == 200
    refused = api("classic", "bob").post("/users/ann/playlists", json={"name": "For Ann"})
    assert refused.status_code == 403
    assert {p["name"] for p in simulator.control.playlists("ann")} == {"Mine", "Secret"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": ""}, 400),
        ({"name": 7}, 400),
        ({"name": "n" * 101}, 400),
        ({"name": "ok", "description": "two\nlines"}, 500),
        ({"name": "ok", "description": "d" * 301}, 500),
        ({"name": "ok", "description": "see https://example.com"}, 400),
        ({"name": "ok", "public": "yes"}, 400),
        ({"name": "ok", "public": True, "collaborative": True}, 400),
        ([], 400),
    ],
)
def test_bad_playlists_are_not_created(
    simulator: RunningSimulator, api: ApiFactory, body: object, status: int
) -> None:
    assert api().post("/me/playlists", json=body).status_code == status
    assert simulator.control.playlists() == []
    assert simulator.control.ledger(method="POST", path="/me/playlists")[-1]["effect"] is False


def test_broken_json_is_a_400_and_a_huge_body_a_413(api: ApiFactory) -> None:
    assert api().post("/me/playlists", content=b'{"name": ').status_code == 400
    assert api().post("/me/playlists", content=b"x" * (5 * 1024 * 1024)).status_code == 413


def test_descriptions_have_the_known_traps(simulator: RunningSimulator, api: ApiFactory) -> None:
    client = api()
    omitted = client.post("/me/playlists", json={"name": "Omitted"}).json()
    assert omitted["description"] == "null"
    text = 'Rock & roll\'s <best> / "loud"'
    playlist_id = new_playlist(client, description=text)
    read = client.get(f"/playlists/{playlist_id}").json()["description"]
    assert read != text
    assert unescape(read) == text
    assert client.put(f"/playlists/{playlist_id}", json={"description": ""}).status_code == 400
    assert client.put(f"/playlists/{playlist_id}", json={"description": "a\nb"}).status_code == 500
    assert client.put(f"/playlists/{playlist_id}", json={"name": "New"}).status_code == 200
    stored = next(p for p in simulator.control.playlists() if p["id"] == playlist_id)
    assert (stored["name"], stored["description"]) == ("New", text)


def test_the_snapshot_id_advances_with_items_name_description_and_cover(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    client, uris = api(), track_uris(simulator, 2)
    path = f"/playlists/{new_playlist(client)}"

    def snapshot_id() -> str:
        return str(client.get(path, params={"fields": "snapshot_id"}).json()["snapshot_id"])

    seen = [snapshot_id()]
    returned = client.put(f"{path}/items", json={"uris": uris}).json()["snapshot_id"]
    seen.append(snapshot_id())
    assert returned == seen[-1]
    client.put(path, json={"name": "Another"})
    seen.append(snapshot_id())
    client.put(path, json={"description": "Another"})
    seen.append(snapshot_id())
    client.put(f"{path}/images", content=b64encode(b"\xff\xd8\xff\xe0"))
    seen.append(snapshot_id())
    assert len(set(seen)) == 5
    assert snapshot_id() == seen[-1]


def test_items_are_replaced_inserted_moved_and_removed(simulator: RunningSimulator, api: ApiFactory) -> None:
    client, uris = api(), track_uris(simulator, 6)
    a, b, c, d, e, f = uris
    path = f"/playlists/{new_playlist(client)}/items"

    def items() -> list[str]:
        return list(simulator.control.playlists()[0]["items"])

    assert client.put(path, json={"uris": [a, b, c]}).status_code == 200
    assert client.post(path, json={"uris": [d], "position": 1}).status_code == 201
    assert items() == [a, d, b, c]
    assert client.post(path, json=[e, f]).status_code == 201
    assert client.post(path, params={"uris": a, "position": 0}).status_code == 201
    assert items() == [a, a, d, b, c, e, f]
    assert client.put(path, json={"range_start": 4, "insert_before": 1, "range_length": 2}).is_success
    assert items() == [a, c, e, a, d, b, f]
    assert client.put(path, json={"range_start": 1, "insert_before": 2, "range_length": 3}).is_success
    assert items() == [a, c, e, a, d, b, f]
    assert client.put(path, json={"range_start": 0, "insert_before": 7}).is_success
    assert items() == [c, e, a, d, b, f, a]
    removal = {"items": [{"uri": a, "positions": [6]}, {"uri": e}]}
    assert client.request("DELETE", path, json=removal).is_success
    assert items() == [c, a, d, b, f]
    assert client.put(path, params={"uris": ""}, json=None).is_success
    assert items() == []


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("PUT", None),
        ("PUT", {"uris": [], "range_start": 0}),
        ("PUT", {"uris": "spotify:track:x"}),
        ("PUT", {"uris": ["junk"]}),
        ("PUT", {"uris": [None]}),
        ("PUT", {"range_start": 9, "insert_before": 0}),
        ("PUT", {"range_start": 0}),
        ("PUT", {"range_start": 0, "insert_before": 0, "snapshot_id": "unknown"}),
        ("POST", {"uris": []}),
        ("POST", {"uris": ["{track}"], "position": 5}),
        ("POST", {"uris": ["{track}"] * 101}),
        ("DELETE", {}),
        ("DELETE", {"items": ["{track}"]}),
        ("DELETE", {"items": [{"uri": "{track}", "positions": 3}]}),
    ],
)
def test_bad_item_writes_change_nothing(
    simulator: RunningSimulator, api: ApiFactory, method: str, body: object
) -> None:
    client = api()
    [track] = track_uris(simulator, 1)
    path = f"/playlists/{new_playlist(client)}/items"
    client.put(path, json={"uris": [track]})
    filled = httpx.Request("PUT", "http://x", json=body).content.replace(b"{track}", track.encode())
    answer = client.request(method, path, content=filled)
    assert answer.status_code == 400, answer.text
    assert simulator.control.playlists()[0]["items"] == [track]


def test_one_dead_uri_spoils_the_write_every_time(simulator: RunningSimulator, api: ApiFactory) -> None:
    client, uris = api(), track_uris(simulator, 3)
    path = f"/playlists/{new_playlist(client)}/items"
    dead = client.put(path, json={"uris": [*uris, f"spotify:track:{UNKNOWN}"]})
    assert dead.status_code == 502
    simulator.control.add_fault(kind="dead_uri", uri=uris[1])
    assert [client.put(path, json={"uris": uris}).status_code for _ in range(3)] == [502] * 3
    assert client.put(path, json={"uris": [uris[0], uris[2]]}).status_code == 200


def test_covers_are_checked(api: ApiFactory) -> None:
    client = api()
    path = f"/playlists/{new_playlist(client)}/images"
    assert client.put(path, content="not base64!").status_code == 400
    assert client.put(path, content=b64encode(b"a PNG")).status_code == 400
    assert client.put(path, content=b64encode(b"\xff\xd8\xff" + bytes(200_000))).status_code == 413
    assert client.put(path, content=b64encode(b"\xff\xd8\xff" + bytes(1000))).status_code == 202


def test_an_unfollowed_playlist_leaves_the_listing_and_is_still_there(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    client = api("reduced")
    playlist_id = new_playlist(client)
    assert client.delete("/me/library", params={"uris": f"spotify:playlist:{playlist_id}"}).status_code == 200
    assert client.get("/me/playlists").json()["items"] == []
    assert client.get(f"/playlists/{playlist_id}").status_code == 200
    [stored] = simulator.control.playlists()
    assert (stored["followed_by_owner"], stored["followers"]) == (False, [])
    assert api("classic").put(f"/playlists/{playlist_id}/followers").status_code == 200
    assert client.get("/me/playlists").json()["total"] == 1


def test_the_listing_pages_through_all_playlists_newest_first(api: ApiFactory) -> None:
    client = api()
    created = [new_playlist(client, f"Number {number}") for number in range(7)]
    listed: list[str] = []
    url: str | None = "/me/playlists?limit=3"
    while url:
        page = client.get(url).json()
        assert page["total"] == 7
        listed += [playlist["id"] for playlist in page["items"]]
        url = page["next"]
    assert listed == created[::-1]


def test_fields_reduce_a_playlist_to_what_was_asked_for(simulator: RunningSimulator, api: ApiFactory) -> None:
    client, uris = api("reduced"), track_uris(simulator, 2)
    path = f"/playlists/{new_playlist(client)}"
    client.put(f"{path}/items", json={"uris": uris})
    reduced = client.get(path, params={"fields": "snapshot_id,items(total,items(item(uri)))"}).json()
    assert reduced["items"] == {"total": 2, "items": [{"item": {"uri": uri}} for uri in uris]}
    assert set(reduced) == {"snapshot_id", "items"}
    assert client.get(f"{path}/items", params={"fields": "total"}).json() == {"total": 2}
    assert client.get(path, params={"fields": "items(("}).status_code == 400


def test_a_granted_scope_set_is_what_the_ledger_and_the_rules_know(api: ApiFactory) -> None:
    assert api(scopes=ALL_SCOPES).get("/me").json()["email"] == "ann@example.com"
    assert "email" not in api(scopes=()).get("/me").json()

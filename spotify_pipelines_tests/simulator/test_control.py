"""The control API: the ledger, playlists by hand, the clock, and who may ask."""

import pytest

from spotify_pipelines.simulator import control_client
from spotify_pipelines.simulator.control_client import ControlError
from spotify_pipelines_tests.simulator.conftest import ApiFactory, http, new_playlist, track_uris
from spotify_pipelines_tests.support.simulator import RunningSimulator


def test_the_ledger_tells_who_asked_what_and_what_came_of_it(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    client, uris = api(), track_uris(simulator, 5)
    playlist_id = new_playlist(client)
    mark = simulator.control.ledger_position()
    client.put(f"/playlists/{playlist_id}/items?market=DE", json={"uris": uris})
    client.get("/me")
    put, get = simulator.control.ledger(after=mark)
    assert put["seq"] == mark + 1
    assert (put["client_id"], put["user_id"], put["method"]) == ("classic", "ann", "PUT")
    assert (put["path"], put["query"]) == (f"/v1/playlists/{playlist_id}/items", "market=DE")
    assert (put["endpoint"], put["family"]) == ("/v1/playlists/{id}/items", "playlists")
    assert (put["status"], put["effect"], put["answered"]) == (200, True, True)
    assert put["body_summary"] == {"uris": 5}
    assert len(put["body_digest"]) == 32
    assert (get["effect"], get["body_digest"]) == (False, None)
    assert abs(put["sim_time"] - put["real_time"]) < 5


def test_the_ledger_can_be_filtered_counted_and_cleared(simulator: RunningSimulator, api: ApiFactory) -> None:
    ann, bob = api("classic", "ann"), api("reduced", "bob")
    for client in (ann, ann, bob):
        client.get("/me")
    ann.get("/albums/bad")
    control = simulator.control
    assert len(control.ledger(client="classic", path="/me")) == 2
    assert len(control.ledger(user="bob")) == 1
    assert len(control.ledger(limit=2)) == 2
    counts = {(c["method"], c["endpoint"], c["status"]): c["count"] for c in control.ledger_summary()}
    assert counts == {("GET", "/v1/me", 200): 3, ("GET", "/v1/albums/{id}", 400): 1}
    last = control.ledger_position()
    control.clear_ledger()
    assert control.ledger() == []
    ann.get("/me")
    assert control.ledger()[0]["seq"] == last + 1


def test_a_ledger_of_several_pages_is_read_to_its_end(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_client, "_PAGE", 20)
    for _ in range(45):
        http.get(f"{simulator.api_url}/me")
    assert len(simulator.control.ledger()) == 45
    assert len(simulator.control.ledger(limit=30)) == 30
    assert len(list(simulator.control.albums())) == 60


def test_an_owners_own_changes_show_as_drift(simulator: RunningSimulator, api: ApiFactory) -> None:
    client, uris = api("reduced"), track_uris(simulator, 3)
    playlist_id = new_playlist(client)
    written = client.put(f"/playlists/{playlist_id}/items", json={"uris": uris}).json()["snapshot_id"]
    edited = simulator.control.edit_playlist(playlist_id, name="By hand", items=[uris[1], None, uris[0]])
    seen = client.get(f"/playlists/{playlist_id}").json()
    assert (seen["name"], seen["snapshot_id"]) == ("By hand", edited["snapshot_id"])
    assert seen["snapshot_id"] != written
    contents = [place["item"] for place in seen["items"]["items"]]
    assert [content and content["uri"] for content in contents] == [uris[1], None, uris[0]]
    changes = [revision["change"] for revision in simulator.control.playlist_history(playlist_id)]
    assert changes == ["created", "items", "details", "items"]
    assert simulator.control.edit_playlist(playlist_id, unfollow=True)["followed_by_owner"] is False


def test_the_clock_skips_and_runs_fast(simulator: RunningSimulator) -> None:
    control = simulator.control
    before = control.clock()["timestamp"]
    control.advance(86_400)
    assert control.clock()["timestamp"] - before >= 86_400
    control.set_speed(1e9)
    first, second = control.clock(), control.clock()
    assert second["timestamp"] - first["timestamp"] > 1000
    assert second["speed"] == 1e9
    with pytest.raises(ControlError, match="advance"):
        control.advance(-1)


def test_a_development_app_lists_five_users_at_most(simulator: RunningSimulator) -> None:
    for number in range(5):
        simulator.control.add_user(f"user{number}", clients=["reduced"])
    simulator.control.add_user("user0", clients=["reduced"], display_name="Again")
    with pytest.raises(ControlError, match="lists 5 users"):
        simulator.control.add_user("user5", clients=["reduced"])


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/clients", {"client_id": "x"}, "secret"),
        (
            "/clients",
            {"client_id": "x", "secret": "s", "redirect_uris": ["http://localhost:1/"]},
            "redirect_uris.0",
        ),
        ("/clients", {"client_id": "x", "secret": "s", "regime": "old"}, "regime"),
        ("/users", {"user_id": "a b"}, "user_id"),
        ("/users", {"user_id": "x", "country": "Germany"}, "country"),
        ("/tokens", {"client_id": "nobody", "user_id": "ann", "scopes": []}, "client_id"),
        ("/tokens", {"client_id": "classic", "user_id": "nobody", "scopes": []}, "user_id"),
        ("/clock", {"speed": 0}, "speed"),
        ("/catalogue/tracks/unknown", {"playable": False}, "unknown"),
        ("/playlists/unknown/edit", {"name": "x"}, "unknown"),
        ("/faults", [], "object"),
    ],
)
def test_bad_orders_are_refused_by_the_name_of_what_is_wrong(
    simulator: RunningSimulator, path: str, body: object, named: str
) -> None:
    answer = http.post(f"{simulator.url}/_sim{path}", json=body)
    assert answer.status_code in (400, 404)
    assert named in answer.json()["error"]


def test_web_pages_and_rebound_names_are_kept_out(simulator: RunningSimulator) -> None:
    url = f"{simulator.url}/_sim/reset"
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert http.post(url, headers=headers).status_code == 403, headers
    assert simulator.control.ledger() == []
    assert len(http.get(f"{simulator.url}/_sim/users").json()["users"]) == 2
    assert http.get(f"{simulator.url}/_sim/health", headers={"Host": "localhost:80"}).status_code == 200


def test_a_reset_leaves_the_catalogue_and_nothing_else(simulator: RunningSimulator, api: ApiFactory) -> None:
    client = api()
    new_playlist(client)
    simulator.control.advance(10_000)
    simulator.control.reset()
    assert client.get("/me").status_code == 401
    assert simulator.control.playlists() == []
    assert len(simulator.control.album_ids()) == 60
    assert sum(1 for _ in simulator.control.albums()) == 60

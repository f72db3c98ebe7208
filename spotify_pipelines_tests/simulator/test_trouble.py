"""Limits, bans and faults: what a client suffers, and that the ledger tells what really happened."""

import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.simulator.control_client import ControlError
from spotify_pipelines.simulator.database import Database
from spotify_pipelines.simulator.faults import Faults, parse_fault
from spotify_pipelines.simulator.limits import WINDOW, RollingLimit
from spotify_pipelines_tests.simulator.conftest import ApiFactory, message, new_playlist, track_uris
from spotify_pipelines_tests.support.simulator import RunningSimulator


@given(
    gaps=st.lists(st.floats(min_value=0, max_value=20, allow_nan=False), min_size=1, max_size=80),
    limit=st.integers(min_value=1, max_value=12),
)
def test_no_window_of_thirty_seconds_ever_admits_more_than_the_limit(gaps: list[float], limit: int) -> None:
    rolling, now, admitted = RollingLimit(), 0.0, []
    for gap in gaps:
        now += gap
        if rolling.ask(now, limit) is None:
            admitted.append(now)
    for start in admitted:
        assert sum(start <= moment < start + WINDOW for moment in admitted) <= limit


def test_a_place_in_the_window_is_free_again_after_exactly_thirty_seconds() -> None:
    early, right = RollingLimit(), RollingLimit()
    for rolling in (early, right):
        assert rolling.ask(0.0, 1) is None
    assert early.ask(29.9, 1) == 1
    assert right.ask(30.0, 1) is None


def test_a_client_that_waits_is_told_one_to_four_seconds_and_one_that_hammers_ever_more() -> None:
    patient, hammering = RollingLimit(), RollingLimit()
    for rolling in (patient, hammering):
        assert [rolling.ask(0.0, 2) for _ in range(2)] == [None, None]
    now, waits = 1.0, []
    while (wait := patient.ask(now, 2)) is not None:
        waits.append(wait)
        now += wait
    assert set(waits) <= {1, 2, 3, 4}
    assert now == pytest.approx(WINDOW, abs=4)
    grown = [hammering.ask(1.0 + step / 8, 2) for step in range(40)]
    assert grown[0] == 4
    assert grown[-1] == 4 * 3600


def test_calls_that_were_under_way_when_the_limit_was_hit_are_not_taken_for_hammering() -> None:
    rolling = RollingLimit()
    assert rolling.ask(0.0, 1) is None
    assert {rolling.ask(10.0 + step / 100, 1) for step in range(100)} <= {3, 4}
    assert rolling.ask(14.0, 1) == 4


def test_the_limit_belongs_to_the_app_and_passes_with_time(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    simulator.control.add_client("classic", "secret", limit=3)
    ann, bob, other_app = api("classic", "ann"), api("classic", "bob"), api("reduced", "ann")
    answers = [ann.get("/me"), bob.get("/me"), ann.get("/me"), bob.get("/me")]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 4
    assert other_app.get("/me").status_code == 200
    simulator.control.advance(31)
    assert ann.get("/me").status_code == 200


@pytest.mark.parametrize(("is_free", "last"), [(False, 429), (True, 304)])
def test_whether_an_unchanged_answer_spares_the_limit_is_the_apps_setting(
    simulator: RunningSimulator, api: ApiFactory, is_free: bool, last: int
) -> None:
    simulator.control.add_client("classic", "secret", limit=2, unchanged_is_free=is_free)
    client, path = api("classic"), f"/albums/{simulator.control.album_ids()[0]}"
    etag = client.get(path).headers["etag"]
    answers = [client.get(path, headers={"If-None-Match": etag}).status_code for _ in range(3)]
    assert answers[-1] == last
    assert client.get(path).status_code == (200 if is_free else 429)


def test_a_quota_ban_hits_every_app_of_the_developer_account_and_ends(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    for client_id in ("one", "two"):
        simulator.control.add_client(client_id, "secret", developer_account="studio")
    simulator.control.ban("studio", 48_925)
    banned = api("one").get("/me")
    assert banned.status_code == 429
    assert banned.json() == {
        "error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}
    }
    assert 48_900 < int(banned.headers["retry-after"]) <= 48_926
    assert api("two").get("/me").status_code == 429
    assert api("classic").get("/me").status_code == 200
    simulator.control.advance(48_926)
    assert api("two").get("/me").status_code == 200
    simulator.control.ban("studio", 100)
    simulator.control.ban("studio", 0)
    assert api("one").get("/me").status_code == 200


def test_covers_have_a_limit_of_their_own(simulator: RunningSimulator, api: ApiFactory) -> None:
    simulator.control.add_client("classic", "secret", cover_limit=1)
    client = api()
    path = f"/playlists/{new_playlist(client)}/images"
    answers = [client.put(path, content="/9j/4A==").status_code for _ in range(2)]
    assert answers == [202, 429]
    assert client.get("/me").status_code == 200


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("effect", [False, True])
def test_a_wrong_answer_comes_before_or_after_the_effect(
    simulator: RunningSimulator, api: ApiFactory, status: int, effect: bool
) -> None:
    client = api()
    simulator.control.add_fault(method="POST", path="/me/playlists$", status=status, effect=effect, n=1)
    assert client.post("/me/playlists", json={"name": "One"}).status_code == status
    assert len(simulator.control.playlists()) == effect
    assert client.post("/me/playlists", json={"name": "Two"}).status_code == 201
    first, second = simulator.control.ledger(method="POST", path="/me/playlists")
    assert (first["status"], first["effect"], first["fault_id"]) == (status, effect, 1)
    assert (second["status"], second["effect"], second["fault_id"]) == (201, True, None)


@pytest.mark.parametrize(("drop", "created", "status"), [("before", 0, None), ("after", 1, 201)])
def test_a_cut_connection_leaves_no_answer_and_the_ledger_knows_the_effect(
    simulator: RunningSimulator, api: ApiFactory, drop: str, created: int, status: int | None
) -> None:
    client = api()
    simulator.control.add_fault(method="POST", drop=drop, n=1)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/me/playlists", json={"name": "One"})
    assert len(simulator.control.playlists()) == created
    [entry] = simulator.control.ledger(method="POST", path="/me/playlists")
    assert (entry["answered"], entry["effect"], entry["status"]) == (False, bool(created), status)


def test_a_slow_answer_outlives_the_clients_patience_and_the_effect_still_comes(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    client = api()
    simulator.control.add_fault(method="POST", delay=0.3, n=1)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/me/playlists", json={"name": "Late"}, timeout=0.05)
    assert simulator.control.playlists() == []
    # The next fault answers after the first one's delay is over: the wait is the server's, not ours.
    simulator.control.add_fault(method="GET", path="/me$", delay=0.5, n=1)
    client.get("/me")
    assert [playlist["name"] for playlist in simulator.control.playlists()] == ["Late"]


def test_faults_pick_their_victims_by_path_app_and_user(simulator: RunningSimulator, api: ApiFactory) -> None:
    simulator.control.add_fault(path="/me$", user_id="ann", client_id="classic", status=503)
    assert api("classic", "ann").get("/me").status_code == 503
    assert api("classic", "bob").get("/me").status_code == 200
    assert api("reduced", "ann").get("/me").status_code == 200
    assert api("classic", "ann").get("/me/playlists").status_code == 200


@pytest.mark.parametrize("value", ["0", "-5", "abc", "1000000000", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_retry_after_can_be_any_nonsense(simulator: RunningSimulator, api: ApiFactory, value: str) -> None:
    simulator.control.add_fault(status=429, headers={"Retry-After": value}, n=1)
    answer = api().get("/me")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, value)


def test_bodies_can_be_poisoned(simulator: RunningSimulator, api: ApiFactory) -> None:
    html = {"Content-Type": "text/html"}
    simulator.control.add_fault(path="/albums", status=200, body="<html>Oops</html>", headers=html, n=1)
    simulator.control.add_fault(path="/albums", status=200, body='{"tracks": [', n=1)
    simulator.control.add_fault(
        path="/albums", status=418, body={"error": {"status": 418, "message": "Tea"}}, n=1
    )
    client, path = api(), f"/albums/{simulator.control.album_ids()[0]}"
    assert client.get(path).text == "<html>Oops</html>"
    assert client.get(path).text == '{"tracks": ['
    assert message(client.get(path)) == "Tea"
    assert client.get(path).json()["tracks"]["total"] > 0


def test_skipped_and_random_faults_repeat_from_their_seed(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    client = api()

    def pattern(**fault: object) -> list[int]:
        simulator.control.clear_faults()
        simulator.control.add_fault(status=500, **fault)
        return [client.get("/me").status_code for _ in range(30)]

    assert pattern(skip=2, n=1) == [200, 200, 500] + [200] * 27
    random = pattern(probability=0.3, seed=7)
    assert random == pattern(probability=0.3, seed=7)
    assert random != pattern(probability=0.3, seed=8)
    assert 2 < random.count(500) < 20
    [fault] = simulator.control.faults()
    assert (fault["seen"], fault["spent"]) == (30, False)
    simulator.control.remove_fault(fault["id"])
    assert simulator.control.faults() == []


def test_snapshot_ids_items_and_listings_can_be_late(simulator: RunningSimulator, api: ApiFactory) -> None:
    client, control = api("reduced"), simulator.control
    uris = track_uris(simulator, 4)
    control.add_fault(kind="slow_snapshot_ids", seconds=30)
    control.add_fault(kind="slow_items", seconds=5)
    control.add_fault(kind="listing_lag", seconds=60)
    path = f"/playlists/{new_playlist(client)}"
    control.advance(100)
    old = client.get(path).json()["snapshot_id"]
    written = client.put(f"{path}/items", json={"uris": uris}).json()["snapshot_id"]

    def seen() -> tuple[bool, int, int]:
        listed = client.get("/me/playlists").json()["items"]
        now = client.get(path).json()
        return now["snapshot_id"] == written, now["items"]["total"], listed[0]["items"]["total"]

    assert seen() == (False, 0, 0)
    assert client.get(path).json()["snapshot_id"] == old
    control.advance(6)
    assert seen() == (False, 4, 0)
    control.advance(25)
    assert seen() == (True, 4, 0)
    control.advance(30)
    assert seen() == (True, 4, 4)
    new_playlist(client, "Too new to be listed")
    assert client.get("/me/playlists").json()["total"] == 1
    control.advance(61)
    assert client.get("/me/playlists").json()["total"] == 2


def test_a_slow_network_keeps_a_request_before_it_arrives_and_its_answer_after_that(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    control, client = simulator.control, api("classic")
    control.add_fault(kind="latency", client_id="reduced", there=[5, 5])
    control.add_fault(kind="latency", client_id="classic", there=[0.2, 0.3], back=[0.3, 0.4])
    sent = time.time()
    client.get("/me")
    took = time.time() - sent
    arrived = control.ledger(path="/me")[-1]["real_time"] - sent

    assert arrived >= 0.2
    assert took - arrived >= 0.3
    assert [fault["struck"] for fault in control.faults()] == [0, 1]


def test_latency_repeats_with_its_seed_and_keeps_within_its_bounds(tmp_path: Path) -> None:
    def drawn(folder: Path) -> list[tuple[float, float]]:
        with closing(Database(folder)) as database:
            faults = Faults(database)
            faults.add(parse_fault({"kind": "latency", "there": [1, 2], "probability": 0.5, "seed": 4}))
            return [faults.latency("classic") for _ in range(100)]

    first = drawn(tmp_path / "first")
    assert first == drawn(tmp_path / "second")
    assert {back for _, back in first} == {0.0}
    struck = [there for there, _ in first if there]
    assert 30 < len(struck) < 70
    assert all(1 <= there <= 2 for there in struck)
    assert len(set(struck)) == len(struck)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"status": 99}, "status"),
        ({"path": "("}, "path"),
        ({"drop": "never"}, "drop"),
        ({"kind": "dead_uri"}, "uri"),
        ({"kind": "earthquake"}, "kind"),
        ({"probability": 2}, "probability"),
        ({"kind": "latency", "there": [-1, 1]}, "there"),
        ({"delais": 1}, "delais"),
    ],
)
def test_a_bad_fault_is_refused_by_the_name_of_its_field(
    simulator: RunningSimulator, fault: dict[str, object], named: str
) -> None:
    with pytest.raises(ControlError, match=named):
        simulator.control.add_fault(**fault)


def test_reccobeats_knows_most_tracks_in_its_own_order_and_limits_itself(
    simulator: RunningSimulator, api: ApiFactory
) -> None:
    ids = [uri.rsplit(":", 1)[1] for uri in track_uris(simulator, 440)]
    batches = [ids[start : start + 40] for start in range(0, len(ids), 40)]
    url = f"{simulator.reccobeats_url}/audio-features"
    with httpx.Client() as client:
        content = [
            features
            for batch in batches
            for features in client.get(url, params={"ids": ",".join(batch)}).json()["content"]
        ]
        found = [features["href"].rsplit("/", 1)[1] for features in content]
        assert 0.5 < len(found) / len(ids) < 0.75
        assert set(found) < set(ids)
        assert found != [track_id for track_id in ids if track_id in set(found)]
        assert all("time_signature" not in features and len(features["id"]) == 36 for features in content)
        classic = api().get("/audio-features", params={"ids": ",".join(found[:100])}).json()["audio_features"]
        both = [(ours, theirs) for ours, theirs in zip(content, classic, strict=False) if theirs]
        assert both
        assert all(ours["energy"] == theirs["energy"] for ours, theirs in both)
        for bad in ("", ",".join(ids[:41])):
            refused = client.get(url, params={"ids": bad})
            assert (refused.status_code, refused.json()["code"]) == (400, 4004)
        simulator.control.set_reccobeats_limit(1)
        limited = client.get(url, params={"ids": ids[0]})
        assert limited.status_code == 429
        assert int(limited.headers["retry-after"]) >= 1

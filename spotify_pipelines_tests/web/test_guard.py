"""The guard in front of the whole app, tried over real sockets: each way in is shut, and the right one is open."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from spotify_pipelines_tests.support.web import TOKEN, WebServer

PATHS = [
    "/",
    "/graphql",
    "/server_info",
    "/api/v1/jobs/list",
    "/api/v1/openapi.json",
    "/favicon.png",
    "/logs/x",
]
MUTATION = "mutation { setNuxSeen }"
EVIL = "https://evil.example"


def websocket(server: WebServer, **headers: str) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{server.port}/graphql",
        subprotocols=["graphql-ws"],  # type: ignore[list-item]
        additional_headers=headers,
        open_timeout=30,
    )


def subscribe(connection: ClientConnection) -> str:
    connection.send('{"type": "connection_init"}')
    return str(connection.recv(timeout=30))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:3000", "127.0.0.1@evil.example"])
def test_another_host_name_is_refused_everywhere(server: WebServer, path: str, host: str) -> None:
    with server.client(Host=host) as client:
        answer = client.get(path)
    assert answer.status_code == 403
    assert "SPOTIFY_PIPELINES_WEB_HOSTS" in answer.json()["detail"]


def test_two_host_headers_or_none_are_refused(server: WebServer) -> None:
    own = f"Host: 127.0.0.1:{server.port}\r\n"
    for headers in ("", own + "Host: evil.example\r\n", own + own):
        assert raw(server, f"GET /server_info HTTP/1.1\r\n{headers}Connection: close\r\n\r\n") in (
            "400",
            "403",
        )
    assert raw(server, f"GET /server_info HTTP/1.1\r\n{own}Connection: close\r\n\r\n") == "200"


def raw(server: WebServer, request: str) -> str:
    """The status of an answer to what no well-behaved client would send."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
        connection.sendall(request.encode())
        return connection.makefile().readline().split()[1]


@pytest.mark.parametrize("path", ["/graphql", "/api/v1/jobs/update", "/report_asset_materialization/albums"])
@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:1", "http://127.0.0.1"])
def test_a_page_of_another_origin_can_post_nothing(server: WebServer, path: str, origin: str) -> None:
    with server.client(Origin=origin) as client:
        assert client.post(path, json={"query": MUTATION}).status_code == 403


def test_a_browser_that_says_cross_site_without_an_origin_is_refused(server: WebServer) -> None:
    with server.client(**{"Sec-Fetch-Site": "cross-site"}) as client:
        assert client.post("/graphql", json={"query": "{ version }"}).status_code == 403


def test_our_own_page_and_a_client_that_is_no_browser_may_post(server: WebServer) -> None:
    for headers in ({"Origin": server.url, "Sec-Fetch-Site": "same-origin"}, {}):
        with server.client(**headers) as client:
            answer = client.post("/graphql", json={"query": "mutation { setNuxSeen }"})
        assert answer.json() == {"data": {"setNuxSeen": True}}


@pytest.mark.parametrize("headers", [{"Origin": EVIL}, {"Host": "evil.example"}, {"Origin": "null"}])
def test_a_page_of_another_origin_or_name_gets_no_websocket(
    server: WebServer, headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        websocket(server, **headers)
    assert refused.value.response.status_code == 403


def test_our_own_page_gets_a_websocket_that_works(server: WebServer) -> None:
    with websocket(server, Origin=server.url) as connection:
        assert "connection_ack" in subscribe(connection)


@pytest.mark.parametrize("path", ["/graphql", "//graphql", "/graphql/"])
@pytest.mark.parametrize(
    "query", [MUTATION, "query Q { version } mutation M { setNuxSeen }", "\n#\n" + MUTATION]
)
def test_no_mutation_comes_by_get(server: WebServer, path: str, query: str) -> None:
    address = httpx.URL(f"{server.url}").copy_with(raw_path=path.encode())
    with httpx.Client(timeout=60) as client:
        for given in ([query], ["{ version }", query]):
            answer = client.get(address.copy_merge_params(httpx.QueryParams({"query": given})))
            assert answer.status_code == 405
            assert answer.headers["allow"] == "POST"


def test_a_query_may_come_by_get(server: WebServer) -> None:
    with server.client() as client:
        assert client.get("/graphql", params={"query": "{ version }"}).status_code == 200


def test_no_page_may_show_ours_in_a_frame(server: WebServer) -> None:
    with server.client(Accept="text/html") as client:
        headers = client.get("/").headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "script-src" in headers["content-security-policy"]


def test_what_is_refused_is_recorded(server: WebServer) -> None:
    with server.client(Origin=EVIL) as client:
        client.post("/graphql", json={"query": MUTATION})
    event = server.events("web.refused")[-1]
    assert (event["rule"], event["method"], event["path"]) == ("origin", "POST", "/graphql")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a token that is long enougH"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "spotify_pipelines_session=9999999999.00"},
        {"Cookie": f"spotify_pipelines_session={TOKEN}"},
    ],
)
def test_without_the_token_no_path_is_open(closed: WebServer, path: str, headers: dict[str, str]) -> None:
    with closed.client(**headers) as client:
        answer = client.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_without_the_token_there_is_no_websocket(closed: WebServer) -> None:
    with pytest.raises(InvalidStatus):
        websocket(closed)
    with websocket(closed, Authorization=f"Bearer {TOKEN}") as connection:
        assert "connection_ack" in subscribe(connection)


def test_with_the_token_every_path_is_open(closed: WebServer) -> None:
    with closed.client(Authorization=f"Bearer {TOKEN}") as client:
        for path in PATHS[2:6]:
            assert client.get(path).status_code == 200


def test_the_server_answers_under_the_name_that_is_set(closed: WebServer) -> None:
    with closed.client(Host="pipelines.example", Authorization=f"Bearer {TOKEN}") as client:
        assert client.get("/server_info").status_code == 200


def test_a_browser_signs_in_and_stays_in(closed: WebServer) -> None:
    with closed.client(Accept="text/html", Origin=closed.url) as client:
        page = client.get("/automation")
        assert page.status_code == 401
        assert 'name="token"' in page.text
        assert client.post("/login", data={"token": "wrong"}).status_code == 401
        done = client.post("/login", data={"token": TOKEN})
        assert (done.status_code, done.headers["location"]) == (303, "/")
        said = done.headers["set-cookie"].lower()
        assert "httponly" in said
        assert "samesite=strict" in said
        assert TOKEN not in said
        assert client.get("/automation").status_code == 200
        cookie = client.cookies["spotify_pipelines_session"]
    with websocket(closed, Origin=closed.url, Cookie=f"spotify_pipelines_session={cookie}") as connection:
        assert "connection_ack" in subscribe(connection)


def test_another_page_can_not_sign_a_browser_in(closed: WebServer) -> None:
    with closed.client(Origin=EVIL) as client:
        assert client.post("/login", data={"token": TOKEN}).status_code == 403


@pytest.fixture
def reader(closed: WebServer) -> Iterator[httpx.Client]:
    with closed.client(Authorization=f"Bearer {TOKEN}") as client:
        yield client


def test_read_only_lets_look_and_switch_nothing(reader: httpx.Client) -> None:
    body = {"name": "metrics_snapshot_schedule", "running": False}
    assert reader.post("/api/v1/jobs/update", json=body).status_code == 403
    jobs = {job["name"]: job["running"] for job in reader.get("/api/v1/jobs/list").json()["jobs"]}
    assert jobs["metrics_snapshot_schedule"] is True
    assert reader.post("/graphql", json={"query": "{ version }"}).status_code == 200
    assert reader.post("/report_asset_materialization/albums").status_code == 403


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        ('{"query": "mutation { setNuxSeen }"}', "application/json"),
        ('{"query": "{ version }", "query": "mutation { setNuxSeen }"}', "application/json"),
        ('{"query": "\\u006dutation { setNuxSeen }"}', "application/json"),
        ("mutation { setNuxSeen }", "application/graphql"),
    ],
)
def test_read_only_refuses_mutations_in_every_dress(
    reader: httpx.Client, content: str, media_type: str
) -> None:
    for body in (content.encode(), *([content.encode("utf-16")] if "json" in media_type else [])):
        answer = reader.post("/graphql", content=body, headers={"Content-Type": media_type})
        assert answer.status_code == 403
    answer = reader.post("/graphql", params={"query": MUTATION}, content=b"", headers={"Content-Type": "a/b"})
    assert answer.status_code == 403


def test_behind_the_guard_dagster_itself_is_read_only_too(reader: httpx.Client) -> None:
    query = "{ permissions { permission value } }"
    found = reader.post("/graphql", json={"query": query}).json()["data"]["permissions"]
    assert found
    assert not any(each["value"] for each in found)


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        (("--host", "0.0.0.0"), {}, "SPOTIFY_PIPELINES_WEB_TOKEN"),
        (("--host", "::"), {}, "SPOTIFY_PIPELINES_WEB_TOKEN"),
        ((), {"SPOTIFY_PIPELINES_WEB_TOKEN": "too short"}, "SPOTIFY_PIPELINES_WEB_TOKEN"),
        ((), {"SPOTIFY_PIPELINES_WEB_HOSTS": "http://x"}, "SPOTIFY_PIPELINES_WEB_HOSTS"),
        (("--host", "192.0.2.1"), {"SPOTIFY_PIPELINES_WEB_TOKEN": TOKEN}, "Can't listen on 192.0.2.1"),
    ],
)
def test_a_server_that_would_stand_open_or_can_not_listen_does_not_start(
    options: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    command = "from spotify_pipelines.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "serve", "--port", "0", *options],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (2, 3)
    assert said in done.stderr
    assert "Traceback" not in done.stderr

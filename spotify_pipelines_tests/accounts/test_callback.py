"""The page that the browser comes back to: its own path and host, escaped, one answer, and an end in time."""

import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from spotify_pipelines.accounts.callback import CallbackError, await_redirect
from spotify_pipelines.errors import ExplainedError


@dataclass
class Listener:
    """``await_redirect`` in a thread of its own, as the command line has it in the main one."""

    redirect_uri: str
    accepted: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None
    ended: bool = False

    def start(self) -> None:
        ready = threading.Event()

        def listen() -> None:
            self.accepted.append(await_redirect(self.redirect_uri, accept, timeout=20, listening=ready.set))

        self.thread = threading.Thread(target=listen, daemon=True)
        self.thread.start()
        assert ready.wait(10)

    def get(self, path: str, host: str | None = None) -> tuple[int, str]:
        netloc = self.redirect_uri.split("/")[2]
        connection = http.client.HTTPConnection(netloc, timeout=10)
        connection.request("GET", path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        page = response.read().decode()
        self.ended |= response.status == http.HTTPStatus.OK
        return response.status, page

    def finished(self) -> bool:
        assert self.thread is not None
        self.thread.join(10)
        return not self.thread.is_alive()


def accept(address: str) -> str:
    if "good" not in address:
        raise ExplainedError(f"Refused <script>{address}</script>")
    return address


@pytest.fixture
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listener = Listener(f"http://127.0.0.1:{port}/callback")
    listener.start()
    yield listener
    if not listener.ended:
        listener.get("/callback?good")


def test_the_first_accepted_address_ends_the_wait(listener: Listener) -> None:
    status, page = listener.get("/callback?code=good&state=s")
    assert status == 200
    assert "close this page" in page
    assert "good" not in page
    assert listener.finished()
    assert listener.accepted == [f"{listener.redirect_uri}?code=good&state=s"]
    with pytest.raises(OSError, match="refused"):
        listener.get("/callback?code=good")


def test_a_refused_address_is_told_why_in_escaped_text_and_the_wait_goes_on(listener: Listener) -> None:
    status, page = listener.get("/callback?code=bad")
    assert status == 400
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert listener.get("/callback?good")[0] == 200


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/", None),
        ("/callbacks?good", None),
        ("/callback?good", "evil.example"),
        ("/callback?good", "localhost"),
    ],
)
def test_other_paths_and_hosts_get_nothing(listener: Listener, path: str, host: str | None) -> None:
    assert listener.get(path, host)[0] == 404
    assert listener.accepted == []


def test_a_connection_that_says_nothing_does_not_hold_the_page_back(listener: Listener) -> None:
    place = listener.redirect_uri.split("/")[2].split(":")
    with socket.create_connection((place[0], int(place[1]))) as silent:
        silent.shutdown(socket.SHUT_WR)
        assert listener.get("/callback?good")[0] == 200


def test_nobody_coming_back_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(CallbackError, match="--no-browser"):
        await_redirect("http://127.0.0.1:0/callback", accept, timeout=0.05, listening=lambda: None)


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/callback"
        with pytest.raises(CallbackError, match="Choose another --port"):
            await_redirect(address, accept, timeout=1, listening=lambda: None)

"""The one page that the browser comes back to: a listener on 127.0.0.1 for as long as one consent takes.

What belongs here: receiving the redirect and telling the person how it went. What does not: what is in it (the
caller judges each address). It takes only its own path and host, answers in plain escaped HTML, and stops with the
first answer that is accepted, so that a code can't be played twice.
"""

import http.server
import time
from collections.abc import Callable
from html import escape
from typing import TypeVar
from urllib.parse import urlsplit

from spotify_pipelines.errors import ExplainedError

__all__ = ["CallbackError", "await_redirect"]

T = TypeVar("T")


class CallbackError(ExplainedError):
    """Nobody came back, or nobody could have; the text says what to do."""


def await_redirect(
    redirect_uri: str, accept: Callable[[str], T], *, timeout: float, listening: Callable[[], None]
) -> T:
    """Listen on ``redirect_uri`` until ``accept`` takes an address, and answer what it made of it.

    An address that ``accept`` refuses gets a page with the reason and is otherwise ignored: anybody on this
    machine could send one.

    Args:
        accept: given the whole address; raises ``ExplainedError`` to refuse it.
        timeout: in seconds.
        listening: called once the port is open, to send the person on their way.

    Raises:
        CallbackError: nobody came in time, or the port is taken.
    """
    place = urlsplit(redirect_uri)
    accepted: list[T] = []

    class Page(http.server.BaseHTTPRequestHandler):
        timeout = 5  # a connection that says nothing must not hold the page back

        def do_GET(self) -> None:
            if self.headers.get("Host") != place.netloc or urlsplit(self.path).path != place.path:
                self._show(404, "There is nothing here.")
                return
            try:
                accepted.append(accept(f"{place.scheme}://{place.netloc}{self.path}"))
            except ExplainedError as error:
                self._show(400, str(error))
            else:
                self._show(200, "Spotify has answered. You can close this page and go back to the terminal.")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: the address holds the code."""

        def _show(self, status: int, text: str) -> None:
            page = f"<!doctype html><meta charset=utf-8><title>Spotify Pipelines</title><p>{escape(text)}</p>"
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", "default-src 'none'")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(page.encode())

    try:
        server = http.server.HTTPServer((place.hostname or "127.0.0.1", place.port or 80), Page)
    except OSError as error:
        raise CallbackError(
            f"Can't listen on {redirect_uri}: {error.strerror}. Choose another --port (and register its address "
            "in Spotify's developer dashboard), or use --no-browser and paste the address."
        ) from error
    with server:
        listening()
        deadline = time.monotonic() + timeout
        while not accepted:
            server.timeout = deadline - time.monotonic()
            if server.timeout <= 0:
                raise CallbackError(
                    f"Nobody came back to {redirect_uri} within {timeout:.0f} seconds. Start again; on a machine "
                    "without a browser use --no-browser."
                )
            server.handle_request()
    return accepted[0]

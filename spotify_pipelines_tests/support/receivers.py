"""Receivers of alerts, real ones on this machine: a webhook and a mail server that can also misbehave.

What belongs here: taking what is sent, and the ways to refuse it. What does not: what a message should say.
"""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["MailServer", "WebhookServer", "mail_server", "webhook_server"]


@dataclass
class WebhookServer:
    """A webhook; ``status`` is what it answers, and ``hangs`` whether it answers at all."""

    url: str = ""
    status: int = 200
    hangs: bool = False
    posted: list[dict[str, Any]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def webhook_server() -> Iterator[WebhookServer]:
    """A webhook on a port of its own; its address holds a secret, as Slack's do."""
    state = WebhookServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if state.hangs:
                state.closing.wait(60)
                return
            if state.status == 200:
                assert self.headers["Content-Type"] == "application/json"
                state.posted.append(json.loads(body))
            self.send_response(state.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: tests look at what was taken."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/services/hush-hush"
    with _running(server, state.closing):
        yield state


@dataclass
class MailServer:
    """A mail server; ``refuses`` is the command it says no to, ``hangs`` whether it says anything.

    One that ``offers_tls`` is an impostor: it has no certificate, and goes on in clear.
    """

    host: str
    port: int = 0
    refuses: str = ""
    hangs: bool = False
    offers_tls: bool = False
    logins: list[str] = field(default_factory=list)
    taken: list[EmailMessage] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Without a login."""
        return f"smtp://{self.host}:{self.port}"


@contextmanager
def mail_server(host: str = "127.0.0.1") -> Iterator[MailServer]:
    """A mail server on a port of its own that speaks as much of RFC 5321 as takes one mail, without encryption."""
    state = MailServer(host)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if state.hangs:
                state.closing.wait(60)
                return
            self.say("220 ready")
            for raw in self.rfile:
                if not self.answer(raw.decode("ascii").strip()):
                    return

        def answer(self, line: str) -> bool:
            word = line.partition(" ")[0].partition(":")[0].upper()
            if word == state.refuses:
                self.say("550 hush-hush is not taken")
            elif word == "EHLO":
                self.say("250-here", *["250-STARTTLS"] * state.offers_tls, "250 AUTH PLAIN")
            elif word == "STARTTLS":
                self.say("220 go on", "250 in clear")
                return False
            elif word == "AUTH":
                state.logins.append(line.split(" ")[2])
                self.say("235 welcome")
            elif word == "DATA":
                self.say("354 go on")
                state.taken.append(self.mail())
                self.say("250 taken")
            elif word == "QUIT":
                self.say("221 bye")
                return False
            else:
                self.say("250 ok")
            return True

        def mail(self) -> EmailMessage:
            lines = []
            for line in iter(self.rfile.readline, b".\r\n"):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            found = message_from_bytes(b"".join(lines), policy=policy.default)
            assert isinstance(found, EmailMessage)
            return found

        def say(self, *lines: str) -> None:
            self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    server = Server((host, 0), Handler)
    state.port = server.server_address[1]
    with _running(server, state.closing):
        yield state


@contextmanager
def _running(server: socketserver.BaseServer, closing: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()

"""Who may come in, decided on plain values: by host name, by origin, by token, by what a GraphQL text would do.

What belongs here: the decisions, without sockets or clock. What does not: reading requests and answering them
(``guard``). Dagster's web app accepts any Host and executes mutations that come by GET, so that any page in a
browser could drive an instance on loopback: each rule here closes one of those ways.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

from spotify_pipelines.errors import ExplainedError

__all__ = [
    "COOKIE_SECONDS",
    "LOOPBACK_NAMES",
    "GuardError",
    "Rules",
    "changes_something",
    "is_loopback",
    "make_cookie",
    "origin_fits",
]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
COOKIE_SECONDS = 7 * 24 * 3600
"""How long a browser stays in."""

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>\d{1,5}))?", re.IGNORECASE)
_MORE_THAN_QUERIES = re.compile(r"\b(?:mutation|subscription)\b")
_PORTS = {"http": 80, "https": 443}


class GuardError(ExplainedError):
    """The server would stand open; the text says what to set."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the guard goes by.

    Attributes:
        hosts: names in the Host header that are ours, in small letters and without ports.
        token: what everybody has to know; None where loopback is protection enough.
        read_only: nobody changes anything.
    """

    hosts: frozenset[str]
    token: str | None = None
    read_only: bool = False

    @classmethod
    def for_address(cls, host: str, names: Iterable[str], token: str | None, *, read_only: bool) -> "Rules":
        """The rules of a server that listens on ``host`` and is reached under ``names``, too.

        Raises:
            GuardError: ``host`` is not loopback and there is no token, or a name is none.
        """
        if token is None and not is_loopback(host):
            raise GuardError(
                f"'{host}' can be reached from other machines, and Dagster's UI has no login of its own. Set "
                "SPOTIFY_PIPELINES_WEB_TOKEN (24 characters or more), which is then asked of everybody, or "
                "listen on 127.0.0.1 behind a proxy that has a login."
            )
        own = {f"[{host}]" if ":" in host else host, *names}
        if wrong := sorted(
            name for name in names if (parts := _HOST.fullmatch(name)) is None or parts["port"]
        ):
            raise GuardError(
                f"SPOTIFY_PIPELINES_WEB_HOSTS: '{wrong[0]}' is no host name. Write names without scheme and port, "
                "comma separated: pipelines.example.org"
            )
        return cls(LOOPBACK_NAMES | {name.lower() for name in own}, token, read_only)

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names this server. A page that rebinds its own name to 127.0.0.1 sends its own."""
        parts = _HOST.fullmatch(header)
        return parts is not None and parts["name"].lower() in self.hosts

    def knows_token(self, given: str) -> bool:
        """Whether it is the token; takes the same time for every wrong one."""
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    def knows_cookie(self, given: str, now: float) -> bool:
        """Whether a browser was let in with today's token, and not too long ago (``now``: Unix seconds)."""
        if self.token is None:
            return False
        until = given.partition(".")[0]
        if not until.isascii() or not until.isdigit() or int(until[:12]) < now:
            return False
        return hmac.compare_digest(given.encode(), _signed(self.token, until).encode())


def make_cookie(token: str, now: float) -> str:
    """What a browser is given for the token: until when, signed with it. A new token makes all of them void."""
    return _signed(token, str(int(now) + COOKIE_SECONDS))


def _signed(token: str, until: str) -> str:
    key = hashlib.sha256(token.encode()).digest()
    return f"{until}.{hmac.new(key, f'web session until {until}'.encode(), hashlib.sha256).hexdigest()}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.7", "example.org")]
    [True, True, True, False, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_fits(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` came from the server that the Host header names; the port counts.

    >>> origin_fits("http://localhost:3000", "localhost:3000"), origin_fits("https://ui.example", "ui.example")
    (True, True)
    >>> origin_fits("http://localhost:8080", "localhost:3000"), origin_fits("null", "localhost:3000")
    (False, False)
    """
    parts = _HOST.fullmatch(host)
    try:
        page = urlsplit(origin)
        port = page.port or _PORTS.get(page.scheme)
    except ValueError:
        return False
    if parts is None or page.scheme not in _PORTS or page.hostname is None:
        return False
    ours = parts["name"].lower().strip("[]")
    return page.hostname == ours and port == int(parts["port"] or _PORTS[page.scheme])


def changes_something(query: str) -> bool:
    """Whether a GraphQL text holds more than queries.

    One that can't be parsed here might be there: how deep texts may nest depends on how deep the stack is already.
    So it counts as soon as it holds the word.
    """
    try:
        document = parse(query, no_location=True)
    except GraphQLError:
        return _MORE_THAN_QUERIES.search(query) is not None
    return any(
        isinstance(each, OperationDefinitionNode) and each.operation is not OperationType.QUERY
        for each in document.definitions
    )

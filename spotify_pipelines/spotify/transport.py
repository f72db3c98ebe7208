"""One HTTP exchange, bounded in time and size: the only module that knows httpx.

What belongs here: connections, time-outs, the size bound, telling "never sent" from "maybe arrived". What
does not: meaning (``verdict``), turns, tokens and attempts (``caller``). No text of an httpx exception
leaves this module: it may quote a header. Redirects are never followed, so a token never goes to another
host.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from spotify_pipelines.spotify.verdict import Answer

__all__ = ["MAX_BODY", "BodyTooLarge", "HttpTransport", "Undelivered"]

MAX_BODY = 5 * 1024 * 1024
"""Bytes, after decompression. The largest honest answer (20 albums) has about 1 MB."""
USER_AGENT = "spotify-pipelines/0.1"
CONNECT_TIMEOUT = 5.0


class Undelivered(Exception):
    """No answer came.

    Attributes:
        kind: the failure's name, without its text.
        sent: the request may have reached the server.
    """

    def __init__(self, kind: str, *, sent: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.sent = sent


class BodyTooLarge(Exception):
    """The answer went over ``MAX_BODY`` and was cut off."""


class HttpTransport:
    """A connection pool.

    Args:
        client: the pool; how it is configured is ``open``'s business.
        time_limit: seconds for a whole exchange, so that it ends well within a rate limit's window.
    """

    def __init__(self, client: httpx.AsyncClient, *, time_limit: float) -> None:
        self._client = client
        self._time_limit = time_limit

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, time_limit: float, use_proxies: bool = True, mounted: httpx.AsyncBaseTransport | None = None
    ) -> AsyncIterator["HttpTransport"]:
        """A pool that is closed at the end of the block.

        ``use_proxies`` obeys ``HTTPS_PROXY`` and its kin; not for plain http to this machine, where a proxy
        would see the tokens. ``mounted`` answers in place of the network.
        """
        # Its INFO lines show whole URLs, its DEBUG lines headers.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(time_limit, connect=min(CONNECT_TIMEOUT, time_limit)),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            follow_redirects=False,
            trust_env=use_proxies,
            transport=mounted,
        ) as client:
            yield cls(client, time_limit=time_limit)

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """Send once. ``body`` goes as JSON, ``form`` URL-encoded, ``content`` as it is.

        Raises:
            Undelivered: no answer came; tells whether the request may have arrived.
            BodyTooLarge: an answer came, larger than ``MAX_BODY``.
        """
        try:
            async with (
                asyncio.timeout(self._time_limit),
                self._client.stream(
                    method, url, headers=dict(headers), params=params, json=body, data=form, content=content
                ) as response,
            ):
                received = bytearray()
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > MAX_BODY:
                        raise BodyTooLarge
                names = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, names, bytes(received))
        except (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.UnsupportedProtocol,
        ) as error:
            raise Undelivered(type(error).__name__, sent=False) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise Undelivered(type(error).__name__, sent=True) from None
        except TimeoutError:
            raise Undelivered("Timeout", sent=True) from None

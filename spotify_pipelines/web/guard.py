"""The guard in front of the whole app, Dagster's UI included: ASGI middleware that lets in or answers itself.

What belongs here: reading a request for what ``rules`` decide on, the sign-in page, the answers. What does not: the
decisions. Nothing behind it is reached by a request that it has not let through, websockets included.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qs, parse_qsl

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spotify_pipelines.web.rules import COOKIE_SECONDS, Rules, changes_something, make_cookie, origin_fits

__all__ = ["COOKIE", "Guard"]

COOKIE = "spotify_pipelines_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LARGEST_BODY = 10_000_000
_SIGN_IN = "/login"

log = structlog.get_logger(__name__)

Next = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: HTTPStatus
    reason: str
    rule: str


class Guard:
    """Middleware: ``app`` sees only what ``rules`` allow.

    In this order: the Host header is ours; what changes something, and every websocket, comes from our own pages or
    from no page at all; the token or the cookie is there; no mutation comes by GET; in read-only mode, none at all.
    """

    def __init__(self, app: ASGIApp, rules: Rules, clock: Callable[[], float] = time.time) -> None:
        self._app = app
        self._rules = rules
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            refusal = self._refusal(scope)
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                _report(refusal, scope)
                await send({"type": "websocket.close", "code": 1008, "reason": refusal.rule})
        else:
            await self._http(scope, receive, _with_headers(send))

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        signs_in = self._rules.token is not None and (scope["method"], scope["path"]) == ("POST", _SIGN_IN)
        refusal = self._refusal(scope, without_token=signs_in)
        if refusal is None and signs_in:
            await self._sign_in(scope, receive, send)
            return
        if refusal is None and self._rules.read_only and scope["method"] not in _SAFE:
            body = await _read(receive)
            refusal = _read_only_refusal(scope, body)
            receive = _again(body or b"", receive)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        _report(refusal, scope)
        await _answer(refusal, scope)(scope, receive, send)

    def _refusal(self, scope: Scope, *, without_token: bool = False) -> _Refusal | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._rules.knows_host(hosts[0]):
            return _Refusal(
                HTTPStatus.FORBIDDEN,
                "This server does not answer under that host name. Where it should, add the name to "
                "SPOTIFY_PIPELINES_WEB_HOSTS.",
                "host",
            )
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if changes and not _from_our_pages(headers, hosts[0]):
            return _Refusal(HTTPStatus.FORBIDDEN, "A page of another origin may not do this.", "origin")
        if self._rules.token is not None and not without_token and not self._is_known(headers):
            return _Refusal(
                HTTPStatus.UNAUTHORIZED,
                "Send the token of SPOTIFY_PIPELINES_WEB_TOKEN as 'Authorization: Bearer …', or sign in.",
                "token",
            )
        if not changes and any(map(changes_something, _queries(scope))):
            return _Refusal(
                HTTPStatus.METHOD_NOT_ALLOWED, "A GraphQL mutation has to be sent by POST.", "mutation by GET"
            )
        return None

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._rules.knows_token(given.strip()):
            return True
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return self._rules.knows_cookie(cookie, self._clock())

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        fields = parse_qs((body or b"").decode("latin-1"))
        given = fields.get("token", [""])[-1].strip()
        answer: Response
        if self._rules.token is not None and self._rules.knows_token(given):
            answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
            answer.set_cookie(
                COOKIE,
                make_cookie(self._rules.token, self._clock()),
                max_age=COOKIE_SECONDS,
                httponly=True,
                samesite="strict",
                secure=scope["scheme"] == "https",
            )
            log.info("web.signed_in")
        else:
            _report(_Refusal(HTTPStatus.UNAUTHORIZED, "", "wrong token"), scope)
            answer = _sign_in_page("That is not the token.")
        await answer(scope, receive, send)


def _from_our_pages(headers: Headers, host: str) -> bool:
    """Browsers name a page's origin at everything that changes something; other clients name none."""
    origins = headers.getlist("origin")
    if origins:
        return len(origins) == 1 and origin_fits(origins[0], host)
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _queries(scope: Scope) -> list[str]:
    pairs = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    return [value for name, value in pairs if name == "query"]


def _read_only_refusal(scope: Scope, body: bytes | None) -> _Refusal | None:
    if body is None:
        return _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large.", "size")
    if scope["path"] == "/graphql" and not any(map(changes_something, [*_queries(scope), *_texts(body)])):
        return None
    return _Refusal(
        HTTPStatus.FORBIDDEN, "This server is read-only (SPOTIFY_PIPELINES_WEB_READ_ONLY).", "read-only"
    )


def _texts(body: bytes) -> list[str]:
    """The GraphQL text that Dagster might read out of a body, whatever its media type says."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return [body.decode("utf-8", errors="replace")]
    query = data.get("query") if isinstance(data, dict) else None
    return [query] if isinstance(query, str) else []


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None where it is larger than anything we expect, or the client went away."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > _LARGEST_BODY:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def once_more() -> Message:
        return waiting.pop() if waiting else await receive()

    return once_more


def _with_headers(send: Send) -> Send:
    """No other page may show ours in a frame, to have its switches clicked, or load it as a script or picture."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Frame-Options"] = "DENY"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["X-Content-Type-Options"] = "nosniff"
        await send(message)

    return guarded


def _report(refusal: _Refusal, scope: Scope) -> None:
    client = scope.get("client")
    log.warning(
        "web.refused",
        rule=refusal.rule,
        method=scope.get("method", "WEBSOCKET"),
        path=scope["path"],
        client=client[0] if client else None,
    )


def _answer(refusal: _Refusal, scope: Scope) -> Response:
    headers = Headers(scope=scope)
    if refusal.status is HTTPStatus.UNAUTHORIZED and "text/html" in headers.get("accept", ""):
        return _sign_in_page()
    answer = JSONResponse({"detail": refusal.reason}, refusal.status)
    if refusal.status is HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if refusal.status is HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = "POST"
    return answer


def _sign_in_page(complaint: str = "") -> HTMLResponse:
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Spotify pipelines: sign in</title>
<style>body{{font:16px system-ui,sans-serif;margin:20vh auto;max-width:24rem;padding:0 1rem}}
input,button{{font:inherit;padding:.5rem;box-sizing:border-box;width:100%;margin:.5rem 0}}</style></head>
<body><h1>Sign in</h1><form method="post" action="{_SIGN_IN}">
<label for="token">Token of this server (SPOTIFY_PIPELINES_WEB_TOKEN)</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<p role="alert">{escape(complaint)}</p><button>Sign in</button></form></body></html>"""
    return HTMLResponse(
        page,
        HTTPStatus.UNAUTHORIZED,
        {
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
            "frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "WWW-Authenticate": "Bearer",
        },
    )

"""The way of a request through the simulator, the same for all three services.

    identify the caller → limits → faults → refuse or carry out, and book it → late or cut answers

Effect and ledger line are one transaction: what the ledger says happened, happened, also across a kill -9.
Endpoints are plain synchronous functions from a ``Call`` to a ``Reply``; what they do is in their own modules.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from spotify_pipelines.simulator.errors import ApiError, Refusal
from spotify_pipelines.simulator.faults import AnswerFault, Struck
from spotify_pipelines.simulator.ledger import LedgerEntry
from spotify_pipelines.simulator.people import Client, Etags, Regime, User
from spotify_pipelines.simulator.state import SimulatorState
from spotify_pipelines.simulator.views import Views

__all__ = ["ABORT", "Call", "Caller", "Endpoint", "Reply", "Service", "exchange"]

ABORT = "spotify_pipelines.abort"
"""Name of the ASGI extension with which the server lets us cut a connection."""

_LARGEST_BODY = 4 * 1024 * 1024


class Service(StrEnum):
    """Which of the three services an endpoint belongs to."""

    WEB_API = "web_api"
    ACCOUNTS = "accounts"
    RECCOBEATS = "reccobeats"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``effect``: something was created, changed or issued."""

    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    effect: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and path of a service, who may use it, and the function that answers.

    ``recognise`` finds out client and user where no bearer token tells, so that faults can pick them.
    """

    method: str
    path: str
    answer: Callable[["Call"], Reply]
    family: str
    service: Service = Service.WEB_API
    regimes: frozenset[Regime] = frozenset(Regime)
    users_only: bool = False
    is_cacheable: bool = False
    recognise: Callable[["Call"], None] | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a bearer token stands for; ``user`` is None for an app's own token."""

    client: Client
    user: User | None
    scopes: frozenset[str]


@dataclass(slots=True)
class Call:
    """A request on its way. ``client_id`` and ``user_id`` are what the ledger will say.

    ``admitted_at`` is where in the window of its app it counts.
    """

    state: SimulatorState
    endpoint: Endpoint
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    now: float
    caller: Caller | None = None
    client_id: str | None = None
    user_id: str | None = None
    fault_id: int | None = None
    admitted_at: float = 0.0

    @property
    def client(self) -> Client:
        """The calling app; only for endpoints of the Web API."""
        return self._caller().client

    @property
    def user(self) -> User:
        """The calling user; only for endpoints that are for users."""
        user = self._caller().user
        if user is None:
            raise ApiError(403, "This request requires user authentication.")
        return user

    @property
    def scopes(self) -> frozenset[str]:
        """What the user allowed the app to do."""
        return self._caller().scopes

    def _caller(self) -> Caller:
        if self.caller is None:
            raise ApiError(401, "No token provided", headers={"WWW-Authenticate": 'Bearer realm="spotify"'})
        return self.caller

    def require_scope(self, scope: str) -> None:
        """Refuse a caller without ``scope``.

        Raises:
            ApiError: 403.
        """
        if scope not in self.scopes:
            raise ApiError(403, "Insufficient client scope")

    def views(self) -> Views:
        """The shapes that this caller sees; the market is the one asked for, else the user's country."""
        caller = self._caller()
        country = caller.user.country if caller.user else None
        market = self.query.get("market")
        if market and market != "from_token" and not (len(market) == 2 and market.isalpha()):
            raise ApiError(400, "Invalid market code")
        market = country if market in (None, "", "from_token") else market
        return Views(caller.client.regime, f"{self.base_url}/v1", self.state.catalogue, market)

    def json(self) -> object:
        """The body as JSON; None where it is empty.

        Raises:
            ApiError: 400, it isn't JSON.
        """
        if not self.body.strip():
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            raise ApiError(400, "Error parsing JSON.") from None

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number from the query.

        Raises:
            ApiError: 400, it is no number or out of range.
        """
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
            raise ApiError(400, f"Invalid {name}")
        return int(text)


class _CutConnection(Response):
    """No answer at all: the connection just ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"][ABORT]()
        while (await receive())["type"] != "http.disconnect":
            pass


async def exchange(state: SimulatorState, endpoint: Endpoint, request: Request) -> Response:
    """Take a request through all stations."""
    call = Call(
        state=state,
        endpoint=endpoint,
        path=request.url.path,
        params=request.path_params,
        query=request.query_params,
        headers=request.headers,
        body=await request.body(),
        base_url=f"{request.url.scheme}://{request.url.netloc}",
        now=state.clock.now(),
    )
    refusal = _check_body(call) or _identify(call)
    there, back = state.faults.latency(call.client_id)
    if there:
        await asyncio.sleep(there)
    real_time, sim_time = time.time(), state.clock.now()
    call.now = sim_time
    limited = _limit(call)
    struck = None if limited else _strike(call)
    fault = struck.fault if struck and isinstance(struck.fault, AnswerFault) else None
    if fault and fault.delay:
        await asyncio.sleep(fault.delay)
        call.now = state.clock.now()
    with state.database.transaction():
        reply = _falsified(fault, _carry_out(call, limited or refusal, fault))
        response = _response(call, reply)
        if response.status_code == 304 and call.caller and call.caller.client.unchanged_is_free:
            state.limits[call.caller.client.client_id, ""].give_back(call.admitted_at)
        state.ledger.record(
            LedgerEntry(
                real_time=real_time,
                sim_time=sim_time,
                client_id=call.client_id,
                user_id=call.user_id,
                method=request.method,
                path=call.path,
                query=request.url.query,
                endpoint=endpoint.path,
                family=endpoint.family,
                status=None if fault and fault.drop == "before" else response.status_code,
                effect=reply.effect,
                fault_id=struck.fault_id if struck else call.fault_id,
                answered=not (fault and fault.drop),
                body=call.body,
                content_type=call.headers.get("content-type", ""),
            )
        )
    if delay_after := back + (fault.delay_after if fault else 0):
        await asyncio.sleep(delay_after)
    return _CutConnection() if fault and fault.drop else response


def _carry_out(call: Call, refusal: Refusal | None, fault: AnswerFault | None) -> Reply:
    """The true answer, and the effect, unless the fault keeps the request from being carried out."""
    if fault and fault.prevents_effect:
        return Reply(503)
    try:
        if refusal:
            raise refusal
        if call.caller:
            _admit(call, call.caller)
        return call.endpoint.answer(call)
    except Refusal as error:
        return Reply(error.status, error.body, error.headers)


def _identify(call: Call) -> Refusal | None:
    """Find out who calls; a refusal where the Web API can't tell from the token."""
    if call.endpoint.recognise:
        call.endpoint.recognise(call)
    return _check_bearer(call) if call.endpoint.service is Service.WEB_API else None


def _check_bearer(call: Call) -> Refusal | None:
    challenge = {"WWW-Authenticate": 'Bearer realm="spotify"'}
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    if not value:
        return ApiError(401, "No token provided", headers=challenge)
    if scheme.lower() != "bearer":
        return ApiError(400, "Only valid bearer authentication supported")
    token = call.state.tokens.find_access(value.strip())
    client = call.state.people.clients.get(token.client_id) if token else None
    if token is None or client is None:
        return ApiError(401, "Invalid access token", headers=challenge)
    call.client_id, call.user_id = token.client_id, token.user_id
    user = call.state.people.users.get(token.user_id) if token.user_id else None
    if token.user_id and user is None:
        return ApiError(401, "Invalid access token", headers=challenge)
    call.caller = Caller(client, user, token.scopes)
    if token.expires_at <= call.now:
        return ApiError(401, "The access token expired", headers=challenge)
    return None


def _check_body(call: Call) -> Refusal | None:
    return ApiError(413, "Request entity too large") if len(call.body) > _LARGEST_BODY else None


def _limit(call: Call) -> Refusal | None:
    """The developer account's ban, then the app's rolling window, then the cover's own."""
    limits, pace = call.state.limits, call.state.clock.pace()
    if call.endpoint.service is Service.RECCOBEATS:
        wait = limits["", "reccobeats"].ask(pace, call.state.reccobeats_limit)
        return Refusal(429, {"error": "Too Many Requests"}, {"Retry-After": str(wait)}) if wait else None
    if call.caller is None:
        return None
    client = call.caller.client
    banned_for = call.state.people.banned_until(client.developer_account) - call.now
    if banned_for > 0:
        retry_after = {"Retry-After": str(int(banned_for) + 1)}
        return ApiError(429, "Too many requests", reason="QUOTA_EXCEEDED", headers=retry_after)
    call.admitted_at = pace
    wait = limits[client.client_id, ""].ask(pace, client.limit)
    if wait is None and call.endpoint.family == "cover" and call.endpoint.method == "PUT":
        wait = limits[client.client_id, "cover"].ask(pace, client.cover_limit)
    return ApiError(429, "API rate limit exceeded", headers={"Retry-After": str(wait)}) if wait else None


def _strike(call: Call) -> Struck | None:
    return call.state.faults.strike(call.endpoint.method, call.path, call.client_id, call.user_id)


def _admit(call: Call, caller: Caller) -> None:
    """Who is known may still not be allowed."""
    if caller.user:
        call.state.people.check_listed(caller.client, caller.user)
    elif call.endpoint.users_only:
        if call.endpoint.method == "GET":
            raise ApiError(401, "Valid user authentication required")
        raise ApiError(403, "This request requires user authentication.")
    if caller.client.regime not in call.endpoint.regimes:
        raise ApiError(403, "Forbidden")


def _falsified(fault: AnswerFault | None, reply: Reply) -> Reply:
    """The answer that goes out: the fault's own, where it has one."""
    if fault is None:
        return reply
    if fault.status is None:
        return Reply(reply.status, reply.body, {**reply.headers, **fault.headers}, reply.effect)
    return Reply(fault.status, _fault_body(fault), fault.headers, reply.effect)


def _fault_body(fault: AnswerFault) -> object:
    if fault.body is not None:
        return fault.body
    return (
        {"error": {"status": fault.status, "message": "Service error"}}
        if (fault.status or 0) >= 400
        else None
    )


def _response(call: Call, reply: Reply) -> Response:
    headers = dict(reply.headers)
    if isinstance(reply.body, str):
        headers.setdefault("content-type", "text/html; charset=utf-8")
        return Response(reply.body, reply.status, headers)
    if reply.body is None:
        return Response(b"", reply.status, headers)
    content = json.dumps(reply.body, ensure_ascii=False, separators=(",", ":")).encode()
    etags = call.caller.client.etags if call.caller and call.endpoint.is_cacheable else Etags.ABSENT
    if reply.status == 200 and etags is not Etags.ABSENT:
        etag = f'"{blake2b(content, digest_size=16).hexdigest()}"'
        headers |= {"ETag": etag, "Cache-Control": "public, max-age=60"}
        if etags is Etags.HONOURED and _matches(call.headers.get("if-none-match", ""), etag):
            return Response(b"", 304, headers)
    headers.setdefault("content-type", "application/json; charset=utf-8")
    return Response(content, reply.status, headers)


def _matches(condition: str, etag: str) -> bool:
    """Whether one of the header's entity tags is this one; weak and strong ones compare alike (RFC 9110, 13.1.2)."""
    return etag in (tag.strip().removeprefix("W/") for tag in condition.split(","))

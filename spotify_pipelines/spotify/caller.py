"""The way of every call, in one visible order: cooldown, token, turn, sending, verdict, then again or out.

What belongs here: carrying out what the pure parts decide, and counting. What does not: endpoints
(``client``), the decision itself (``retry``), the meaning of an answer (``verdict``), HTTP (``transport``).
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from spotify_pipelines.spotify.accounting import CallKey, CallLog, Outcome, Service
from spotify_pipelines.spotify.errors import (
    MalformedAnswer,
    QuotaExceeded,
    RateLimited,
    SpotifyError,
    Unavailable,
)
from spotify_pipelines.spotify.families import FAMILIES
from spotify_pipelines.spotify.retry import MAX_ATTEMPTS, GiveUp, Progress, Refresh, Retry, decide
from spotify_pipelines.spotify.transport import BodyTooLarge, HttpTransport, Undelivered
from spotify_pipelines.spotify.turns import Banned, CallLimiter, Fate, Slot, Turn
from spotify_pipelines.spotify.verdict import Answer, Where, verdict

__all__ = ["Caller", "Request", "Route", "Verdict"]

log = structlog.get_logger(__name__)


class Verdict(Protocol):
    """How a service's answers are read."""

    def __call__(self, answer: Answer, where: Where, *, now: datetime) -> SpotifyError | None:
        """The error that the answer stands for; None for success."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One call to be made.

    Attributes:
        endpoint: method and path template, as counted and as shown in errors: ``GET /albums/{id}``.
        path: the template filled in.
        repeatable: twice does no more than once; False for create and append.
        unless: the ETag of what is known; 304 is a success then, and says that it still holds.
        jpeg: a picture to be sent, as base64 text.
        before_send: called before each attempt, when its turn was granted and nothing but sending is left; what it
            raises keeps the attempt from being sent.
        max_attempts: tries until an outage is reported; a 429 has had no effect and is not counted against it.
    """

    endpoint: str
    path: str
    params: Mapping[str, str | int] | None = None
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    repeatable: bool = True
    unless: str | None = None
    jpeg: bytes | None = field(default=None, repr=False)
    before_send: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    max_attempts: int = MAX_ATTEMPTS

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.endpoint.split(" ", 1)[0]

    @property
    def url(self) -> str:
        """Path and query, the same for the same question: what a validator belongs to."""
        return f"{self.path}?{urlencode(sorted(self.params.items()))}" if self.params else self.path


@dataclass(frozen=True, slots=True)
class Route:
    """For whom and against which service calls are made, and how each of their gates works.

    Attributes:
        turn: asked anew for each attempt, as limits may change.
        authorize: headers with a token, and the token itself; given the token that was just refused, a
        newer one. check_cooldown: raises ``QuotaExceeded`` while one is active. on_quota: makes a ban known
        to all; the apps that it holds back, as turns name them. look_again: as ``check_cooldown``, but at what
        is stored, not at what is remembered. family_limits: of families of endpoints with limits of their own.
    """

    service: Service
    base_url: str
    app_id: int | None
    account_id: int | None
    turn: Callable[[], Turn]
    authorize: Callable[[str | None], Awaitable[tuple[dict[str, str], str | None]]]
    check_cooldown: Callable[[Where], None]
    on_quota: Callable[[QuotaExceeded], Sequence[str] | None]
    verdict: Verdict = verdict
    look_again: Callable[[Where], None] | None = None
    family_limits: Mapping[str, int] = field(default_factory=dict)


class _Again(Exception):
    """Carries a wait from the decision to tenacity."""

    def __init__(self, after: float) -> None:
        super().__init__()
        self.after = after


class Caller:
    """Makes calls. One for all routes of a client."""

    def __init__(
        self,
        http: HttpTransport,
        limiter: CallLimiter,
        calls: CallLog,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._http = http
        self.limiter = limiter
        self.calls = calls
        self.clock = clock
        self._sleep = sleep
        self.now = now
        self.rng = rng or random.Random()  # noqa: S311 - jitter

    async def call(self, route: Route, request: Request) -> Answer:
        """Send until it succeeds or is given up; at most six times.

        Raises:
            SpotifyError: of the type that says what to do.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_Again),
            wait=_wait_as_decided,
            # The decision stops by itself; this is the belt to its braces.
            stop=stop_after_attempt(MAX_ATTEMPTS),
            sleep=self._sleep,
            reraise=True,
        )
        return await attempts(_Call(self, route, request).attempt)

    async def exchange(self, route: Route, request: Request, headers: Mapping[str, str]) -> Answer:
        """Send once, without any gate."""
        more = {}
        if request.unless is not None:
            more["If-None-Match"] = request.unless
        if request.jpeg is not None:
            more["Content-Type"] = "image/jpeg"
        return await self._http.send(
            request.method,
            route.base_url + request.path,
            headers={**headers, **more},
            params=request.params,
            body=request.body,
            form=request.form,
            content=request.jpeg,
        )


def _wait_as_decided(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.after if isinstance(error, _Again) else 0.0


class _Call:
    """The state of one call over its attempts."""

    def __init__(self, caller: Caller, route: Route, request: Request) -> None:
        self._caller = caller
        self._route = route
        self._request = request
        self._where = Where(request.endpoint, route.app_id, route.account_id, attempts=0)
        self._progress = Progress(attempts=0)
        self._refused: str | None = None
        self._waited = 0.0

    async def attempt(self) -> Answer:
        """One passage through all gates; raises ``_Again`` where another is to follow."""
        self._route.check_cooldown(self._where)
        # Told once: on later attempts the newer token is just the token.
        refused, self._refused = self._refused, None
        headers, token = await self._route.authorize(refused)
        limiter = self._caller.limiter
        try:
            slot = await limiter.acquire(self._turn())
        except Banned as ban:
            raise self._banned(ban) from None
        try:
            # A ban may have come while we waited for our turn, or somebody else may have taken the work over.
            self._route.check_cooldown(self._where)
            if self._request.before_send is not None:
                self._request.before_send()
        except BaseException:
            await limiter.refund(slot)
            raise
        try:
            outcome = await self._send(headers, slot)
        except BaseException:
            # Cancelled while in flight: it may have arrived.
            await limiter.answered(slot, Fate.LOST)
            raise
        if not isinstance(outcome, RateLimited):
            await limiter.answered(slot, _fate(outcome))
        if isinstance(outcome, Answer):
            return outcome
        if isinstance(outcome, QuotaExceeded):
            log.warning("spotify.quota_exceeded", until=outcome.until.isoformat(), **self._who())
            await self._stop_all(outcome, slot)
        raise await self._next_step(outcome, token, slot)

    def _turn(self) -> Turn:
        turn, family = self._route.turn(), FAMILIES.get(self._request.endpoint)
        if family is None or family not in self._route.family_limits:
            return turn
        return replace(turn, family=family, family_limit=self._route.family_limits[family])

    def _banned(self, ban: Banned) -> QuotaExceeded:
        """Another process met a ban just now: in its words, or in our own if they can't be found."""
        try:
            if self._route.look_again is not None:
                self._route.look_again(self._where)
        except QuotaExceeded as error:
            return error
        until = self._caller.clock() + timedelta(seconds=ban.seconds)
        return QuotaExceeded(
            f"not sent: another process met a ban, which ends at {until:%Y-%m-%d %H:%M:%S} UTC. The work "
            "goes on then.",
            until=until,
            **self._where.facts(),
        )

    async def _stop_all(self, ban: QuotaExceeded, slot: Slot) -> None:
        """Stop this app in all processes at once, make the ban durable, then stop the apps that share it."""
        seconds = max(0.0, (ban.until - self._caller.clock()).total_seconds())
        await self._caller.limiter.ban([slot.turn.app], seconds)
        apps = self._route.on_quota(ban) or ()
        await self._caller.limiter.ban([app for app in apps if app != slot.turn.app], seconds)

    async def _send(self, headers: Mapping[str, str], slot: Slot) -> Answer | SpotifyError:
        self._where = replace(self._where, attempts=self._where.attempts + 1, status=None, request_id=None)
        started = self._caller.now()
        outcome = Outcome.ERROR
        try:
            answer = await self._caller.exchange(self._route, self._request, headers)
            self._where = replace(
                self._where, status=answer.status, request_id=answer.headers.get("spotify-request-id")
            )
            still_holds = answer.status == 304 and self._request.unless is not None
            error = (
                None if still_holds else self._route.verdict(answer, self._where, now=self._caller.clock())
            )
            outcome = _outcome(error)
        except Undelivered as failure:
            error = _undelivered(failure, self._where)
        except BodyTooLarge:
            error = MalformedAnswer("the answer is larger than 5 MB and was cut off.", **self._where.facts())
        finally:
            self._count(outcome, slot.waited, self._caller.now() - started)
        return answer if error is None else error

    def _count(self, outcome: Outcome, waited: float, in_flight: float) -> None:
        route = self._route
        self._caller.calls.record(
            CallKey(route.service, route.app_id, route.account_id, self._request.endpoint),
            outcome,
            retry=self._progress.attempts > 0,
            waited=waited + self._waited,
            in_flight=in_flight,
        )
        self._waited = 0.0
        self._progress = replace(
            self._progress,
            attempts=self._progress.attempts + 1,
            spent=self._progress.spent + in_flight,
            limited=self._progress.limited + (outcome is Outcome.LIMITED),
        )

    async def _next_step(self, error: SpotifyError, token: str | None, slot: Slot) -> Exception:
        """What to raise: the error that the caller gets, or ``_Again``."""
        decision = decide(
            error, repeatable=self._request.repeatable, progress=self._progress, rng=self._caller.rng
        )
        if not isinstance(decision, Refresh) and decision.pause is not None:
            log.warning("spotify.rate_limited", pause=round(decision.pause, 2), **self._who())
            await self._caller.limiter.answered(slot, Fate.REFUSED, pause=decision.pause)
        match decision:
            case GiveUp():
                return decision.error
            case Refresh():
                log.info("spotify.token_refused", **self._who())
                self._refused = token
                self._progress = replace(self._progress, refreshed=True)
                return _Again(0.0)
            case Retry():
                if decision.pause is None and self._progress.attempts >= self._request.max_attempts:
                    return error
                if decision.pause is None:
                    log.warning(
                        "spotify.call_retried",
                        error=type(error).__name__,
                        after=round(decision.after, 2),
                        **self._who(),
                    )
                self._waited = decision.after
                self._progress = replace(self._progress, spent=self._progress.spent + decision.after)
                return _Again(decision.after)

    def _who(self) -> dict[str, object]:
        where = self._where
        return {name: value for name, value in where.facts().items() if value is not None}


def _outcome(error: SpotifyError | None) -> Outcome:
    if error is None:
        return Outcome.OK
    return Outcome.LIMITED if isinstance(error, RateLimited | QuotaExceeded) else Outcome.ERROR


def _fate(outcome: Answer | SpotifyError) -> Fate:
    if isinstance(outcome, Answer):
        return Fate.ANSWERED
    # A quota says nothing about the rate, and neither does silence.
    silent = isinstance(outcome, QuotaExceeded) or outcome.status is None
    return Fate.LOST if silent else Fate.ANSWERED


def _undelivered(failure: Undelivered, where: Where) -> Unavailable:
    what = "no answer came" if failure.sent else "the service could not be reached"
    error = Unavailable(f"{what} ({failure.kind}). Check the network, then try again.", **where.facts())
    error.sent = failure.sent
    return error

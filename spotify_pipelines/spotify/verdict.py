"""What an answer means: an HTTP status, headers and a body become an error of ours, or none.

What belongs here: telling a rate limit from a quota, and whose rule a 403 is; pure. What does not: what to
do about it (``retry``), sockets (``transport``). Texts of the server are quoted in part, with anything
token-like cut out.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from spotify_pipelines.spotify.errors import (
    AuthorizationLost,
    BadRequest,
    BanKind,
    Forbidden,
    ForbiddenReason,
    LostReason,
    MalformedAnswer,
    NotFound,
    QuotaExceeded,
    RateLimited,
    SpotifyError,
    Unavailable,
)
from spotify_pipelines.spotify.retry import parse_retry_after

__all__ = ["Answer", "Where", "accounts_verdict", "parse_json", "verdict"]

BAN_THRESHOLD = 120.0
"""Seconds of Retry-After from which a 429 is a ban and no short limit."""
BAN_DEFAULT = 3600.0
"""Seconds until a quota that names no time is tried again."""
_OTHER_TOKEN_ERRORS = ("invalid_request", "unauthorized_client", "unsupported_grant_type", "invalid_scope")
"""RFC 6749, section 5.2."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names in lower case, the body whole and bounded."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Where:
    """Which call it is about; what every error carries."""

    endpoint: str
    app_id: int | None = None
    account_id: int | None = None
    status: int | None = None
    request_id: str | None = None
    attempts: int = 1

    def facts(self) -> dict[str, Any]:
        """Keyword arguments of an error."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class _Said:
    """What an error's body says; empty where it says nothing legible."""

    message: str = ""
    reason: str = ""
    code: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def quoted(self) -> str:
        return f'Spotify says "{self.message}". ' if self.message else ""


def verdict(answer: Answer, where: Where, *, now: datetime) -> SpotifyError | None:
    """The error that an answer of the Web API or ReccoBeats stands for; None for 2xx. ``now`` is aware UTC."""
    status = answer.status
    if 200 <= status < 300:
        return None
    facts = where.facts()
    if 300 <= status < 400:
        return MalformedAnswer(
            "answered with a redirect, which is never followed. Check the base URL.", **facts
        )
    said = _read(answer)
    if status == 429:
        return _limit(answer, said, facts, now)
    if status >= 500 or status == 408:
        error = Unavailable(f"the service failed with {status}. {said.quoted}Try again later.", **facts)
        error.retry_after = _retry_after(answer, now)
        return error
    return _refusal(status, said, facts)


def accounts_verdict(answer: Answer, where: Where, *, now: datetime) -> SpotifyError | None:
    """The same for the token endpoint, of whose body only the standard error code is looked at."""
    if answer.status not in (400, 401, 403):
        # Nothing of the body may be quoted: it can hold a token.
        return verdict(Answer(answer.status, answer.headers, b""), where, now=now)
    code = _read(answer).code
    if code == LostReason.CONSENT_GONE:
        return AuthorizationLost(
            "the refresh token or code is no longer good (invalid_grant): the consent was withdrawn or has "
            "ended after six months. Connect the account again.",
            reason=LostReason.CONSENT_GONE,
            **where.facts(),
        )
    if code == LostReason.APP_REFUSED:
        return AuthorizationLost(
            "the app's client id or secret is refused (invalid_client). Compare them with the app's page "
            "in the developer dashboard.",
            reason=LostReason.APP_REFUSED,
            **where.facts(),
        )
    known = code if code in _OTHER_TOKEN_ERRORS else "no reason that we know"
    return BadRequest(f"the token request is refused: {known}.", **where.facts())


def parse_json(answer: Answer, where: Where) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        MalformedAnswer: it is none.
    """
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        kind = answer.headers.get("content-type", "no content type").split(";")[0][:40]
        raise MalformedAnswer(
            f"the answer ({len(answer.body)} bytes, {kind}) is not JSON. Try again later.", **where.facts()
        ) from None
    if not isinstance(data, dict):
        raise MalformedAnswer("the answer is JSON but no object. Try again later.", **where.facts())
    return data


def _limit(answer: Answer, said: _Said, facts: dict[str, Any], now: datetime) -> SpotifyError:
    wait = _retry_after(answer, now)
    if said.reason == "QUOTA_EXCEEDED" or (wait or 0) > BAN_THRESHOLD:
        until = now + timedelta(seconds=max(wait if wait is not None else BAN_DEFAULT, BAN_THRESHOLD))
        header = answer.headers.get("retry-after")
        return QuotaExceeded(
            f"no calls are allowed before {until:%Y-%m-%d %H:%M:%S} UTC "
            f"({said.reason or 'a long Retry-After'}). The work goes on then; nothing else helps.",
            until=until,
            kind=BanKind.QUOTA if said.reason == "QUOTA_EXCEEDED" else BanKind.LIMIT,
            said=": ".join(filter(None, (said.reason, said.message))) or "429 with a long Retry-After",
            retry_after=None if header is None else _quotable(header),
            **facts,
        )
    error = RateLimited(
        "too many calls in 30 seconds, still so at the last attempt. It passes by itself; if it comes back, "
        "lower the app's limit.",
        **facts,
    )
    error.retry_after = wait
    return error


def _refusal(status: int, said: _Said, facts: dict[str, Any]) -> SpotifyError:
    if status == 401:
        return AuthorizationLost(
            f"the access token is refused. {said.quoted}If a fresh one is refused as well, connect it again.",
            reason=LostReason.REFUSED_AFTER_REFRESH,
            **facts,
        )
    if status == 403:
        return _forbidden(said, facts)
    if status == 404:
        return NotFound(
            f"there is no such thing, or not for us: gone, private, or Spotify's own. {said.quoted}"
            "Compare the id with its page on Spotify; if it is right, leave it out.",
            **facts,
        )
    return BadRequest(
        f"the request is refused for what it says. {said.quoted}Correct it; asking the same again won't help.",
        **facts,
    )


def _forbidden(said: _Said, facts: dict[str, Any]) -> Forbidden:
    text = said.message.lower()
    if "scope" in text:
        reason, advice = ForbiddenReason.SCOPE, "The consent lacks a scope: connect the account again."
    elif "not registered" in text or "developer dashboard" in text:
        reason, advice = (
            ForbiddenReason.NOT_REGISTERED,
            "The user is not on the app's list: add them under User Management in the developer dashboard.",
        )
    elif "premium" in text and "owner" in text:
        reason, advice = (
            ForbiddenReason.OWNER_PREMIUM,
            "The app's owner needs an active Premium subscription.",
        )
    elif "premium" in text:
        reason, advice = ForbiddenReason.PREMIUM, "The account's user needs a Premium subscription."
    else:
        reason, advice = (
            ForbiddenReason.ENDPOINT_OR_OWNER,
            "Either this app may not use the endpoint, or the playlist belongs to somebody else: use an app "
            "that may, or the owner's account.",
        )
    return Forbidden(f"forbidden. {said.quoted}{advice}", reason=reason, **facts)


def _retry_after(answer: Answer, now: datetime) -> float | None:
    # A date is compared with the server's own clock where it tells it: ours may be wrong by an hour.
    try:
        served = parsedate_to_datetime(answer.headers.get("date", ""))
        base = served if served.tzinfo else now
    except (ValueError, TypeError, IndexError, OverflowError):
        base = now
    return parse_retry_after(answer.headers.get("retry-after"), now=base)


def _read(answer: Answer) -> _Said:
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        return _Said()
    error = data.get("error") if isinstance(data, dict) else None
    if isinstance(error, str):
        return _Said(code=error)
    if not isinstance(error, dict):
        return _Said()
    return _Said(message=_quotable(error.get("message")), reason=_quotable(error.get("reason"))[:40])


def _quotable(text: object) -> str:
    """One short line without anything as long as a token (ids have 22 signs)."""
    line = " ".join(str(text or "").split())
    return re.sub(r"\S{41,}", "…", line)[:200].replace('"', "'").rstrip(".")

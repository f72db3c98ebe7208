"""What answers mean."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from spotify_pipelines.spotify.verdict import Answer, Where, accounts_verdict, parse_json, verdict

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WHERE = Where("GET /albums/{id}", app_id=3, account_id=7, request_id="r-1")
TOKEN = "BQ" + "x9_-" * 40


def answer(status: int, message: str | None = None, **headers: str) -> Answer:
    body = {"error": {"status": status, "message": message}} if message is not None else {}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, names, json.dumps(body).encode())


def judge(given_answer: Answer) -> SpotifyError:
    error = verdict(given_answer, WHERE, now=NOW)
    assert error is not None
    return error


@pytest.mark.parametrize("status", [200, 201, 204])
def test_success_has_no_error(status: int) -> None:
    assert verdict(Answer(status, {}, b""), WHERE, now=NOW) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, MalformedAnswer),
        (304, MalformedAnswer),
        (400, BadRequest),
        (401, AuthorizationLost),
        (403, Forbidden),
        (404, NotFound),
        (408, Unavailable),
        (411, BadRequest),
        (413, BadRequest),
        (429, RateLimited),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_a_status_becomes_its_type(status: int, kind: type[SpotifyError]) -> None:
    error = judge(answer(status))

    assert type(error) is kind
    assert (error.endpoint, error.app_id, error.account_id, error.request_id) == (
        "GET /albums/{id}",
        3,
        7,
        "r-1",
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Insufficient client scope", ForbiddenReason.SCOPE),
        ("User not registered in the Developer Dashboard", ForbiddenReason.NOT_REGISTERED),
        ("Active premium subscription required for the owner of the app", ForbiddenReason.OWNER_PREMIUM),
        ("Player command failed: Premium required", ForbiddenReason.PREMIUM),
        ("Forbidden", ForbiddenReason.ENDPOINT_OR_OWNER),
        (None, ForbiddenReason.ENDPOINT_OR_OWNER),
    ],
)
def test_a_403_says_whose_rule_it_is(message: str | None, reason: ForbiddenReason) -> None:
    error = judge(answer(403, message))

    assert isinstance(error, Forbidden)
    assert error.reason is reason


@pytest.mark.parametrize(
    ("headers", "reason", "seconds"),
    [
        ({"retry_after": "48925"}, "QUOTA_EXCEEDED", 48_925),
        ({"retry_after": "48925"}, None, 48_925),
        ({}, "QUOTA_EXCEEDED", 3600),
        ({"retry_after": "abc"}, "QUOTA_EXCEEDED", 3600),
        ({"retry_after": "0"}, "QUOTA_EXCEEDED", 120),
        ({"retry_after": "1000000000"}, None, 172_800),
        # The server's own clock counts, not ours: here it is an hour behind.
        (
            {"retry_after": "Mon, 23 Nov 2026 12:00:00 GMT", "date": "Mon, 23 Nov 2026 11:00:00 GMT"},
            None,
            3600,
        ),
    ],
)
def test_a_long_or_named_429_is_a_ban_until_a_time(
    headers: dict[str, str], reason: str | None, seconds: float
) -> None:
    body = {"error": {"status": 429, "message": "Too many requests", "reason": reason}}
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    error = judge(Answer(429, names, json.dumps(body).encode()))

    assert isinstance(error, QuotaExceeded)
    assert error.until == NOW + timedelta(seconds=seconds)
    assert error.kind is (BanKind.QUOTA if reason else BanKind.LIMIT)
    assert error.retry_after == headers.get("retry_after")
    assert "Too many requests" in error.said


@pytest.mark.parametrize(("header", "seconds"), [("1", 1), ("120", 120), ("0", 0), ("nonsense", None)])
def test_a_short_429_is_a_rate_limit(header: str, seconds: float | None) -> None:
    error = judge(answer(429, "API rate limit exceeded", retry_after=header))

    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


@given(
    status=st.integers(300, 599),
    body=st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "reason", "x"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_every_refusal_is_some_error_whatever_its_body(status: int, body: bytes) -> None:
    assert isinstance(verdict(Answer(status, {}, body), WHERE, now=NOW), SpotifyError)
    assert isinstance(accounts_verdict(Answer(status, {}, body), WHERE, now=NOW), SpotifyError)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_a_token_that_the_server_echoes_is_not_quoted(status: int) -> None:
    error = judge(answer(status, f"Invalid token: Bearer {TOKEN} was refused"))

    assert TOKEN not in str(error)
    assert TOKEN[:45] not in repr(error.__dict__)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (
            400,
            {"error": "invalid_grant", "error_description": "Refresh token revoked"},
            LostReason.CONSENT_GONE,
        ),
        (400, {"error": "invalid_client"}, LostReason.APP_REFUSED),
        (401, {"error": "invalid_client"}, LostReason.APP_REFUSED),
    ],
)
def test_the_token_endpoint_tells_a_lost_consent_from_a_refused_app(
    status: int, body: dict[str, str], reason: LostReason
) -> None:
    error = accounts_verdict(Answer(status, {}, json.dumps(body).encode()), WHERE, now=NOW)

    assert isinstance(error, AuthorizationLost)
    assert error.reason is reason


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
def test_nothing_of_the_token_endpoints_body_is_quoted(status: int) -> None:
    body = {"error": "canary1", "error_description": "canary2", "access_token": "canary3"}

    error = accounts_verdict(Answer(status, {}, json.dumps(body).encode()), WHERE, now=NOW)

    assert "canary" not in str(error)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b"3", b'{"a"', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        parse_json(Answer(200, {"content-type": "text/html; charset=utf-8"}, body), WHERE)


@pytest.mark.parametrize("retry_after", ["1", "86400"])
def test_a_token_as_the_reason_of_a_429_is_not_quoted(retry_after: str) -> None:
    body = {"error": {"status": 429, "message": TOKEN, "reason": TOKEN}}

    error = judge(Answer(429, {"retry-after": retry_after}, json.dumps(body).encode()))

    assert TOKEN[:10] not in str(error)

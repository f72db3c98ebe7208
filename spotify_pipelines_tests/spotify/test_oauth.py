"""The token endpoint, against the simulator's accounts service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.accounting import CallLog, Service
from spotify_pipelines.spotify.caller import Caller
from spotify_pipelines.spotify.errors import (
    Ambiguous,
    AuthorizationLost,
    LostReason,
    SpotifyError,
    Unavailable,
    is_transient,
)
from spotify_pipelines.spotify.limiter import Limiter, connect_redis
from spotify_pipelines.spotify.oauth import SCOPES, TokenEndpoint
from spotify_pipelines.spotify.retry import MAX_ATTEMPTS
from spotify_pipelines.spotify.transport import HttpTransport
from spotify_pipelines_tests.spotify.harness import CLIENT_ID, SECRET, UNLIMITED, Sleeps, utc_now
from spotify_pipelines_tests.support.simulator import RunningSimulator

REDIRECT = "http://127.0.0.1:8123/callback"
HIDDEN = SecretStr(SECRET)


@asynccontextmanager
async def open_endpoint(
    redis_url: str, key_prefix: str, base_url: str, mounted: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[TokenEndpoint]:
    redis = connect_redis(redis_url)
    try:
        async with HttpTransport.open(time_limit=5, use_proxies=False, mounted=mounted) as http:
            caller = Caller(http, Limiter(redis, key_prefix), CallLog(), clock=utc_now, sleep=Sleeps())
            yield TokenEndpoint(caller, base_url)
    finally:
        await redis.aclose()


@pytest.fixture
async def endpoint(
    simulator: RunningSimulator, redis_url: str, key_prefix: str
) -> AsyncIterator[TokenEndpoint]:
    simulator.control.add_client(CLIENT_ID, SECRET, limit=UNLIMITED, redirect_uris=[REDIRECT])
    async with open_endpoint(redis_url, key_prefix, simulator.accounts_url) as opened:
        yield opened


def token_calls(simulator: RunningSimulator) -> int:
    return len(simulator.control.ledger(path="/api/token"))


def consent(url: str) -> dict[str, str]:
    """What comes back from the consent page."""
    answer = httpx.get(url, trust_env=False)
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


@pytest.mark.parametrize("secret", [HIDDEN, None], ids=["confidential", "public (PKCE)"])
async def test_consent_leads_to_tokens_that_can_be_refreshed(
    endpoint: TokenEndpoint, simulator: RunningSimulator, secret: SecretStr | None
) -> None:
    asked = endpoint.authorize_url(CLIENT_ID, redirect_uri=REDIRECT)
    back = consent(asked.url)
    assert back["state"] == asked.state

    grant = await endpoint.exchange_code(
        CLIENT_ID, secret, code=back["code"], redirect_uri=REDIRECT, code_verifier=asked.code_verifier
    )
    assert grant.refresh_token is not None
    again = await endpoint.refresh(CLIENT_ID, secret, grant.refresh_token)

    assert set(grant.scopes) == set(SCOPES)
    assert grant.expires_in == again.expires_in == 3600
    assert again.access_token.get_secret_value() != grant.access_token.get_secret_value()


async def test_an_app_gets_a_token_of_its_own(endpoint: TokenEndpoint, simulator: RunningSimulator) -> None:
    grant = await endpoint.client_credentials(CLIENT_ID, HIDDEN)

    assert grant.access_token.get_secret_value()
    assert grant.refresh_token is None
    assert token_calls(simulator) == 1


async def test_a_grant_shows_no_token(endpoint: TokenEndpoint) -> None:
    grant = await endpoint.client_credentials(CLIENT_ID, HIDDEN)

    assert grant.access_token.get_secret_value() not in repr(grant) + str(grant)


async def test_a_withdrawn_consent_and_a_wrong_secret_are_told_apart_and_not_retried(
    endpoint: TokenEndpoint, simulator: RunningSimulator
) -> None:
    tokens = simulator.control.mint_tokens(CLIENT_ID, "user1")
    simulator.control.revoke("user1")

    with pytest.raises(AuthorizationLost) as gone:
        await endpoint.refresh(CLIENT_ID, HIDDEN, SecretStr(tokens["refresh_token"]))
    with pytest.raises(AuthorizationLost) as refused:
        await endpoint.client_credentials(CLIENT_ID, SecretStr("wrong"))

    assert gone.value.reason is LostReason.CONSENT_GONE
    assert refused.value.reason is LostReason.APP_REFUSED
    assert not is_transient(gone.value)
    assert token_calls(simulator) == 2


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 500}, {"drop": "before"}], ids=str)
async def test_trouble_of_the_service_is_transient_and_never_a_lost_consent(
    endpoint: TokenEndpoint, simulator: RunningSimulator, fault: dict[str, Any]
) -> None:
    tokens = simulator.control.mint_tokens(CLIENT_ID, "user1")
    simulator.control.add_fault(path="/api/token", **fault)

    with pytest.raises(Ambiguous) as caught:
        await endpoint.refresh(CLIENT_ID, HIDDEN, SecretStr(tokens["refresh_token"]))

    assert is_transient(caught.value)
    assert token_calls(simulator) == 1, "the first may still be under way, or have replaced the token"

    with pytest.raises(Unavailable):
        await endpoint.client_credentials(CLIENT_ID, HIDDEN)
    assert token_calls(simulator) == 1 + MAX_ATTEMPTS, "an app's own token may be asked for again and again"


async def test_a_refresh_that_surely_had_no_effect_is_sent_again(
    endpoint: TokenEndpoint, simulator: RunningSimulator
) -> None:
    tokens = simulator.control.mint_tokens(CLIENT_ID, "user1")
    simulator.control.add_fault(path="/api/token", status=429, headers={"Retry-After": "1"}, n=2)

    await endpoint.refresh(CLIENT_ID, HIDDEN, SecretStr(tokens["refresh_token"]))

    assert token_calls(simulator) == 3


async def test_a_code_is_not_sent_twice(endpoint: TokenEndpoint, simulator: RunningSimulator) -> None:
    asked = endpoint.authorize_url(CLIENT_ID, redirect_uri=REDIRECT)
    simulator.control.add_fault(path="/api/token", status=502, effect=True)

    with pytest.raises(Ambiguous):
        await endpoint.exchange_code(
            CLIENT_ID,
            HIDDEN,
            code=consent(asked.url)["code"],
            redirect_uri=REDIRECT,
            code_verifier=asked.code_verifier,
        )

    assert token_calls(simulator) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>canary</html>"),
        httpx.Response(200, json={"access_token": None, "expires_in": 3600, "refresh_token": "canary"}),
        httpx.Response(200, json={"access_token": "canary", "expires_in": "soon"}),
        httpx.Response(200, json={"access_token": "", "expires_in": 3600, "refresh_token": "canary"}),
        httpx.Response(400, json={"error": "invalid_grant", "error_description": "canary"}),
        httpx.Response(400, json={"error": "canary", "error_description": "canary"}),
        httpx.Response(500, text="canary"),
        httpx.Response(302, headers={"Location": "http://elsewhere/canary"}),
    ],
    ids=lambda answer: f"{answer.status_code}",
)
async def test_nothing_of_an_answer_gets_into_an_error_or_a_log(
    redis_url: str, key_prefix: str, answer: httpx.Response
) -> None:
    mounted = httpx.MockTransport(
        lambda request: httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
    )
    async with open_endpoint(redis_url, key_prefix, "http://accounts.test", mounted) as endpoint:
        with capture_logs() as logs, pytest.raises(SpotifyError) as caught:
            await endpoint.refresh("client", SecretStr("canary-secret"), SecretStr("canary-refresh"))

    assert "canary" not in str(caught.value) + repr(caught.value.__dict__) + repr(logs)
    assert isinstance(caught.value, Ambiguous) or 400 <= answer.status_code < 500


def test_the_consent_page_is_asked_with_state_and_challenge() -> None:
    endpoint = TokenEndpoint.__new__(TokenEndpoint)
    endpoint._base_url = "https://accounts.spotify.com"
    first = endpoint.authorize_url("client", redirect_uri="https://example.org/back")
    second = endpoint.authorize_url("client", redirect_uri="https://example.org/back")

    query = parse_qs(urlsplit(first.url).query)
    assert first.url.startswith("https://accounts.spotify.com/authorize?")
    assert query["code_challenge_method"] == ["S256"]
    assert query["state"] == [first.state]
    assert query["scope"] == [" ".join(SCOPES)]
    assert first.state != second.state
    assert first.code_verifier != second.code_verifier
    assert first.code_verifier.get_secret_value() not in first.url + repr(first)


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost:8080/x",
        "https://localhost/x",
        "http://example.org/x",
        "http://127.0.0.1/x",
        "x",
        "",
        "ftp://a/",
    ],
)
def test_a_redirect_that_spotify_does_not_take_is_refused(uri: str) -> None:
    endpoint = TokenEndpoint.__new__(TokenEndpoint)
    with pytest.raises(ValueError, match="redirect URI"):
        endpoint.authorize_url("client", redirect_uri=uri)


async def test_the_endpoint_opens_on_settings_and_is_counted_apart(
    simulator: RunningSimulator, settings: Settings, redis_url: str
) -> None:
    calls = CallLog()
    redis = connect_redis(redis_url)
    async with TokenEndpoint.open(settings, redis=redis, calls=calls) as endpoint:
        await endpoint.client_credentials(CLIENT_ID, HIDDEN)
    await redis.aclose()

    assert (calls.total, calls.total_of(Service.ACCOUNTS)) == (0, 1)

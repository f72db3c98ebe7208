"""One exchange: bounded, quiet, and clear about whether it was sent."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from spotify_pipelines.spotify.transport import MAX_BODY, BodyTooLarge, HttpTransport, Undelivered
from spotify_pipelines.spotify.verdict import Answer

TOKEN = "canary-token-0123456789"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


async def ask(handler: Callable[[httpx.Request], httpx.Response], time_limit: float = 5.0) -> Answer:
    async with HttpTransport.open(time_limit=time_limit, mounted=httpx.MockTransport(handler)) as http:
        return await http.send("GET", "http://test/v1/me", headers=HEADERS)


def fails_with(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


async def test_an_answer_comes_whole_with_lower_case_headers() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert "spotify-pipelines" in request.headers["user-agent"]
        return httpx.Response(429, headers={"Retry-After": "3"}, content=b"{}")

    answer = await ask(handler)

    assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "3", b"{}")


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("slow"), False),
        (httpx.PoolTimeout("full"), False),
        (httpx.ReadTimeout("slow"), True),
        (httpx.WriteError("cut"), True),
        (httpx.RemoteProtocolError(f"bad {TOKEN}"), True),
        (httpx.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}'"), True),
        (httpx.DecodingError("not gzip"), True),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_failure_tells_whether_it_may_have_arrived_and_nothing_else(
    error: Exception, sent: bool
) -> None:
    with pytest.raises(Undelivered) as caught:
        await ask(fails_with(error))

    assert caught.value.sent is sent
    assert str(caught.value) == type(error).__name__
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_body_that_is_too_large_is_cut_off_before_it_is_read() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65_536

    with pytest.raises(BodyTooLarge):
        await ask(lambda request: httpx.Response(200, content=endless()))

    assert sent <= MAX_BODY // 65_536 + 2


async def test_a_small_body_that_unpacks_to_a_large_one_is_cut_off() -> None:
    packed = gzip.compress(b"0" * (MAX_BODY + 1))

    with pytest.raises(BodyTooLarge):
        await ask(lambda request: httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=packed))


async def test_redirects_are_not_followed() -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(302, headers={"Location": "http://elsewhere/steal"})

    assert (await ask(handler)).status == 302
    assert seen == ["test"]


async def test_an_answer_that_drips_is_given_up_after_the_time_limit() -> None:
    async def drips() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.02)
            yield b" "

    with pytest.raises(Undelivered) as caught:
        await ask(lambda request: httpx.Response(200, content=drips()), time_limit=0.1)

    assert caught.value.sent


async def test_no_request_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await ask(lambda request: httpx.Response(200, content=b"{}"))

    assert caplog.records == []

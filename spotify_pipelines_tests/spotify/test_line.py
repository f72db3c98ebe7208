"""The line to a real Valkey, and to servers that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from spotify_pipelines.spotify.limiter import connect_redis
from spotify_pipelines.spotify.line import Line, Script

ECHO = Script("return {KEYS[1], ARGV[1], 7, {ARGV[2]}}")


@asynccontextmanager
async def a_line(url: str) -> AsyncIterator[Line]:
    client = connect_redis(url)
    line = Line(client)
    try:
        yield line
    finally:
        await line.hang_up()
        await client.aclose()


async def test_a_script_gets_what_it_is_given_and_its_answer_comes_back(redis_url: str) -> None:
    async with a_line(redis_url) as line:
        answer = await line.run(ECHO, ["a key"], ["naïve\r\n$1", b"5\0"])

    assert answer == [b"a key", "naïve\r\n$1".encode(), 7, [b"5\0"]]


async def test_a_script_that_the_server_has_forgotten_is_sent_again(redis_url: str, key_prefix: str) -> None:
    # No other test has one like it, so no server knows it yet.
    script = Script(f"return '{key_prefix}'")
    async with a_line(redis_url) as line:
        assert [await line.run(script, [], []) for _ in range(2)] == [key_prefix.encode()] * 2


async def test_long_answers_to_many_at_once_reach_whom_they_are_for(redis_url: str) -> None:
    long = Script("return string.rep(ARGV[1], 20000)")
    async with a_line(redis_url) as line:
        answers = await asyncio.gather(*(line.run(long, [], [f"{number:03}"]) for number in range(50)))

    assert answers == [f"{number:03}".encode() * 20000 for number in range(50)]


async def test_who_is_cancelled_leaves_the_answers_of_the_others_in_place(redis_url: str) -> None:
    async with a_line(redis_url) as line:
        await line.run(ECHO, ["key"], ["0", "0"])
        first, second = (asyncio.ensure_future(line.run(ECHO, [f"{n}"], ["1", "2"])) for n in range(2))
        await asyncio.sleep(0)
        first.cancel()

        assert await second == [b"1", b"1", 7, [b"2"]]
        assert first.cancelled()


async def test_what_the_server_refuses_is_an_error_and_the_line_goes_on(redis_url: str) -> None:
    async with a_line(redis_url) as line:
        with pytest.raises(ResponseError, match="no such thing"):
            await line.run(Script("return redis.error_reply('ERR no such thing')"), [], [])

        assert await line.run(ECHO, ["key"], ["1", "2"]) == [b"key", b"1", 7, [b"2"]]


async def test_a_line_that_was_hung_up_is_opened_by_the_next_call(redis_url: str) -> None:
    async with a_line(redis_url) as line:
        await line.run(ECHO, ["key"], ["1", "2"])
        await line.hang_up()

        assert await line.run(ECHO, ["key"], ["1", "2"]) == [b"key", b"1", 7, [b"2"]]


async def test_who_waits_when_the_line_is_lost_is_told_so(redis_url: str) -> None:
    """Through a wire that is cut after the first bytes of the question."""
    server = urlsplit(redis_url)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if b"EVAL" in data:
                break
            writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(server.hostname, server.port)
        await asyncio.gather(copy(reader, their_writer), copy(their_reader, writer))

    proxy = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        port = proxy.sockets[0].getsockname()[1]
        async with a_line(f"redis://:{server.password or ''}@127.0.0.1:{port}/0") as line:
            with pytest.raises(RedisConnectionError, match="lost"):
                async with asyncio.timeout(10):
                    await line.run(ECHO, ["key"], ["1", "2"])
    finally:
        proxy.close()

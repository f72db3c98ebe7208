"""A connection to Redis kept open for one caller: what a question costs beside the server's work, and little more.

What belongs here: calls of scripts in the server's own protocol (redis.io/docs/latest/develop/reference/
protocol-spec), sent one after another without waiting, answered in that order. What does not: what the scripts mean
(``shared``), time-outs and what follows from an error (``limiter``).

redis-py opens the connection (address, TLS, password, database), and closes it with its client. Its way of a command
through pool, retries and records takes as long as a script of ours takes in the server; it is not taken.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha1

import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

__all__ = ["Answer", "Line", "Script"]

Answer = bytes | int | list["Answer"]
"""What scripts of ours answer: a string, a number, or several."""


class Script:
    """A Lua script, and the command's head that names it."""

    def __init__(self, source: str) -> None:
        self._source = source.encode()
        digest = sha1(self._source, usedforsecurity=False).hexdigest().encode()
        self._known = _string(b"EVALSHA") + _string(digest)

    def by_name(self) -> bytes:
        """For a server that has it."""
        return self._known

    def in_full(self) -> bytes:
        """For a server that has not, or not any more; afterwards it has."""
        return _string(b"EVAL") + _string(self._source)


class Line:
    """Opened by the first call; opened again after it was lost or hung up."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._pool = client.connection_pool
        self._opening = asyncio.Lock()
        self._wire: _Wire | None = None

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes]) -> Answer:
        """The script's answer.

        Raises:
            RedisError, OSError: the line could not be opened, was lost, or the server refused.
        """
        count = 3 + len(keys) + len(args)
        rest = _keys(tuple(keys)) + b"".join(
            [_string(each if isinstance(each, bytes) else each.encode()) for each in args]
        )
        wire = await self._open()
        answer = await wire.send(b"*%d\r\n%b%b" % (count, script.by_name(), rest))
        if isinstance(answer, ResponseError) and str(answer).startswith("NOSCRIPT"):
            answer = await wire.send(b"*%d\r\n%b%b" % (count, script.in_full(), rest))
        return _unless_refused(answer)

    async def hang_up(self) -> None:
        """Close the connection; whoever waits for an answer gets none. The next call opens another."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.connection.disconnect(nowait=True)
            await self._pool.release(wire.connection)

    async def _open(self) -> "_Wire":
        if self._wire is not None and not self._wire.is_lost:
            return self._wire
        async with self._opening:
            if self._wire is not None and self._wire.is_lost:
                await self.hang_up()
            if self._wire is None:
                self._wire = _Wire(await self._pool.get_connection())  # type: ignore[no-untyped-call]
            return self._wire


class _Wire(asyncio.Protocol):
    """One connection that redis-py has opened, its bytes read and written by us."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection = connection
        self.is_lost = False
        writer = connection._writer
        if writer is None:
            raise RedisConnectionError("the connection was closed while it was opened")
        self._transport = writer.transport
        self._streams = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._unread = b""
        self._waiting: deque[asyncio.Future[Answer | ResponseError]] = deque()

    def send(self, packed: bytes) -> "asyncio.Future[Answer | ResponseError]":
        """What will be answered; who waits for it may be cancelled without harm to those behind."""
        if self.is_lost:
            raise RedisConnectionError("the connection was lost")
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(packed)
        return answer

    def data_received(self, data: bytes) -> None:
        """Answers, or parts of them."""
        self._unread += data
        while parsed := _parse(self._unread, 0):
            answer, end = parsed
            is_push, self._unread = self._unread[:1] == b">", self._unread[end:]
            if is_push:
                # The server tells of its own upkeep.
                continue
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """The server or we have closed it."""
        self.is_lost = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(RedisConnectionError(f"the connection was lost: {error or 'closed'}"))
        # redis-py waits for this when its client is closed.
        self._streams.connection_lost(error)


def _parse(data: bytes, start: int) -> tuple[Answer | ResponseError, int] | None:
    """The answer that begins there, and where the next one does; None: there is more to come of it."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return None
    kind, head, end = data[start : start + 1], data[start + 1 : line_end], line_end + 2
    if kind == b"-":
        return ResponseError(head.decode()), end
    if kind == b":":
        return int(head), end
    if kind == b"$":
        after = end + int(head) + 2
        return (data[end : after - 2], after) if len(data) >= after else None
    return _parse_several(data, end, int(head))


def _parse_several(data: bytes, end: int, count: int) -> tuple[Answer, int] | None:
    answers: list[Answer] = []
    for _ in range(count):
        parsed = _parse(data, end)
        if parsed is None:
            return None
        answers.append(_unless_refused(parsed[0]))
        end = parsed[1]
    return answers, end


def _unless_refused(answer: Answer | ResponseError) -> Answer:
    if isinstance(answer, ResponseError):
        raise answer
    return answer


def _string(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


@lru_cache(1024)
def _keys(names: tuple[str, ...]) -> bytes:
    """Their number and they: calls of the same app and accounts name the same ones."""
    return _string(b"%d" % len(names)) + b"".join([_string(name.encode()) for name in names])

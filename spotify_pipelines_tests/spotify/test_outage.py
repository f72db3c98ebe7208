"""Redis goes away in every way it can, under limiters of several processes: calls go on, and never too many."""

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from spotify_pipelines.services.binaries import find_valkey
from spotify_pipelines.spotify.limiter import Limiter, connect_redis
from spotify_pipelines.spotify.turns import Fate, Turn
from spotify_pipelines_tests.spotify.test_pace import fullest

LIMIT = 120
PROCESSES = 3


@dataclass
class Server:
    """A Valkey of a test's own, which it may mistreat."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command: list[str | Path] = [find_valkey().server, "--port", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen([*command, "--save", "", "--dir", tmp_path], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            for _ in range(500):
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.02)
        yield Server(port, process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@dataclass
class Crowd:
    """Limiters as several processes have them, each calling as fast as it may."""

    limiters: list[Limiter]
    calls: list[tuple[float, bool]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def lane(self, limiter: Limiter, account: str) -> None:
        while True:
            slot = await limiter.acquire(Turn("app", LIMIT, account, 10 * LIMIT))
            self.calls.append((time.monotonic(), slot.local))
            self.came.set()
            await asyncio.sleep(0.02)
            await limiter.answered(slot, Fate.ANSWERED)

    async def until(self, *, local: bool, seconds: float) -> None:
        """Wait for some turns that come from there, so long at most for each."""
        for _ in range(2 * PROCESSES):
            async with asyncio.timeout(seconds):
                while True:
                    self.came.clear()
                    await self.came.wait()
                    if self.calls[-1][1] is local:
                        break


@asynccontextmanager
async def a_crowd(url: str) -> AsyncIterator[Crowd]:
    async with AsyncExitStack() as stack:
        limiters = []
        for _ in range(PROCESSES):
            client = connect_redis(url)
            stack.push_async_callback(client.aclose)
            limiters.append(Limiter(client, "outage:", max_processes=PROCESSES))
        crowd = Crowd(limiters)
        lanes = [
            asyncio.create_task(crowd.lane(limiter, f"account-{number}"))
            for number, limiter in enumerate(limiters)
        ]
        try:
            yield crowd
        finally:
            for lane in lanes:
                lane.cancel()
            ends = await asyncio.gather(*lanes, return_exceptions=True)
            assert {type(end) for end in ends} == {asyncio.CancelledError}
            times = [at for at, _ in crowd.calls]
            assert fullest(times) <= LIMIT
            # Nor a burst: at any time what two seconds allow, and one saved-up call for each process and its server.
            assert fullest(times, 2.0) <= 2 * LIMIT / 30 + 2 * PROCESSES


async def test_a_server_that_is_stopped_in_the_middle_is_left_and_found_again(server: Server) -> None:
    async with a_crowd(server.url) as crowd:
        await crowd.until(local=False, seconds=10)
        server.process.send_signal(signal.SIGSTOP)
        await crowd.until(local=True, seconds=10)
        server.process.send_signal(signal.SIGCONT)
        await crowd.until(local=False, seconds=10)


async def test_a_server_that_is_down_at_first_is_found_when_it_comes(server: Server) -> None:
    server.process.send_signal(signal.SIGSTOP)
    async with a_crowd(server.url) as crowd:
        await crowd.until(local=True, seconds=10)
        server.process.send_signal(signal.SIGCONT)
        await crowd.until(local=False, seconds=10)


async def test_a_server_that_forgets_its_data_and_its_scripts_gives_no_burst(server: Server) -> None:
    async with a_crowd(server.url) as crowd:
        await crowd.until(local=False, seconds=10)
        with redis.Redis(port=server.port) as client:
            client.flushall()
            client.script_flush()
        await crowd.until(local=False, seconds=10)


async def test_a_server_that_answers_after_two_seconds_is_away(server: Server) -> None:
    """Through a wire that is slow for a while, from the middle of the work on."""
    slow = asyncio.Event()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if slow.is_set():
                    await asyncio.sleep(2.0)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer), return_exceptions=True)

    wire = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        async with a_crowd(f"redis://127.0.0.1:{wire.sockets[0].getsockname()[1]}/0") as crowd:
            await crowd.until(local=False, seconds=10)
            slow.set()
            await crowd.until(local=True, seconds=10)
            slow.clear()
            await crowd.until(local=False, seconds=10)
    finally:
        wire.close()

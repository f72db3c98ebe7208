"""A ban as the simulator speaks it: obeyed by every process, whatever Redis has forgotten."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from spotify_pipelines.accounts.apps import DatabaseApps
from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.spotify.errors import QuotaExceeded
from spotify_pipelines.spotify.limiter import Limiter
from spotify_pipelines_tests.accounts.office import CLIENT_ID, SECRET, Office

BAN_SECONDS = 48_925


@asynccontextmanager
async def a_process(office: Office, key_prefix: str) -> AsyncIterator[SpotifyClient]:
    """A client as a process that has just started opens it, with nothing in memory."""
    async with SpotifyClient.open(
        office.desk.settings,
        redis=office.desk.redis,
        credentials=office.credentials(),
        apps=DatabaseApps(office.database, clock=office.now),
        clock=office.now,
        limiter=Limiter(office.desk.redis, key_prefix),
    ) as client:
        yield client


def sent(office: Office) -> int:
    return len([entry for entry in office.simulator.control.ledger() if entry["path"].startswith("/v1/")])


async def test_a_ban_survives_the_process_and_everything_that_redis_knew(
    office: Office, key_prefix: str
) -> None:
    [anna] = office.connect("anna")
    office.simulator.control.add_client(CLIENT_ID, SECRET, developer_account="studio")
    office.simulator.control.ban("studio", BAN_SECONDS)
    async with a_process(office, key_prefix) as client:
        with pytest.raises(QuotaExceeded) as met:
            await client.as_account(anna).me()
    assert sent(office) == 1

    redis = office.desk.redis
    keys = [key async for key in redis.scan_iter(f"{key_prefix}*")]
    if keys:
        await redis.delete(*keys)
    async with a_process(office, key_prefix) as client:
        with pytest.raises(QuotaExceeded) as obeyed:
            await client.as_account(anna).me()
        with pytest.raises(QuotaExceeded):
            async for _ in client.as_app(office.app_id).albums(["A" * 22]):
                pass
    assert sent(office) == 1
    assert obeyed.value.until == met.value.until
    assert BAN_SECONDS - 60 < (met.value.until - office.now()).total_seconds() <= BAN_SECONDS

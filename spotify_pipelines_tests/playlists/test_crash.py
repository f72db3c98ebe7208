"""The sync survives kill -9 at any point, with and without lost, late and wrong answers; judged on the simulator."""

from collections.abc import Iterator

import pytest

from spotify_pipelines_tests.playlists.crash import CrashServer, World, crash_server
from spotify_pipelines_tests.playlists.studio import Studio


@pytest.fixture(scope="module")
def server() -> Iterator[CrashServer]:
    with crash_server() as running:
        yield running


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_playlist_is_lost_doubled_or_wrong_after_kills_and_lies(
    seed: int, server: CrashServer, studio: Studio, redis_url: str, key_prefix: str
) -> None:
    verdict = await World(studio, server, redis_url, key_prefix, seed).play(troubles=4)

    assert verdict.troubles == []
    assert verdict.right == 6
    assert verdict.kills >= 3

"""Places and waves: order, bounds, and lanes that get nowhere."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from spotify_pipelines.playlists.lanes import Lane, Lanes, open_lanes

SOON = 0.01


@asynccontextmanager
async def no_gate() -> AsyncIterator[None]:
    yield


def lane(work: Callable[[], Awaitable[None]], steps: Callable[[], int] = lambda: 0) -> Lane:
    return Lane(work, steps, no_gate)


async def test_a_wave_begins_when_the_one_before_is_done_and_keeps_to_its_places() -> None:
    log: list[str] = []
    at_once = most = 0

    def named(name: str) -> Lane:
        async def work() -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            log.append(name)
            await asyncio.sleep(0)
            at_once -= 1

        return lane(work)

    async with open_lanes(2) as lanes:
        await lanes.wave([named(f"a{number}") for number in range(5)])
        await lanes.wave([named(f"b{number}") for number in range(3)], concurrency=1)
    assert log == ["a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2"]
    assert most == 2


async def test_a_stuck_lane_holds_up_neither_its_wave_nor_the_next() -> None:
    release, done = asyncio.Event(), []

    async def stuck() -> None:
        await release.wait()
        done.append("stuck")

    def quick(name: str) -> Lane:
        async def work() -> None:
            done.append(name)

        return lane(work)

    async with open_lanes(1, patience=SOON) as lanes:
        await lanes.wave([lane(stuck), quick("same wave")])
        await lanes.wave([quick("next wave")], concurrency=1)
        assert done == ["same wave", "next wave"]
        release.set()
    assert done[-1] == "stuck"


async def test_a_lane_that_gets_answers_keeps_its_place_and_its_wave() -> None:
    steps = 0
    order: list[str] = []

    async def busy() -> None:
        nonlocal steps
        for _ in range(20):
            await asyncio.sleep(SOON / 2)
            steps += 1
        order.append("busy")

    async def later() -> None:
        order.append("later")

    async with open_lanes(1, patience=4 * SOON) as lanes:
        await lanes.wave([lane(busy, lambda: steps)])
        await lanes.wave([lane(later)])
    assert order == ["busy", "later"]


async def test_when_all_are_stuck_only_some_lend_their_places() -> None:
    begun = 0
    release = asyncio.Event()

    async def stuck() -> None:
        nonlocal begun
        begun += 1
        await release.wait()

    async def look(lanes: Lanes) -> None:
        await lanes.wave([lane(stuck) for _ in range(40)])

    async with open_lanes(8, patience=SOON) as lanes:
        wave = asyncio.create_task(look(lanes))
        while begun < 10:  # noqa: ASYNC110 - what comes after it must not happen
            await asyncio.sleep(SOON)
        await asyncio.sleep(5 * SOON)
        assert begun == 8 + 8 // 4
        release.set()
        await wave
    assert begun == 40


async def test_a_lane_that_raises_ends_all_and_its_error_is_raised() -> None:
    cancelled = False

    async def waits() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    async def fails() -> None:
        await asyncio.sleep(0)
        raise OSError("the database is gone")

    with pytest.raises(OSError, match="the database is gone"):
        async with open_lanes(4) as lanes:
            await lanes.wave([lane(waits), lane(fails)])
    assert cancelled

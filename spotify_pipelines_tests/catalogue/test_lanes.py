"""Work side by side: bounded, the first alone, and nothing left running after an end."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.catalogue.lanes import chunks, in_lanes


@given(st.lists(st.integers()), st.integers(1, 5))
def test_chunks_are_full_but_for_the_last_and_lose_nothing(items: list[int], size: int) -> None:
    parts = [list(part) for part in chunks(items, size)]
    assert sum(parts, []) == items  # noqa: RUF017 - short lists
    assert all(len(part) == size for part in parts[:-1])
    assert all(parts)


async def test_the_first_item_goes_alone_and_then_so_many_at_once() -> None:
    running, seen = 0, []

    async def work(item: int) -> None:
        nonlocal running
        running += 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append((item, running))
        running -= 1

    await in_lanes(work, range(10), lanes=3)
    assert [item for item, _ in seen] == list(range(10))
    assert seen[0] == (0, 1)
    assert max(count for _, count in seen) == 3


async def test_one_failure_ends_the_others_and_comes_out_as_it_is() -> None:
    started, ended = [], []

    async def work(item: int) -> None:
        started.append(item)
        try:
            if item == 2:
                raise LookupError(item)
            if item:
                await asyncio.Event().wait()
        finally:
            ended.append(item)

    with pytest.raises(LookupError):
        await in_lanes(work, range(10), lanes=3)
    assert sorted(ended) == sorted(started)
    assert max(started) < 5


async def test_no_items_are_no_work() -> None:
    await in_lanes(pytest.fail, [])

"""Which of the waiting calls comes next."""

import asyncio
from collections import Counter

from spotify_pipelines.spotify.turns import Priority, Turn
from spotify_pipelines.spotify.waiting import Demand, Waiter, WaitingCalls


def waiter(account: str, priority: Priority = Priority.HEALTHY) -> Waiter:
    return Waiter(
        Turn("app", 30, account, 30, priority=priority), 0.0, asyncio.get_running_loop().create_future()
    )


def serve(waiting: WaitingCalls, turns: int) -> list[Waiter]:
    """The calls that come next, each replaced by another of its kind."""
    served = []
    for _ in range(turns):
        first = waiting.in_order()[0]
        waiting.serve(first)
        waiting.add(waiter(str(first.turn.account), first.turn.priority))
        served.append(first)
    return served


async def test_accounts_take_turns_however_many_calls_each_has() -> None:
    waiting = WaitingCalls()
    for account in "aaaabbc":
        waiting.add(waiter(account))

    assert Counter(each.turn.account for each in serve(waiting, 30)) == {"a": 10, "b": 10, "c": 10}


async def test_urgent_calls_come_first_and_the_others_keep_their_floors() -> None:
    waiting = WaitingCalls()
    for priority in Priority:
        waiting.add(waiter(priority.name, priority))

    shares = Counter(each.turn.priority for each in serve(waiting, 1000))

    assert shares[Priority.INTERACTIVE] >= 850
    assert min(shares[Priority.HEALTHY], shares[Priority.DEGRADED]) > 48


async def test_a_class_that_waited_for_nothing_is_owed_nothing() -> None:
    waiting = WaitingCalls()
    waiting.add(waiter("a", Priority.HEALTHY))
    serve(waiting, 1000)
    waiting.add(waiter("b", Priority.DEGRADED))

    assert waiting.in_order()[0].turn.account == "a"


async def test_a_call_that_is_taken_out_is_gone() -> None:
    waiting = WaitingCalls()
    first, second = waiter("a"), waiter("a")
    waiting.add(first)
    waiting.add(second)
    waiting.remove(first)
    waiting.remove(first)

    assert (list(waiting), len(waiting)) == ([second], 1)
    assert waiting.demand() == {Priority.HEALTHY: Demand(1, 1)}

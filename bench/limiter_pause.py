"""How long after a 429 a request still starts, in any process. Goal ≤ 50 ms.

Four processes make a hundred calls a second in all; one call in a hundred is answered 429 with ``Retry-After: 1``.
Every start and every answer is noted on the clock that all processes share. What starts within that second, but
after the process that was refused had read the answer, is late: the figure is the latest of them. On a busy machine
it is the machine's: a process that does not run can't stop; how late its timers were is told beside it.
"""

import time
from bisect import bisect_right
from collections.abc import Iterator
from statistics import median

from bench.callers import START_SECONDS, Call, Demand, Work, together
from bench.figures import Figure
from bench.model_server import ServerModel
from bench.redis_server import own_redis

_PROCESSES = 4
_LIMIT = 3000
_SECONDS = 60.0
_PAUSE = 1.0


def figures() -> Iterator[Figure]:
    """One run."""
    with own_redis() as redis_url:
        done = together(_works(redis_url))
    calls = sorted((call for each in done for call in each.calls), key=lambda call: call.started)
    refusals = [call.ended for call in calls if call.status == 429]
    late = _late(calls, refusals)
    after = f"after {len(refusals)} 429s {len(late)} of {len(calls)} calls started late"
    by = f"median {1000 * median(late or [0.0]):.0f} ms, {sum(each > 0.05 for each in late)} by more than 50 ms"
    stall = 1000 * max(each.stall for each in done)
    yield Figure(
        f"latest start of a request after a 429, {_PROCESSES} processes",
        1000 * max(late, default=0.0),
        unit="ms",
        at_most=50,
        detail=f"{after}, {by}; in the same run timers were late by up to {stall:.0f} ms",
    )


def _works(redis_url: str) -> list[Work]:
    begin = time.monotonic() + START_SECONDS
    return [
        Work(
            redis_url,
            "bench:",
            _LIMIT,
            [Demand(f"{number}-{account}", width=4) for account in range(4)],
            begin,
            _SECONDS,
            server=ServerModel(refused=0.01, seed=number),
        )
        for number in range(_PROCESSES)
    ]


def _late(calls: list[Call], refusals: list[float]) -> list[float]:
    """Seconds by which calls started after a refusal was known somewhere, within the time it asked for."""
    late = []
    refused = sorted(refusals)
    for call in calls:
        # The earliest refusal that still holds: the later ones of an episode come on top of it.
        first = bisect_right(refused, call.started - _PAUSE)
        if first < len(refused) and refused[first] < call.started:
            late.append(call.started - refused[first])
    return late

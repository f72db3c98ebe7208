"""Whether accounts and classes get their share over all processes, whichever process they are in.

Accounts: two processes, one with two accounts, one with six, of which one wants little. Each other one's calls ÷ its
max-min share (what the modest one leaves, in equal parts). Goal 0.9 to 1.1.

Classes: urgent calls want all there is; how much the lowest class keeps, where every process has calls of all
classes, and where each class has a process of its own. Goal ≥ 5 %. All of it at the same time, as apps apart.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from bench.callers import START_SECONDS, Call, Demand, Work, together
from bench.figures import Figure
from bench.redis_server import own_redis
from spotify_pipelines.spotify.turns import Priority

_LIMIT = 600
_WARM_UP, _SECONDS = 8.0, 60.0
_MODEST = "5 of 6"
_EVERY = 2.0
"""Seconds between two calls of the account that wants little."""
_APPS: dict[str, list[list[Demand]]] = {
    "accounts": [
        [Demand("0 of 2"), Demand("1 of 2")],
        [*(Demand(f"{number} of 6") for number in range(5)), Demand(_MODEST, every=_EVERY)],
    ],
    "every class in every process": [
        [Demand(f"{process}-{priority.name}", priority, width=12) for priority in Priority]
        for process in range(2)
    ],
    "a process for each class": [[Demand(priority.name, priority, width=12)] for priority in Priority],
}


def figures() -> Iterator[Figure]:
    """One run of all."""
    with own_redis() as redis_url:
        begin = time.monotonic() + START_SECONDS
        works = [
            Work(redis_url, "bench:", _LIMIT, demands, begin, _WARM_UP + _SECONDS, app=app)
            for app, processes in _APPS.items()
            for demands in processes
        ]
        done = together(works)
    calls: dict[str, list[Call]] = {app: [] for app in _APPS}
    for work, made in zip(works, done, strict=True):
        calls[work.app] += [call for call in made.calls if call.started >= begin + _WARM_UP]
    accounts, *classes = _APPS
    yield from _accounts(calls[accounts])
    for app in classes:
        yield _classes(app, calls[app])


def _accounts(calls: Sequence[Call]) -> Iterator[Figure]:
    got = Counter(call.account for call in calls)
    modest = got.pop(_MODEST, 0)
    share = got.total() / len(got)
    told = f"{share:.1f} calls is a share; " + ", ".join(
        f"{account}: {made / share:.2f}" for account, made in sorted(got.items())
    )
    modestly = f"; the modest one: {modest} of {_SECONDS / _EVERY:.0f}"
    yield Figure("fairness: least ÷ max-min share", min(got.values()) / share, at_least=0.9, detail=told)
    yield Figure(
        "fairness: most ÷ max-min share", max(got.values()) / share, at_most=1.1, detail=told + modestly
    )


def _classes(app: str, calls: Sequence[Call]) -> Figure:
    got = Counter(Priority(call.priority) for call in calls)
    parts = {priority: got[priority] / max(1, got.total()) for priority in Priority}
    told = ", ".join(f"{priority.name.lower()} {100 * part:.1f} %" for priority, part in parts.items())
    return Figure(
        f"lowest class ÷ all calls, {app}",
        parts[Priority.DEGRADED],
        # The turn that it is owed when the counting ends may still be to come.
        at_least=0.05 - 1 / max(1, got.total()),
        detail=f"{told}; {got[Priority.DEGRADED]} of {got.total()} calls",
    )

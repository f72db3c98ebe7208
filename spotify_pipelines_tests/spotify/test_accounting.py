"""Every attempt is counted, by whom it was made for."""

import asyncio

from spotify_pipelines.spotify.accounting import CallKey, CallLog, Outcome, Service

KEY = CallKey(Service.WEB_API, 3, 7, "GET /me")
TOKEN = CallKey(Service.ACCOUNTS, None, None, "POST /api/token")


def test_figures_add_up() -> None:
    log = CallLog()
    log.record(KEY, Outcome.LIMITED, waited=1.0, in_flight=0.5)
    log.record(KEY, Outcome.ERROR, retry=True, in_flight=0.25)
    log.record(KEY, Outcome.OK, retry=True, waited=2.0, in_flight=0.25)

    (row,) = log.rows()

    assert row == {
        "service": "web_api",
        "app_id": 3,
        "account_id": 7,
        "endpoint": "GET /me",
        "calls": 3,
        "ok": 1,
        "limited": 1,
        "errors": 1,
        "retries": 2,
        "waited": 3.0,
        "in_flight": 1.0,
    }


def test_the_token_endpoint_is_counted_apart() -> None:
    log = CallLog()
    log.record(TOKEN, Outcome.OK)
    log.record(KEY, Outcome.OK)

    assert (log.total, log.total_of(Service.ACCOUNTS)) == (1, 1)


def test_a_snapshot_does_not_change_any_more() -> None:
    log = CallLog()
    log.record(KEY, Outcome.OK)
    before = log.snapshot()
    log.record(KEY, Outcome.OK)

    assert before[KEY].calls == 1


async def test_children_count_their_own_also_when_they_run_side_by_side() -> None:
    log = CallLog()
    started = asyncio.Event()

    async def use_case(calls: int) -> int:
        with log.child() as mine:
            started.set()
            for _ in range(calls):
                await asyncio.sleep(0)
                await asyncio.create_task(call())
        return mine.total

    async def call() -> None:
        log.record(KEY, Outcome.OK)

    first, second = await asyncio.gather(use_case(3), use_case(5))
    assert (first, second) == (3, 5)
    log.record(KEY, Outcome.OK)
    assert log.total == 9


def test_nested_children_both_count_and_other_logs_do_not() -> None:
    log, other = CallLog(), CallLog()
    with log.child() as outer, log.child() as inner, other.child() as foreign:
        log.record(KEY, Outcome.OK)

    assert (outer.total, inner.total, foreign.total, other.total) == (1, 1, 0, 0)

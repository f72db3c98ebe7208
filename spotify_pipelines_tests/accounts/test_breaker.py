"""When failures of accounts are suspected to be their app's, and the times of half-open probes."""

from datetime import UTC, datetime, timedelta

import pytest

from spotify_pipelines.accounts.breaker import (
    WHAT_TO_DO,
    WINDOW,
    IncidentKind,
    Sightings,
    Suspicion,
    next_probe_at,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NONE, SOME, MOST = Suspicion


@pytest.mark.parametrize(
    ("accounts", "at_once", "failing", "suspicion"),
    [
        (1, 16, 1, NONE),  # one alone has trouble of its own
        (2, 16, 1, NONE),
        (2, 16, 2, MOST),
        (3, 16, 2, NONE),
        (3, 16, 3, MOST),
        (50, 16, 7, NONE),
        (50, 16, 8, SOME),
        (50, 16, 24, SOME),
        (50, 16, 25, MOST),
        (50, 1, 2, NONE),
        (50, 1, 3, SOME),
    ],
)
def test_so_many_failing_accounts_are_suspicious(
    accounts: int, at_once: int, failing: int, suspicion: Suspicion
) -> None:
    seen = Sightings(accounts, at_once)
    assert [seen.failed(account_id, NOON) for account_id in range(failing)][-1] is suspicion


def test_one_account_that_fails_again_and_again_is_one_account() -> None:
    seen = Sightings(50, 16)
    assert {seen.failed(7, NOON) for _ in range(100)} == {NONE}


def test_an_account_that_works_clears_the_others_of_suspicion() -> None:
    seen = Sightings(3, 16)
    seen.failed(1, NOON)
    seen.failed(2, NOON)
    seen.worked()
    assert seen.failed(3, NOON) is NONE


def test_failures_long_apart_are_not_one_thing() -> None:
    seen = Sightings(2, 16)
    seen.failed(1, NOON)
    assert seen.failed(2, NOON + WINDOW + timedelta(seconds=1)) is NONE


@pytest.mark.parametrize("kind", IncidentKind)
def test_probes_come_ever_more_seldom_up_to_a_bound_and_not_all_at_once(kind: IncidentKind) -> None:
    waits = [next_probe_at(kind, probes, NOON, jitter=0) - NOON for probes in range(40)]
    assert waits == sorted(waits)
    assert waits[-1] == waits[-2] <= timedelta(hours=6)
    assert next_probe_at(kind, 3, NOON, jitter=1) > next_probe_at(kind, 3, NOON, jitter=0)
    assert WHAT_TO_DO[kind]

"""The state machine of an account's health, as a table, and the waves it steers."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.accounts.health import (
    ADVICE,
    HEALS_AFTER,
    Health,
    HealthState,
    Outcome,
    Wave,
    after,
    healthy,
    waves,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OK, DEGRADED, QUARANTINED = HealthState
LOST, SCOPE, PREMIUM = Outcome.AUTHORIZATION_LOST, Outcome.SCOPE_MISSING, Outcome.PREMIUM_LAPSED
FAILURE, NO_TOKEN, REFUSED = Outcome.TRANSIENT_FAILURE, Outcome.TOKEN_FAILURE, Outcome.TOKEN_REFUSED
INCIDENT, GONE = Outcome.INCIDENT, Outcome.DISCONNECTED
SUCCESS, GRANTED, AGAIN = Outcome.SUCCESS, Outcome.TOKEN_GRANTED, Outcome.REAUTHORIZED


def after_all(*outcomes: Outcome) -> Health:
    health = healthy(NOON)
    for hours, outcome in enumerate(outcomes, start=1):
        health = after(health, outcome, NOON + hours * HOUR)
    return health


@pytest.mark.parametrize(
    ("outcomes", "state", "reason"),
    [
        ((SUCCESS,), OK, None),
        ((GRANTED,), OK, None),
        # transient trouble degrades, at its own pace, and heals
        ((FAILURE,), OK, FAILURE),
        ((FAILURE, FAILURE), OK, FAILURE),
        ((FAILURE, FAILURE, SUCCESS, FAILURE), OK, FAILURE),
        ((FAILURE, FAILURE, FAILURE), DEGRADED, FAILURE),
        ((FAILURE,) * 50, DEGRADED, FAILURE),
        ((FAILURE, FAILURE, FAILURE, SUCCESS), OK, None),
        ((FAILURE, FAILURE, FAILURE, GRANTED), DEGRADED, FAILURE),
        ((NO_TOKEN,), DEGRADED, NO_TOKEN),
        ((NO_TOKEN,) * 50, DEGRADED, NO_TOKEN),
        ((NO_TOKEN, GRANTED), OK, None),
        ((NO_TOKEN, SUCCESS), OK, None),
        ((REFUSED,), DEGRADED, REFUSED),
        ((REFUSED, GRANTED), DEGRADED, REFUSED),
        ((REFUSED, SUCCESS), OK, None),
        # terminal reasons quarantine at once, from any state
        ((LOST,), QUARANTINED, LOST),
        ((NO_TOKEN, LOST), QUARANTINED, LOST),
        ((LOST, FAILURE), QUARANTINED, LOST),
        ((LOST, NO_TOKEN), QUARANTINED, LOST),
        ((SCOPE,), QUARANTINED, SCOPE),
        ((PREMIUM,), QUARANTINED, PREMIUM),
        ((Outcome.NOT_REGISTERED,), QUARANTINED, Outcome.NOT_REGISTERED),
        ((Outcome.SECRET_UNREADABLE,), QUARANTINED, Outcome.SECRET_UNREADABLE),
        ((PREMIUM, LOST), QUARANTINED, LOST),
        # only what proves it heals them
        ((LOST, SUCCESS), QUARANTINED, LOST),
        ((LOST, GRANTED), OK, None),
        ((PREMIUM, GRANTED), QUARANTINED, PREMIUM),
        ((PREMIUM, SUCCESS), OK, None),
        ((SCOPE, GRANTED), QUARANTINED, SCOPE),
        ((SCOPE, SUCCESS), QUARANTINED, SCOPE),
        ((SCOPE, AGAIN), OK, None),
        ((LOST, AGAIN), OK, None),
        ((Outcome.SECRET_UNREADABLE, GRANTED), OK, None),
        ((Outcome.SECRET_UNREADABLE, SUCCESS), OK, None),
        ((Outcome.SECRET_UNREADABLE, Outcome.SECRET_READABLE), OK, None),
        # what ends one reason says nothing about another, or about none
        ((LOST, Outcome.SECRET_READABLE), QUARANTINED, LOST),
        ((FAILURE, Outcome.SECRET_READABLE), OK, FAILURE),
        ((Outcome.SECRET_READABLE,), OK, None),
        ((NO_TOKEN, Outcome.INCIDENT_OVER), DEGRADED, NO_TOKEN),
        # an incident takes an account out of quarantine; only a token or its end heal it
        ((LOST, INCIDENT), DEGRADED, INCIDENT),
        ((INCIDENT, SUCCESS), DEGRADED, INCIDENT),
        ((INCIDENT, FAILURE, NO_TOKEN, REFUSED), DEGRADED, INCIDENT),
        ((INCIDENT, GRANTED), OK, None),
        ((INCIDENT, AGAIN), OK, None),
        ((LOST, INCIDENT, Outcome.INCIDENT_OVER), OK, None),
        ((LOST, INCIDENT, LOST), QUARANTINED, LOST),
        ((INCIDENT, PREMIUM, Outcome.INCIDENT_OVER), QUARANTINED, PREMIUM),
        # who was disconnected is gone for good
        ((GONE, SUCCESS, GRANTED, FAILURE, LOST, INCIDENT, AGAIN), QUARANTINED, GONE),
    ],
)
def test_health_after_a_sequence_of_outcomes(
    outcomes: tuple[Outcome, ...], state: HealthState, reason: Outcome | None
) -> None:
    health = after_all(*outcomes)
    assert (health.state, health.reason) == (state, reason)


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        # minutes between, outcome …; degraded after the third failure
        (((1, SUCCESS),), DEGRADED),
        (((1, SUCCESS), (1, SUCCESS)), DEGRADED),
        (((1, SUCCESS), (1, SUCCESS), (1, SUCCESS)), OK),
        # a failure between begins the count anew
        (((1, SUCCESS), (1, SUCCESS), (1, FAILURE), (1, SUCCESS), (1, SUCCESS)), DEGRADED),
        (((1, SUCCESS), (1, FAILURE)) * 20, DEGRADED),
        (((1, SUCCESS), (1, FAILURE), (1, SUCCESS), (1, SUCCESS), (1, SUCCESS)), OK),
        # after a quiet time one success will do; silence alone heals nothing
        (((30, SUCCESS),), OK),
        (((29, SUCCESS),), DEGRADED),
        (((29, SUCCESS), (1, SUCCESS)), OK),
        (((29, FAILURE), (29, SUCCESS)), DEGRADED),
        # a token says nothing about calls, a new consent all there is to say
        (((1, GRANTED),) * 9, DEGRADED),
        (((1, AGAIN),), OK),
    ],
)
def test_a_degraded_account_has_to_prove_itself(
    steps: tuple[tuple[int, Outcome], ...], state: HealthState
) -> None:
    health, now = healthy(NOON), NOON
    for outcome in (FAILURE,) * 3:
        health = after(health, outcome, now)
    for minutes, outcome in steps:
        now += timedelta(minutes=minutes)
        health = after(health, outcome, now)
    assert health.state is state


@given(st.lists(st.sampled_from([SUCCESS, FAILURE, GRANTED, NO_TOKEN]), max_size=60))
def test_an_account_does_not_flap(outcomes: list[Outcome]) -> None:
    health, states = healthy(NOON), [OK]
    for minute, outcome in enumerate(outcomes):
        health = after(health, outcome, NOON + timedelta(minutes=minute) / 4)
        states.append(health.state)
    changes = [i for i in range(1, len(states)) if states[i] is not states[i - 1]]
    heals = [i for i in changes if states[i] is OK]
    for heal in heals:
        assert FAILURE not in outcomes[heal - HEALS_AFTER : heal]
        assert NO_TOKEN not in outcomes[heal - HEALS_AFTER : heal]


def test_since_tells_when_the_state_began_and_not_when_it_was_last_confirmed() -> None:
    assert after_all(SUCCESS, SUCCESS).since == NOON
    assert after_all(LOST, LOST, LOST).since == NOON + HOUR
    assert after_all(LOST, AGAIN, SUCCESS).since == NOON + 2 * HOUR


def test_probes_come_after_an_hour_and_then_ever_more_seldom_but_daily() -> None:
    health, waits = healthy(NOON), []
    for _ in range(8):
        health = after(health, LOST, NOON)
        assert health.next_probe_at is not None
        waits.append((health.next_probe_at - NOON) // HOUR)
    assert waits == [1, 2, 4, 8, 16, 24, 24, 24]


def test_a_transient_failure_of_a_probe_puts_the_next_one_off() -> None:
    health = after(after(healthy(NOON), LOST, NOON), FAILURE, NOON + HOUR)
    assert health.next_probe_at == NOON + 3 * HOUR


def test_a_missing_scope_is_never_probed_for_only_a_person_brings_it() -> None:
    health = after_all(SCOPE)
    assert health.next_probe_at is None
    assert not health.probe_due(NOON + 1000 * HOUR)


def test_every_reason_has_advice_for_a_person() -> None:
    good = {SUCCESS, GRANTED, AGAIN, Outcome.SECRET_READABLE, Outcome.INCIDENT_OVER}
    assert set(ADVICE) == set(Outcome) - good


@given(st.lists(st.sampled_from([each for each in Outcome if each is not GONE]), max_size=30))
def test_only_terminal_outcomes_quarantine_and_a_new_consent_always_heals(outcomes: list[Outcome]) -> None:
    health = after_all(*outcomes)
    terminal = {LOST, SCOPE, PREMIUM, Outcome.NOT_REGISTERED, Outcome.SECRET_UNREADABLE}
    assert health.state is not QUARANTINED or terminal & set(outcomes)
    assert (health.next_probe_at is None) or health.state is QUARANTINED
    assert (health.failures == 0) == (health.reason is None)
    assert after(health, AGAIN, NOON).state is OK


def test_after_is_a_function_of_state_and_outcome_for_every_pair() -> None:
    for reached, outcome in product(((), (NO_TOKEN,), (LOST,)), Outcome):
        assert after_all(*reached, outcome) == after_all(*reached, outcome)


def test_waves_go_from_healthy_to_degraded_to_due_probes() -> None:
    def degraded(failures: int) -> Health:
        return Health(DEGRADED, NO_TOKEN, NOON, failures)

    def quarantined(probe: datetime | None) -> Health:
        return Health(QUARANTINED, LOST, NOON, 1, probe)

    accounts = {
        9: quarantined(NOON),
        8: quarantined(NOON - HOUR),
        7: quarantined(NOON + HOUR),
        6: quarantined(None),
        5: degraded(4),
        4: degraded(2),
        3: healthy(NOON),
        1: healthy(NOON),
        2: healthy(NOON),
    }
    assert waves(accounts, NOON) == (
        Wave(OK, (1, 2, 3)),
        Wave(DEGRADED, (4, 5), concurrency=1),
        Wave(QUARANTINED, (8, 9), concurrency=1, probe=True),
    )


def test_empty_waves_are_left_out() -> None:
    assert waves({}, NOON) == ()
    assert [wave.state for wave in waves({1: healthy(NOON)}, NOON)] == [OK]


@given(st.permutations(range(12)))
def test_waves_do_not_depend_on_the_order_in_which_accounts_come(order: list[int]) -> None:
    made = {id_: (healthy(NOON), after_all(NO_TOKEN), after_all(LOST))[id_ % 3] for id_ in range(12)}
    later = NOON + 48 * HOUR
    assert waves({id_: made[id_] for id_ in order}, later) == waves(made, later)

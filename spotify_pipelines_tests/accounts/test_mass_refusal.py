"""When refused consents are one incident of their app, and who is tried meanwhile: as a table, and by properties."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.accounts.mass_refusal import LEAST, WINDOW, Incident, Refusal, mass

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def ago(*minutes: float) -> list[Refusal]:
    """A refusal of another account for each of these numbers of minutes before noon."""
    return [Refusal(number, NOON - each * MINUTE) for number, each in enumerate(minutes, start=1)]


@pytest.mark.parametrize(
    ("refusals", "connected", "expected"),
    [
        ((), 5, ()),
        ((0,), 1, ()),
        # at least three, however few accounts there are
        ((1, 0), 2, ()),
        ((2, 1, 0), 3, (1, 2, 3)),
        # more than a fifth, and not just a fifth
        ((2, 1, 0), 14, (1, 2, 3)),
        ((2, 1, 0), 15, ()),
        ((3, 2, 1, 0), 15, (1, 2, 3, 4)),
        ((3, 2, 1, 0), 20, ()),
        # within ten minutes
        ((9.9, 5, 0), 5, (1, 2, 3)),
        ((10, 5, 0), 5, ()),
        ((11, 10.5, 9, 5, 0), 5, (3, 4, 5)),
        # in the order in which they came
        ((0, 1, 2), 3, (3, 2, 1)),
        # what has not happened yet is none
        ((-1, 0, 1), 3, ()),
    ],
)
def test_what_is_a_mass(refusals: tuple[float, ...], connected: int, expected: tuple[int, ...]) -> None:
    assert mass(ago(*refusals), connected, NOON) == expected


def test_what_a_person_has_confirmed_is_no_news() -> None:
    refusals = ago(3, 2, 1, 0)
    assert mass(refusals, 4, NOON, settled_at=NOON - 2 * MINUTE) == ()
    assert mass(refusals, 4, NOON, settled_at=NOON - 2.5 * MINUTE) == (2, 3, 4)
    assert mass(refusals, 4, NOON, settled_at=NOON - 60 * MINUTE) == (1, 2, 3, 4)


@given(
    st.lists(st.integers(0, 30).map(lambda minutes: NOON - minutes * MINUTE), max_size=30),
    st.integers(1, 60),
)
def test_a_mass_is_large_recent_and_a_share_of_the_app(times: list[datetime], connected: int) -> None:
    found = mass([Refusal(number, at) for number, at in enumerate(times)], connected, NOON)
    if found:
        assert len(found) >= LEAST
        assert len(found) * 5 > connected
    assert all(times[account] > NOON - WINDOW for account in found)


def test_members_wait_for_their_turn_and_all_others_go_on() -> None:
    incident = Incident.begun((7, 8, 9), NOON)
    assert incident.may_refresh(1, NOON)
    due = incident.next_probe_at
    assert due > NOON
    assert [incident.may_refresh(account, due - MINUTE) for account in (7, 8, 9)] == [False] * 3
    assert [incident.may_refresh(account, due) for account in (7, 8, 9)] == [True, False, False]


def test_each_member_has_its_turn_and_the_waits_grow_to_an_hour() -> None:
    incident, turns, waits = Incident.begun((7, 8, 9), NOON), [], []
    for _ in range(5):
        now = incident.next_probe_at
        assert incident.prober is not None
        turns.append(incident.prober)
        incident = incident.refused(incident.prober, now)
        waits.append((incident.next_probe_at - now) // MINUTE)
    assert turns == [7, 8, 9, 7, 8]
    assert waits == [20, 40, 60, 60, 60]


def test_who_is_refused_meanwhile_joins_without_putting_the_probe_off() -> None:
    incident = Incident.begun((7, 8, 9), NOON)
    joined = incident.refused(10, NOON + MINUTE)
    assert joined.account_ids == (7, 8, 9, 10)
    assert (joined.prober, joined.next_probe_at) == (incident.prober, incident.next_probe_at)


def test_who_leaves_is_tried_no_more() -> None:
    incident = Incident.begun((7, 8, 9), NOON).without(7)
    assert incident.prober == 8
    assert incident.without(8).without(9).prober is None

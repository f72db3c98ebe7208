"""Cycles: every instant in exactly one, boundaries at the local time, right across clock changes."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.playlists.cycles import Cycle, CycleError, current_cycle, days_between

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # changed its clocks at midnight until 2019
    "Australia/Lord_Howe",  # by half an hour
    "Africa/Casablanca",  # around Ramadan
    "Asia/Kathmandu",
    "America/St_Johns",  # went from 00:01 back to the day before until 2011
    "Pacific/Apia",  # had no 30 December 2011
]

instants = st.datetimes(datetime(2008, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
local_times = st.times().map(lambda value: value.replace(second=0, microsecond=0, fold=0))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@given(
    st.integers(1, 40),
    local_times,
    st.sampled_from(ZONES),
    st.dates(date(2005, 1, 1), date(2035, 1, 1)),
    instants,
)
def test_every_instant_lies_in_its_cycle_and_cycles_join_without_gap(
    every_days: int, at_time: time, timezone: str, anchor: date, now: datetime
) -> None:
    def cycle_at(instant: datetime) -> Cycle:
        return current_cycle(every_days=every_days, at=at_time, timezone=timezone, anchor=anchor, now=instant)

    cycle = cycle_at(now)
    assert cycle.starts_at <= now < cycle.next_at
    assert cycle_at(cycle.starts_at) == cycle
    assert cycle_at(cycle.next_at - timedelta(microseconds=1)) == cycle
    following = cycle_at(cycle.next_at)
    assert following.starts_at == cycle.next_at
    assert following.number > cycle.number
    # Only the day that Samoa skipped makes a cycle of no length, which then has no instant.
    assert following.number == cycle.number + 1 or timezone == "Pacific/Apia"


@given(st.integers(1, 40), local_times, st.sampled_from(ZONES), instants)
def test_a_cycle_starts_at_the_local_time_wherever_that_exists(
    every_days: int, at_time: time, timezone: str, now: datetime
) -> None:
    anchor = date(2020, 1, 1)
    cycle = current_cycle(every_days=every_days, at=at_time, timezone=timezone, anchor=anchor, now=now)
    local = cycle.starts_at.astimezone(ZoneInfo(timezone))
    wanted = anchor + timedelta(days=cycle.number * every_days)
    if (local.date(), local.time()) != (wanted, at_time):
        # The wall clock jumped over it: an hour before and after differ by less than they should.
        before = (cycle.starts_at - timedelta(days=1)).astimezone(ZoneInfo(timezone)).utcoffset()
        after = (cycle.starts_at + timedelta(days=1)).astimezone(ZoneInfo(timezone)).utcoffset()
        assert before is not None
        assert after is not None
        assert after > before


@pytest.mark.parametrize(
    ("timezone", "now", "starts_at", "next_at"),
    [
        # 02:30 does not exist on 29 March 2026 in Berlin: 03:30 summer time. The next day has it again.
        ("Europe/Berlin", "2026-03-29T12:00+00:00", "2026-03-29T01:30+00:00", "2026-03-30T00:30+00:00"),
        ("Europe/Berlin", "2026-03-29T01:29+00:00", "2026-03-28T01:30+00:00", "2026-03-29T01:30+00:00"),
        # It comes twice on 25 October 2026: the first counts, and the second starts nothing.
        ("Europe/Berlin", "2026-10-25T01:45+00:00", "2026-10-25T00:30+00:00", "2026-10-26T01:30+00:00"),
        ("America/New_York", "2026-03-08T12:00+00:00", "2026-03-08T07:30+00:00", "2026-03-09T06:30+00:00"),
        ("America/New_York", "2026-11-01T12:00+00:00", "2026-11-01T07:30+00:00", "2026-11-02T07:30+00:00"),
        # Lord Howe turns 02:00 into 02:30 on 4 October 2026: there 02:30 exists, and is what comes next.
        ("Australia/Lord_Howe", "2026-10-03T16:00+00:00", "2026-10-03T15:30+00:00", "2026-10-04T15:30+00:00"),
        ("Asia/Kathmandu", "2026-05-01T00:00+00:00", "2026-04-30T20:45+00:00", "2026-05-01T20:45+00:00"),
    ],
)
def test_half_past_two_every_day_is_right_across_clock_changes(
    timezone: str, now: str, starts_at: str, next_at: str
) -> None:
    cycle = current_cycle(
        every_days=1, at=time(2, 30), timezone=timezone, anchor=date(2026, 1, 1), now=at(now)
    )
    assert (cycle.starts_at, cycle.next_at) == (at(starts_at), at(next_at))


def test_a_day_that_begins_twice_begins_one_cycle() -> None:
    # At 00:01 on 7 November 2010 St. John's went back to 23:01 on the 6th; the cycle of the 7th had begun.
    cycle = current_cycle(
        every_days=1,
        at=time(0),
        timezone="America/St_Johns",
        anchor=date(2010, 11, 7),
        now=at("2010-11-07T02:45+00:00"),
    )
    assert cycle == Cycle(0, at("2010-11-07T02:30+00:00"), at("2010-11-08T03:30+00:00"))


def test_a_weekly_cycle_counts_from_its_anchor_and_keeps_its_weekday() -> None:
    week = {"every_days": 7, "at": time(4), "timezone": "Europe/Berlin", "anchor": date(2026, 11, 16)}
    before = current_cycle(now=at("2026-11-23T02:59:59+00:00"), **week)  # type: ignore[arg-type]
    after = current_cycle(now=at("2026-11-23T03:00+00:00"), **week)  # type: ignore[arg-type]
    past = current_cycle(now=at("2026-11-01T00:00+00:00"), **week)  # type: ignore[arg-type]
    assert (before.number, after.number, past.number) == (0, 1, -3)
    assert after == Cycle(1, at("2026-11-23T03:00+00:00"), at("2026-11-30T03:00+00:00"))
    assert after.next_at.tzinfo is UTC


def test_the_result_does_not_depend_on_the_zone_in_which_now_is_given() -> None:
    now = at("2026-06-01T00:30+00:00")
    rule = {"every_days": 3, "at": time(9), "timezone": "America/New_York", "anchor": date(2026, 1, 1)}
    assert current_cycle(now=now, **rule) == current_cycle(  # type: ignore[arg-type]
        now=now.astimezone(ZoneInfo("Asia/Tokyo")),
        **rule,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every_days": 0}, "at least one day"),
        ({"timezone": "Europe/Atlantis"}, "'Europe/Atlantis' is not an IANA time zone"),
        ({"timezone": "Europe"}, "not an IANA time zone"),
        ({"timezone": ""}, "not an IANA time zone"),
        ({"timezone": "../../etc/passwd"}, "not an IANA time zone"),
        ({"timezone": "a\x00b"}, "not an IANA time zone"),
        ({"now": datetime(2026, 1, 1)}, "aware"),  # noqa: DTZ001
    ],
)
def test_impossible_rules_are_refused(change: dict[str, object], message: str) -> None:
    rule: dict[str, object] = {
        "every_days": 7,
        "at": time(4),
        "timezone": "UTC",
        "anchor": date(2026, 1, 1),
        "now": at("2026-11-23T00:00+00:00"),
    }
    with pytest.raises(CycleError, match=message):
        current_cycle(**{**rule, **change})  # type: ignore[arg-type]


def test_a_day_of_23_hours_is_a_day() -> None:
    monday, next_monday = at("2026-03-23T03:00+00:00"), at("2026-03-30T02:00+00:00")
    assert days_between(monday, next_monday, "Europe/Berlin") == 7
    assert days_between(next_monday, monday, "Europe/Berlin") == -7
    assert days_between(at("2026-01-01T23:30+00:00"), at("2026-01-02T00:30+00:00"), "Europe/Berlin") == 0
    with pytest.raises(CycleError, match="aware"):
        days_between(datetime(2026, 1, 1), monday, "UTC")  # noqa: DTZ001

"""Each cycle is drawn once: across clock changes, with two daemons, and after hours in which none was there."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from spotify_pipelines.playlists.apply import apply_policies
from spotify_pipelines.playlists.catching_up import MISSED_AFTER
from spotify_pipelines.playlists.plan import plan_playlists
from spotify_pipelines.playlists.policies import parse_policies
from spotify_pipelines.playlists.snapshot import build_snapshots
from spotify_pipelines.report import Report
from spotify_pipelines.store.due import playlists_due
from spotify_pipelines_tests.playlists.studio import Studio

POLICY = """
policies:
  - name: night
    size: 5
    accounts: [studio-1]
    reshuffle: {every_days: 1, at: "02:30", timezone: ZONE, catch_up: RULE}
"""


def _start(studio: Studio, now: datetime, *, zone: str = "UTC", rule: str = "once") -> None:
    file = parse_policies(POLICY.replace("ZONE", zone).replace("RULE", rule), "test.yaml")
    with studio.database.transaction() as session:
        apply_policies(session, file, now)
    plan_playlists(studio.database, run_id=studio.run(), now=lambda: now)
    _tick(studio, now, only_due=False)


def _tick(studio: Studio, now: datetime, *, only_due: bool = True, force: bool = False) -> Report:
    """What the sensor does: a run for what is due, if anything is."""
    with studio.database.transaction() as session:
        if only_due and not playlists_due(session, now).count:
            return Report("playlists")
    return build_snapshots(
        studio.database, run_id=studio.run(), now=lambda: now, only_due=only_due, force=force
    )


def _drawn_at(studio: Studio) -> list[datetime]:
    return [each.created_at for each in studio.snapshots()]


@pytest.mark.parametrize(
    ("zone", "first", "expected"),
    [
        pytest.param(
            "Europe/Berlin",
            "2026-03-27T12:00",
            ["03-28T01:30", "03-29T01:30", "03-30T00:30", "03-31T00:30"],
            id="an hour is missing: 02:30 is 03:30 on that day",
        ),
        pytest.param(
            "Europe/Berlin",
            "2026-10-23T12:00",
            ["10-24T00:30", "10-25T00:30", "10-26T01:30", "10-27T01:30"],
            id="an hour comes twice: the first counts",
        ),
        pytest.param(
            "America/New_York",
            "2026-03-06T12:00",
            ["03-07T07:30", "03-08T07:30", "03-09T06:30", "03-10T06:30"],
            id="New York in spring",
        ),
        pytest.param(
            "America/New_York",
            "2026-10-30T12:00",
            ["10-31T06:30", "11-01T07:30", "11-02T07:30", "11-03T07:30"],
            id="New York in autumn",
        ),
        pytest.param(
            "Australia/Lord_Howe",
            "2026-10-02T02:00",
            ["10-02T16:00", "10-03T15:30", "10-04T15:30", "10-05T15:30"],
            id="half an hour is missing",
        ),
    ],
)
async def test_a_clock_change_neither_skips_nor_repeats_a_reshuffle(
    studio: Studio, zone: str, first: str, expected: list[str]
) -> None:
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    _start(studio, start, zone=zone)

    for half_hour in range(1, 4 * 48):
        _tick(studio, start + timedelta(minutes=30 * half_hour))

    assert [f"{at:%m-%dT%H:%M}" for at in _drawn_at(studio)[1:]] == expected
    assert [each.cycle for each in studio.snapshots()] == [0, 1, 2, 3, 4]


async def test_two_daemons_that_tick_at_once_draw_a_cycle_once(studio: Studio) -> None:
    start = datetime(2026, 11, 23, 12, tzinfo=UTC)
    _start(studio, start)
    due = start + timedelta(hours=15)

    await asyncio.gather(*(asyncio.to_thread(_tick, studio, due) for _ in range(3)))

    assert [each.cycle for each in studio.snapshots()] == [0, 1]


@pytest.mark.parametrize(("rule", "cycles"), [("once", [0, 1]), ("skip", [0])])
async def test_a_reshuffle_that_was_missed_by_three_hours_follows_its_rule(
    studio: Studio, rule: str, cycles: list[int]
) -> None:
    start = datetime(2026, 11, 23, 12, tzinfo=UTC)
    _start(studio, start, rule=rule)
    boundary = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)

    _tick(studio, boundary + timedelta(hours=3))
    _tick(studio, boundary + timedelta(hours=3, minutes=1), only_due=False)

    assert [each.cycle for each in studio.snapshots()] == cycles
    assert studio.playlists()[0].next_reshuffle_at == boundary + timedelta(days=1)
    skipped = [row for row in studio.history() if row.action == "skipped"]
    assert len(skipped) == (rule == "skip")
    _tick(studio, boundary + timedelta(days=1))
    assert [each.cycle for each in studio.snapshots()] == [*cycles, 2]


async def test_a_little_late_is_not_missed(studio: Studio) -> None:
    start = datetime(2026, 11, 23, 12, tzinfo=UTC)
    _start(studio, start, rule="skip")
    _tick(studio, datetime(2026, 11, 24, 2, 30, tzinfo=UTC) + MISSED_AFTER)
    assert [each.cycle for each in studio.snapshots()] == [0, 1]


async def test_a_person_can_make_up_for_what_was_left_out(studio: Studio) -> None:
    start = datetime(2026, 11, 23, 12, tzinfo=UTC)
    _start(studio, start, rule="skip")
    late = datetime(2026, 11, 24, 9, tzinfo=UTC)
    _tick(studio, late)

    _tick(studio, late, only_due=False, force=True)

    assert [each.cycle for each in studio.snapshots()] == [0, 1]

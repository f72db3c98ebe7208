"""One process's share of a limit, on a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.spotify.local import LocalWindows
from spotify_pipelines.spotify.shared import Ask, Candidate, Done
from spotify_pipelines.spotify.turns import Slot, Turn
from spotify_pipelines_tests.spotify.test_pace import fullest


def ask(limit: float, account: int | None = None, done: tuple[Done, ...] = ()) -> Ask:
    turn = Turn("app", None, None if account is None else "account", account)
    return Ask("app", limit, True, (Candidate(turn),), done=done)


def send(
    windows: LocalWindows, clock: list[float], calls: int, limit: float, account: int | None = None
) -> list[float]:
    """When so many calls went, each answered at once."""
    times: list[float] = []
    done: tuple[Done, ...] = ()
    while len(times) < calls:
        reply = windows.ask(ask(limit, account, done))
        done = ()
        if reply.candidate is None:
            clock[0] += max(reply.wait, 1e-6)
        else:
            times.append(clock[0])
            done = (Done(Slot(Turn("app", None), 0.0, reply.now, local=True), True),)
    return times


@given(limit=st.integers(1, 200), processes=st.integers(1, 6))
def test_all_shares_together_stay_within_the_limit(limit: int, processes: int) -> None:
    clock = [0.0]
    windows = LocalWindows(processes, lambda: clock[0])
    times = send(windows, clock, 40, limit)

    assert processes * (fullest(times, 30.0 * processes) - 1) <= processes * limit
    assert fullest(times) <= max(1, limit // processes + 1)


def test_a_share_starts_with_nothing_saved_up() -> None:
    clock = [0.0]

    assert send(LocalWindows(4, lambda: clock[0]), clock, 1, 60) == pytest.approx([2.0])


def test_an_account_gets_its_part_as_well() -> None:
    clock = [0.0]
    times = send(LocalWindows(4, lambda: clock[0]), clock, 20, 3000, account=40)

    assert fullest(times) <= 10


def test_a_call_under_way_holds_its_place() -> None:
    clock = [0.0]
    windows = LocalWindows(1, lambda: clock[0])
    clock[0] += 30.0
    windows.ask(ask(1))
    clock[0] += 30.0
    granted = windows.ask(ask(1))
    clock[0] += 29.0
    slot = Slot(Turn("app", 1), 0.0, granted.now, local=True)
    reply = windows.ask(ask(1, done=(Done(slot, True),)))

    assert granted.candidate == 0
    assert reply.wait == pytest.approx(30.0)


def test_a_pause_outlasts_a_new_start() -> None:
    clock = [0.0]
    windows = LocalWindows(1, lambda: clock[0])
    windows.pause("app", 30.0)
    windows.start()

    assert send(windows, clock, 1, 900)[0] >= 30.0


def test_who_asks_for_a_banned_app_is_told_so_and_a_new_start_does_not_end_it() -> None:
    clock = [0.0]
    windows = LocalWindows(1, lambda: clock[0])
    windows.ban("app", 3600.0)
    windows.ban("app", 60.0)
    windows.start()
    clock[0] = 100.0

    assert windows.ask(ask(900)).banned == pytest.approx(3500.0)


def test_families_and_developer_accounts_have_their_share_too() -> None:
    clock = [0.0]
    windows = LocalWindows(2, lambda: clock[0])
    turns = [
        Turn(f"app-{number}", None, family="cover", family_limit=8, developer="dev", developer_limit=12)
        for number in range(3)
    ]
    times: dict[str, list[float]] = {turn.app: [] for turn in turns}
    while clock[0] < 120:
        for turn in turns:
            reply = windows.ask(Ask(turn.app, 900, True, (Candidate(turn),)))
            if reply.candidate is not None:
                times[turn.app].append(clock[0])
        clock[0] += 0.1

    assert max(fullest(each) for each in times.values()) <= 4
    assert 4 <= fullest([at for each in times.values() for at in each]) <= 6


def test_a_heavy_turn_waits_as_long_as_its_calls_would_have() -> None:
    clock = [0.0]
    windows = LocalWindows(1, lambda: clock[0])
    turn = Turn("app", 30, weight=5)
    times: list[float] = []
    while len(times) < 3:
        reply = windows.ask(Ask("app", 30, True, (Candidate(turn),)))
        if reply.candidate is not None:
            times.append(clock[0])
        clock[0] += 0.5

    assert times[2] - times[1] >= 5

"""Stored values in words: each sentence, each verdict, and what an older release did not store."""

from collections.abc import Mapping

import pytest

from spotify_pipelines.playlists.explain import (
    Compared,
    Units,
    because,
    compare,
    gave_way,
    groups_of,
    refused,
    stands_by,
)

DAYS = Units("days", "days")
SHORT = {
    "rule": "artist_cap",
    "breaches": [
        {"rule": "cooldown", "amount": 18, "asked": 30, "of": None},
        {"rule": "artist_cap", "amount": 1, "asked": 2, "of": "ana1"},
    ],
    "reason": "only 44 of the 50 tracks could obey every rule",
}


def _by_name(
    figures: Mapping[str, object], definition: Mapping[str, object] | None = None
) -> dict[str, Compared]:
    return {each.figure: each for each in compare(figures, definition or {})}


def test_a_drawn_track_says_its_place_its_weight_and_its_age() -> None:
    told = because("drawn by weight", drawn=50, rank=11, weight=0.5, age=None, relaxation=None, units=DAYS)
    assert told == "drawn by weight, 12th of 50; weight 0.5 of the largest; not used lately"


def test_a_track_that_broke_rules_says_what_was_needed_and_what_lacked() -> None:
    told = because(
        "taken by relaxation",
        drawn=50,
        rank=49,
        weight=1.0,
        age=12,
        relaxation=SHORT,
        units=DAYS,
        names={"ana1": "Ana"},
    )
    assert "last used 12 days ago" in told
    assert "cooldown gave way: 30 days needed, 18 lacking" in told
    assert "artist cap gave way: 3rd track by Ana, 2 allowed" in told
    assert told.endswith("only 44 of the 50 tracks could obey every rule")


def test_a_draw_of_an_older_release_says_what_it_knows() -> None:
    told = because("drawn", drawn=50, rank=None, weight=None, age=None, relaxation=None, units=DAYS)
    assert told == "drawn"


def test_ages_are_told_in_the_unit_of_the_policy() -> None:
    units = Units.of({"cooldown": {"draws": 3, "days": None, "artist": {"days": 7, "draws": None}}})
    assert units == Units("draws", "days")
    assert gave_way(SHORT, units)[0] == "cooldown gave way: 30 draws needed, 18 lacking"
    assert refused("in cooldown: last used 1 of 3 ago", units) == "in cooldown: last used 1 of 3 draws ago"
    assert "2 of 7 days ago" in refused("artist ana1 rests: last used 2 of 7 ago", units)
    assert Units.of({"cooldown": None}) == DAYS


def test_refusals_and_breaches_name_artists_and_albums() -> None:
    names = {"ana1": "Ana \\1 (live)", "alb1": "First"}
    assert refused("artist ana1 is full: 2 tracks", DAYS, names) == "artist Ana \\1 (live) is full: 2 tracks"
    assert refused("album alb1 is full: 1 tracks", DAYS, names) == "album First is full: 1 tracks"
    assert refused("artist unknown9 is full: 2 tracks", DAYS, names) == "artist unknown9 is full: 2 tracks"
    assert groups_of(SHORT) == ["ana1"]
    assert groups_of(None) == []


def test_a_reserve_track_says_for_whom_it_comes_in() -> None:
    assert stands_by(None) == "for any track"
    assert stands_by([3]) == "for position 4"
    assert stands_by([0, 4]) == "for positions 1, 5"


@pytest.mark.parametrize(
    ("figures", "name", "at_bound", "verdict"),
    [
        ({"tracks": 48, "size_bound": 50}, "tracks", False, "2 fewer"),
        ({"tracks": 48, "size_bound": 48}, "tracks", True, "as possible"),
        ({"artist_excess": 3, "artist_excess_bound": 1}, "tracks beyond the artist cap", False, "2 more"),
        ({"neighbours": 9, "neighbour_bound": 9}, "neighbours by one artist", True, "as possible"),
        (
            {"cooldown_shortfall": 4, "cooldown_shortfall_bound": 4},
            "days of cooldown lacking",
            True,
            "as possible",
        ),
        (
            {"smallest_gap": 5, "gap_target": 6},
            "smallest gap between an artist's tracks",
            False,
            "not as aimed at",
        ),
        (
            {"smallest_gap": 6, "gap_target": 6},
            "smallest gap between an artist's tracks",
            True,
            "as aimed at",
        ),
    ],
)
def test_a_figure_is_held_against_its_bound(
    figures: dict[str, object], name: str, at_bound: bool, verdict: str
) -> None:
    assert (_by_name(figures)[name].at_bound, _by_name(figures)[name].verdict) == (at_bound, verdict)


def test_reuse_is_held_against_what_the_pool_can_keep_up() -> None:
    asks = {"cooldown": {"days": 30}}
    name = "days since the last use, at least"
    thin = _by_name({"smallest_reuse": 21, "longest_reuse_days": 21.7}, asks)[name]
    early = _by_name({"smallest_reuse": 20, "longest_reuse_days": 21.7}, asks)[name]
    ample = _by_name({"smallest_reuse": 21, "longest_reuse_days": 90.0}, asks)[name]
    assert (thin.at_bound, thin.verdict) == (True, "30 asked, 21 can be kept up")
    assert (early.at_bound, ample.at_bound) == (False, False)
    assert _by_name({"smallest_reuse": None, "longest_reuse_days": 9.0}, asks)[name].verdict == (
        "nothing was used lately"
    )
    assert _by_name({"smallest_reuse": 3, "longest_reuse_days": None})[name].verdict == "no days asked"


def test_transitions_are_told_as_a_multiple_of_their_bound() -> None:
    figure = _by_name({"transition_cost": 0.22, "transition_bound": 0.2})["mean cost of a transition"]
    assert figure.verdict == "1.10 times the bound"


def test_what_a_pool_lacks_is_told() -> None:
    capacity = {"asked": 50, "sustained": 45.7, "tracks_lacking": 26}
    (figure,) = compare({"capacity": capacity}, {})
    assert (figure.value, figure.bound, figure.verdict) == (50, 45.7, "the pool lacks 26 tracks")


def test_figures_that_were_not_stored_are_left_out() -> None:
    assert compare({}, {}) == []
    assert [each.figure for each in compare({"tracks": 50}, {})] == ["tracks"]

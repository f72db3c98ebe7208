"""Numbers of a run: sums and means over what its draws have, and which draw is the worst."""

from spotify_pipelines.playlists.run_figures import badness, ratio, summary

GOOD = {"tracks": 50, "size_asked": 50, "size_bound": 50, "relaxed": 0, "smallest_gap": 6, "gap_target": 6}


def test_a_run_is_summed_up_over_what_its_draws_have() -> None:
    short = {
        **GOOD,
        "tracks": 40,
        "size_bound": 42,
        "relaxed": 3,
        "cooldown_shortfall": 12,
        "artist_excess": 2,
        "smallest_reuse": 4,
        "transition_cost": 0.3,
        "transition_bound": 0.2,
        "smallest_gap": 3,
    }
    found = summary([GOOD, short, {"smallest_reuse": 9}])
    assert found["draws"] == 3
    assert (found["tracks_drawn"], found["tracks_short_of_feasible"]) == (90, 2)
    assert (found["relaxed_tracks"], found["cap_excess"], found["cooldown_shortfall"]) == (3, 2, 12)
    assert found["smallest_reuse_days"] == 4
    assert (found["gap_by_target_mean"], found["gap_by_target_min"]) == (0.75, 0.5)
    assert (found["transitions_by_bound_mean"], found["transitions_by_bound_max"]) == (1.5, 1.5)
    assert "likeness_to_last_mean" not in found


def test_a_run_without_draws_says_so() -> None:
    assert summary([])["draws"] == 0


def test_short_draws_are_worse_than_relaxed_ones_and_those_worse_than_narrow_ones() -> None:
    short, relaxed = {**GOOD, "tracks": 49}, {**GOOD, "relaxed": 5}
    narrow = {**GOOD, "smallest_gap": 5}
    assert badness(short) > badness(relaxed) > badness(narrow) > badness(GOOD)


def test_a_ratio_needs_both_of_its_parts() -> None:
    assert ratio({"a": 3, "b": 4}, "a", "b") == 0.75
    assert ratio({"a": 3, "b": 0}, "a", "b") is None
    assert ratio({"a": 3}, "a", "b") is None
    assert ratio({"b": 3}, "a", "b") is None

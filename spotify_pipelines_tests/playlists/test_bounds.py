"""What a pool sustains, held against the formula, the linear programme and what selections reach day after day."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from spotify_pipelines.playlists.bounds import capacity
from spotify_pipelines.playlists.randomness import derive_seed
from spotify_pipelines.playlists.rules import Limits
from spotify_pipelines.playlists.selection import select
from spotify_pipelines.playlists.track_pool import Pool, PoolTrack
from spotify_pipelines_tests.support.pools import reference_tracks


def by_artist(sizes: Sequence[int]) -> list[PoolTrack]:
    return [
        PoolTrack(f"t{artist:03}-{number:03}", (f"a{artist:03}",))
        for artist, size in enumerate(sizes)
        for number in range(size)
    ]


def programme(tracks: Sequence[PoolTrack], cap: int, rounds: float) -> float:
    """C* as a linear programme: the most Σ x with x ≤ 1/W and at most ``cap`` of each artist."""
    artists = sorted({artist for track in tracks for artist in track.artists})
    solved = linprog(
        -np.ones(len(tracks)),
        A_ub=np.array(
            [[artist in track.artists for track in tracks] for artist in artists], dtype=np.float64
        ),
        b_ub=np.full(len(artists), float(cap)),
        bounds=(0, 1 / rounds),
        method="highs",
    )
    return float(-solved.fun)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 12))
def test_with_one_artist_per_track_the_formula_is_exact(sizes: list[int], cap: int, rounds: int) -> None:
    found = capacity(Pool.build(by_artist(sizes)), Limits(cap), size=10, rounds=rounds)
    assert found.is_exact
    assert found.sustained == pytest.approx(sum(min(cap, size / rounds) for size in sizes))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 20))
def test_the_longest_reuse_is_where_what_is_sustained_meets_what_is_asked(
    sizes: list[int], cap: int, size: int
) -> None:
    longest = capacity(Pool.build(by_artist(sizes)), Limits(cap), size=size).longest_reuse
    if longest == 0:
        assert cap * len(sizes) < size
        return
    at_longest = sum(min(cap, count / longest) for count in sizes)
    beyond = sum(min(cap, count / (longest * 1.001)) for count in sizes)
    assert at_longest >= size * (1 - 1e-9)
    assert beyond < size


@given(st.data(), st.integers(1, 3), st.integers(1, 9))
def test_with_several_credits_the_bound_is_never_below_the_linear_programme(
    data: st.DataObject, cap: int, rounds: int
) -> None:
    credits_ = data.draw(
        st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), min_size=1, max_size=30)
    )
    tracks = [PoolTrack(f"t{place:02}", tuple(names)) for place, names in enumerate(credits_)]
    bound = capacity(Pool.build(tracks), Limits(cap), size=5, rounds=rounds).sustained
    assert bound >= programme(tracks, cap, rounds) - 1e-6


@pytest.mark.parametrize("count", [240, 420])
@pytest.mark.parametrize("rounds", [3, 6, 12])
def test_on_feature_heavy_pools_the_bound_is_within_a_hundredth_of_the_linear_programme(
    count: int, rounds: int
) -> None:
    tracks = reference_tracks(count, guests=True)
    bound = capacity(Pool.build(tracks), Limits(2), size=50, rounds=rounds)
    assert not bound.is_exact
    assert bound.sustained <= 1.006 * programme(tracks, 2, rounds)


def test_album_caps_bind_as_artist_caps_do() -> None:
    tracks = [PoolTrack(f"t{number:02}", (f"a{number % 2}",), f"r{number % 4}") for number in range(40)]
    pool = Pool.build(tracks)
    assert capacity(pool, Limits(None, 1), size=5, rounds=2).sustained == 4
    assert capacity(pool, Limits(1, 1), size=5, rounds=2).sustained == 2
    assert capacity(pool, Limits(3, 1), size=5, rounds=2).sustained == 4
    assert capacity(pool, Limits(), size=5, rounds=2).sustained == 20


def test_playlists_that_share_a_cooldown_ask_for_all_and_may_each_fill_the_cap() -> None:
    pool = Pool.build(by_artist([30, 30, 30]))
    found = capacity(pool, Limits(2), size=5, playlists=3, rounds=6)
    assert (found.asked, found.sustained) == (15, 15.0)
    assert found.holds
    assert not capacity(pool, Limits(2), size=5, playlists=4, rounds=6).holds


def test_an_artist_who_rests_gives_what_one_playlist_takes_each_time_the_rest_is_over() -> None:
    pool = Pool.build(by_artist([30, 30, 30]))
    assert capacity(pool, Limits(2), size=5, rounds=1, artist_rounds=3).sustained == 2
    assert capacity(pool, Limits(2), size=5, playlists=4, rounds=1, artist_rounds=1).sustained == 6
    assert capacity(pool, Limits(), size=5, rounds=1, artist_rounds=3).sustained == 5


def test_what_is_lacking_is_told_in_tracks_and_in_artists_and_is_enough() -> None:
    sizes = [20] * 8
    found = capacity(Pool.build(by_artist(sizes)), Limits(2), size=20, rounds=6)
    assert (found.tracks_lacking, found.artists_lacking, found.tracks_per_artist) == (24, 2, 12)
    assert found.sentence("day") == (
        "this pool sustains 16.0 tracks a day at W = 6 (20 asked); longest reuse that can be kept: 0.0; "
        "lacking: 24 tracks by artists who are not full, or 2 more artists with 12 tracks each"
    )
    assert capacity(Pool.build(by_artist([*sizes, 12, 12])), Limits(2), size=20, rounds=6).holds


def test_an_empty_pool_and_a_size_of_nothing_have_bounds_too() -> None:
    empty = capacity(Pool.build([]), Limits(2), size=5, rounds=3)
    assert (empty.sustained, empty.longest_reuse, empty.tracks_lacking) == (0, 0, 15)
    assert capacity(Pool.build(by_artist([2])), Limits(2), size=0).holds


@pytest.mark.parametrize("count", [240, 320])
def test_day_after_day_no_more_cooldown_is_lacking_than_the_pool_makes_inevitable(count: int) -> None:
    pool = Pool.build(reference_tracks(count, guests=False))
    found = capacity(pool, Limits(2), size=50, rounds=6)
    last: dict[str, int] = {}
    shortfalls: Counter[int] = Counter()
    for day in range(70):
        ages = {track: day - used for track, used in last.items()}
        made = select(
            pool,
            size=50,
            seed=derive_seed("day", day),
            limits=Limits(2, cooldown=6),
            resting={track: age for track, age in ages.items() if age < 6},
        )
        reused = [ages[track] for track in made.track_ids if track in ages]
        shortfalls[day] = sum(max(0, 6 - age) for age in reused)
        assert day < 30 or min(reused) >= int(found.longest_reuse)
        last |= dict.fromkeys(made.track_ids, day)
    settled = [shortfalls[day] for day in range(30, 70)]
    assert sum(settled) / len(settled) == pytest.approx(6 * (50 - found.sustained), abs=1.0)

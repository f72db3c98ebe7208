"""Selections obey their rules or say which gave way, are as long as feasible, exact in chance and repeatable."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from spotify_pipelines.playlists.figures import cap_excess
from spotify_pipelines.playlists.randomness import BitSource, derive_seed, word_block
from spotify_pipelines.playlists.rules import Breach, Limits, Rule
from spotify_pipelines.playlists.selection import FULL_FACTOR, Selection, freshness_factor, select
from spotify_pipelines.playlists.track_pool import Columns, Pool, PoolError, PoolTrack

seeds = st.binary(min_size=1, max_size=6)
caps = st.none() | st.integers(1, 4)


@st.composite
def single_credit_tracks(draw: st.DrawFn) -> list[PoolTrack]:
    """One artist per track, albums by one artist."""
    rows = draw(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("123")), max_size=24))
    return [PoolTrack(f"t{i:02}", (artist,), artist + album) for i, (artist, album) in enumerate(rows)]


@st.composite
def tracks_with_guests(draw: st.DrawFn) -> list[PoolTrack]:
    row = st.tuples(
        st.lists(st.sampled_from("abcdef"), max_size=3).map(tuple),
        st.none() | st.sampled_from("xyz"),
        st.sampled_from([0.0, 0.001, 1.0, 1.0, 7.5]),
    )
    return [PoolTrack(f"t{i:02}", *values) for i, values in enumerate(draw(st.lists(row, max_size=20)))]


def uniform(count: int, *, artists: int | None = None) -> list[PoolTrack]:
    return [
        PoolTrack(f"t{number:05}", (f"artist-{number % (artists or count):04}",), f"album-{number // 10}")
        for number in range(count)
    ]


def times_over(tracks: Sequence[PoolTrack], selection: Selection) -> tuple[Counter[str], Counter[str | None]]:
    chosen = [track for track in tracks if track.track_id in selection.track_ids]
    artists = Counter(artist for track in chosen for artist in set(track.artists))
    return artists, Counter(track.album for track in chosen if track.album is not None)


@given(tracks_with_guests(), st.integers(0, 12), caps, caps, seeds)
def test_without_relaxation_no_track_repeats_and_no_cap_or_cooldown_is_broken(
    tracks: list[PoolTrack], size: int, artist_cap: int | None, album_cap: int | None, seed: bytes
) -> None:
    resting = {track.track_id: index % 5 for index, track in enumerate(tracks) if index % 3 == 0}
    made = select(
        Pool.build(tracks),
        size=size,
        seed=seed,
        limits=Limits(artist_cap, album_cap, cooldown=5),
        resting=resting,
        relaxation=(),
    )
    artists, albums = times_over(tracks, made)
    assert len(set(made.track_ids)) == len(made.track_ids) == size - made.shortfall <= size
    assert resting.keys().isdisjoint(made.track_ids)
    assert all(track.weight > 0 for track in tracks if track.track_id in made.track_ids)
    assert artist_cap is None or max(artists.values(), default=0) <= artist_cap
    assert album_cap is None or max(albums.values(), default=0) <= album_cap
    assert [pick.rank for pick in made.picks] == list(range(len(made.picks)))


@given(tracks_with_guests(), st.integers(0, 12), caps, caps, seeds)
def test_whatever_breaks_a_rule_says_so_and_by_how_much(
    tracks: list[PoolTrack], size: int, artist_cap: int | None, album_cap: int | None, seed: bytes
) -> None:
    resting = {track.track_id: index % 5 for index, track in enumerate(tracks) if index % 3 == 0}
    made = select(
        Pool.build(tracks),
        size=size,
        seed=seed,
        limits=Limits(artist_cap, album_cap, cooldown=5),
        resting=resting,
    )
    by_id = {track.track_id: track for track in tracks}
    artists: Counter[str] = Counter()
    albums: Counter[str] = Counter()
    for pick in made.picks:
        track = by_id[pick.track_id]
        artists.update(set(track.artists))
        albums.update([track.album] if track.album else [])
        expected = {
            Rule.COOLDOWN: 5 - resting[pick.track_id] if pick.track_id in resting else 0,
            Rule.ALBUM_CAP: max(0, albums[track.album] - album_cap) if album_cap and track.album else 0,
            Rule.ARTIST_CAP: max((artists[a] - artist_cap for a in track.artists), default=0)
            if artist_cap
            else 0,
        }
        recorded = (
            {breach.rule: breach.amount for breach in pick.relaxation.breaches} if pick.relaxation else {}
        )
        assert recorded == {rule: amount for rule, amount in expected.items() if amount > 0}
    available = sum(track.weight > 0 for track in tracks)
    assert len(made.picks) == min(size, available)


@given(single_credit_tracks(), st.integers(0, 20), caps, caps, seeds)
def test_with_one_artist_per_track_no_feasible_track_is_missing(
    tracks: list[PoolTrack], size: int, artist_cap: int | None, album_cap: int | None, seed: bytes
) -> None:
    made = select(
        Pool.build(tracks),
        size=size,
        seed=seed,
        limits=Limits(artist_cap, album_cap),
        relaxation=(),
    )
    feasible = 0
    for artist in {track.artists[0] for track in tracks}:
        per_album = Counter(track.album for track in tracks if track.artists[0] == artist)
        from_albums = sum(min(count, album_cap or count) for count in per_album.values())
        feasible += min(from_albums, artist_cap or from_albums)
    assert len(made.picks) == min(size, feasible)
    obeying = select(Pool.build(tracks), size=size, seed=seed, limits=Limits(artist_cap, album_cap))
    assert sum(pick.relaxation is None for pick in obeying.picks) == min(size, feasible)


@given(tracks_with_guests(), st.integers(0, 12), caps, caps, seeds)
def test_the_draw_depends_on_the_content_of_the_pool_and_not_on_its_sequence(
    tracks: list[PoolTrack],
    size: int,
    artist_cap: int | None,
    album_cap: int | None,
    seed: bytes,
) -> None:
    shuffled = list(tracks)
    Random(seed).shuffle(shuffled)
    one, other = Pool.build(tracks), Pool.build(shuffled)
    assert one.digest() == other.digest()
    assert select(one, size=size, seed=seed, limits=Limits(artist_cap, album_cap)) == select(
        other, size=size, seed=seed, limits=Limits(artist_cap, album_cap)
    )


def chi_square(
    observed: Counter[tuple[str, ...]], chances: dict[tuple[str, ...], float], draws: int
) -> float:
    assert observed.keys() <= chances.keys()
    return sum((observed[key] - draws * p) ** 2 / (draws * p) for key, p in chances.items())


def ordered_chances(weights: dict[str, float], size: int) -> dict[tuple[str, ...], float]:
    chances = {}
    for outcome in permutations(weights, size):
        left, chance = sum(weights.values()), 1.0
        for track_id in outcome:
            chance *= weights[track_id] / left
            left -= weights[track_id]
        chances[outcome] = chance
    return chances


def test_ordered_outcomes_come_with_the_chances_of_drawing_one_by_one() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 6.0}
    pool = Pool.build(PoolTrack(track_id, (), None, weight) for track_id, weight in weights.items())
    draws = 4_000
    seen = Counter(select(pool, size=2, seed=derive_seed(number)).track_ids for number in range(draws))
    # 12 outcomes: chi-square with 11 degrees of freedom is above 31.3 once in a thousand.
    assert chi_square(seen, ordered_chances(weights, 2), draws) < 31.3


def test_every_track_comes_as_often_as_drawing_one_by_one_would_bring_it() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 8.0}
    pool = Pool.build(PoolTrack(track_id, (), None, weight) for track_id, weight in weights.items())
    draws = 5_000
    seen = Counter(
        track
        for number in range(draws)
        for track in select(pool, size=2, seed=derive_seed("tv", number)).track_ids
    )
    expected = Counter[str]()
    for outcome, chance in ordered_chances(weights, 2).items():
        for track in outcome:
            expected[track] += chance  # type: ignore[assignment]
    # Total variation ½ Σ |Δπ| / k; a perfect sampler stays below 0.01 at so many draws.
    assert sum(abs(seen[track] / draws - expected[track]) for track in weights) / 2 / 2 < 0.012


def test_chances_stay_exact_when_most_of_the_pool_is_refused_and_the_sum_is_rebuilt() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 3.0}
    heavy = [PoolTrack(f"blocked-{number}", (), None, 5_000.0) for number in range(3)]
    pool = Pool.build(
        [*heavy, *(PoolTrack(track_id, (), None, weight) for track_id, weight in weights.items())]
    )
    blocked = {track.track_id: "excluded" for track in heavy}
    draws = 1_500
    seen = Counter(
        select(pool, size=2, seed=derive_seed(number), blocked=blocked).track_ids for number in range(draws)
    )
    # 6 outcomes: 5 degrees of freedom, above 20.5 once in a thousand.
    assert chi_square(seen, ordered_chances(weights, 2), draws) < 20.5


@pytest.mark.parametrize("factor", [FULL_FACTOR // 4, 1])
def test_freshness_scales_the_weight_of_a_recently_used_track(factor: int) -> None:
    pool = Pool.build(PoolTrack(track_id, (), None) for track_id in "abc")
    weights = {"a": factor / FULL_FACTOR, "b": 1.0, "c": 1.0}
    draws = 3_000
    seen = Counter(
        select(pool, size=1, seed=derive_seed(number), freshness={"a": factor}).track_ids
        for number in range(draws)
    )
    assert abs(seen["a",] / draws - weights["a"] / sum(weights.values())) < 0.02
    assert len(select(pool, size=3, seed=b"", freshness={"a": factor}).track_ids) == 3


@pytest.mark.parametrize(
    ("age", "exponent", "factor"),
    [
        (0, 1, 1),
        (5, 1, FULL_FACTOR // 2),
        (5, 2, FULL_FACTOR // 4),
        (10, 3, FULL_FACTOR),
        (99, 1, FULL_FACTOR),
        (0, 0, FULL_FACTOR),
    ],
)
def test_freshness_rises_with_age_up_to_the_horizon(age: int, exponent: float, factor: int) -> None:
    assert freshness_factor(age, 10, exponent) == factor


def test_half_a_freshness_exponent_is_a_square_root() -> None:
    assert freshness_factor(5, 10, 0.5) == math.isqrt(1 << 63)


@pytest.mark.parametrize(("horizon", "exponent"), [(0, 1), (10, 0.3), (10, -1)])
def test_an_impossible_freshness_is_refused(horizon: int, exponent: float) -> None:
    with pytest.raises(ValueError, match="freshness"):
        freshness_factor(1, horizon, exponent)


def test_cooldown_gives_way_first_and_to_the_oldest_use() -> None:
    pool = Pool.build(uniform(8))
    resting = {f"t{number:05}": number for number in range(6)}
    made = select(pool, size=5, seed=b"x", limits=Limits(cooldown=6), resting=resting)
    assert set(made.track_ids[:2]) == {"t00006", "t00007"}
    assert made.track_ids[2:] == ("t00005", "t00004", "t00003")
    assert [pick.relaxation.breaches for pick in made.relaxed if pick.relaxation] == [
        (Breach(Rule.COOLDOWN, 1, 6),),
        (Breach(Rule.COOLDOWN, 2, 6),),
        (Breach(Rule.COOLDOWN, 3, 6),),
    ]
    assert made.relaxed[0].relaxation is not None
    assert "2 of the 5 tracks" in made.relaxed[0].relaxation.reason


def test_rules_give_way_in_the_stated_sequence_and_no_further_than_needed() -> None:
    tracks = [PoolTrack(f"t{number}", ("a",), "album") for number in range(4)]
    resting = {"t0": 3, "t1": 3}
    options = {"limits": Limits(artist_cap=1, cooldown=7), "resting": resting, "size": 4, "seed": b"s"}
    cooldown_last = select(Pool.build(tracks), relaxation=(Rule.ARTIST_CAP, Rule.COOLDOWN), **options)  # type: ignore[arg-type]
    assert [pick.relaxation and pick.relaxation.rule for pick in cooldown_last.picks] == [
        None,
        Rule.ARTIST_CAP,
        Rule.COOLDOWN,
        Rule.COOLDOWN,
    ]
    kept = select(Pool.build(tracks), relaxation=(Rule.COOLDOWN,), **options)  # type: ignore[arg-type]
    assert len(kept.picks) == 1
    assert kept.shortfall == 3


def test_the_artist_furthest_below_the_others_is_filled_first_when_caps_give_way() -> None:
    tracks = [PoolTrack(f"t{number:02}", ("ab"[number % 2],)) for number in range(20)]
    made = select(Pool.build(tracks), size=12, seed=b"even", limits=Limits(artist_cap=2))
    assert sorted(times_over(tracks, made)[0].values()) == [6, 6]


def test_a_track_that_keeps_two_others_out_is_swapped_for_them() -> None:
    tracks = [
        PoolTrack("both", ("a", "b"), None, 1_000.0),
        PoolTrack("one", ("a",)),
        PoolTrack("two", ("b",)),
    ]
    made = select(Pool.build(tracks), size=2, seed=b"", limits=Limits(artist_cap=1))
    assert sorted(made.track_ids) == ["one", "two"]
    assert made.relaxed == ()
    across = [
        PoolTrack("both", ("a",), "x", 1_000.0),
        PoolTrack("one", ("a",), "y"),
        PoolTrack("two", ("b",), "x"),
    ]
    assert sorted(select(Pool.build(across), size=2, seed=b"", limits=Limits(1, 1)).track_ids) == [
        "one",
        "two",
    ]


def test_the_first_refused_tracks_are_noted_with_the_reason() -> None:
    tracks = [PoolTrack(f"t{number}", ("solo",), "only") for number in range(3)] + [
        PoolTrack("z", ("z",), "z")
    ]
    made = select(
        Pool.build(tracks),
        size=4,
        seed=b"1",
        limits=Limits(artist_cap=1),
        blocked={"z": "excluded"},
        relaxation=(),
    )
    reasons = {rejection.track_id: rejection.why for rejection in made.rejections}
    assert len(reasons) == 3
    assert reasons.pop("z") == "excluded"
    assert set(reasons.values()) == {"artist solo is full: 1 tracks"}
    resting = select(
        Pool.build(tracks[:1]), size=1, seed=b"", limits=Limits(cooldown=7), resting={"t0": 2}, relaxation=()
    )
    assert resting.rejections[0].why == "in cooldown: last used 2 of 7 ago"


@pytest.mark.parametrize(
    ("tracks", "size", "expected"),
    [
        ([], 50, 0),
        (uniform(10), 0, 0),
        (uniform(10), 50, 10),
        ([PoolTrack("a", (), None, 0.0), PoolTrack("b", (), None, 0.0)], 2, 0),
        ([PoolTrack("a", (), None, 0.0), PoolTrack("b", (), None, 1e-300), PoolTrack("c", ())], 3, 2),
        ([PoolTrack("a", ("x",)), PoolTrack("a", ("x",))], 2, 1),
    ],
    ids=[
        "empty pool",
        "size 0",
        "size beyond pool",
        "weights of zero",
        "zero and tiny beside one",
        "identical twice",
    ],
)
def test_edge_cases_have_a_defined_answer(tracks: list[PoolTrack], size: int, expected: int) -> None:
    made = select(Pool.build(tracks), size=size, seed=b"edge", limits=Limits(artist_cap=2))
    assert len(made.picks) == expected
    assert made.shortfall == size - expected


def test_a_huge_pool_of_one_artist_fills_up_beyond_its_cap_and_says_so() -> None:
    million = 1_000_000
    columns = Columns(
        track_ids=tuple(f"t{number:06}" for number in range(million)),
        offsets=np.arange(million + 1),
        credits=np.zeros(million, dtype=np.int64),
        albums=np.full(million, -1),
        artist_ids=("solo",),
        album_ids=(),
    )
    pool = Pool.of(columns, np.ones(million))
    made = select(pool, size=10, seed=b"huge", limits=Limits(artist_cap=2))
    assert len(made.picks) == 10
    assert [pick.relaxation.breaches[0].amount for pick in made.relaxed if pick.relaxation] == list(
        range(1, 9)
    )


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, -0.5])
def test_a_weight_that_is_no_weight_is_refused_with_the_track(weight: float) -> None:
    with pytest.raises(PoolError, match="track odd has the weight"):
        Pool.build([PoolTrack("fine", ()), PoolTrack("odd", (), None, weight)])


def test_a_track_that_comes_twice_with_different_content_is_refused() -> None:
    with pytest.raises(PoolError, match="track t is in the pool twice"):
        Pool.build([PoolTrack("t", ("a",)), PoolTrack("t", ("b",))])


@pytest.mark.parametrize("options", [{"size": -1}, {"artist_cap": 0}, {"album_cap": 0}])
def test_impossible_numbers_are_refused_by_name(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        select(Pool.build([]), size=options.pop("size", 1), seed=b"", limits=Limits(**options))


def test_seeds_keep_their_parts_and_types_apart() -> None:
    parts: list[tuple[str | int | bytes, ...]] = [
        ("a", "bc"),
        ("ab", "c"),
        ("abc",),
        (1,),
        ("1",),
        (b"1",),
        (),
    ]
    assert len({derive_seed(*part) for part in parts}) == len(parts)


def test_words_are_the_published_shake_256() -> None:
    expected = hashlib.shake_256(b"seed" + (3).to_bytes(8, "little")).digest(16)
    assert word_block(b"seed", 3, 2).tolist() == [
        int.from_bytes(expected[:8], "little"),
        int.from_bytes(expected[8:], "little"),
    ]


@given(st.integers(1, 1 << 64), seeds)
def test_a_number_below_a_bound_is_below_it(bound: int, seed: bytes) -> None:
    assert 0 <= BitSource(seed).below(bound) < bound


def test_a_bound_near_the_word_size_brings_no_bias() -> None:
    # Scaling 2^64 words onto 3·2^62 numbers gives every third number two words, unless one is turned down.
    bits = BitSource(b"bias")
    thirds = Counter(bits.below(3 << 62) % 3 for _ in range(3_000))
    assert all(abs(count - 1_000) < 120 for count in thirds.values())


def test_a_bound_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and"):
        BitSource(b"").below(0)


def most_by_programme(
    tracks: Sequence[PoolTrack], artist_cap: int | None, album_cap: int | None, size: int
) -> int:
    """The most tracks under the caps, by integer programming."""
    if not tracks:
        return 0
    rows, most = [np.ones(len(tracks))], [size]
    for artist in {artist for track in tracks for artist in track.artists} if artist_cap else ():
        rows.append(np.array([artist in track.artists for track in tracks], dtype=np.float64))
        most.append(artist_cap or 0)
    for album in {track.album for track in tracks} - {None} if album_cap else ():
        rows.append(np.array([track.album == album for track in tracks], dtype=np.float64))
        most.append(album_cap or 0)
    solved = milp(
        -np.ones(len(tracks)),
        constraints=LinearConstraint(np.array(rows), ub=most),
        integrality=np.ones(len(tracks)),
        bounds=Bounds(0, 1),
    )
    return round(float(-solved.fun))


@given(tracks_with_guests(), st.integers(0, 20), caps, caps, seeds)
def test_however_tracks_block_each_other_none_is_missing_that_would_have_fitted(
    tracks: list[PoolTrack], size: int, artist_cap: int | None, album_cap: int | None, seed: bytes
) -> None:
    resting = {track.track_id: index % 5 for index, track in enumerate(tracks) if index % 3 == 0}
    drawable = [track for track in tracks if track.weight]
    rested = [track for track in drawable if track.track_id not in resting]
    for relaxation, able in (((), rested), ((Rule.COOLDOWN,), drawable)):
        made = select(
            Pool.build(tracks),
            size=size,
            seed=seed,
            limits=Limits(artist_cap, album_cap, cooldown=5),
            resting=resting,
            relaxation=relaxation,
        )
        feasible = most_by_programme(able, artist_cap, album_cap, size)
        assert len(made.picks) == feasible <= made.bounds.tracks
    obeying = select(
        Pool.build(tracks),
        size=size,
        seed=seed,
        limits=Limits(artist_cap, album_cap, cooldown=5),
        resting=resting,
    )
    assert obeying.bounds.obeying >= most_by_programme(rested, artist_cap, album_cap, size)


@given(tracks_with_guests(), st.integers(0, 12), caps, caps, seeds)
def test_no_selection_is_better_than_its_bounds(
    tracks: list[PoolTrack], size: int, artist_cap: int | None, album_cap: int | None, seed: bytes
) -> None:
    resting = {track.track_id: index % 5 for index, track in enumerate(tracks) if index % 2 == 0}
    made = select(
        Pool.build(tracks),
        size=size,
        seed=seed,
        limits=Limits(artist_cap, album_cap, cooldown=5),
        resting=resting,
    )
    artists, albums = times_over(tracks, made)
    assert len(made.picks) <= made.bounds.tracks
    assert len(made.picks) - len(made.relaxed) <= made.bounds.obeying
    assert sum(5 - resting[each] for each in made.track_ids if each in resting) >= (
        made.bounds.cooldown_shortfall
    )
    assert cap_excess(artists.elements(), artist_cap) >= made.bounds.artist_excess
    assert cap_excess(albums.elements(), album_cap) >= made.bounds.album_excess


@given(single_credit_tracks(), st.integers(0, 20), st.integers(1, 4), seeds)
def test_with_one_artist_per_track_the_bounds_are_reached(
    tracks: list[PoolTrack], size: int, artist_cap: int, seed: bytes
) -> None:
    resting = {track.track_id: index % 5 for index, track in enumerate(tracks) if index % 2 == 0}
    made = select(
        Pool.build(tracks), size=size, seed=seed, limits=Limits(artist_cap, cooldown=5), resting=resting
    )
    assert len(made.picks) == made.bounds.tracks
    assert len(made.picks) - len(made.relaxed) == made.bounds.obeying
    excess = cap_excess(times_over(tracks, made)[0].elements(), artist_cap)
    assert excess == made.bounds.artist_excess
    if not excess:  # what is beyond the cap is spread over the artists, even if others have rested longer
        shortfall = sum(5 - resting[each] for each in made.track_ids if each in resting)
        assert shortfall == made.bounds.cooldown_shortfall


def test_of_tracks_used_lately_the_dearest_is_swapped_out() -> None:
    tracks = [
        PoolTrack("blocks both", ("a", "b")),
        PoolTrack("long ago 1", ("a",)),
        PoolTrack("long ago 2", ("b",)),
        PoolTrack("yesterday", ("c",)),
    ]
    made = select(
        Pool.build(tracks),
        size=2,
        seed=b"",
        limits=Limits(artist_cap=1, cooldown=20),
        resting={"long ago 1": 19, "long ago 2": 19, "yesterday": 1},
    )
    assert sorted(made.track_ids) == ["long ago 1", "long ago 2"]


def test_an_artist_who_was_heard_lately_rests_on_every_credit_and_gives_way_when_asked() -> None:
    tracks = [PoolTrack("solo", ("a",)), PoolTrack("guest", ("b", "a")), PoolTrack("other", ("b",))]
    options = {"seed": b"", "limits": Limits(artist_cooldown=4), "resting_artists": {"a": 3}}
    kept = select(Pool.build(tracks), size=3, relaxation=(), **options)  # type: ignore[arg-type]
    assert kept.track_ids == ("other",)
    assert {each.why for each in kept.rejections} == {"artist a rests: last used 3 of 4 ago"}
    given_way = select(Pool.build(tracks), size=3, **options)  # type: ignore[arg-type]
    assert len(given_way.picks) == 3
    assert [pick.relaxation and pick.relaxation.breaches for pick in given_way.picks] == [
        None,
        *[(Breach(Rule.ARTIST_COOLDOWN, 1, 4, "a"),)] * 2,
    ]


def test_what_rests_longest_comes_first_also_among_artists() -> None:
    pool = Pool.build(uniform(6))
    resting = {f"artist-{number:04}": number for number in range(6)}
    made = select(pool, size=3, seed=b"", limits=Limits(artist_cooldown=6), resting_artists=resting)
    assert made.track_ids == ("t00005", "t00004", "t00003")


def test_pinned_tracks_come_first_fill_the_caps_and_say_what_they_break() -> None:
    tracks = [*uniform(12, artists=3), PoolTrack("outside", ("artist-0000",), None, 0.0)]
    made = select(
        Pool.build(tracks),
        size=6,
        seed=b"",
        limits=Limits(artist_cap=2, cooldown=9),
        resting={"t00000": 0},
        pinned=["outside", "t00000", "t00003", "nowhere", "t00004"],
        blocked={"t00004": "excluded"},
    )
    assert made.track_ids[:3] == ("outside", "t00000", "t00003")
    assert [pick.why for pick in made.picks[:3]] == ["pinned"] * 3
    assert made.picks[0].relaxation is None
    assert made.picks[1].relaxation is None, "a pinned track does not rest"
    assert made.picks[2].relaxation is not None
    assert made.picks[2].relaxation.breaches == (Breach(Rule.ARTIST_CAP, 1, 2, "artist-0000"),)
    assert made.picks[2].relaxation.reason == "pinned by the policy"
    assert {each.track_id: each.why for each in made.left_out} == {
        "nowhere": "not in the catalogue",
        "t00004": "excluded",
    }
    assert len(made.picks) == 6


def test_more_pinned_tracks_than_the_size_are_left_out_by_name() -> None:
    made = select(Pool.build(uniform(4)), size=1, seed=b"", pinned=["t00003", "t00001", "t00003"])
    assert made.track_ids == ("t00003",)
    (left_out,) = made.left_out
    assert (left_out.track_id, left_out.why) == ("t00001", "more tracks are pinned than the size holds")


@given(tracks_with_guests(), st.integers(0, 8), caps, caps, seeds)
def test_every_reserve_track_may_take_the_places_that_it_names(
    tracks: list[PoolTrack], size: int, artist_cap: int | None, album_cap: int | None, seed: bytes
) -> None:
    resting = {track.track_id: 1 for track in tracks[::4]}
    made = select(
        Pool.build(tracks),
        size=size,
        seed=seed,
        limits=Limits(artist_cap, album_cap, cooldown=5),
        resting=resting,
        reserve=4,
        relaxation=(Rule.COOLDOWN,),
    )
    by_id = {track.track_id: track for track in tracks}
    names = [each.track_id for each in made.reserve]
    assert len(set(names)) == len(names) <= 4
    assert not {*names} & {*made.track_ids, *resting}

    def fits(track_ids: Sequence[str]) -> bool:
        chosen = [by_id[each] for each in track_ids]
        artists = Counter(artist for track in chosen for artist in set(track.artists))
        albums = Counter(track.album for track in chosen if track.album is not None)
        return max(artists.values(), default=0) <= (artist_cap or 99) and (
            max(albums.values(), default=0) <= (album_cap or 99)
        )

    anywhere = [each.track_id for each in made.reserve if each.replaces is None]
    assert fits([*made.track_ids, *anywhere])
    for each in made.reserve:
        for replaced in each.replaces or ():
            assert fits([each.track_id, *(one for one in made.track_ids if one != replaced)])
            assert by_id[each.track_id].weight > 0


def test_asking_for_a_reserve_changes_no_track() -> None:
    pool = Pool.build(uniform(300, artists=40))
    for number in range(20):
        with_reserve, without = (
            select(pool, size=30, seed=derive_seed(number), limits=Limits(2), reserve=reserve)
            for reserve in (10, 0)
        )
        assert with_reserve.track_ids == without.track_ids
        assert len(with_reserve.reserve) == 10


def test_every_pick_tells_its_weight_with_freshness() -> None:
    pool = Pool.build([PoolTrack("a", (), None, 4.0), PoolTrack("b", (), None, 1.0)])
    made = select(pool, size=2, seed=b"", freshness={"b": FULL_FACTOR // 2})
    assert {pick.track_id: pick.weight for pick in made.picks} == {"a": 1.0, "b": 0.125}


def test_policies_over_the_same_columns_draw_only_what_they_weigh() -> None:
    columns = Columns.build(["a", "b", "c"], [["x"], ["x", "y", "x"], []], ["r", None, "r"])
    pool = Pool.of(columns, np.array([0.0, 2.0, 1.0]))
    assert len(pool) == 2
    assert (pool.artists_of(1), pool.album_of(1), pool.album_of(2)) == (("x", "y"), None, "r")
    assert sorted(select(pool, size=3, seed=b"").track_ids) == ["b", "c"]
    assert pool.digest() != Pool.of(columns, np.array([1.0, 2.0, 1.0])).digest()
    with pytest.raises(PoolError, match="2 weights were given for 3 tracks"):
        Pool.of(columns, np.ones(2))
    with pytest.raises(PoolError, match="track b has the weight nan"):
        Pool.of(columns, np.array([1.0, math.nan, 1.0]))
    with pytest.raises(PoolError, match="track a comes twice or out of sequence"):
        Columns.build(["a", "a"], [[], []], [None, None])


def test_two_hundred_drawn_playlists_are_the_same_on_every_machine() -> None:
    tracks = [
        PoolTrack(
            f"t{n:04}",
            (f"a{n % 37}", f"b{n % 11}") if n % 5 == 0 else (f"a{n % 37}",),
            f"r{n // 9}",
            1 + n % 7 / 3,
        )
        for n in range(600)
    ]
    pool = Pool.build(tracks)
    digest = hashlib.sha256(pool.digest().encode())
    last_used: dict[str, int] = {}
    for day in range(200):
        ages = {track_id: day - used for track_id, used in last_used.items()}
        made = select(
            pool,
            size=50,
            seed=derive_seed("golden", day),
            limits=Limits(2, 3, cooldown=9),
            resting={track_id: age for track_id, age in ages.items() if age < 9},
            freshness={track_id: freshness_factor(age, 30, 1.5) for track_id, age in ages.items()},
        )
        assert len(made.picks) == 50
        last_used.update(dict.fromkeys(made.track_ids, day))
        digest.update(" ".join(made.track_ids).encode())
    assert digest.hexdigest() == "11a4ba7a09b08269acaf3f9eec9d07a38454852b77b339b8e7031683bf609a86"

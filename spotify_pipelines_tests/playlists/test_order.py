"""Orders lose nothing, keep their gap, have the fewest neighbours, open uniformly and can be repeated."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_pipelines.playlists.figures import neighbours, smallest_gap
from spotify_pipelines.playlists.order import Gap, OrderError, OrderTrack, arrange, gap_bound
from spotify_pipelines.playlists.randomness import derive_seed
from spotify_pipelines.playlists.transitions import FLOWS, Flow, Sound
from spotify_pipelines_tests.support.reference_lists import (
    REFERENCE,
    SINGLE_CREDIT,
    one_artist_each,
    order_digest,
    with_sounds,
)

numbers = st.one_of(st.floats(), st.integers(-1, 200).map(float))
sounds = st.builds(
    Sound, numbers, st.integers(-1, 11).map(float), st.sampled_from([0.0, 1.0, math.nan]), numbers
)
order_tracks = st.lists(
    st.tuples(st.lists(st.sampled_from("abcdefg"), max_size=3).map(tuple), sounds), max_size=14
).map(lambda parts: [OrderTrack(f"t{index:02}", *part) for index, part in enumerate(parts)])
gaps: st.SearchStrategy[Gap] = st.one_of(st.sampled_from(["best", "half"]), st.integers(1, 6))
flows = st.sampled_from(FLOWS)
seeds = st.binary(min_size=1, max_size=8)


def asked_gap(gap: Gap, upper_bound: int) -> int:
    """What a gap asks for, by its definition."""
    if gap == "best":
        return upper_bound
    if gap == "half":
        return 1 if upper_bound < 2 else max(2, math.ceil(upper_bound / 2))
    return min(gap, upper_bound)


def credits_of(tracks: Sequence[OrderTrack], track_ids: Sequence[str]) -> list[tuple[str, ...]]:
    by_id = {track.track_id: track.artists for track in tracks}
    return [by_id[track_id] for track_id in track_ids]


@given(order_tracks, gaps, seeds, flows)
def test_an_order_holds_every_track_exactly_once(
    tracks: list[OrderTrack], gap: Gap, seed: bytes, flow: Flow
) -> None:
    order = arrange(tracks, gap=gap, seed=seed, flow=flow).track_ids
    assert sorted(order) == sorted(track.track_id for track in tracks)


@given(order_tracks, gaps, seeds, flows)
def test_the_gap_of_an_order_is_its_target_and_no_wider_than_asked(
    tracks: list[OrderTrack], gap: Gap, seed: bytes, flow: Flow
) -> None:
    made = arrange(tracks, gap=gap, seed=seed, flow=flow)
    credits_ = credits_of(tracks, made.track_ids)
    assert made.gap == made.target == smallest_gap(credits_)
    assert made.neighbours == neighbours(credits_) >= made.neighbour_bound
    if made.gap is None:
        assert made.upper_bound is None
    else:
        assert made.upper_bound is not None
        assert 1 <= made.gap <= asked_gap(gap, made.upper_bound) <= made.upper_bound


@given(st.lists(st.sampled_from("abcde"), max_size=14), st.sampled_from(["best", "half"]), seeds, flows)
def test_with_one_artist_per_track_the_asked_gap_is_reached_and_neighbours_are_at_their_bound(
    artists: list[str], gap: Gap, seed: bytes, flow: Flow
) -> None:
    tracks = [OrderTrack(f"t{index:02}", (artist,)) for index, artist in enumerate(artists)]
    made = arrange(tracks, gap=gap, seed=seed, flow=flow)
    assert made.neighbours == made.neighbour_bound
    assert made.upper_bound is None or made.gap == asked_gap(gap, made.upper_bound)


@settings(max_examples=40)
@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=7), seeds)
def test_best_is_the_largest_gap_of_all_permutations_with_one_artist_per_track(
    artists: list[str], seed: bytes
) -> None:
    tracks = [OrderTrack(f"t{index}", (artist,)) for index, artist in enumerate(artists)]
    largest = [smallest_gap([(artist,) for artist in order]) for order in set(permutations(artists))]
    exact = None if None in largest else max(gap for gap in largest if gap is not None)
    made = arrange(tracks, gap="best", seed=seed)
    assert made.gap == made.target == made.upper_bound == exact


@given(order_tracks, gaps, seeds, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_sequence_of_its_input(
    tracks: list[OrderTrack], gap: Gap, seed: bytes, shuffler: object
) -> None:
    shuffled = list(tracks)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert arrange(shuffled, gap=gap, seed=seed) == arrange(tracks, gap=gap, seed=seed)


@given(order_tracks.filter(bool), gaps, seeds, flows, st.data())
def test_pinned_tracks_keep_their_position(
    tracks: list[OrderTrack], gap: Gap, seed: bytes, flow: Flow, data: st.DataObject
) -> None:
    positions = data.draw(st.permutations(range(len(tracks))))
    how_many = data.draw(st.integers(0, len(tracks)))
    pinned = {track.track_id: positions[index] for index, track in enumerate(tracks[:how_many])}
    made = arrange(tracks, gap=gap, seed=seed, pinned=pinned, flow=flow)
    assert sorted(made.track_ids) == sorted(track.track_id for track in tracks)
    assert all(made.track_ids[position] == track_id for track_id, position in pinned.items())
    assert made.gap == made.target
    assert made.gap is None or (made.upper_bound is not None and made.gap <= made.upper_bound)


@pytest.mark.parametrize("name", SINGLE_CREDIT)
def test_the_bound_of_a_reference_list_is_the_published_one(name: str) -> None:
    tracks, largest_gap, neighbour_bound = SINGLE_CREDIT[name]
    assert gap_bound([track.artists for track in tracks]) == largest_gap
    assert arrange(tracks, seed=b"").neighbour_bound == neighbour_bound


@pytest.mark.parametrize("name", REFERENCE)
def test_on_reference_lists_half_is_reached_exactly_and_neighbours_are_at_their_bound(name: str) -> None:
    bound = gap_bound([track.artists for track in REFERENCE[name]])
    assert bound is not None
    half = 1 if bound < 2 else max(2, math.ceil(bound / 2))
    for number in range(25):
        made = arrange(REFERENCE[name], gap="half", seed=derive_seed(number))
        assert made.gap == made.target == half
        assert made.neighbours == made.neighbour_bound


@pytest.mark.parametrize("name", REFERENCE)
def test_on_reference_lists_best_equals_its_target_and_stays_near_the_bound(name: str) -> None:
    made = arrange(REFERENCE[name], gap="best", seed=b"best")
    assert made.upper_bound is not None
    assert made.gap == made.target
    assert made.target is not None
    assert made.target >= (made.upper_bound if name in SINGLE_CREDIT else 0.75 * made.upper_bound)
    assert made.neighbours == made.neighbour_bound


def test_a_number_is_kept_as_asked_or_as_far_as_possible() -> None:
    tracks, largest, _ = SINGLE_CREDIT["typical"]
    assert [arrange(tracks, gap=gap, seed=b"").target for gap in (1, 2, 5, 40)] == [1, 2, 5, largest]


def test_any_track_that_can_open_opens_about_equally_often() -> None:
    tracks = one_artist_each(4, 2, 2, *[1] * 4)
    openers = Counter(arrange(tracks, seed=derive_seed(number)).track_ids[0] for number in range(1_000))
    entropy = -sum(count / 1_000 * math.log2(count / 1_000) for count in openers.values())
    assert len(openers) == len(tracks)
    assert entropy >= 0.97 * math.log2(len(tracks))


def test_two_days_of_a_typical_list_are_uncorrelated() -> None:
    tracks, _, _ = SINGLE_CREDIT["typical"]
    ids = sorted(track.track_id for track in tracks)
    days = []
    for number in range(120):
        order = arrange(tracks, seed=derive_seed(number)).track_ids
        days.append([order.index(track_id) for track_id in ids])
    n = len(ids)
    rho = [
        1 - 6 * sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / (n * (n * n - 1))
        for one, other in pairwise(days)
    ]
    assert abs(sum(rho) / len(rho)) < 0.05
    assert sum(abs(value) for value in rho) / len(rho) <= 0.14


def test_where_neighbours_are_unavoidable_every_other_track_stands_between_two_of_the_artist() -> None:
    made = arrange(one_artist_each(5, 1, 1), seed=b"x")
    assert made.neighbours == made.neighbour_bound == 2
    assert (made.gap, made.target, made.upper_bound) == (1, 1, 1)


def test_pins_of_one_artist_bound_the_gap() -> None:
    tracks = one_artist_each(2, *[1] * 8)
    pinned = {"track-00-00": 3, "track-00-01": 5}
    made = arrange(tracks, gap="best", seed=b"", pinned=pinned)
    assert (made.gap, made.target, made.upper_bound) == (2, 2, 2)


@pytest.mark.parametrize("tracks", [[], one_artist_each(1), one_artist_each(1, 1, 1)])
def test_where_no_artist_repeats_there_is_no_gap_to_speak_of(tracks: list[OrderTrack]) -> None:
    made = arrange(tracks, gap="best", seed=b"")
    assert (made.gap, made.target, made.upper_bound, made.neighbours) == (None, None, None, 0)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"tracks": [OrderTrack("t", ("a",)), OrderTrack("t", ("b",))]}, "track t is in the list twice"),
        ({"gap": 0}, "at least 1"),
        ({"gap": "widest"}, "'best', 'half' or a number"),
        ({"flow": "swing"}, "none, smooth, rise, fall, wave, got 'swing'"),
        ({"pinned": {"nobody": 0}}, "nobody is not in the list"),
        ({"pinned": {"track-00-00": 3}}, "position 3 of 3"),
        ({"pinned": {"track-00-00": -1}}, "position -1 of 3"),
        ({"pinned": {"track-00-00": 1, "track-01-00": 1}}, "both pinned to 1"),
    ],
)
def test_contradictory_input_is_refused_by_name(kwargs: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"tracks": one_artist_each(1, 1, 1), "seed": b"", **kwargs}
    with pytest.raises(OrderError, match=message):
        arrange(**arguments)  # type: ignore[arg-type]


def test_the_orders_of_the_reference_lists_are_the_same_on_every_machine() -> None:
    assert order_digest(33) == "e73668c147eb787c284b68393b5bc6ce8a872797c1a220605cec1cf161c0d008"


@pytest.mark.parametrize("flow", FLOWS)
def test_a_flow_keeps_gap_neighbours_and_opener(flow: Flow) -> None:
    for name in ("typical", "30 of 50", "guests, caps of 3"):
        tracks = with_sounds(REFERENCE[name], b"flow", missing=10)
        plain, made = arrange(tracks, seed=b"1"), arrange(tracks, seed=b"1", flow=flow)
        assert made.track_ids[0] == plain.track_ids[0]
        assert made.gap == plain.gap == made.target
        assert made.neighbours <= plain.neighbours
        assert (made.track_ids == plain.track_ids) == (flow == "none")


def test_where_only_pins_keep_tracks_apart_the_target_is_what_they_leave() -> None:
    tracks = one_artist_each(2, 1, 1, 1)
    pinned = {"track-00-00": 0, "track-00-01": 4}
    made = arrange(tracks, gap=2, seed=b"", pinned=pinned)
    assert (made.gap, made.target, made.upper_bound) == (4, 4, 4)

"""Orders lose nothing, keep their gap, have the fewest neighbours, open uniformly and can be repeated."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_pipelines.playlists.figures import neighbours, smallest_gap
from spotify_pipelines.playlists.order import Gap, OrderError, OrderTrack, arrange, gap_bound
from spotify_pipelines.playlists.randomness import BitSource, derive_seed


def one_artist_each(*counts: int) -> list[OrderTrack]:
    return [
        OrderTrack(f"track-{artist:02}-{number:02}", (f"artist-{artist:02}",))
        for artist, count in enumerate(counts)
        for number in range(count)
    ]


def with_guests(name: str, *, cap: int | None = None) -> list[OrderTrack]:
    """50 tracks of which 40 % credit two to four of 40 artists."""
    bits = BitSource(derive_seed("guests", name))
    counts: Counter[str] = Counter()
    tracks: list[OrderTrack] = []
    tries = 0
    while len(tracks) < 50:
        tries += 1
        size = 2 + bits.below(3) if bits.below(10) < 4 else 1
        names = {f"artist-{min(bits.below(40), bits.below(40)):02}" for _ in range(size)}
        if cap is not None and any(counts[artist] >= cap for artist in names):
            if tries < 2_000:
                continue
            names = {f"filler-{len(tracks):02}"}
        counts.update(names)
        tracks.append(OrderTrack(f"track-{len(tracks):02}", tuple(sorted(names))))
    return tracks


SINGLE_CREDIT = {
    # name: (tracks, largest gap, neighbour bound)
    "typical": (one_artist_each(5, 4, 3, 3, *[2] * 8, *[1] * 19), 12, 0),
    "eight artists": (one_artist_each(7, 7, *[6] * 6), 8, 0),
    "20 of 50": (one_artist_each(20, *[1] * 30), 2, 0),
    "25 of 50": (one_artist_each(25, *[1] * 25), 2, 0),
    "30 of 50": (one_artist_each(30, *[1] * 20), 1, 9),
    "caps of 2": (one_artist_each(*[2] * 20, *[1] * 10), 30, 0),
    "caps of 3": (one_artist_each(*[3] * 12, *[2] * 4, *[1] * 6), 19, 0),
    "one artist": (one_artist_each(50), 1, 49),
}
REFERENCE = {name: tracks for name, (tracks, _, _) in SINGLE_CREDIT.items()} | {
    "guests": with_guests("a"),
    "guests, caps of 2": with_guests("b", cap=2),
    "guests, caps of 3": with_guests("c", cap=3),
}

order_tracks = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=3).map(tuple), max_size=14).map(
    lambda names: [OrderTrack(f"t{index:02}", artists) for index, artists in enumerate(names)]
)
gaps: st.SearchStrategy[Gap] = st.one_of(st.sampled_from(["best", "half"]), st.integers(1, 6))
seeds = st.binary(min_size=1, max_size=8)


def credits_of(tracks: Sequence[OrderTrack], track_ids: Sequence[str]) -> list[tuple[str, ...]]:
    by_id = {track.track_id: track.artists for track in tracks}
    return [by_id[track_id] for track_id in track_ids]


@given(order_tracks, gaps, seeds)
def test_an_order_holds_every_track_exactly_once(tracks: list[OrderTrack], gap: Gap, seed: bytes) -> None:
    order = arrange(tracks, gap=gap, seed=seed).track_ids
    assert sorted(order) == sorted(track.track_id for track in tracks)


@given(order_tracks, gaps, seeds)
def test_the_figures_of_an_arrangement_are_true_and_keep_their_promise(
    tracks: list[OrderTrack], gap: Gap, seed: bytes
) -> None:
    made = arrange(tracks, gap=gap, seed=seed)
    credits_ = credits_of(tracks, made.track_ids)
    assert made.gap == smallest_gap(credits_)
    assert made.neighbours == neighbours(credits_) >= made.neighbour_bound
    if made.gap is None:
        assert made.target is None
        assert made.upper_bound is None
    else:
        assert made.target is not None
        assert made.upper_bound is not None
        assert 1 <= made.target <= made.gap <= made.upper_bound


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


@given(order_tracks.filter(bool), gaps, seeds, st.data())
def test_pinned_tracks_keep_their_position(
    tracks: list[OrderTrack], gap: Gap, seed: bytes, data: st.DataObject
) -> None:
    positions = data.draw(st.permutations(range(len(tracks))))
    how_many = data.draw(st.integers(0, min(4, len(tracks))))
    pinned = {track.track_id: positions[index] for index, track in enumerate(tracks[:how_many])}
    made = arrange(tracks, gap=gap, seed=seed, pinned=pinned)
    assert sorted(made.track_ids) == sorted(track.track_id for track in tracks)
    assert all(made.track_ids[position] == track_id for track_id, position in pinned.items())
    assert made.gap is None or (made.target is not None and made.gap >= made.target)


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
    digest = hashlib.sha256()
    for name, tracks in REFERENCE.items():
        for gap in ("half", "best", 3):
            order = arrange(tracks, gap=gap, seed=derive_seed("golden", name)).track_ids
            digest.update(" ".join(order).encode())
    assert digest.hexdigest() == "a69e6add9ffd3d487d8053c0daccbea780e5e5636fc3841074c6fd3cb5019fed"

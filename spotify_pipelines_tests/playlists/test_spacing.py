"""The check in bits says what distances between positions say."""

from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.playlists.figures import neighbours, smallest_gap
from spotify_pipelines.playlists.spacing import Spacing

artist_lists = st.lists(st.text("abcde", max_size=2), min_size=1, max_size=12)


def spacing_of(artists: list[str], gap: int, most_neighbours: int | None = None) -> Spacing:
    clashing = [
        {other for other, names in enumerate(artists) if set(names) & set(mine) and other != track}
        for track, mine in enumerate(artists)
    ]
    return Spacing(clashing, gap, most_neighbours=most_neighbours)


@given(artist_lists, st.integers(1, 6), st.randoms(use_true_random=False))
def test_an_order_is_kept_exactly_if_its_smallest_gap_is_the_one_asked_for(
    artists: list[str], gap: int, shuffler: object
) -> None:
    order = list(range(len(artists)))
    shuffler.shuffle(order)  # type: ignore[attr-defined]
    found = smallest_gap([artists[track] for track in order])
    kept = spacing_of(artists, gap).kept(order, 0, len(order) - 1)
    assert kept == (found is None or found == gap)


@given(artist_lists, st.integers(2, 5), st.data())
def test_after_a_swap_it_is_enough_to_look_where_something_changed(
    artists: list[str], gap: int, data: st.DataObject
) -> None:
    order = list(range(len(artists)))
    spacing = spacing_of(artists, gap)
    if smallest_gap(artists) != gap:
        return
    one, other = sorted(data.draw(st.integers(0, len(order) - 1)) for _ in range(2))
    order[one], order[other] = order[other], order[one]
    kept = spacing.kept(order, one, one) and spacing.kept(order, other, other)
    assert kept == (smallest_gap([artists[track] for track in order]) == gap)


@given(artist_lists, st.integers(0, 6))
def test_with_a_gap_of_one_neighbours_are_counted(artists: list[str], most: int) -> None:
    order = list(range(len(artists)))
    if smallest_gap(artists) is not None:
        kept = spacing_of(artists, 1, most).kept(order, 0, len(order) - 1)
        assert kept == (1 <= neighbours(artists) <= most)

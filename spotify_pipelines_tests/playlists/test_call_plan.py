"""Which calls a sync needs, by table and by property."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.playlists.call_plan import (
    SETTLE_WINDOW,
    Content,
    DetailsChange,
    Look,
    Sight,
    SyncNeeds,
    Write,
    details_change,
    items_hash,
    listing_pages,
    look_calls,
    look_for,
    may_send_again,
    minimum_by_endpoint,
    minimum_calls,
    sight_of,
    writes_for,
)

NOW = datetime(2026, 11, 23, 4, 10, tzinfo=UTC)
IS = Content(items_hash="aaaa", name="Morning", description="Fresh · k3v9q2ab", public=True)

contents = st.builds(
    Content,
    items_hash=st.sampled_from(["a", "b"]),
    name=st.sampled_from(["Morning", "Evening"]),
    description=st.sampled_from(["x", "y"]),
    public=st.booleans(),
)


@pytest.mark.parametrize(
    ("desired", "confirmed", "expected"),
    [
        pytest.param(IS, None, (Write.CREATE, Write.FILL), id="not on Spotify: create and fill"),
        pytest.param(IS, IS, (), id="nothing differs: nothing is written"),
        pytest.param(
            Content("bbbb", IS.name, IS.description, IS.public), IS, (Write.ITEMS,), id="other tracks: items"
        ),
        pytest.param(
            Content(IS.items_hash, "Evening", IS.description, IS.public), IS, (Write.DETAILS,), id="name"
        ),
        pytest.param(
            Content(IS.items_hash, IS.name, "Else", IS.public), IS, (Write.DETAILS,), id="description"
        ),
        pytest.param(
            Content(IS.items_hash, IS.name, IS.description, False), IS, (Write.DETAILS,), id="visibility"
        ),
        pytest.param(
            Content("bbbb", "Evening", "Else", False),
            IS,
            (Write.DETAILS, Write.ITEMS),
            id="everything: items last, so that their answer names the version",
        ),
    ],
)
def test_the_writes_are_what_differs(
    desired: Content, confirmed: Content | None, expected: tuple[Write, ...]
) -> None:
    assert writes_for(desired, confirmed) == expected


@pytest.mark.parametrize(
    ("existing_due", "library", "unresolved", "expected", "calls"),
    [
        pytest.param(0, 500, False, Look.NONE, 0, id="only new playlists: no look"),
        pytest.param(0, 120, True, Look.LISTING, 3, id="a lost creation needs the listing"),
        pytest.param(1, 1, False, Look.LISTING, 1, id="at equal cost the listing, which shows what is gone"),
        pytest.param(6, 50, False, Look.LISTING, 1, id="fifty fit one page"),
        pytest.param(1, 51, False, Look.SINGLE, 1, id="one due of two pages"),
        pytest.param(3, 101, False, Look.LISTING, 3, id="three due of three pages"),
        pytest.param(2, 101, False, Look.SINGLE, 2, id="two due of three pages"),
        pytest.param(1, 101, True, Look.LISTING, 3, id="the lost creation decides"),
    ],
)
def test_the_cheaper_look_is_taken(
    existing_due: int, library: int, unresolved: bool, expected: Look, calls: int
) -> None:
    look = look_for(existing_due=existing_due, library=library, unresolved=unresolved)

    assert look is expected
    assert look_calls(look, existing_due=existing_due, library=library) == calls


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        pytest.param(SyncNeeds(library=40), {}, id="nothing due"),
        pytest.param(
            SyncNeeds(creations=6, items=6),
            {"POST /me/playlists": 6, "PUT /playlists/{id}/items": 6},
            id="six new playlists: create and fill",
        ),
        pytest.param(
            SyncNeeds(existing_due=6, library=6, items=6),
            {"GET /me/playlists": 1, "PUT /playlists/{id}/items": 6},
            id="six reshuffled: one page, six writes",
        ),
        pytest.param(
            SyncNeeds(existing_due=6, library=6, items=6, moved=1),
            {"GET /me/playlists": 1, "GET /playlists/{id}": 1, "PUT /playlists/{id}/items": 6},
            id="one of them edited by hand: its items are read",
        ),
        pytest.param(
            SyncNeeds(existing_due=1, library=200, moved=1, details=1),
            {"GET /playlists/{id}": 1, "PUT /playlists/{id}": 1},
            id="a single read shows the items too",
        ),
        pytest.param(
            SyncNeeds(library=1, unresolved=True, items=1),
            {"GET /me/playlists": 1, "PUT /playlists/{id}/items": 1},
            id="adopted and filled",
        ),
    ],
)
def test_the_minimum_follows_the_published_formula(needs: SyncNeeds, expected: dict[str, int]) -> None:
    assert minimum_by_endpoint(needs) == expected
    assert minimum_calls(needs) == sum(expected.values())


@given(existing_due=st.integers(0, 300), library=st.integers(0, 11_000), unresolved=st.booleans())
def test_no_other_look_is_cheaper(existing_due: int, library: int, unresolved: bool) -> None:
    chosen = look_for(existing_due=existing_due, library=library, unresolved=unresolved)
    allowed = [Look.LISTING] if unresolved else [Look.LISTING, Look.SINGLE]
    calls = {look: look_calls(look, existing_due=existing_due, library=library) for look in Look}

    if unresolved or existing_due:
        assert calls[chosen] == min(calls[look] for look in allowed)
    else:
        assert calls[chosen] == 0


@given(desired=contents, confirmed=contents)
def test_a_second_plan_after_the_writes_is_empty(desired: Content, confirmed: Content) -> None:
    writes = writes_for(desired, confirmed)
    change = details_change(desired, confirmed)
    after = Content(
        items_hash=desired.items_hash if Write.ITEMS in writes else confirmed.items_hash,
        name=change.name or confirmed.name,
        description=change.description or confirmed.description,
        public=confirmed.public if change.public is None else change.public,
    )

    assert after == desired
    assert writes_for(desired, after) == ()


def test_a_details_change_names_only_what_differs() -> None:
    desired = Content(IS.items_hash, "Evening", IS.description, IS.public)

    assert details_change(desired, IS) == DetailsChange(name="Evening")
    assert not details_change(IS, IS)


@given(
    st.lists(st.text(alphabet="abc:", min_size=1), max_size=6), st.lists(st.text(alphabet="abc:", min_size=1))
)
def test_equal_hashes_mean_equal_lists(one: list[str], other: list[str]) -> None:
    assert (items_hash(one) == items_hash(other)) == (one == other)


@pytest.mark.parametrize(("playlists", "pages"), [(0, 1), (1, 1), (50, 1), (51, 2), (100, 2), (11_000, 220)])
def test_a_listing_costs_a_call_for_every_fifty(playlists: int, pages: int) -> None:
    assert listing_pages(playlists) == pages


@pytest.mark.parametrize(
    ("present", "snapshot_id", "expected"),
    [
        (True, "newest", Sight.UNMOVED),
        (True, "older", Sight.UNMOVED),
        (True, "foreign", Sight.MOVED),
        (True, None, Sight.MOVED),
        (False, None, Sight.MISSING),
    ],
)
def test_any_snapshot_id_that_was_ever_ours_is_no_move(
    present: bool, snapshot_id: str | None, expected: Sight
) -> None:
    assert sight_of(present, snapshot_id, {"newest", "older"}) is expected


def test_a_lost_creation_is_sent_again_only_after_the_settle_window() -> None:
    just_before = NOW + SETTLE_WINDOW - timedelta(seconds=1)

    assert not may_send_again(NOW, just_before)
    assert may_send_again(NOW, NOW + SETTLE_WINDOW)

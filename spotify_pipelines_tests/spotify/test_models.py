"""Models take what any regime sends."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from spotify_pipelines.spotify.models import (
    AlbumItem,
    ArtistRef,
    FeatureSet,
    PlaylistDetail,
    PlaylistEntry,
    PlaylistItems,
    PlaylistSummary,
    Profile,
    TrackItem,
    TrackPage,
)

TRACK = {
    "id": "t1",
    "name": "One",
    "uri": "spotify:track:t1",
    "type": "track",
    "artists": [{"id": "a1", "name": "A"}, {"id": "a2", "name": "B"}],
    "disc_number": 2,
    "track_number": 3,
    "duration_ms": 1000,
    "explicit": True,
    "is_playable": False,
}
ALBUM = {
    "id": "b1",
    "name": "Album",
    "album_type": "album",
    "artists": [{"id": "a1", "name": "A"}],
    "release_date": "1999-11",
    "release_date_precision": "month",
    "total_tracks": 1,
    "label": "L",
    "popularity": 5,
    "images": [{"url": "u", "width": 640, "height": 640}],
    "tracks": {"items": [TRACK], "total": 1, "next": None, "offset": 0, "limit": 50},
}
PLAYLIST = {
    "id": "p1",
    "name": "P",
    "description": "d",
    "snapshot_id": "s",
    "owner": {"id": "u1"},
    "public": True,
    "items": {"total": 3, "items": [{"item": TRACK}]},
    "tracks": {"total": 3},
}
FULL: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (TrackItem, TRACK),
    (AlbumItem, ALBUM),
    (TrackPage, ALBUM["tracks"]),  # type: ignore[list-item]
    (PlaylistSummary, PLAYLIST),
    (PlaylistDetail, PLAYLIST),
    (PlaylistEntry, {"item": TRACK, "track": TRACK, "is_local": False}),
    (PlaylistItems, {"items": [{"item": TRACK}, None], "total": 2, "offset": 0, "limit": 50, "next": None}),
    (ArtistRef, {"id": "a1", "name": "A"}),
    (FeatureSet, dict.fromkeys(FeatureSet.model_fields, 1)),
    (Profile, {"id": "u", "account_id": "x", "display_name": "n", "country": "DE", "product": "premium"}),
]


def thinned(value: Any, keep: Callable[[], str]) -> Any:
    """``value`` with parts taken away, nulled, or joined by strangers, but never without its own ``id``."""
    if isinstance(value, list):
        return [thinned(item, keep) for item in value] + ([None] if keep() == "null" else [])
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = {}
    for key, item in value.items():
        fate = "keep" if key == "id" else keep()
        if fate == "null":
            out[key] = None
        elif fate == "extra":
            out[key], out[f"new_{key}"] = thinned(item, keep), {"unheard": ["of"]}
        elif fate == "keep":
            out[key] = thinned(item, keep)
    return out


@pytest.mark.parametrize(("model", "full"), FULL, ids=lambda value: getattr(value, "__name__", ""))
@given(data=st.data())
def test_fields_may_be_absent_null_or_unheard_of(
    model: type[BaseModel], full: dict[str, Any], data: st.DataObject
) -> None:
    fates = st.sampled_from(["keep", "drop", "null", "extra"])

    model.model_validate(thinned(full, lambda: data.draw(fates)))


def test_an_album_keeps_all_that_we_use() -> None:
    album = AlbumItem.model_validate(ALBUM)

    assert (album.id, album.name, album.album_type, album.label, album.popularity) == (
        "b1",
        "Album",
        "album",
        "L",
        5,
    )
    assert [artist.id for artist in album.tracks.items[0].artists] == ["a1", "a2"]
    assert album.tracks.items[0].is_playable is False
    assert (album.tracks.items[0].disc_number, album.tracks.items[0].track_number) == (2, 3)
    assert album.released_on == date(1999, 11, 1)


@pytest.mark.parametrize("released", [None, "", "0000", "1999-13-01", "soon"])
def test_a_release_date_that_is_none_is_none(released: str | None) -> None:
    assert AlbumItem.model_validate({**ALBUM, "release_date": released}).released_on is None


def test_a_relinked_track_keeps_the_id_that_was_asked_for() -> None:
    other = {
        **TRACK,
        "id": "t2",
        "uri": "spotify:track:t2",
        "linked_from": {"id": "t1", "uri": "spotify:track:t1"},
    }

    track = TrackItem.model_validate(other)
    entry = PlaylistEntry.model_validate({"track": other})

    assert (track.id, track.relinked_id) == ("t1", "t2")
    assert (entry.track_id, entry.uri) == ("t1", "spotify:track:t1")


def test_a_relinked_track_survives_being_stored() -> None:
    track = TrackItem.model_validate({**TRACK, "id": "t2", "linked_from": {"id": "t1"}})

    assert TrackItem.model_validate(track.model_dump(exclude_none=True)) == track


def test_tracks_without_an_id_are_left_out_of_a_page() -> None:
    page = TrackPage.model_validate({"items": [None, {"id": None, "name": "x"}, TRACK], "total": 3})

    assert [track.id for track in page.items] == ["t1"]
    assert page.total == 3


@pytest.mark.parametrize("key", ["item", "track"])
def test_both_dialects_of_an_entry_are_read(key: str) -> None:
    assert PlaylistEntry.model_validate({key: TRACK}).track_id == "t1"


@pytest.mark.parametrize(
    ("raw", "uri"),
    [
        ({"track": None}, None),
        ({"item": None, "is_local": False}, None),
        (
            {"is_local": True, "track": {"id": None, "uri": "spotify:local:a:b:c:1", "is_local": True}},
            "spotify:local:a:b:c:1",
        ),
        ({"item": {"id": "e1", "type": "episode", "uri": "spotify:episode:e1"}}, "spotify:episode:e1"),
    ],
    ids=["null track", "null item", "local file", "episode"],
)
def test_what_is_no_track_keeps_its_place_without_an_id(raw: dict[str, Any], uri: str | None) -> None:
    page = PlaylistItems.model_validate({"items": [raw, {"track": TRACK}], "total": 2})

    assert [(entry.uri, entry.track_id) for entry in page.items] == [(uri, None), ("spotify:track:t1", "t1")]


@pytest.mark.parametrize("key", ["items", "tracks"])
def test_both_dialects_of_a_playlists_size_are_read(key: str) -> None:
    assert PlaylistSummary.model_validate({"id": "p", key: {"total": 12}}).items_total == 12


def test_a_description_is_read_as_plain_text() -> None:
    assert (
        PlaylistSummary.model_validate({"id": "p", "description": "R&amp;B &#x2F; x"}).description
        == "R&B / x"
    )


def test_a_wrong_type_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(ValidationError):
        AlbumItem.model_validate({"id": "b", "tracks": "none"})


def test_features_tell_what_is_known() -> None:
    features = FeatureSet.model_validate({"key": -1.0, "tempo": 120.5, "time_signature": None, "href": "x"})

    assert features.values() == {"key": -1, "tempo": 120.5}
    assert FeatureSet().is_empty

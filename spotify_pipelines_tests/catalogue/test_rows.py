"""What is kept of an answer: labels and countries where Spotify tells them, and nothing in their place elsewhere."""

from datetime import UTC, datetime
from typing import Any

from spotify_pipelines.catalogue.rows import album_row, track_row
from spotify_pipelines.spotify.models import AlbumItem, TrackItem
from spotify_pipelines_tests.catalogue.shop import Shop
from spotify_pipelines_tests.spotify.harness import CLIENT_ID, SECRET, UNLIMITED

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def album(**says: Any) -> dict[str, Any]:
    return album_row("a", AlbumItem.model_validate({"id": "a", **says}), read_at=NOW)


def test_countries_are_kept_once_for_an_album_and_apart_where_a_track_has_its_own() -> None:
    tracks = [
        {"id": "same", "available_markets": ["DE", "FR"]},
        {"id": "fewer", "available_markets": ["FR"]},
        {"id": "nowhere", "available_markets": []},
        {"id": "silent"},
    ]
    row = album(available_markets=["DE", "FR"], tracks={"items": tracks})

    kept = [track_row("a", TrackItem.model_validate(entry)) for entry in row["first_page"]]

    assert row["markets"] == ["DE", "FR"]
    assert {each["id"]: each["markets"] for each in kept} == {
        "same": None,
        "fewer": ["FR"],
        "nowhere": [],
        "silent": None,
    }


def test_what_is_absent_is_unknown() -> None:
    row = album(tracks={"items": [{"id": "t"}]})
    assert (row["label"], row["markets"], row["popularity"]) == (None, None, None)
    assert "available_markets" not in row["first_page"][0]


async def test_an_app_with_extended_access_learns_labels_and_countries(shop: Shop) -> None:
    await _read(shop, 3)
    stored = shop.stored_albums().values()
    assert all(each.label and each.markets and each.popularity is not None for each in stored)
    tracks = shop.stored_tracks().values()
    assert {True} == {track.markets in (None, []) for track in tracks}


async def test_an_app_in_development_mode_learns_neither(shop: Shop) -> None:
    shop.simulator.control.add_client(CLIENT_ID, SECRET, limit=UNLIMITED, regime="development")
    await _read(shop, 3)
    told = {(each.label, each.popularity) for each in shop.stored_albums().values()}
    assert told == {(None, None)}
    assert {each.markets is None for each in shop.stored_albums().values()} == {True}


async def _read(shop: Shop, count: int) -> None:
    shop.enqueue(shop.simulator.control.album_ids(count))
    await shop.ingest()
    await shop.tracks()

"""Endpoints of both dialects, against the simulator: right answers, and as few calls as can be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from spotify_pipelines.settings import Settings, SettingsError, World
from spotify_pipelines.spotify.client import AlbumResult, SpotifyClient
from spotify_pipelines.spotify.errors import (
    BadRequest,
    Forbidden,
    ForbiddenReason,
    MalformedAnswer,
    NotFound,
    Unavailable,
)
from spotify_pipelines.spotify.limiter import connect_redis
from spotify_pipelines.spotify.models import AlbumItem
from spotify_pipelines_tests.spotify.harness import (
    ACCOUNT,
    APP,
    CLIENT_ID,
    SECRET,
    UNLIMITED,
    Desk,
    MemoryApps,
    MemoryCredentials,
    minted,
    open_desk,
)
from spotify_pipelines_tests.support.simulator import RunningSimulator

REGIMES = ["extended", "development"]
UNKNOWN_ID = "0000000000000000000000"


@asynccontextmanager
async def desk_in(
    regime: str, simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> AsyncIterator[Desk]:
    simulator.control.add_client(CLIENT_ID, SECRET, regime=regime, limit=UNLIMITED)
    async with open_desk(redis_url, key_prefix, settings, credentials=minted(simulator)) as desk:
        simulator.control.clear_ledger()
        yield desk


@pytest.fixture(params=REGIMES)
async def desk(
    request: pytest.FixtureRequest,
    simulator: RunningSimulator,
    settings: Settings,
    redis_url: str,
    key_prefix: str,
) -> AsyncIterator[Desk]:
    async with desk_in(request.param, simulator, settings, redis_url, key_prefix) as opened:
        yield opened


@pytest.fixture
async def extended(
    simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> AsyncIterator[Desk]:
    async with desk_in("extended", simulator, settings, redis_url, key_prefix) as opened:
        yield opened


async def read(desk: Desk, ids: list[str]) -> list[AlbumResult]:
    return [result async for result in desk.client.as_app(APP).albums(ids)]


def album_of(result: AlbumResult) -> AlbumItem:
    assert isinstance(result[1], AlbumItem), result
    return result[1]


async def tracks_of(simulator: RunningSimulator, desk: Desk, count: int) -> list[str]:
    ids: list[str] = []
    async for result in desk.client.as_app(APP).albums(simulator.control.album_ids(30)):
        ids += [track.id for track in album_of(result).tracks.items]
        if len(ids) >= count:
            break
    simulator.control.clear_ledger()
    return ids[:count]


async def test_albums_come_in_the_order_asked_with_the_unknown_ones_named(
    desk: Desk, simulator: RunningSimulator
) -> None:
    known = simulator.control.album_ids(25)
    asked = [known[3], UNKNOWN_ID, *known, "no/id", known[3]]

    results = await read(desk, asked)

    assert [album_id for album_id, _ in results] == list(dict.fromkeys(asked))
    by_id = dict(results)
    assert isinstance(by_id[UNKNOWN_ID], NotFound)
    assert isinstance(by_id["no/id"], BadRequest)
    albums = [album for album in by_id.values() if isinstance(album, AlbumItem)]
    assert len(albums) == 25
    assert all(album.name and album.artists and album.tracks.items and album.released_on for album in albums)


async def test_an_extended_app_reads_twenty_albums_a_call(
    extended: Desk, simulator: RunningSimulator
) -> None:
    await read(extended, simulator.control.album_ids(30))

    assert extended.calls.total == 2
    assert [(name, available) for name, available, _ in extended.apps.evidence] == [("albums_batch", True)]


async def test_a_development_app_finds_out_once_and_reads_one_by_one(
    simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> None:
    async with desk_in("development", simulator, settings, redis_url, key_prefix) as desk:
        ids = simulator.control.album_ids(25)
        await read(desk, ids[:22])
        assert desk.calls.total == 1 + 22
        await read(desk, ids[22:])

        assert desk.calls.total == 1 + 25
        assert [(name, available) for name, available, _ in desk.apps.evidence] == [("albums_batch", False)]


@pytest.mark.parametrize("poison", [{"status": 500}, {"status": 200, "body": "<html>"}], ids=str)
async def test_one_album_that_spoils_a_batch_costs_only_itself(
    extended: Desk, simulator: RunningSimulator, poison: dict[str, Any]
) -> None:
    ids = simulator.control.album_ids(4)
    simulator.control.add_fault(path="/v1/albums$", **poison)
    simulator.control.add_fault(path=f"/v1/albums/{ids[2]}", **poison)

    results = await read(extended, ids)

    assert [isinstance(album, AlbumItem) for _, album in results] == [True, True, False, True]
    assert isinstance(results[2][1], Unavailable | MalformedAnswer)


async def test_what_concerns_the_app_is_raised_and_not_pinned_on_albums(
    extended: Desk, simulator: RunningSimulator
) -> None:
    message = "Active premium subscription required for the owner of the app"
    simulator.control.add_fault(
        path="/albums", status=403, body={"error": {"status": 403, "message": message}}
    )

    with pytest.raises(Forbidden) as caught:
        await read(extended, simulator.control.album_ids(3))

    assert caught.value.reason is ForbiddenReason.OWNER_PREMIUM
    assert extended.apps.evidence == []


async def test_a_long_albums_tracks_are_read_to_the_end(desk: Desk, simulator: RunningSimulator) -> None:
    album = max(simulator.control.albums(), key=lambda album: album["tracks"])
    assert album["tracks"] > 50
    catalogue = desk.client.as_app(APP)
    ((_, found),) = await read(desk, [album["id"]])
    assert isinstance(found, AlbumItem)
    tracks = list(found.tracks.items)
    while len(tracks) < found.tracks.total:
        tracks += (await catalogue.album_tracks(album["id"], offset=len(tracks))).items

    assert len({track.id for track in tracks}) == album["tracks"] == found.tracks.total


async def test_features_of_a_hundred_tracks_cost_one_call(
    extended: Desk, simulator: RunningSimulator
) -> None:
    ids = [*await tracks_of(simulator, extended, 99), UNKNOWN_ID]

    features = await extended.client.as_app(APP).audio_features(ids)

    assert list(features) == ids
    assert features[UNKNOWN_ID] is None
    known = [value for value in features.values() if value is not None]
    assert len(known) > 50
    assert all(value.tempo is not None for value in known)
    assert len(simulator.control.ledger()) == 1


async def test_features_that_are_forbidden_are_asked_for_once(
    simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> None:
    async with desk_in("development", simulator, settings, redis_url, key_prefix) as desk:
        for _ in range(3):
            with pytest.raises(Forbidden, match="November 2024"):
                await desk.client.as_app(APP).audio_features([UNKNOWN_ID])

        assert desk.calls.total == 1
        assert [(name, available) for name, available, _ in desk.apps.evidence] == [("audio_features", False)]


async def test_more_than_a_call_can_carry_is_refused(extended: Desk) -> None:
    with pytest.raises(ValueError, match="at most 100"):
        await extended.client.as_app(APP).audio_features([UNKNOWN_ID] * 101)
    with pytest.raises(ValueError, match="at most 100"):
        await extended.client.as_account(ACCOUNT).replace_items(UNKNOWN_ID, ["spotify:track:x"] * 101)

    assert extended.calls.total == 0


async def test_a_playlist_is_made_filled_read_changed_and_left(
    desk: Desk, simulator: RunningSimulator
) -> None:
    uris = [f"spotify:track:{track}" for track in await tracks_of(simulator, desk, 50)]
    before = desk.calls.total
    api = desk.client.as_account(ACCOUNT)

    made = await api.create_playlist("R&B <best>", "of the & week 'now'", public=False)
    snapshot = await api.replace_items(made.id, uris)
    detail = await api.playlist(made.id, with_entries=True)
    assert desk.calls.total - before == 3
    await api.change_details(made.id, name="Other", description="quite < other")
    (listed,) = await api.my_playlists()
    await api.unfollow(made.id)

    assert (made.name, made.description) == ("R&B <best>", "of the & week 'now'")
    assert made.owner_id == "user1"
    assert snapshot
    assert detail.entries is not None
    assert [entry.uri for entry in detail.entries] == uris
    assert detail.items_total == 50
    assert detail.snapshot_id
    assert (listed.id, listed.name, listed.description, listed.items_total) == (
        made.id,
        "Other",
        "quite < other",
        50,
    )
    assert await api.my_playlists() == []


@pytest.mark.parametrize(
    "case",
    [("extended", 100, 1), ("extended", 101, 2), ("development", 50, 1), ("development", 100, 2)],
)
async def test_entries_are_read_in_as_few_calls_as_the_regime_allows(
    simulator: RunningSimulator,
    settings: Settings,
    redis_url: str,
    key_prefix: str,
    case: tuple[str, int, int],
) -> None:
    regime, count, calls = case
    async with desk_in(regime, simulator, settings, redis_url, key_prefix) as desk:
        uris = [f"spotify:track:{track}" for track in await tracks_of(simulator, desk, count)]
        api = desk.client.as_account(ACCOUNT)
        made = await api.create_playlist("Name", "Words", public=False)
        simulator.control.edit_playlist(made.id, items=uris)
        before = desk.calls.total

        entries = await api.items(made.id)

        assert [entry.uri for entry in entries] == uris
        assert desk.calls.total - before == calls


async def test_longer_playlists_are_read_page_by_page(desk: Desk, simulator: RunningSimulator) -> None:
    uris = [f"spotify:track:{track}" for track in await tracks_of(simulator, desk, 180)]
    api = desk.client.as_account(ACCOUNT)
    made = await api.create_playlist("Name", "Words", public=False)
    simulator.control.edit_playlist(made.id, items=[*uris[:120], None, "spotify:local:a:b:c:1", *uris[120:]])

    entries = await api.items(made.id)

    assert len(entries) == 182
    assert [entry.uri for entry in entries if entry.track_id] == uris
    assert [entry.track_id for entry in entries[120:122]] == [None, None]


async def test_details_alone_bring_no_entries(desk: Desk) -> None:
    api = desk.client.as_account(ACCOUNT)
    made = await api.create_playlist("Name", "Words", public=True)

    detail = await api.playlist(made.id)

    assert detail.entries is None
    assert (detail.id, detail.name, detail.items_total) == (made.id, "Name", 0)


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (1, 1), (50, 1), (51, 2)])
async def test_the_listing_takes_one_call_for_fifty_playlists(
    extended: Desk, simulator: RunningSimulator, count: int, calls: int
) -> None:
    api = extended.client.as_account(ACCOUNT)
    for number in range(count):
        await api.create_playlist(f"Name {number}", "Words", public=False)
    before = extended.calls.total

    listed = await api.my_playlists()

    assert len({playlist.id for playlist in listed}) == count
    assert extended.calls.total - before == calls


async def test_unfollowing_learns_its_dialect_once(desk: Desk) -> None:
    api = desk.client.as_account(ACCOUNT)
    for number in range(2):
        made = await api.create_playlist(f"Name {number}", "Words", public=False)
        await api.unfollow(made.id)

    assert [name for name, _, _ in desk.apps.evidence] == ["me_library"]
    assert await api.my_playlists() == []


async def test_without_the_library_endpoint_the_followers_are_used(
    extended: Desk, simulator: RunningSimulator
) -> None:
    simulator.control.add_fault(path="/me/library", status=403)
    api = extended.client.as_account(ACCOUNT)
    for number in range(2):
        made = await api.create_playlist(f"Name {number}", "Words", public=False)
        await api.unfollow(made.id)

    assert [(name, available) for name, available, _ in extended.apps.evidence] == [("me_library", False)]
    assert len(simulator.control.ledger(path="/me/library")) == 1
    assert await api.my_playlists() == []


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("", "Words"),
        ("   ", "Words"),
        ("x" * 101, "Words"),
        ("Name", "x" * 301),
        ("Name", "two\nlines"),
        ("Na\x00me", "Words"),
    ],
)
async def test_texts_that_spotify_does_not_take_are_not_sent(
    extended: Desk, name: str, description: str
) -> None:
    api = extended.client.as_account(ACCOUNT)

    with pytest.raises(BadRequest, match="not sent"):
        await api.create_playlist(name, description, public=False)
    with pytest.raises(BadRequest, match="not sent"):
        await api.change_details(UNKNOWN_ID, name=name, description=description)
    with pytest.raises(BadRequest, match="empty"):
        await api.change_details(UNKNOWN_ID, description="")

    assert extended.calls.total == 0


@pytest.mark.parametrize("bad", ["", "../me", "a b", "a?b", "x" * 65])
async def test_nothing_but_an_id_gets_into_a_path(extended: Desk, bad: str) -> None:
    with pytest.raises(BadRequest, match="no Spotify id"):
        await extended.client.as_account(ACCOUNT).playlist(bad)

    assert extended.calls.total == 0


async def test_the_client_opens_on_settings_and_counts(
    simulator: RunningSimulator, settings: Settings, redis_url: str
) -> None:
    redis = connect_redis(redis_url)
    async with SpotifyClient.open(
        settings, redis=redis, credentials=minted(simulator), apps=MemoryApps()
    ) as client:
        with client.calls.child() as mine:
            me = await client.as_account(ACCOUNT).me()
        await client.as_account(ACCOUNT).me()
    await redis.aclose()

    assert me.id == "user1"
    assert me.account_id
    assert (mine.total, client.calls.total) == (1, 2)


@pytest.mark.parametrize(
    ("world", "field", "url"),
    [
        (World.SANDBOX, "spotify_api_url", "https://api.spotify.com/v1"),
        (World.SANDBOX, "spotify_accounts_url", "https://accounts.spotify.com"),
        (World.SANDBOX, "reccobeats_url", "https://api.reccobeats.com/v1"),
        (World.LIVE, "spotify_api_url", "http://127.0.0.1:9/v1"),
        (World.LIVE, "reccobeats_url", "http://127.0.0.1:9/reccobeats/v1"),
    ],
)
async def test_a_host_of_the_other_world_is_refused_when_opening(
    settings: Settings, redis_url: str, world: World, field: str, url: str
) -> None:
    live = dict.fromkeys(("spotify_api_url", "spotify_accounts_url", "reccobeats_url"))
    mixed = settings.model_copy(update={"world": world, **(live if world is World.LIVE else {}), field: url})
    redis = connect_redis(redis_url)
    with pytest.raises(SettingsError, match=field.upper()):
        async with SpotifyClient.open(mixed, redis=redis, credentials=MemoryCredentials(), apps=MemoryApps()):
            pass
    await redis.aclose()

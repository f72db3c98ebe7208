"""From albums to tracks: all of them, in order, with every credit; further pages only where there are any."""

from math import ceil

import pytest
from sqlalchemy import select, update

from spotify_pipelines.store.calls import calls_today, midnight
from spotify_pipelines.store.tables import ApiCalls, SpotifyApp, TrackArtist
from spotify_pipelines_tests.catalogue.shop import Shop
from spotify_pipelines_tests.spotify.harness import APP

LONG = 50
"""Tracks that come with an album."""


async def ingest(shop: Shop, count: int = 65) -> dict[str, int]:
    """Read the first albums; their ids and numbers of tracks."""
    ids = shop.simulator.control.album_ids(count)
    shop.enqueue(ids)
    await shop.ingest()
    return {album_id: album.total_tracks for album_id, album in shop.stored_albums().items()}


def the_long_one(albums: dict[str, int]) -> str:
    return next(album_id for album_id, tracks in albums.items() if tracks > LONG)


async def test_every_track_of_every_album_is_stored_and_the_albums_are_complete(shop: Shop) -> None:
    albums = await ingest(shop)
    report = await shop.tracks()
    assert (report.requested, report.changed, report.failed) == (65, 65, [])
    assert report.counts["tracks_new"] == sum(albums.values())
    stored = shop.stored_tracks().values()
    for album_id, total in albums.items():
        places = sorted((t.disc_number, t.track_number) for t in stored if t.album_id == album_id)
        assert len(set(places)) == total
        discs = {disc for disc, _ in places}
        assert discs == set(range(1, len(discs) + 1))
    assert max(track.disc_number for track in stored) > 2, "the catalogue has albums of several discs"
    assert all(album.first_page is None for album in shop.stored_albums().values())
    assert {album.tracks_read_at for album in shop.stored_albums().values()} == {shop.clock()}


async def test_only_pages_beyond_the_first_fifty_tracks_cost_a_call(shop: Shop) -> None:
    albums = await ingest(shop)
    least = sum(ceil(tracks / LONG) - 1 for tracks in albums.values())
    assert least > 0, "the catalogue has albums of several pages"
    report = await shop.tracks()
    assert (report.calls, report.minimum_calls) == (least, least)
    asked = [path for path in shop.requests("/v1/albums/") if path.endswith("/tracks")]
    assert len(asked) == least
    with shop.database.transaction() as session:
        (row,) = session.scalars(select(ApiCalls).where(ApiCalls.use_case == "read_tracks"))
        assert (row.endpoint, row.calls, row.minimum) == ("GET /albums/{id}/tracks", least, least)


async def test_a_second_run_finds_nothing_to_do(shop: Shop) -> None:
    await ingest(shop, 5)
    await shop.tracks()
    report = await shop.tracks()
    assert (report.requested, report.calls, report.minimum_calls) == (0, 0, 0)


async def test_credits_are_stored_in_order_and_former_ones_go(shop: Shop) -> None:
    await ingest(shop)
    await shop.tracks()
    with shop.database.transaction() as session:
        credits_ = session.scalars(select(TrackArtist)).all()
        by_track: dict[str, list[int]] = {}
        for each in credits_:
            by_track.setdefault(each.track_id, []).append(each.position)
        assert set(by_track) == set(shop.stored_tracks())
        assert all(sorted(places) == list(range(len(places))) for places in by_track.values())
        assert max(map(len, by_track.values())) > 1, "the catalogue has guests"
        track = shop.stored_tracks()[credits_[0].track_id]
        artist = next(each.artist_id for each in credits_ if each.track_id != track.id)
        session.add(TrackArtist(track_id=track.id, artist_id=artist, position=9))
    await shop.ingest(force=True, album_ids=[track.album_id])
    report = await shop.tracks()
    assert report.counts["tracks_changed"] == 0
    with shop.database.transaction() as session:
        left = session.scalars(select(TrackArtist.position).where(TrackArtist.track_id == track.id)).all()
    assert 9 not in left


async def test_relinked_and_unplayable_tracks_keep_the_id_that_was_asked_for(shop: Shop) -> None:
    albums = await ingest(shop, 1)
    (album_id,) = albums
    await shop.tracks()
    usual = shop.stored_tracks()
    gone, moved, *_ = sorted(usual)
    shop.simulator.control.set_track(gone, playable=False)
    shop.simulator.control.set_track(moved, relinked_to=sorted(usual)[2])
    await shop.ingest(force=True, album_ids=[album_id])
    await shop.tracks()
    stored = shop.stored_tracks()
    assert set(stored) == set(usual)
    assert stored[gone].playable is False
    assert (stored[moved].playable, stored[moved].linked_from) == (True, moved)


async def test_features_survive_when_an_album_is_read_again(shop: Shop) -> None:
    albums = await ingest(shop, 1)
    await shop.tracks()
    await shop.features("spotify", "reccobeats")
    before = {key: track.audio_features for key, track in shop.stored_tracks().items()}
    assert any(before.values())
    await shop.ingest(force=True, album_ids=list(albums))
    await shop.tracks()
    assert {key: track.audio_features for key, track in shop.stored_tracks().items()} == before


async def test_a_run_can_be_narrowed_by_number_and_by_album(shop: Shop) -> None:
    albums = list(await ingest(shop, 5))
    assert (await shop.tracks(limit=2)).changed == 2
    unread = [key for key, album in shop.stored_albums().items() if album.tracks_read_at is None]
    assert len(unread) == 3
    assert (await shop.tracks(album_ids=[unread[0], *set(albums) - set(unread)])).changed == 1


@pytest.mark.parametrize(
    "fault", [{"status": 404}, {"status": 500}, {"status": 200, "body": "no json"}], ids=str
)
async def test_a_page_that_cannot_be_had_holds_its_own_album_back(
    shop: Shop, fault: dict[str, object]
) -> None:
    albums = await ingest(shop)
    bad = the_long_one(albums)
    number = shop.simulator.control.add_fault(method="GET", path=f"/albums/{bad}/tracks", **fault)
    report = await shop.tracks()
    assert (report.changed, [failure.item for failure in report.failed]) == (64, [f"album {bad}"])
    assert bad not in {track.album_id for track in shop.stored_tracks().values()}
    assert (await shop.tracks()).requested == 0, "not before its time"

    shop.simulator.control.remove_fault(number)
    if report.failed[0].final:
        assert (fault["status"], shop.queued(bad).status) == (404, "dead")
        return
    shop.clock.forward(hours=1)
    assert (await shop.ingest()).calls == 0, "the album itself is known"
    report = await shop.tracks()
    assert (report.requested, report.changed) == (1, 1)
    assert shop.statuses() == {"ingested": 65}


async def test_an_operators_retry_reads_the_missing_pages_without_reading_the_album(shop: Shop) -> None:
    albums = await ingest(shop)
    bad = the_long_one(albums)
    number = shop.simulator.control.add_fault(method="GET", path=f"/albums/{bad}/tracks", status=404)
    await shop.tracks()
    shop.simulator.control.remove_fault(number)
    shop.retry([bad])
    assert (await shop.ingest()).calls == 0
    assert (await shop.tracks()).changed == 1


async def test_a_ban_defers_long_albums_and_stores_all_others(shop: Shop) -> None:
    albums = await ingest(shop)
    long = [album for album, tracks in albums.items() if tracks > LONG]
    shop.simulator.control.ban("developer-of-app", 50_000)
    report = await shop.tracks()
    assert (report.changed, len(report.deferred), report.failed) == (65 - len(long), len(long), [])
    assert {deferral.item for deferral in report.deferred} == {f"album {album}" for album in long}
    assert shop.statuses() == {"ingested": 65}


async def test_a_run_that_is_killed_keeps_what_it_stored(shop: Shop) -> None:
    albums = await ingest(shop)

    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        await shop.tracks(progress=kill)
    stored = len(shop.stored_tracks())
    assert 0 < stored < sum(albums.values())
    await shop.tracks()
    assert len(shop.stored_tracks()) == sum(albums.values())


async def test_pages_beyond_the_days_budget_are_put_off_and_all_that_needs_no_call_is_stored(
    shop: Shop,
) -> None:
    albums = await ingest(shop)
    long = sorted(album_id for album_id, tracks in albums.items() if tracks > LONG)
    pages = [ceil(albums[album_id] / LONG) - 1 for album_id in long]
    with shop.database.transaction() as session:
        used = calls_today(session, shop.clock())[APP]
        session.execute(update(SpotifyApp).values(calls_per_day=used + pages[0]))
    report = await shop.tracks()
    assert (report.calls, report.minimum_calls) == (pages[0], pages[0])
    assert [each.item for each in report.deferred] == [f"album {id_}" for id_ in long[1:]] != []
    assert (report.requested, report.changed) == (65, 65 - len(long) + 1)
    assert {each.until for each in report.deferred} == {midnight(shop.clock(), days=1)}
    with shop.database.transaction() as session:
        session.execute(update(SpotifyApp).values(calls_per_day=None))
    assert (await shop.tracks()).changed == len(long) - 1

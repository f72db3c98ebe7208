"""Albums read again: only what changed is sent, stored and unfolded, and nobody's validator serves another."""

from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from spotify_pipelines.catalogue.ingest import ingest_albums
from spotify_pipelines.spotify.conditional import CONDITIONAL_READS
from spotify_pipelines.spotify.ports import ALBUMS_BATCH
from spotify_pipelines.store.retention import Past, prune
from spotify_pipelines.store.tables import ApiCalls, ReadValidator
from spotify_pipelines_tests.catalogue.shop import Shop
from spotify_pipelines_tests.spotify.harness import APP, CLIENT_ID, SECRET, UNLIMITED

STALE = 10


async def known_albums(shop: Shop, count: int = 4, *, capability: bool | None = True) -> list[str]:
    """Short albums, read one by one with all their tracks, and stale by now."""
    short = [each["id"] for each in shop.simulator.control.albums() if each["tracks"] <= 50][:count]
    shop.desk.apps.record_capability(APP, ALBUMS_BATCH, False, "read one by one in this test")
    if capability is not None:
        shop.desk.apps.record_capability(APP, CONDITIONAL_READS, capability, "said so by this test")
    shop.enqueue(short)
    await shop.ingest()
    await shop.tracks()
    grow_stale(shop)
    return short


def grow_stale(shop: Shop) -> None:
    shop.clock.forward(days=STALE + 1)
    shop.simulator.control.clear_ledger()


def answers(shop: Shop) -> dict[str, int]:
    """What each album that was asked for was answered with, as the ledger has it."""
    lines = shop.simulator.control.ledger(path="/v1/albums/")
    return {line["path"].removeprefix("/v1/albums/"): line["status"] for line in lines}


def change(shop: Shop, album_id: str) -> None:
    """Something about the album is no longer as it was: one of its tracks may not be played any more."""
    track = next(track for track in shop.stored_tracks().values() if track.album_id == album_id)
    shop.simulator.control.set_track(track.id, playable=False)


def kept(shop: Shop) -> dict[str, ReadValidator]:
    with shop.database.transaction() as session:
        return {row.entity_id: row for row in session.scalars(select(ReadValidator))}


def versions(shop: Shop) -> dict[str, str]:
    """Which transaction last wrote each track: what is written without need shows, too."""
    with shop.database.transaction() as session:
        return dict(session.execute(text("SELECT id, xmin::text FROM tracks")).tuples().all())


async def test_a_stale_album_that_has_not_changed_is_not_sent_stored_or_unfolded_again(shop: Shop) -> None:
    ids = await known_albums(shop)
    before, tracks = shop.stored_albums(), versions(shop)
    report = await shop.ingest(stale_days=STALE)

    assert answers(shop) == dict.fromkeys(ids, 304)
    assert (report.requested, report.changed, report.unchanged, report.failed) == (4, 0, 4, [])
    after = shop.stored_albums()
    assert {album.read_at for album in after.values()} == {shop.clock()}
    for id_ in ids:
        assert after[id_].tracks_read_at == before[id_].tracks_read_at is not None
    assert (await shop.tracks()).requested == 0
    assert versions(shop) == tracks
    assert shop.statuses() == {"ingested": 4}
    assert {row.seen_at for row in kept(shop).values()} == {shop.clock()}


async def test_a_304_is_a_call_like_any_other(shop: Shop) -> None:
    await known_albums(shop)
    report = await shop.ingest(stale_days=STALE)
    assert (report.calls, report.minimum_calls) == (4, 4)
    with shop.database.transaction() as session:
        row = session.scalars(select(ApiCalls).order_by(ApiCalls.id.desc())).first()
        assert row is not None
        assert (row.calls, row.ok, row.limited, row.failed, row.minimum) == (4, 4, 0, 0, 4)


async def test_what_has_changed_is_read_whole_and_gets_a_new_validator(shop: Shop) -> None:
    ids = await known_albums(shop)
    change(shop, ids[1])
    before = kept(shop)
    report = await shop.ingest(stale_days=STALE)

    assert answers(shop) == {**dict.fromkeys(ids, 304), ids[1]: 200}
    assert (report.changed, report.unchanged) == (1, 3)
    await shop.tracks()
    assert any(track.playable is False for track in shop.stored_tracks().values())
    after = kept(shop)
    assert {id_ for id_ in ids if after[id_].etag != before[id_].etag} == {ids[1]}
    grow_stale(shop)
    assert (await shop.ingest(stale_days=STALE)).unchanged == 4, "the new validator serves"


async def test_force_asks_under_the_same_condition(shop: Shop) -> None:
    ids = await known_albums(shop)
    change(shop, ids[0])
    report = await shop.ingest(force=True, album_ids=ids[:2])
    assert (report.changed, report.unchanged) == (1, 1)
    assert answers(shop) == {ids[0]: 200, ids[1]: 304}


async def test_without_the_capability_no_condition_is_sent(shop: Shop) -> None:
    ids = await known_albums(shop, capability=False)
    assert set(kept(shop)) == set(ids), "they would serve, if they were sent"
    report = await shop.ingest(stale_days=STALE)
    assert answers(shop) == dict.fromkeys(ids, 200)
    assert (report.changed, report.unchanged) == (4, 0)


async def test_the_first_album_that_is_read_again_finds_out_at_no_cost(shop: Shop) -> None:
    ids = await known_albums(shop, capability=None)
    assert CONDITIONAL_READS not in shop.desk.apps.known.capabilities
    report = await shop.ingest(stale_days=STALE)
    assert answers(shop) == dict.fromkeys(ids, 304)
    assert (report.calls, report.minimum_calls) == (4, 4)
    told = [each for each in shop.desk.apps.evidence if each[0] == CONDITIONAL_READS]
    assert told == [(CONDITIONAL_READS, True, "GET /albums/{id} answered 304 to If-None-Match")]


@pytest.mark.parametrize(
    ("etags", "evidence"),
    [
        ("absent", "GET /albums/{id} answered without an ETag"),
        ("ignored", "GET /albums/{id} sent all of it again under the very ETag that was named"),
    ],
)
async def test_an_app_that_gets_all_sent_again_is_asked_without_condition_from_then_on(
    shop: Shop, etags: str, evidence: str
) -> None:
    ids = await known_albums(shop, capability=None)
    shop.simulator.control.add_client(CLIENT_ID, SECRET, limit=UNLIMITED, etags=etags)
    report = await shop.ingest(stale_days=STALE)
    assert (report.changed, report.unchanged, report.failed) == (4, 0, [])
    assert answers(shop) == dict.fromkeys(ids, 200)
    assert (CONDITIONAL_READS, False, evidence) in shop.desk.apps.evidence
    assert set(kept(shop)) == (set(ids) if etags == "ignored" else set())


async def test_another_app_does_not_send_what_the_first_one_was_given(shop: Shop) -> None:
    ids = await known_albums(shop)
    insert = "INSERT INTO spotify_apps (name, client_id) VALUES ('other', 'other') RETURNING id"
    with shop.database.transaction() as session:
        other = session.scalar(text(insert))
        session.execute(update(ReadValidator).values(app_id=other))
    report = await shop.ingest(stale_days=STALE)
    assert answers(shop) == dict.fromkeys(ids, 200)
    assert report.changed == 4
    assert {row.app_id for row in kept(shop).values()} == {APP}, (
        "what is stored now is not what the other was given"
    )
    with shop.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(ReadValidator)) == 4


async def test_an_album_that_was_since_read_in_a_batch_has_no_validator(shop: Shop) -> None:
    ids = await known_albums(shop)
    shop.desk.apps.record_capability(APP, ALBUMS_BATCH, True, "found out")
    report = await shop.ingest(stale_days=STALE)
    assert (report.calls, report.changed) == (1, 4)
    assert shop.requests("/v1/albums") == ["/v1/albums"]
    assert kept(shop) == {}
    assert ids


async def test_an_album_whose_tracks_fill_several_pages_is_always_read_whole(shop: Shop) -> None:
    long = next(each["id"] for each in shop.simulator.control.albums() if each["tracks"] > 50)
    await known_albums(shop, 1)
    shop.enqueue([long])
    await shop.ingest()
    await shop.tracks()
    assert long not in kept(shop)
    grow_stale(shop)
    assert (await shop.ingest(force=True, album_ids=[long])).changed == 1
    assert answers(shop)[long] == 200
    assert (await shop.tracks()).changed == 1


async def test_another_market_is_another_question(shop: Shop) -> None:
    await known_albums(shop, 1)
    french = shop.desk.client.as_app(APP, market="FR")
    options: dict[str, Any] = {"run_id": "in French", "now": shop.clock, "stale_days": STALE}
    report = await ingest_albums(shop.database, french, shop.desk.calls, **options)
    assert (report.changed, report.unchanged) == (1, 0)


async def test_validators_of_which_nothing_was_heard_for_long_are_forgotten(shop: Shop) -> None:
    ids = await known_albums(shop, 2)
    await shop.ingest(force=True, album_ids=ids[:1])
    with shop.database.transaction() as session:
        assert prune(session, Past.VALIDATORS, shop.clock()).rows == 1
    assert set(kept(shop)) == {ids[0]}

"""Audio features: full batches across albums, sources in order, misses remembered, nothing asked for twice."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from spotify_pipelines.catalogue.features import fetch_features
from spotify_pipelines.report import Report
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.errors import Unavailable
from spotify_pipelines.spotify.features import FeatureAnswer, FeatureSource, SourceUnavailable
from spotify_pipelines.spotify.models import FeatureSet
from spotify_pipelines.spotify.ports import AUDIO_FEATURES
from spotify_pipelines.store.calls import calls_today, midnight
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.due import features_due
from spotify_pipelines.store.queries import catalogue_counts
from spotify_pipelines.store.tables import Album, ApiCalls, SpotifyApp, Track
from spotify_pipelines.store.upserts import upsert
from spotify_pipelines_tests.catalogue.shop import Clock, Shop
from spotify_pipelines_tests.spotify.harness import APP, CLIENT_ID, SECRET, UNLIMITED

KNOWN = FeatureSet(tempo=120.0, energy=0.5)


async def stocked(shop: Shop, albums: int = 65) -> int:
    """Read albums and tracks; how many tracks there are."""
    shop.enqueue(shop.simulator.control.album_ids(albums))
    await shop.ingest()
    await shop.tracks()
    return len(shop.stored_tracks())


class Scripted:
    """A source that knows what it is told to know, and notes what it is asked."""

    def __init__(
        self, name: str, batch_size: int, knows: Sequence[str] = (), error: Exception | None = None
    ) -> None:
        self.name = name
        self.batch_size = batch_size
        self.knows = set(knows)
        self.error = error
        self.spender: int | None = None
        self.asked: list[list[str]] = []

    async def fetch(self, ids: Sequence[str]) -> FeatureAnswer:
        self.asked.append(list(ids))
        assert len(ids) <= self.batch_size
        if self.error:
            raise self.error
        return FeatureAnswer(
            {track: KNOWN for track in ids if track in self.knows},
            {track: f"{self.name} does not know it" for track in ids if track not in self.knows},
        )


class Bench:
    """Tracks in a database, and ``fetch_features`` over scripted sources."""

    def __init__(self, database: Database, tracks: int) -> None:
        self.database = database
        self.clock = Clock()
        self.ids = [f"track {number:03}" for number in range(tracks)]
        album = {"id": "a", "name": "A", "total_tracks": tracks, "read_at": self.clock()}
        track = {"album_id": "a", "name": "T", "disc_number": 1, "duration_ms": 1, "explicit": False}
        with database.transaction() as session:
            upsert(session, Album, [album], key=["id"])
            rows = [{"id": each, "track_number": place, **track} for place, each in enumerate(self.ids)]
            upsert(session, Track, rows, key=["id"])

    async def fetch(self, *sources: FeatureSource, **options: Any) -> Report:
        return await fetch_features(
            self.database, sources, CallLog(), run_id="run", now=self.clock, **options
        )

    def stored(self) -> dict[str, Track]:
        with self.database.transaction() as session:
            return {track.id: track for track in session.scalars(select(Track))}


async def test_tracks_get_the_features_of_the_first_source_that_knows_them(shop: Shop) -> None:
    tracks = await stocked(shop)
    report = await shop.features("spotify", "reccobeats")
    stored = shop.stored_tracks().values()
    found = [track for track in stored if track.audio_features]
    assert {track.features_source for track in found} == {"spotify", "reccobeats"}
    assert all(track.features_fetched_at == shop.clock() for track in found)
    assert all(
        track.audio_features is not None and 0 <= track.audio_features["energy"] <= 1 for track in found
    )
    missing = [track for track in stored if not track.audio_features]
    assert missing, "the catalogue has tracks without features"
    assert {track.features_missing_reason for track in missing} == {
        "Spotify has no features of it; ReccoBeats does not know it"
    }
    assert {track.features_retry_after for track in missing} == {shop.clock() + timedelta(days=14)}
    assert (report.requested, report.changed, report.unchanged) == (tracks, len(found), len(missing))
    with shop.database.transaction() as session:
        counts = catalogue_counts(session)
    assert sum(counts.features.values()) == len(found)
    assert counts.missing == {missing[0].features_missing_reason: len(missing)}


async def test_batches_are_full_across_albums_and_calls_are_the_fewest(shop: Shop) -> None:
    tracks = await stocked(shop)
    report = await shop.features("spotify", "reccobeats")
    asked_next = tracks - report.counts["found_spotify"]
    assert (report.calls, report.minimum_calls) == (ceil(tracks / 100), ceil(tracks / 100))
    assert len(shop.requests("/v1/audio-features")) == ceil(tracks / 100)
    assert len(shop.requests("/reccobeats")) == ceil(asked_next / 40)
    with shop.database.transaction() as session:
        rows = session.scalars(select(ApiCalls).where(ApiCalls.use_case == "fetch_features"))
        assert {row.endpoint: (row.calls, row.minimum) for row in rows} == {
            "GET /audio-features": (ceil(tracks / 100),) * 2,
            "reccobeats: GET /audio-features": (ceil(asked_next / 40),) * 2,
        }


async def test_a_second_run_asks_for_nothing_until_a_miss_has_expired(shop: Shop) -> None:
    await stocked(shop, 5)
    first = await shop.features("spotify", "reccobeats")
    before = shop.simulator.control.ledger_position()
    assert (await shop.features("spotify", "reccobeats")).requested == 0
    assert shop.simulator.control.ledger_position() == before
    shop.clock.forward(days=14)
    assert (await shop.features("spotify", "reccobeats")).requested == first.unchanged > 0


async def test_an_app_without_spotifys_features_finds_that_out_by_one_call(shop: Shop) -> None:
    shop.simulator.control.add_client(CLIENT_ID, SECRET, limit=UNLIMITED, regime="development")
    await stocked(shop, 20)
    report = await shop.features("spotify", "reccobeats")
    assert len(shop.requests("/v1/audio-features")) == 1
    assert (report.minimum_calls, len(report.notes)) == (0, 1)
    assert "switched off" in report.notes[0]
    assert report.counts["found_reccobeats"] > 0
    reasons = {track.features_missing_reason for track in shop.stored_tracks().values()}
    assert "spotify is switched off; ReccoBeats does not know it" in reasons
    shop.clock.forward(days=14)
    await shop.features("spotify", "reccobeats")
    assert len(shop.requests("/v1/audio-features")) == 1, "known from the first time on"


async def test_after_spotifys_403_the_other_sources_are_asked_in_their_order(
    shop: Shop, tmp_path: Path
) -> None:
    shop.simulator.control.add_client(CLIENT_ID, SECRET, limit=UNLIMITED, regime="development")
    tracks = await stocked(shop, 20)
    file = tmp_path / "own.csv"
    file.write_text("track_id,tempo\n" + "".join(f"{track},101.5\n" for track in shop.stored_tracks()))

    report = await shop.features("spotify", "reccobeats", f"csv:{file}")

    assert (report.changed, report.unchanged) == (tracks, 0)
    found = {track.features_source for track in shop.stored_tracks().values()}
    assert found == {"reccobeats", "csv"}, "the file is asked for what ReccoBeats does not know"
    [note] = report.notes
    assert "no audio features to this app" in note
    [(capability, available, evidence)] = [
        each for each in shop.desk.apps.evidence if each[0] == AUDIO_FEATURES
    ]
    assert (capability, available) == (AUDIO_FEATURES, False)
    assert "403" in evidence


async def test_a_ban_defers_what_is_left_and_forgets_nothing(shop: Shop) -> None:
    tracks = await stocked(shop)
    shop.simulator.control.add_fault(
        method="GET",
        path="/v1/audio-features",
        status=429,
        skip=1,
        headers={"Retry-After": "50000"},
        body={"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}},
    )
    report = await shop.features("spotify", "reccobeats")
    assert (len(report.deferred), report.failed) == (tracks - 100, [])
    assert report.changed + report.unchanged == 100
    untouched = [track for track in shop.stored_tracks().values() if track.features_retry_after is None]
    assert sum(track.audio_features is None for track in untouched) == tracks - 100


async def test_misses_fill_the_next_sources_batches(database: Database) -> None:
    bench = Bench(database, 75)
    first = Scripted("first", 10, knows=bench.ids[:4])
    second = Scripted("second", 7, knows=bench.ids[10:])
    report = await bench.fetch(first, second)
    assert [len(batch) for batch in first.asked] == [10] * 7 + [5]
    assert [len(batch) for batch in second.asked] == [7] * 10 + [1]
    assert sorted(chain.from_iterable(second.asked)) == bench.ids[4:]
    assert report.counts == {"found_first": 4, "found_second": 65, "missing": 6}
    assert report.rows == [
        {"missing because": "first does not know it; second does not know it", "tracks": 6}
    ]


async def test_misses_do_not_wait_for_the_end_of_the_source_before(database: Database) -> None:
    bench = Bench(database, 200)
    order: list[str] = []

    class Noting(Scripted):
        async def fetch(self, ids: Sequence[str]) -> FeatureAnswer:
            order.append(self.name)
            return await super().fetch(ids)

    await bench.fetch(Noting("first", 10), Noting("second", 10))
    assert "first" in order[order.index("second") :], "a killed run would have to ask the first source again"


async def test_a_batch_that_fails_is_reported_and_asked_for_again_soon(database: Database) -> None:
    bench = Bench(database, 3)
    broken = Scripted("broken", 10, error=Unavailable("503 six times."))
    other = Scripted("other", 10, knows=bench.ids)
    report = await bench.fetch(broken, other)
    assert [failure.kind for failure in report.failed] == ["Unavailable"] * 3
    assert other.asked == []
    assert {track.features_missing_reason for track in bench.stored().values()} == {"broken: Unavailable"}
    bench.clock.forward(hours=1)
    assert (await bench.fetch(other)).changed == 3


async def test_a_source_that_keeps_failing_is_left_alone(database: Database) -> None:
    bench = Bench(database, 100)
    broken = Scripted("broken", 10, error=Unavailable("503 six times."))
    report = await bench.fetch(broken)
    assert len(broken.asked) < 10
    assert len(report.failed) + len(report.deferred) == report.requested == 100
    assert len(report.deferred) > 0


async def test_a_source_that_switches_itself_off_is_noted_once_and_passed_over(database: Database) -> None:
    bench = Bench(database, 50)
    off = Scripted("first", 10, error=SourceUnavailable("first", "not for this app."))
    second = Scripted("second", 50, knows=bench.ids)
    report = await bench.fetch(off, second)
    assert report.notes == ["Audio features from first are switched off: not for this app."]
    assert (len(off.asked), report.changed) == (1, 50)


async def test_without_any_source_nothing_is_asked_and_nothing_remembered(database: Database) -> None:
    bench = Bench(database, 3)
    report = await bench.fetch()
    assert (report.requested, report.unchanged) == (3, 3)
    assert "no source" in report.notes[0]
    assert (await bench.fetch(Scripted("later", 10, knows=bench.ids))).changed == 3


async def test_a_dry_run_only_tells(database: Database) -> None:
    bench = Bench(database, 3)
    source = Scripted("source", 10, knows=bench.ids)
    report = await bench.fetch(source, dry_run=True)
    assert (report.requested, report.changed, source.asked) == (3, 0, [])
    assert report.notes == ["3 tracks would be asked for at source."]


async def test_force_asks_again_and_keeps_what_is_known_where_nobody_knows_better(database: Database) -> None:
    bench = Bench(database, 3)
    await bench.fetch(Scripted("old", 10, knows=bench.ids[:2]))
    report = await bench.fetch(Scripted("new", 10, knows=bench.ids[:1]), force=True)
    assert report.requested == 3
    stored = bench.stored()
    assert [stored[each].features_source for each in bench.ids] == ["new", "old", None]
    assert [stored[each].features_missing_reason is None for each in bench.ids] == [True, True, False]


async def test_a_run_can_be_narrowed_by_number_and_by_album(database: Database) -> None:
    bench = Bench(database, 5)
    source = Scripted("source", 10, knows=bench.ids)
    assert (await bench.fetch(source, limit=2)).requested == 2
    assert (await bench.fetch(source, album_ids=["none"])).requested == 0
    assert (await bench.fetch(source, album_ids=["a"])).requested == 3


async def test_what_was_answered_before_a_crash_is_kept(database: Database) -> None:
    bench = Bench(database, 60)

    class Crashing(Scripted):
        async def fetch(self, ids: Sequence[str]) -> FeatureAnswer:
            if len(self.asked) == 2:
                raise MemoryError
            return await super().fetch(ids)

    with pytest.raises(MemoryError):
        await bench.fetch(Crashing("source", 10, knows=bench.ids))
    kept = sum(track.audio_features is not None for track in bench.stored().values())
    assert kept == 20
    assert (await bench.fetch(Scripted("source", 10, knows=bench.ids))).requested == 40


async def test_not_a_number_is_no_feature(database: Database) -> None:
    bench = Bench(database, 1)

    class Odd(Scripted):
        async def fetch(self, ids: Sequence[str]) -> FeatureAnswer:
            return FeatureAnswer({ids[0]: FeatureSet.model_construct(tempo=float("nan"), energy=0.5)})

    await bench.fetch(Odd("odd", 1))
    assert bench.stored()[bench.ids[0]].audio_features == {"energy": 0.5}


async def test_what_goes_beyond_the_days_budget_is_not_asked_of_spotify(shop: Shop) -> None:
    tracks = await stocked(shop)
    assert tracks > 300
    used = set_budget(shop, 2)
    report = await shop.features("spotify")
    assert len(shop.requests("/v1/audio-features")) == report.calls == report.minimum_calls == 2
    assert len(report.deferred) == tracks - 200
    assert {each.until for each in report.deferred} == {midnight(shop.clock(), days=1)}
    assert f"{used} of {used + 2} calls" in report.deferred[0].reason
    with shop.database.transaction() as session:
        assert features_due(session, shop.clock()).count == 0, "nothing starts a run before midnight"
    assert (await shop.features("spotify")).requested == 0
    shop.clock.time = midnight(shop.clock(), days=1)
    assert (await shop.features("spotify")).requested == tracks - 200


async def test_a_spent_budget_keeps_no_source_waiting_that_costs_the_app_nothing(shop: Shop) -> None:
    shop.simulator.control.add_client(CLIENT_ID, SECRET, limit=UNLIMITED, regime="development")
    tracks = await stocked(shop, 20)
    set_budget(shop, 1)
    first = await shop.features("spotify", "reccobeats", limit=10)
    assert (first.requested, first.deferred) == (10, []), "the call that found the 403 was in the budget"
    report = await shop.features("spotify", "reccobeats")
    assert (report.requested, report.deferred) == (tracks - 10, []), "and no further one is needed"
    assert report.counts["found_reccobeats"] > 0


def set_budget(shop: Shop, more: int) -> int:
    """Allow so many further calls today; answers how many were made."""
    with shop.database.transaction() as session:
        used = calls_today(session, shop.clock()).get(APP, 0)
        session.execute(update(SpotifyApp).values(calls_per_day=used + more))
    return used

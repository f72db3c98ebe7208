"""Feature sources: each says of every track that it knows it, or why not."""

import csv
import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from spotify_pipelines.settings import Settings, SettingsError
from spotify_pipelines.spotify.accounting import Service
from spotify_pipelines.spotify.errors import AuthorizationLost, MalformedAnswer, RateLimited
from spotify_pipelines.spotify.features import (
    CsvFeatures,
    FeatureAnswer,
    FeatureSource,
    ReccoBeatsFeatures,
    SourceUnavailable,
    SpotifyFeatures,
    build_sources,
)
from spotify_pipelines.spotify.models import AlbumItem, FeatureSet
from spotify_pipelines_tests.spotify.harness import (
    APP,
    CLIENT_ID,
    SECRET,
    UNLIMITED,
    Desk,
    minted,
    open_desk,
    sandbox_settings,
)
from spotify_pipelines_tests.support.simulator import RunningSimulator

_SHARED = os.environ.get("SPOTIFY_PIPELINES_SHARED") or Path(__file__).resolve().parents[3] / "shared"
REAL_ALBUMS = Path(_SHARED) / "spotify" / "catalogue" / "real_albums.csv"
UNKNOWN_ID = "0000000000000000000000"
IDS = [f"{letter}" * 22 for letter in "abcd"]


@pytest.fixture
async def desk(
    simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> AsyncIterator[Desk]:
    async with open_desk(redis_url, key_prefix, settings, credentials=minted(simulator)) as opened:
        simulator.control.clear_ledger()
        yield opened


async def some_tracks(simulator: RunningSimulator, desk: Desk, count: int) -> list[str]:
    page = await desk.client.as_app(APP).album_tracks(simulator.control.album_ids(1)[0], offset=0)
    ids = [track.id for track in page.items]
    async for _, album in desk.client.as_app(APP).albums(simulator.control.album_ids(20)):
        ids += [track.id for track in album.tracks.items] if isinstance(album, AlbumItem) else []
    simulator.control.clear_ledger()
    return list(dict.fromkeys(ids))[:count]


def each_once(answer: FeatureAnswer, ids: list[str]) -> bool:
    return sorted([*answer.found, *answer.missing]) == sorted(ids)


@pytest.mark.parametrize(
    ("kind", "service"), [("spotify", Service.WEB_API), ("reccobeats", Service.RECCOBEATS)]
)
async def test_a_full_batch_costs_one_call_and_leaves_no_track_out(
    desk: Desk, simulator: RunningSimulator, kind: str, service: Service
) -> None:
    (source,) = build_sources([kind], client=desk.client, app_id=APP)
    ids = [*await some_tracks(simulator, desk, source.batch_size - 1), UNKNOWN_ID]
    before = desk.calls.total_of(service)

    answer = await source.fetch(ids)

    assert source.name == kind
    assert len(ids) == source.batch_size
    assert desk.calls.total_of(service) - before == 1
    assert each_once(answer, ids)
    assert UNKNOWN_ID in answer.missing
    assert len(answer.found) > 0.3 * len(ids)


async def test_both_sources_agree_on_the_values(desk: Desk, simulator: RunningSimulator) -> None:
    ids = await some_tracks(simulator, desk, 40)
    spotify, reccobeats = build_sources(["spotify", "reccobeats"], client=desk.client, app_id=APP)

    ours, theirs = (await spotify.fetch(ids)).found, (await reccobeats.fetch(ids)).found

    shared = ours.keys() & theirs.keys()
    assert shared
    for track_id in shared:
        for name, value in theirs[track_id].values().items():
            assert math.isclose(value, ours[track_id].values()[name], abs_tol=1e-6)


async def test_a_source_that_is_forbidden_switches_itself_off_once(
    simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> None:
    simulator.control.add_client(CLIENT_ID, SECRET, regime="development", limit=UNLIMITED)
    async with open_desk(redis_url, key_prefix, settings, credentials=minted(simulator)) as desk:
        source = SpotifyFeatures(desk.client.as_app(APP))
        for _ in range(3):
            with pytest.raises(SourceUnavailable, match="November 2024") as caught:
                await source.fetch(IDS)

        assert caught.value.source == "spotify"
        assert desk.calls.total == 1


async def test_reccobeats_that_bans_us_is_left_alone(desk: Desk, simulator: RunningSimulator) -> None:
    simulator.control.add_fault(path="/reccobeats", status=429, headers={"Retry-After": "7200"})
    source = ReccoBeatsFeatures(desk.client)

    for _ in range(3):
        with pytest.raises(SourceUnavailable, match="no calls are allowed before"):
            await source.fetch(IDS)

    assert len(simulator.control.ledger(path="/reccobeats")) == 1
    assert desk.apps.cooldowns == []


async def test_reccobeats_own_limit_is_waited_out(desk: Desk, simulator: RunningSimulator) -> None:
    simulator.control.add_fault(path="/reccobeats", status=429, headers={"Retry-After": "1"}, n=1)

    answer = await ReccoBeatsFeatures(desk.client).fetch(IDS)

    first, second = simulator.control.ledger(path="/reccobeats")
    assert second["real_time"] - first["real_time"] >= 1.0
    assert each_once(answer, IDS)


async def test_reccobeats_rows_are_joined_by_address_and_bad_ones_are_misses(
    redis_url: str, key_prefix: str
) -> None:
    rows = [
        {"id": "uuid-1", "href": f"https://open.spotify.com/track/{IDS[2]}", "tempo": 120, "key": -1},
        {"id": "uuid-2", "href": f"https://open.spotify.com/track/{IDS[0]}?si=x", "tempo": 90},
        {"id": "uuid-3", "href": f"https://open.spotify.com/track/{IDS[1]}", "tempo": "fast"},
        {"id": "uuid-4", "href": None, "tempo": 1},
        {"id": "uuid-5", "href": f"https://open.spotify.com/track/{'z' * 22}", "tempo": 1},
        None,
    ]

    def handler(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        assert "spotify-pipelines" in request.headers["user-agent"]
        return httpx.Response(200, json={"content": rows})

    settings = sandbox_settings(redis_url, "http://simulator.test/v1")
    async with open_desk(redis_url, key_prefix, settings, mounted=httpx.MockTransport(handler)) as desk:
        answer = await ReccoBeatsFeatures(desk.client).fetch(IDS)

    assert {track_id: features.tempo for track_id, features in answer.found.items()} == {
        IDS[0]: 90,
        IDS[2]: 120,
    }
    assert answer.found[IDS[2]].key == -1
    assert sorted(answer.missing) == [IDS[1], IDS[3]]


async def test_a_bad_row_of_spotifys_is_a_miss_and_spoils_no_other(redis_url: str, key_prefix: str) -> None:
    rows = [{"id": IDS[0], "tempo": 90}, {"id": IDS[1], "tempo": "fast"}, {"id": [], "tempo": 1}, None]
    handler = httpx.MockTransport(lambda _: httpx.Response(200, json={"audio_features": rows}))
    settings = sandbox_settings(redis_url, "http://simulator.test/v1")
    async with open_desk(redis_url, key_prefix, settings, mounted=handler) as desk:
        answer = await SpotifyFeatures(desk.client.as_app(APP)).fetch(IDS)

    assert answer.found == {IDS[0]: FeatureSet(tempo=90)}
    assert sorted(answer.missing) == sorted(IDS[1:])


async def test_nothing_is_asked_for_nothing(desk: Desk) -> None:
    for source in build_sources(["spotify", "reccobeats"], client=desk.client, app_id=APP):
        assert await source.fetch([]) == FeatureAnswer()

    assert desk.calls.rows() == []


async def test_trouble_of_one_batch_does_not_switch_a_source_off(
    desk: Desk, simulator: RunningSimulator
) -> None:
    simulator.control.add_fault(path="/reccobeats", status=200, body="<html>", n=1)
    source = ReccoBeatsFeatures(desk.client)

    with pytest.raises(MalformedAnswer):
        await source.fetch(IDS)

    assert each_once(await source.fetch(IDS), IDS)
    assert not issubclass(SourceUnavailable, RateLimited | AuthorizationLost)


async def test_a_file_gives_what_it_has(tmp_path: Path) -> None:
    file = tmp_path / "features.csv"
    file.write_text(
        "track_id,track_name,tempo,key,energy,time_signature\n"
        f"{IDS[0]},One,120.5,7.0,0.5,4.0\n"
        f"{IDS[1]},Two,,,,\n"
        f"{IDS[2]},Three,fast,1,0.25,\n"
        ",nameless,1,1,1,1\n"
        f"{IDS[0]},One again,1,1,1,1\n"
    )
    source: FeatureSource = CsvFeatures.open(file)

    answer = await source.fetch(IDS)

    assert answer.found == {
        IDS[0]: FeatureSet(tempo=120.5, key=7, energy=0.5, time_signature=4),
        IDS[2]: FeatureSet(key=1, energy=0.25),
    }
    assert answer.missing == {IDS[1]: "not in features.csv", IDS[3]: "not in features.csv"}


@pytest.mark.skipif(not REAL_ALBUMS.is_file(), reason=f"no {REAL_ALBUMS.name} beside the checkout")
async def test_the_real_catalogue_is_read_with_its_features() -> None:
    with REAL_ALBUMS.open(newline="") as file:
        rows = list(csv.DictReader(file))

    answer = await CsvFeatures.open(REAL_ALBUMS).fetch([row["track_id"] for row in rows])

    assert len(answer.found) == 842
    assert len(answer.missing) == 23
    for row in rows[:20]:
        assert answer.found[row["track_id"]].tempo == float(row["tempo"])


async def test_a_file_that_goes_away_is_a_source_switched_off(tmp_path: Path) -> None:
    file = tmp_path / "features.csv"
    file.write_text("track_id,tempo\n")
    source = CsvFeatures.open(file)
    file.unlink()

    with pytest.raises(SourceUnavailable, match="can't be read"):
        await source.fetch(IDS)


async def test_sources_come_in_the_order_named_each_once(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "features.csv"
    file.write_text("track_id,tempo\n")

    sources = build_sources(
        ["reccobeats", f"csv:{file}", "spotify", "reccobeats"], client=desk.client, app_id=APP
    )

    assert [source.name for source in sources] == ["reccobeats", "csv", "spotify"]
    assert build_sources([], client=desk.client, app_id=APP) == []
    without_app = build_sources(["spotify", "reccobeats"], client=desk.client, app_id=None)
    assert [source.name for source in without_app] == ["reccobeats"]


@pytest.mark.parametrize(
    ("value", "names"),
    [("", []), (" , ", []), ("csv:a.csv, spotify", ["csv:a.csv", "spotify"])],
)
def test_sources_are_named_by_a_setting_that_may_be_empty(
    monkeypatch: pytest.MonkeyPatch, value: str, names: list[str]
) -> None:
    monkeypatch.setenv("SPOTIFY_PIPELINES_FEATURE_SOURCES", value)
    assert Settings(_env_file=None).feature_sources == names


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("soundstat", None),
        ("csv:", None),
        ("csv:{file}", None),
        ("csv:{file}", "track_id\n"),
        ("csv:{file}", "tempo\n"),
    ],
)
async def test_a_source_that_makes_no_sense_is_refused_by_name(
    desk: Desk, tmp_path: Path, name: str, content: str | None
) -> None:
    file = tmp_path / "features.csv"
    if content is not None:
        file.write_text(content)

    with pytest.raises(SettingsError, match="FEATURE_SOURCES"):
        build_sources([name.format(file=file)], client=desk.client, app_id=APP)


def test_pandas_is_imported_for_files_only() -> None:
    program = "import sys; import spotify_pipelines.spotify.features; sys.exit('pandas' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""Both catalogues: the invented one has every shape that real ones have, the one from a file refuses nonsense."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.simulator.catalogue import COLUMNS, Album, CatalogueError, read_catalogue
from spotify_pipelines.simulator.fields import FieldsError, select_fields
from spotify_pipelines.simulator.ids import IdPermutation, is_spotify_id, parse_uri, random_id
from spotify_pipelines.simulator.names import artist_name
from spotify_pipelines.simulator.synthetic import SyntheticCatalogue

ROW = {
    **dict.fromkeys(COLUMNS, "0.5"),
    "source": "test",
    "album_id": "a" * 22,
    "album_name": "An Album",
    "artist_id": "b" * 22,
    "artist_name": "An Artist",
    "release_date": "1999-11-02",
    "track_id": "c" * 22,
    "track_name": "A Track",
    "disc_number": "1",
    "track_number": "1.0",
    "duration_ms": "210133.0",
    "explicit": "True",
    "key": "7.0",
    "mode": "1",
    "time_signature": "",
    "feature_source": "spotify",
}


def write(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def albums_of(catalogue: SyntheticCatalogue) -> list[Album]:
    albums = [catalogue.album(album_id) for album_id in catalogue.album_ids(0, len(catalogue))]
    return [album for album in albums if album]


@pytest.mark.parametrize("size", [60, 200])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_invented_catalogue_has_every_awkward_shape(size: int, seed: int) -> None:
    albums = albums_of(SyntheticCatalogue(size, seed))
    tracks = [track for album in albums for track in album.tracks]
    assert len(albums) == size
    assert any(len(album.tracks) > 50 for album in albums)
    assert any(album.tracks[-1].disc_number > 1 for album in albums)
    assert {album.kind for album in albums} == {"album", "single", "compilation"}
    assert any(len(track.artists) > 1 for track in tracks)
    assert any(not track.playable for track in tracks)
    assert any(track.relinked_to for track in tracks)
    assert {track.feature_source for track in tracks} == {"spotify", "reccobeats", None}
    assert {album.release_date_precision for album in albums} == {"day", "year"} | (
        {"month"} & {album.release_date_precision for album in albums}
    )
    assert all("1960" <= album.release_date[:4] <= "2026" for album in albums)
    assert all(is_spotify_id(spotify_id) for spotify_id in [*(a.id for a in albums), *(t.id for t in tracks)])
    assert len({track.id for track in tracks}) == len(tracks)


def test_an_invented_catalogue_repeats_from_its_seed_and_differs_between_seeds() -> None:
    assert albums_of(SyntheticCatalogue(20, 5)) == albums_of(SyntheticCatalogue(20, 5))
    ids = [set(SyntheticCatalogue(20, seed).album_ids(0, 20)) for seed in (5, 6)]
    assert not ids[0] & ids[1]


def test_everything_in_an_album_can_be_looked_up_by_its_id() -> None:
    catalogue = SyntheticCatalogue(30, 2)
    for album in albums_of(catalogue):
        assert [track.album_id for track in album.tracks] == [album.id] * len(album.tracks)
        for track in album.tracks:
            assert catalogue.track(track.id) == track
            assert all(catalogue.artist(artist.id) == artist for artist in track.artists)
        assert all(catalogue.artist(artist.id) == artist for artist in album.artists)


def test_a_relinked_track_leads_to_a_playable_one_on_a_reissue_that_is_in_no_list() -> None:
    catalogue = SyntheticCatalogue(60, 1)
    listed = set(catalogue.album_ids(0, 60))
    moved = [track for album in albums_of(catalogue) for track in album.tracks if track.relinked_to]
    for track in moved:
        target = catalogue.track(track.relinked_to or "")
        assert target
        assert target.playable
        assert target.relinked_to is None
        assert (target.name, target.duration_ms) == (track.name, track.duration_ms)
        reissue = catalogue.album(target.album_id)
        assert reissue
        assert reissue.id not in listed


def test_ids_of_other_kinds_and_strangers_are_nobody() -> None:
    catalogue = SyntheticCatalogue(10, 1)
    album = albums_of(catalogue)[0]
    assert catalogue.track(album.id) is None
    assert catalogue.album(album.tracks[0].id) is None
    assert catalogue.artist(album.id) is None
    for stranger in ("0" * 22, "Z" * 22, "short", "", *(random_id() for _ in range(200))):
        looked_up = (catalogue.album(stranger), catalogue.track(stranger), catalogue.artist(stranger))
        assert looked_up == (None, None, None)


def test_a_few_artists_have_many_albums_and_many_have_few() -> None:
    counts = Counter(album.artists[0].id for album in albums_of(SyntheticCatalogue(300, 3)))
    biggest = [count for _, count in counts.most_common()]
    assert biggest[0] > 10 * biggest[len(biggest) // 2]
    assert len(biggest) > 40


def test_any_size_starts_at_once_and_its_far_end_is_there() -> None:
    catalogue = SyntheticCatalogue(10_000_000, 1)
    [last] = catalogue.album_ids(9_999_999, 5)
    album = catalogue.album(last)
    assert album
    assert catalogue.track(album.tracks[0].id) == album.tracks[0]


def test_reccobeats_covers_about_sixty_in_a_hundred_of_what_spotify_knows() -> None:
    tracks = [track for album in albums_of(SyntheticCatalogue(100, 4)) for track in album.tracks]
    spotify = [track for track in tracks if track.spotify_features]
    covered = [track for track in spotify if track.reccobeats_features]
    assert 0.55 < len(covered) / len(spotify) < 0.65
    only_there = [track for track in tracks if track.feature_source == "reccobeats"]
    assert only_there
    assert all(track.reccobeats_features and not track.spotify_features for track in only_there)


def test_artists_names_differ() -> None:
    assert len({artist_name(rank) for rank in range(20_000)}) == 20_000


@given(st.integers(min_value=0, max_value=2**128 - 1), st.text(max_size=20))
def test_an_id_stands_for_exactly_its_number(number: int, key: str) -> None:
    permutation = IdPermutation(key)
    spotify_id = permutation.id_of(number)
    assert is_spotify_id(spotify_id)
    assert permutation.number_of(spotify_id) == number


def test_uris_are_read_strictly() -> None:
    assert parse_uri(f"spotify:track:{'a' * 22}", "track") == "a" * 22
    for bad in (f"spotify:album:{'a' * 22}", f"spotify:track:{'a' * 21}", "spotify:track:", "junk", ""):
        assert parse_uri(bad, "track") is None


def test_a_file_becomes_albums_with_tracks_in_order(tmp_path: Path) -> None:
    second = {**ROW, "track_id": "d" * 22, "disc_number": "2", "feature_source": "", "explicit": ""}
    other = {
        **ROW,
        "track_id": "e" * 22,
        "album_id": "f" * 22,
        "release_date": "",
        "feature_source": "reccobeats",
    }
    catalogue = read_catalogue(write(tmp_path / "c.csv", second, ROW, other))
    album = catalogue.album("a" * 22)
    assert album
    assert [track.id for track in album.tracks] == ["c" * 22, "d" * 22]
    first, last = album.tracks
    assert first.features
    assert (first.features.key, first.features.time_signature, first.duration_ms) == (7, 4, 210133)
    assert (first.explicit, last.explicit, last.features) == (True, False, None)
    unknown_date = catalogue.album("f" * 22)
    assert unknown_date
    assert (unknown_date.release_date, unknown_date.release_date_precision) == ("0000", "year")
    assert unknown_date.tracks[0].spotify_features is None
    assert unknown_date.tracks[0].reccobeats_features
    assert list(catalogue.album_ids(1, 5)) == ["f" * 22]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("track_id", "too short"),
        ("album_id", ""),
        ("track_name", " "),
        ("duration_ms", "long"),
        ("duration_ms", "-3"),
        ("track_number", "1.5"),
        ("energy", "high"),
        ("explicit", "perhaps"),
        ("release_date", "2nd of May"),
        ("feature_source", "soundstat"),
    ],
)
def test_a_bad_value_is_refused_with_file_line_and_column(tmp_path: Path, column: str, value: str) -> None:
    path = write(tmp_path / "bad.csv", ROW, {**ROW, "track_id": "d" * 22, column: value})
    with pytest.raises(CatalogueError) as error:
        read_catalogue(path)
    assert f"{path}, line 3, column {column}:" in str(error.value)


def test_twins_missing_columns_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"line 3, column track_id: .* in line 2"):
        read_catalogue(write(tmp_path / "twins.csv", ROW, ROW))
    with pytest.raises(CatalogueError, match="the column tempo is missing"):
        read_catalogue(write(tmp_path / "few.csv", ROW, columns=tuple(c for c in COLUMNS if c != "tempo")))
    with pytest.raises(CatalogueError, match="no tracks"):
        read_catalogue(write(tmp_path / "empty.csv"))
    with pytest.raises(CatalogueError, match="can't be read"):
        read_catalogue(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogueError, match="can't be read"):
        read_catalogue(tmp_path / "binary.csv")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("a", {"a": 1}),
        ("a,d.e", {"a": 1, "d": {"e": 4}}),
        ("b(c),a", {"b": [{"c": 2}], "a": 1}),
        ("b(!c)", {"b": [{"x": 3}]}),
        ("!b,!d", {"a": 1}),
        ("missing", {}),
        ("*", {"a": 1, "b": [{"c": 2, "x": 3}], "d": {"e": 4, "f": 5}}),
    ],
)
def test_fields_select(fields: str, expected: object) -> None:
    assert select_fields({"a": 1, "b": [{"c": 2, "x": 3}], "d": {"e": 4, "f": 5}}, fields) == expected


@pytest.mark.parametrize("fields", ["a(", "a)", "a,,b", ".a", "a(b", "a b;c", "!"])
def test_broken_filters_are_refused(fields: str) -> None:
    with pytest.raises(FieldsError):
        select_fields({}, fields)

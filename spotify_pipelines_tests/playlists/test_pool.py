"""The catalogue as columns, and the pools that policies make of it."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from sqlalchemy import event, insert, text, update

from spotify_pipelines.playlists.policies import Policy, policy_from_json
from spotify_pipelines.playlists.pool import Pools, SharedCatalogue
from spotify_pipelines.playlists.track_pool import Columns
from spotify_pipelines.store.columns import NO, UNKNOWN, YES, read_catalogue
from spotify_pipelines.store.tables import Album, AlbumSource, Track
from spotify_pipelines_tests.playlists.conftest import CATALOGUE
from spotify_pipelines_tests.playlists.studio import Studio

ALBUMS = [album for id_ in CATALOGUE.album_ids(0, len(CATALOGUE)) if (album := CATALOGUE.album(id_))]
TRACKS = {track.id: track for album in ALBUMS for track in album.tracks}


def _policy(**says: Any) -> Policy:
    return policy_from_json({"name": "any", **says})


def _pools(studio: Studio, *policies: Policy) -> Pools:
    return Pools(studio.database, policies, datetime.now(UTC))


async def test_the_columns_hold_every_track_with_its_credits(studio: Studio) -> None:
    hidden, silent, *_ = sorted(TRACKS)
    with studio.database.transaction() as session:
        session.execute(update(Track).where(Track.id == hidden).values(playable=False))
        session.execute(update(Track).where(Track.id == silent).values(playable=None))
        columns = read_catalogue(session, ["energy"])

    assert columns.track_ids == tuple(sorted(TRACKS))
    assert columns.playable[:3].tolist() == [NO, UNKNOWN, YES]
    for index, track_id in enumerate(columns.track_ids):
        track = TRACKS[track_id]
        credits_ = columns.credits[columns.offsets[index] : columns.offsets[index + 1]]
        assert [columns.artist_ids[each] for each in credits_] == sorted({each.id for each in track.artists})
        assert columns.album_ids[columns.albums[index]] == track.album_id
        assert columns.explicit[index] == track.explicit
    assert 0 <= columns.features["energy"].min() <= columns.features["energy"].max() <= 1
    names = {artist.id: artist.name for track in TRACKS.values() for artist in track.artists}
    assert dict(zip(columns.artist_ids, columns.artist_names, strict=True)) == names


async def test_the_columns_are_those_that_are_built_track_by_track(studio: Studio) -> None:
    with studio.database.transaction() as session:
        shared = SharedCatalogue(read_catalogue(session))

    ids = sorted(TRACKS)
    built = Columns.build(
        ids,
        ([artist.id for artist in TRACKS[each].artists] for each in ids),
        [TRACKS[each].album_id for each in ids],
    )
    assert shared.columns.digest == built.digest


async def test_the_columns_tell_what_is_known_of_an_album(studio: Studio) -> None:
    known, other = sorted(album.id for album in ALBUMS)[:2]
    with studio.database.transaction() as session:
        session.execute(
            update(Album)
            .where(Album.id == known)
            .values(label="Blue", popularity=70, markets=["DE", "FR"], release_date=date(1999, 1, 1))
        )
        session.execute(update(Album).where(Album.id == other).values(release_date=None))
        session.execute(
            insert(AlbumSource).values(
                url="x", album_id=known, tags=["calm", "live"], added_at=datetime(2026, 1, 1, tzinfo=UTC)
            )
        )
        own = next(track.id for track in TRACKS.values() if track.album_id == known)
        session.execute(update(Track).where(Track.id == own).values(markets=["FR"]))
        columns = read_catalogue(session, markets=["DE"])
        session.rollback()

    assert columns.album_ids[:2] == (known, other)
    assert (columns.album_labels[0], columns.album_tags[0]) == ("Blue", ("calm", "live"))
    assert columns.album_years[:2].tolist() == [1999, 0]
    assert columns.album_popularity[:2].tolist() == [70, -1]
    assert columns.album_added[0] == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert np.isnan(columns.album_added[1])
    for track_id, album, available in zip(
        columns.track_ids, columns.albums, columns.available["DE"], strict=True
    ):
        assert available == (NO if track_id == own else YES if album == 0 else UNKNOWN)


async def test_a_feature_that_is_no_number_in_the_database_is_missing(studio: Studio) -> None:
    odd = sorted(TRACKS)[:4]
    with studio.database.transaction() as session:
        for track_id, value in zip(odd, ("'\"loud\"'", "'null'", "'[1]'", "'true'"), strict=True):
            session.execute(
                text(
                    f"UPDATE tracks SET audio_features = jsonb_build_object('energy', {value}::jsonb) WHERE id = :id"
                ),
                {"id": track_id},
            )
        columns = read_catalogue(session, ["energy"])
        session.rollback()

    assert np.flatnonzero(np.isnan(columns.features["energy"])).tolist() == [0, 1, 2, 3]


async def test_a_pool_holds_what_its_policy_admits(studio: Studio) -> None:
    artist = ALBUMS[0].artists[0]
    pools = _pools(studio)

    by_name = pools.of(_policy(pool={"artists": [artist.name]}))

    expected = {id_ for id_, track in TRACKS.items() if artist.name in {each.name for each in track.artists}}
    inside = {id_ for id_ in TRACKS if by_name.why_outside(id_) is None}
    assert (inside, len(by_name.tracks)) == (expected, len(expected))
    assert by_name.why_outside("nobody's") == "not in the catalogue"
    assert by_name.credits(next(iter(expected)))
    assert by_name.album(next(iter(expected))) == TRACKS[next(iter(expected))].album_id


async def test_a_feature_window_reads_just_the_features_it_asks_for(studio: Studio) -> None:
    policy = _policy(features={"energy": {"max": 0.5}}, missing_features="exclude")

    pool = _pools(studio, policy).of(policy)

    assert 0 < len(pool.tracks) < len(TRACKS)


async def test_an_empty_pool_says_why(studio: Studio) -> None:
    policy = _policy(pool={"artists": ["Nobody"]})

    why = _pools(studio, policy).of(policy).why_empty()

    assert why == (
        f"None of the catalogue's {len(TRACKS)} tracks passes the policy's rules "
        f"({len(TRACKS)} of them: credits none of the policy's artists)."
        " pool.artists: nothing in the catalogue answers to 'Nobody'."
    )


async def test_entries_that_nothing_answers_to_are_noted_with_their_policy(studio: Studio) -> None:
    policy = _policy(exclude={"artists": ["Nobody"]})
    pools = _pools(studio, policy)

    assert len(pools.of(policy).tracks) == len(TRACKS)
    assert pools.notes == ["policy any: exclude.artists: nothing in the catalogue answers to 'Nobody'"]


async def test_the_catalogue_is_read_once_for_all_policies_and_not_before_it_is_needed(
    studio: Studio,
) -> None:
    statements: list[str] = []
    event.listen(
        studio.database.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: statements.append(statement),
    )
    pools = _pools(studio)
    assert statements == []

    pools.of(_policy())
    read = len(statements)
    pools.of(policy_from_json({"name": "other", "size": 3}))
    pools.of(_policy())

    assert len(statements) == read

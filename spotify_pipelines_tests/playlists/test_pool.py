"""The catalogue as columns, and the pools that policies make of it."""

from typing import Any

from sqlalchemy import event, update

from spotify_pipelines.playlists.policies import Policy, policy_from_json
from spotify_pipelines.playlists.pool import Pools
from spotify_pipelines.store.columns import read_catalogue
from spotify_pipelines.store.tables import Track
from spotify_pipelines_tests.playlists.conftest import CATALOGUE
from spotify_pipelines_tests.playlists.studio import Studio

ALBUMS = [album for id_ in CATALOGUE.album_ids(0, len(CATALOGUE)) if (album := CATALOGUE.album(id_))]
TRACKS = {track.id: track for album in ALBUMS for track in album.tracks}


def _policy(**says: Any) -> Policy:
    return policy_from_json({"name": "any", **says})


async def test_the_columns_hold_every_playable_track_with_its_credits(studio: Studio) -> None:
    hidden = sorted(TRACKS)[0]
    with studio.database.transaction() as session:
        session.execute(update(Track).where(Track.id == hidden).values(playable=False))
        columns = read_catalogue(session, ["energy"])

    assert columns.track_ids == sorted(TRACKS.keys() - {hidden})
    for index, track_id in enumerate(columns.track_ids):
        track = TRACKS[track_id]
        assert columns.credits[index] == list(dict.fromkeys(artist.id for artist in track.artists))
        assert columns.album_ids[index] == track.album_id
    assert 0 <= columns.features["energy"].min() <= columns.features["energy"].max() <= 1
    assert columns.artist_names[columns.credits[0][0]]


async def test_a_pool_holds_what_its_policy_admits(studio: Studio) -> None:
    artist = ALBUMS[0].artists[0]
    pools = Pools(studio.database, [])

    by_name = pools.of(_policy(pool={"artists": [artist.name]}))

    expected = {id_ for id_, track in TRACKS.items() if artist.name in {each.name for each in track.artists}}
    assert set(by_name.tracks.track_ids) == expected
    assert by_name.credits(next(iter(expected)))
    assert by_name.album(next(iter(expected))) == TRACKS[next(iter(expected))].album_id


async def test_a_feature_window_reads_just_the_features_it_asks_for(studio: Studio) -> None:
    policy = _policy(features={"energy": {"max": 0.5}}, missing_features="exclude")

    pool = Pools(studio.database, [policy]).of(policy)

    assert 0 < len(pool.tracks) < len(TRACKS)


async def test_an_empty_pool_says_why(studio: Studio) -> None:
    policy = _policy(pool={"artists": ["Nobody"]})

    why = Pools(studio.database, [policy]).of(policy).why_empty()

    assert why == (
        f"None of the catalogue's {len(TRACKS)} tracks passes the policy's rules "
        f"({len(TRACKS)} of them: credits none of the policy's artists)."
    )


async def test_the_catalogue_is_read_once_for_all_policies_and_not_before_it_is_needed(
    studio: Studio,
) -> None:
    statements: list[str] = []
    event.listen(
        studio.database.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: statements.append(statement),
    )
    pools = Pools(studio.database, [])
    assert statements == []

    pools.of(_policy())
    read = len(statements)
    pools.of(policy_from_json({"name": "other", "size": 3}))
    pools.of(_policy())

    assert len(statements) == read

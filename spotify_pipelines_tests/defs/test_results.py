"""What a materialization says: each use case's own figures, calls and their minimum among them."""

from datetime import timedelta

import dagster as dg
import pytest

from spotify_pipelines.defs.assets.accounts import account_tokens
from spotify_pipelines.defs.assets.catalogue import albums, audio_features, tracks
from spotify_pipelines.defs.assets.playlists import spotify_playlists
from spotify_pipelines.defs.resources import PostgresResource, RedisResource, SpotifyResource
from spotify_pipelines.settings import World
from spotify_pipelines.store.leases import acquire, release
from spotify_pipelines_tests.support.databases import open_database

NOBODY = "http://127.0.0.1:9"
"""Nobody answers there: what asks nothing must not mind."""


def spotify(database_url: str, redis_url: str) -> dict[str, object]:
    postgres = PostgresResource(url=database_url, world=World.SANDBOX)
    redis = RedisResource(url=redis_url)
    return {
        "postgres": postgres,
        "redis": redis,
        "spotify": SpotifyResource(
            postgres=postgres,
            redis=redis,
            vault_keys="",
            api_url=f"{NOBODY}/v1",
            accounts_url=NOBODY,
            reccobeats_url=f"{NOBODY}/reccobeats/v1",
            feature_sources=["spotify", "reccobeats"],
            feature_retry_days=14,
            capability_days=30,
            ingest_max_attempts=5,
            app_calls_per_30s=None,
            max_processes=4,
            account_calls_per_30s=60,
            max_parallel_accounts=4,
            read_back_share=0.0,
            request_timeout=1.0,
        ),
    }


@pytest.mark.parametrize("asset", [account_tokens, albums, audio_features, spotify_playlists], ids=str)
def test_calls_and_their_minimum_are_on_every_materialization(
    asset: dg.AssetsDefinition, database_url: str, redis_url: str
) -> None:
    result = dg.materialize([asset], resources=spotify(database_url, redis_url), selection=[asset])
    assert result.success
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        assert {name: metadata[name].value for name in ("spotify_calls", "spotify_calls_minimum")} == {
            "spotify_calls": 0,
            "spotify_calls_minimum": 0,
        }


@pytest.mark.parametrize("asset", [tracks, audio_features], ids=str)
def test_an_asset_that_another_run_works_on_is_put_off_and_done_once_that_ended(
    asset: dg.AssetsDefinition, database_url: str, redis_url: str
) -> None:
    def deferred() -> object:
        result = dg.materialize([asset], resources=spotify(database_url, redis_url), selection=[asset])
        (event,) = result.get_asset_materialization_events()
        return event.materialization.metadata["deferred"].value

    (name,) = (key.to_user_string() for key in asset.keys)
    with open_database(database_url) as database:
        with database.transaction() as session:
            lease = acquire(session, f"asset {name}", "another run", timedelta(minutes=1))
        assert lease
        assert deferred() == 1
        with database.transaction() as session:
            release(session, lease)
        assert deferred() == 0
        # And it gives the right back itself.
        assert deferred() == 0

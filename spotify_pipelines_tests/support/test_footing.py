"""The tests' own footing: databases and key prefixes that no two tests share."""

import psycopg
import pytest
import redis
from sqlalchemy import create_engine, inspect

from spotify_pipelines import services
from spotify_pipelines_tests.support.services import fresh_database, redis_namespace


def test_a_test_gets_a_migrated_and_empty_database(database_url: str) -> None:
    engine = create_engine(database_url)
    assert "playlists" in inspect(engine).get_table_names()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM playlists").scalar() == 0
    engine.dispose()


def test_two_databases_are_two_and_gone_afterwards(services_endpoints: services.Endpoints) -> None:
    with fresh_database(services_endpoints) as first, fresh_database(services_endpoints) as second:
        assert first != second
        plain = first.replace("+psycopg", "")
        with psycopg.connect(plain) as connection:
            connection.execute("CREATE TABLE thing ()")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(plain)


def test_keys_of_a_namespace_are_gone_afterwards(
    services_endpoints: services.Endpoints, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        with redis_namespace(services_endpoints) as prefix, redis_namespace(services_endpoints) as other:
            client.set(f"{prefix}a", 1)
            client.set(f"{other}b", 1)
            assert client.exists(f"{prefix}a", f"{other}b") == 2
        assert client.exists(f"{prefix}a", f"{other}b") == 0

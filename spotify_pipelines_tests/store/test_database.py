"""A database that can't be used is refused in a sentence, whoever asks for it, and never with its password."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from spotify_pipelines.settings import Settings, SettingsError
from spotify_pipelines.store.database import Database, DatabaseError
from spotify_pipelines.store.migrate import upgrade

NOBODY = "postgresql+psycopg://me:hush-hush@127.0.0.1:1/mine"


def open_it(url: str) -> None:
    Database.open(Settings(_env_file=None, database_url=SecretStr(url)))


@pytest.mark.parametrize("use", [upgrade, open_it])
def test_a_server_that_is_not_there_is_said_so(use: Callable[[str], None]) -> None:
    with pytest.raises(DatabaseError, match=r"PostgreSQL can't be reached: .*port 1 failed") as refused:
        use(NOBODY)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("use", [upgrade, open_it])
@pytest.mark.parametrize("url", ["junk", NOBODY.replace(":1/", ":one/"), NOBODY.replace("+psycopg", "")])
def test_an_address_that_can_not_be_read_is_refused(use: Callable[[str], None], url: str) -> None:
    with pytest.raises(SettingsError, match="SPOTIFY_PIPELINES_DATABASE_URL") as refused:
        use(url)
    assert "hush" not in str(refused.value)

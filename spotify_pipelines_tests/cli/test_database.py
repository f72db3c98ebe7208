"""``db``: what is backed up comes back, into an empty database only, and no token is ever in clear on the way."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from typer.testing import CliRunner, Result

from spotify_pipelines import services
from spotify_pipelines.accounts.registry import add_app, save_account
from spotify_pipelines.accounts.vault import Vault, new_key
from spotify_pipelines.cli.root import build_app
from spotify_pipelines.services.binaries import find_postgres_client
from spotify_pipelines.services.errors import ServiceError
from spotify_pipelines.spotify.models import Profile
from spotify_pipelines.spotify.oauth import TokenGrant
from spotify_pipelines.store.backup import BackupError
from spotify_pipelines.store.database import DatabaseError
from spotify_pipelines.store.migrate import known_revisions
from spotify_pipelines.store.tables import Account
from spotify_pipelines_tests.accounts.office import HOUR
from spotify_pipelines_tests.support.databases import open_database
from spotify_pipelines_tests.support.services import fresh_database

CANARY = "canary-1f0e9d-nobody-may-see"
KEY = new_key()

Command = Callable[..., Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> Command:
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", database_url)
    monkeypatch.setenv("SPOTIFY_PIPELINES_VAULT_KEYS", KEY)
    monkeypatch.setenv("PGDATABASE", "misleading")
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Result:
        return CliRunner().invoke(build_app(), list(words), catch_exceptions=False)

    return run


@pytest.fixture
def account(database_url: str) -> int:
    """An account with secrets that can be searched for."""
    from datetime import UTC, datetime

    vault = Vault([KEY])
    with open_database(database_url) as database, database.transaction() as session:
        secret = SecretStr(f"secret-{CANARY}")
        app = add_app(session, vault, name="studio", client_id="studio", client_secret=secret)
        grant = TokenGrant(SecretStr(f"access-{CANARY}"), 3600, SecretStr(f"refresh-{CANARY}"))
        now = datetime.now(UTC) - HOUR
        return save_account(
            session, vault, app_id=app.id, name="Anna", profile=Profile(id="anna"), grant=grant, now=now
        ).id


@pytest.fixture
def empty_url(services_endpoints: services.Endpoints) -> Iterator[str]:
    with fresh_database(services_endpoints) as url:
        yield url


def test_what_is_backed_up_comes_back_and_opens_with_its_key(
    command: Command, account: int, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "studio.dump"
    made = json.loads(command("db", "backup", str(file), "--json").stdout)
    assert (made["file"], made["world"]) == (str(file), "sandbox")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["studio.dump"]

    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", empty_url)
    assert "Restored the world 'sandbox'" in command("db", "restore", str(file)).stdout
    assert json.loads(command("keys", "check", "--json").stdout)["secrets"] == 3
    with open_database(empty_url) as database, database.transaction() as session:
        row = session.get_one(Account, account)
        assert row.refresh_token
        opened = Vault([KEY]).open(row.refresh_token, owner=f"account:{account}", purpose="refresh token")
    assert opened == f"refresh-{CANARY}"


def test_tokens_stay_ciphertext_in_a_backup(command: Command, account: int, tmp_path: Path) -> None:
    file = tmp_path / "studio.dump"
    command("db", "backup", str(file))
    pg_restore = find_postgres_client("pg_restore", 1)
    clear = subprocess.run([pg_restore, "--file=-", file], check=True, capture_output=True).stdout
    assert b"Anna" in clear, "the file itself is compressed: this is what is searched"
    for each in (CANARY, CANARY.encode().hex(), KEY):
        assert each.encode() not in clear
        assert each.encode() not in file.read_bytes()


def test_a_database_with_anything_in_it_is_not_restored_into(
    command: Command, account: int, tmp_path: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "studio.dump"
    command("db", "backup", str(file))
    with pytest.raises(BackupError, match="rows in"):
        command("db", "restore", str(file))
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", empty_url)
    with open_database(empty_url) as database, database.transaction() as session:
        session.execute(text("CREATE TABLE somebody_elses (id int)"))
    with pytest.raises(BackupError, match="somebody_elses"):
        command("db", "restore", str(file))


def test_tables_without_rows_as_up_leaves_them_are_empty(
    command: Command, account: int, tmp_path: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "studio.dump"
    command("db", "backup", str(file))
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", empty_url)
    command("db", "upgrade")
    command("db", "restore", str(file))
    with open_database(empty_url) as database, database.transaction() as session:
        assert session.get_one(Account, account).name == "Anna"


def test_a_newer_schema_is_refused_by_restore_and_upgrade(
    command: Command, database_url: str, tmp_path: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_database(database_url) as database, database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer version of this program"):
        command("db", "upgrade")
    file = tmp_path / "newer.dump"
    command("db", "backup", str(file))
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", empty_url)
    with pytest.raises(BackupError, match="newer version of this program"):
        command("db", "restore", str(file))
    with open_database(empty_url) as database, database.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == 0


def test_a_backup_of_the_other_world_is_refused(
    command: Command, database_url: str, tmp_path: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sandbox.dump"
    command("db", "backup", str(file))
    monkeypatch.setenv("SPOTIFY_PIPELINES_WORLD", "live")
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", empty_url)
    with pytest.raises(BackupError, match="of the world 'sandbox'"):
        command("db", "restore", str(file))


def test_what_is_no_backup_is_refused_and_no_file_is_overwritten(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    with pytest.raises(BackupError, match="no file"):
        command("db", "restore", str(file))
    file.write_text("mine")
    with pytest.raises(BackupError, match="is no backup"):
        command("db", "restore", str(file))
    with pytest.raises(BackupError, match="exists already"):
        command("db", "backup", str(file))
    with pytest.raises(BackupError, match="can't be written"):
        command("db", "backup", str(tmp_path / "nowhere" / "x.dump"))
    assert file.read_text() == "mine"


def test_an_empty_database_is_brought_up_to_date_and_a_second_time_nothing_happens(
    command: Command, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTIFY_PIPELINES_DATABASE_URL", empty_url)
    newest = known_revisions()[0]
    assert json.loads(command("db", "upgrade", "--json").stdout) == {
        "version": 1,
        "before": None,
        "now": newest,
    }
    assert "up to date" in command("db", "upgrade").stdout


def test_programs_that_are_too_old_for_the_server_are_not_taken() -> None:
    with pytest.raises(ServiceError, match="pg_dump of PostgreSQL 99 or newer is missing"):
        find_postgres_client("pg_dump", 99)

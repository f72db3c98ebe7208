"""Settings: what is wrong is named by its variable, and no value is shown."""

import os
from pathlib import Path

import pytest

from spotify_pipelines.settings import ENDPOINT_FAMILIES, Settings, SettingsError, load_settings
from spotify_pipelines.spotify.families import FAMILIES


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose ``.env`` alone counts."""
    for name in os.environ:
        if name.startswith("SPOTIFY_PIPELINES_"):
            monkeypatch.delenv(name)
    return tmp_path


def settings(folder: Path, **values: str) -> Settings:
    lines = [f"SPOTIFY_PIPELINES_{name.upper()}='{value}'\n" for name, value in values.items()]
    (folder / ".env").write_text("".join(lines), "utf-8")
    return load_settings(folder)


@pytest.mark.parametrize(
    ("world", "url"),
    [
        ("live", "http://127.0.0.1:8765/v1"),
        ("live", "https://api.spotify.com.evil.example/v1"),
        ("sandbox", "https://api.spotify.com/v1"),
    ],
)
def test_an_address_of_the_other_world_is_refused(read: Path, world: str, url: str) -> None:
    with pytest.raises(SettingsError, match="SPOTIFY_API_URL names a host"):
        settings(read, world=world, spotify_api_url=url)


def test_the_live_world_has_spotifys_own_addresses_and_the_sandbox_none(read: Path) -> None:
    assert settings(read, world="live").require_spotify_api_url() == "https://api.spotify.com/v1"
    with pytest.raises(SettingsError, match="spotify-pipelines up"):
        settings(read).require_spotify_api_url()


def test_a_value_out_of_range_is_named_and_not_shown(read: Path) -> None:
    with pytest.raises(SettingsError, match="SPOTIFY_PIPELINES_APP_CALLS_PER_30S: ") as refused:
        settings(read, app_calls_per_30s="hush")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["junk", "http://cache/0", "redis://:hush@cache:99999/0", "redis://:hu/sh@c:1"]
)
def test_what_is_no_address_of_redis_is_refused_and_not_shown(read: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="SPOTIFY_PIPELINES_REDIS_URL") as refused:
        settings(read, redis_url=url).require_redis_url()
    assert "hu" not in str(refused.value)


def test_servers_that_are_missing_are_asked_for(read: Path) -> None:
    with pytest.raises(SettingsError, match="SPOTIFY_PIPELINES_REDIS_URL is not set"):
        settings(read).require_redis_url()
    with pytest.raises(SettingsError, match="SPOTIFY_PIPELINES_DATABASE_URL is not set"):
        settings(read).require_database_url()
    for url in ("redis://:a%2Fb@cache:6379/0", "unix:///run/redis.sock", "rediss://cache"):
        assert settings(read, redis_url=url).require_redis_url() == url


def test_families_of_endpoints_get_their_limits_as_json(read: Path) -> None:
    assert settings(read, family_calls_per_30s='{"cover": 10}').family_calls_per_30s == {"cover": 10}
    assert settings(read).family_calls_per_30s == {}
    assert set(FAMILIES.values()) == ENDPOINT_FAMILIES


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("cover=10", "JSON"),
        ("[1]", "dictionary"),
        ('{"cover": 0}', "greater than or equal to 1"),
        ('{"covers": 10}', "no family of endpoints covers; there are: cover"),
    ],
)
def test_a_familys_limit_that_makes_no_sense_is_refused(read: Path, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"SPOTIFY_PIPELINES_FAMILY_CALLS_PER_30S.*{says}"):
        settings(read, family_calls_per_30s=value)


def keys(found: Settings) -> list[str]:
    return [key.get_secret_value() for key in found.vault_keys]


def test_keys_come_from_a_variable_a_file_or_a_folder_of_secrets(
    read: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys(settings(read, vault_keys="new, old")) == ["new", "old"]
    file = read / "keys"
    file.write_text("new\nold\n")
    assert keys(settings(read, vault_keys_file=str(file))) == ["new", "old"]

    folder = read / "secrets"
    folder.mkdir()
    (folder / "spotify_pipelines_vault_keys").write_text("mounted,older\n")
    (folder / "spotify_pipelines_redis_url").write_text("redis://:hush@cache:6379/0")
    assert keys(settings(read, secrets_dir=str(folder))) == ["mounted", "older"]
    assert keys(settings(read, secrets_dir=str(folder), vault_keys="mine")) == ["mine"]
    monkeypatch.setenv("SPOTIFY_PIPELINES_SECRETS_DIR", str(folder))
    assert settings(read).require_redis_url() == "redis://:hush@cache:6379/0"


def test_where_keys_can_not_be_found_it_is_said_without_showing_any(read: Path) -> None:
    file = read / "keys"
    file.write_text("hush")
    with pytest.raises(SettingsError, match="are both set") as both:
        settings(read, vault_keys="hush", vault_keys_file=str(file))
    with pytest.raises(SettingsError, match=r"nowhere.*No such file"):
        settings(read, vault_keys_file=str(read / "nowhere"))
    file.write_bytes(b"hush\xff")
    with pytest.raises(SettingsError, match="other signs") as damaged:
        settings(read, vault_keys_file=str(file))
    with pytest.raises(SettingsError, match="SPOTIFY_PIPELINES_SECRETS_DIR names"):
        settings(read, secrets_dir=str(read / "nowhere"))
    assert "hush" not in str(both.value) + str(damaged.value)


def test_receivers_of_alerts_are_read(read: Path) -> None:
    found = settings(
        read,
        alert_webhook_url="https://hooks.example.com/T1/B2",
        alert_email_to="ops@example.com, ann@example.com",
        smtp_url="smtps://studio:hu%2Fsh@mail.example.com:465",
    )
    assert found.alert_email_to == ["ops@example.com", "ann@example.com"]
    assert "hush" not in repr(found)
    assert "T1" not in repr(found)
    assert settings(read).alert_webhook_url is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"alert_webhook_url": "hooks.example.com/hush"}, "ALERT_WEBHOOK_URL: .*https://"),
        ({"alert_webhook_url": "https:///hush"}, "ALERT_WEBHOOK_URL: .*https://"),
        ({"smtp_url": "http://hush"}, "SMTP_URL: .*smtps://"),
        ({"smtp_url": "smtps://u:hush@h:99999"}, "SMTP_URL: .*smtps://"),
        ({"alert_email_to": "hush", "smtp_url": "smtp://h"}, "ALERT_EMAIL_TO: .*addresses"),
        ({"alert_email_to": "a@b <hush>", "smtp_url": "smtp://h"}, "ALERT_EMAIL_TO: .*addresses"),
        ({"alert_email_to": "a@b.example"}, "SMTP_URL .*as well"),
        ({"alert_email_from": "hush"}, "ALERT_EMAIL_FROM"),
        ({"keep_calls_days": "1"}, "KEEP_CALLS_DAYS.*greater than or equal to 2"),
    ],
)
def test_a_receiver_that_can_not_be_one_is_refused_and_not_shown(
    read: Path, values: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingsError, match=f"SPOTIFY_PIPELINES_{says}") as refused:
        settings(read, **values)
    assert "hush" not in str(refused.value)

"""Which services start, what ``.env`` then says, and that a server of the user's own is never doubled."""

import http.client
import os
import shutil
from pathlib import Path

import psutil
import pytest
from cryptography.fernet import Fernet
from dotenv import dotenv_values

from spotify_pipelines import services
from spotify_pipelines.settings import SettingsError, World, load_settings
from spotify_pipelines_tests.services.conftest import settings_in

FOREIGN_DATABASE = "postgresql+psycopg://me:p%40ss@db.invalid:6000/mine_live"
KEY = Fernet.generate_key().decode()
FOREIGN = {"database_url": FOREIGN_DATABASE, "redis_url": "redis://cache.invalid/0", "vault_keys": KEY}


@pytest.fixture(autouse=True)
def no_variables_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SPOTIFY_PIPELINES_", "DAGSTER_")):
            monkeypatch.delenv(name)


def env(root: Path) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(root / ".env").items()}


def running(root: Path) -> set[str]:
    return {each.name for each in services.status(settings_in(root)) if each.running}


def up(root: Path, world: World | None = None, albums: int | None = None) -> services.Endpoints:
    return services.up(services.settings_for(root, world), root=root, albums=albums)


def test_a_new_checkout_gets_all_three_services_and_every_tool_finds_them(checkout: Path) -> None:
    endpoints = up(checkout, albums=20)

    assert running(checkout) == {"postgres", "redis", "simulator"}
    assert endpoints.skipped == {}
    assert endpoints.postgres
    settings = load_settings(checkout)
    assert settings.world is World.SANDBOX
    assert settings.require_database_url() == endpoints.postgres.url("spotify_pipelines_sandbox")
    assert settings.require_redis_url() == endpoints.redis_url
    assert settings.spotify_api_url == f"{endpoints.simulator_url}/v1"
    assert settings.spotify_accounts_url == endpoints.simulator_url
    assert settings.reccobeats_url == f"{endpoints.simulator_url}/reccobeats/v1"
    Fernet(settings.vault_keys[0].get_secret_value())
    home = Path(env(checkout)["DAGSTER_HOME"])
    assert home.is_absolute()
    assert (home / "dagster.yaml").read_text() == (checkout / "dagster.yaml").read_text()
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600

    before = (checkout / ".env").read_bytes()
    assert up(checkout) == endpoints  # and the catalogue stays: nothing was restarted
    assert (checkout / ".env").read_bytes() == before


def test_the_simulator_restarts_for_another_catalogue_only_and_keeps_its_port(checkout: Path) -> None:
    def pid() -> int | None:
        return next(each.pid for each in services.status(settings_in(checkout)) if each.name == "simulator")

    only = {"postgres": "not here", "redis": "not here"}
    settings = settings_in(checkout)
    first = services.start(settings, skipped=only, albums=20, seed=1)
    kept = pid()
    services.start(settings, skipped=only, albums=20, seed=1)
    services.start(settings, skipped=only)
    assert pid() == kept

    second = services.start(settings, skipped=only, albums=30, seed=1)

    assert pid() != kept
    assert second == first
    assert second.simulator_url
    connection = http.client.HTTPConnection(second.simulator_url.removeprefix("http://"))
    connection.request("GET", "/_sim/health")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_killed_simulator_is_mended_on_its_port_with_its_catalogue(checkout: Path) -> None:
    only = {"postgres": "not here", "redis": "not here"}
    first = services.start(settings_in(checkout), skipped=only, albums=20)
    (killed,) = (each for each in services.status(settings_in(checkout)) if each.running)
    assert killed.pid
    psutil.Process(killed.pid).kill()

    assert services.start(settings_in(checkout), skipped=only) == first

    (mended,) = (each for each in services.status(settings_in(checkout)) if each.running)
    assert mended.pid
    assert mended.pid != killed.pid
    assert psutil.Process(mended.pid).cmdline()[-2:] == ["--albums", "20"]


def test_a_catalogue_that_can_not_be_read_fails_with_the_simulators_sentence(checkout: Path) -> None:
    catalogue = checkout / "bad.csv"
    catalogue.write_text("not,a,catalogue\n1,2,3\n")
    only = {"postgres": "not here", "redis": "not here"}
    with pytest.raises(services.ServiceError, match=r"(?s)simulator ended right after its start.*bad\.csv"):
        services.start(settings_in(checkout), skipped=only, catalogue=catalogue)
    with pytest.raises(services.ServiceError, match="no catalogue file"):
        services.start(settings_in(checkout), skipped=only, catalogue=checkout / "none.csv")
    with pytest.raises(services.ServiceError, match="name one"):
        services.start(settings_in(checkout), skipped=only, catalogue=catalogue, albums=3)


def test_a_catalogue_that_failed_does_not_stand_in_the_way_of_the_next_start(checkout: Path) -> None:
    only = {"postgres": "not here", "redis": "not here"}
    before = services.start(settings_in(checkout), skipped=only, albums=20)
    catalogue = checkout / "bad.csv"
    catalogue.write_text("not,a,catalogue\n1,2,3\n")
    with pytest.raises(services.ServiceError, match=r"bad\.csv"):
        services.start(settings_in(checkout), skipped=only, catalogue=catalogue)

    assert services.start(settings_in(checkout), skipped=only) == before

    (running_again,) = (each for each in services.status(settings_in(checkout)) if each.running)
    assert running_again.pid
    assert psutil.Process(running_again.pid).cmdline()[-2:] == ["--albums", "20"]


def test_with_real_urls_nothing_embedded_starts_and_the_reasons_are_given(checkout: Path) -> None:
    endpoints = services.up(settings_in(checkout, world=World.LIVE, **FOREIGN), root=checkout)

    assert running(checkout) == set()
    assert not (checkout / ".state" / "postgres").exists()
    assert endpoints.skipped == {
        "postgres": "SPOTIFY_PIPELINES_DATABASE_URL names a server of your own",
        "redis": "SPOTIFY_PIPELINES_REDIS_URL names a server of your own",
        "simulator": "the world is 'live'",
    }
    written = env(checkout)
    assert "SPOTIFY_PIPELINES_DATABASE_URL" not in written
    assert "SPOTIFY_PIPELINES_REDIS_URL" not in written
    dagsters = [written[f"DAGSTER_POSTGRES_{part}"] for part in ("HOST", "PORT", "USER", "PASSWORD", "DB")]
    assert dagsters == ["db.invalid", "6000", "me", "p@ss", "dagster"]
    notes = {each.name: each.note for each in services.status(settings_in(checkout, **FOREIGN))}
    assert notes["postgres"] == endpoints.skipped["postgres"]


@pytest.mark.parametrize("place", ["own line", "exported"])
def test_a_url_of_the_users_own_counts_wherever_it_stands(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for name, value in FOREIGN.items():
        variable = f"SPOTIFY_PIPELINES_{name.upper()}"
        if place == "exported":
            monkeypatch.setenv(variable, value)
        else:
            with (checkout / ".env").open("a") as file:
                file.write(f"{variable}={value}\n")
    up(checkout, World.LIVE)
    assert running(checkout) == set()


def test_an_address_with_an_unreadable_port_is_refused_without_a_part_of_it(checkout: Path) -> None:
    url = FOREIGN_DATABASE.replace("p%40ss", "hush/hush")
    (checkout / ".env").write_text(
        f"SPOTIFY_PIPELINES_DATABASE_URL={url}\nSPOTIFY_PIPELINES_REDIS_URL=redis://cache.invalid/0\n"
        f"SPOTIFY_PIPELINES_WORLD=live\nSPOTIFY_PIPELINES_VAULT_KEYS={KEY}\n"
    )
    with pytest.raises(SettingsError, match="percent-encoded") as refused:
        up(checkout)
    assert "hush" not in str(refused.value)


def test_a_simulator_of_the_users_own_is_used_instead_of_ours(checkout: Path) -> None:
    settings = settings_in(checkout, spotify_api_url="http://127.0.0.1:1/v1", **FOREIGN)
    endpoints = services.up(settings, root=checkout)
    assert running(checkout) == set()
    assert endpoints.skipped["simulator"] == "SPOTIFY_PIPELINES_SPOTIFY_API_URL names a server of your own"


def test_worlds_have_databases_of_their_own_and_the_last_one_stays(checkout: Path) -> None:
    up(checkout, World.LIVE)
    assert running(checkout) == {"postgres", "redis"}
    live = env(checkout)
    up(checkout)
    assert env(checkout) == live
    assert live["SPOTIFY_PIPELINES_DATABASE_URL"].endswith("/spotify_pipelines_live")
    assert not [name for name in live if "SPOTIFY_API" in name or "RECCOBEATS" in name]
    up(checkout, World.SANDBOX, albums=20)
    assert env(checkout)["SPOTIFY_PIPELINES_DATABASE_URL"].endswith("/spotify_pipelines_sandbox")
    assert env(checkout)["SPOTIFY_PIPELINES_VAULT_KEYS"] == live["SPOTIFY_PIPELINES_VAULT_KEYS"]


def test_a_world_that_contradicts_the_users_own_line_is_refused(checkout: Path) -> None:
    (checkout / ".env").write_text("SPOTIFY_PIPELINES_WORLD=live\n")
    with pytest.raises(SettingsError, match=r"--world sandbox.*'live' \(in \.env\)"):
        services.settings_for(checkout, World.SANDBOX)


def test_an_exported_variable_that_differs_is_named_without_its_value(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "/somewhere/secret")
    with pytest.raises(services.ServiceError, match="unset DAGSTER_HOME") as caught:
        services.up(settings_in(checkout, world=World.LIVE, **FOREIGN), root=checkout)
    assert "secret" not in str(caught.value)
    assert not (checkout / ".env").exists()


def test_an_own_line_that_differs_from_what_is_exported_stops_before_anything_starts(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".env").write_text("SPOTIFY_PIPELINES_LOG_LEVEL=INFO\n")
    monkeypatch.setenv("SPOTIFY_PIPELINES_LOG_LEVEL", "DEBUG")
    with pytest.raises(services.ServiceError, match="SPOTIFY_PIPELINES_LOG_LEVEL"):
        up(checkout)
    assert running(checkout) == set()


def test_a_shell_that_has_sourced_the_file_is_no_contradiction(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    up(checkout, World.LIVE)
    before = env(checkout)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    endpoints = up(checkout)
    assert endpoints.postgres
    assert env(checkout) == before


def test_the_vault_key_outlives_a_lost_file_and_the_users_own_is_left_alone(checkout: Path) -> None:
    foreign = {name: value for name, value in FOREIGN.items() if name != "vault_keys"}
    foreign |= dict.fromkeys(("spotify_api_url", "spotify_accounts_url"), "http://simulator.invalid")
    services.up(settings_in(checkout, **foreign), root=checkout)
    key = env(checkout)["SPOTIFY_PIPELINES_VAULT_KEYS"]
    file = checkout / ".state" / "vault.key"
    assert file.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(checkout / ".state")
    services.up(settings_in(checkout, **foreign), root=checkout)
    assert env(checkout)["SPOTIFY_PIPELINES_VAULT_KEYS"] == file.read_text() == key

    own = {**foreign, "vault_keys": "mine,older"}
    services.up(settings_in(checkout, **own), root=checkout)
    assert "SPOTIFY_PIPELINES_VAULT_KEYS" not in env(checkout)


def test_real_accounts_on_a_server_of_ones_own_need_a_key_of_ones_own(checkout: Path) -> None:
    foreign = {name: value for name, value in FOREIGN.items() if name != "vault_keys"}
    with pytest.raises(SettingsError, match=r"VAULT_KEYS is not set.*keys new"):
        services.up(settings_in(checkout, world=World.LIVE, **foreign), root=checkout)
    assert not (checkout / ".env").exists()
    assert not (checkout / ".state" / "vault.key").exists()
    (checkout / ".state" / "vault.key").write_text(KEY)
    with pytest.raises(SettingsError, match="An earlier key is in"):
        services.up(settings_in(checkout, world=World.LIVE, **foreign), root=checkout)
    services.up(settings_in(checkout, world=World.LIVE, **FOREIGN), root=checkout)
    assert "SPOTIFY_PIPELINES_VAULT_KEYS" not in env(checkout)


def test_purge_removes_what_the_services_made_and_nothing_else(checkout: Path) -> None:
    (checkout / ".env").write_text("MINE=1\n")
    services.up(settings_in(checkout, world=World.LIVE, **FOREIGN), root=checkout)
    mine = checkout / ".state" / "mine.txt"
    mine.write_text("kept")
    services.purge(settings_in(checkout), checkout)
    assert (checkout / ".env").read_text() == "MINE=1\n"
    assert list((checkout / ".state").iterdir()) == [mine]


def test_outside_of_a_checkout_it_says_where_to_go(checkout: Path) -> None:
    (checkout / "dagster.yaml").unlink()
    with pytest.raises(services.ServiceError, match=r"no dagster\.yaml"):
        services.up(settings_in(checkout, world=World.LIVE, **FOREIGN), root=checkout)

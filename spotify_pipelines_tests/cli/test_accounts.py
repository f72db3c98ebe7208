"""``apps`` and ``accounts`` as a person or a script meets them, against a real consent page."""

import json
import socket
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from spotify_pipelines.accounts.apps import DatabaseApps
from spotify_pipelines.accounts.connect import ConnectError
from spotify_pipelines.accounts.probe import ProbeFailed
from spotify_pipelines.accounts.registry import RegistryError, find_app
from spotify_pipelines.accounts.vault import Vault, VaultError, key_id, new_key
from spotify_pipelines.cli.root import build_app
from spotify_pipelines.spotify.learning import LearnedLimit, Mode
from spotify_pipelines.store.database import Database, DatabaseError, create_database_engine
from spotify_pipelines.store.tables import Account, Album, ApiCalls, ConsentIncident, SpotifyApp
from spotify_pipelines_tests.support.simulator import RunningSimulator, running_simulator

CLIENT_ID = "0123456789abcdef0123456789abcdef"
SECRET = "canary-secret-0123456789"
KEY = new_key()
PROGRAM = str(Path(sys.executable).with_name("spotify-pipelines"))

Command = Callable[..., Result]

# A browser that agrees: it opens the page, is sent back, and shows what it finds there.
BROWSER = """
import sys, httpx
print(httpx.get(sys.argv[1], follow_redirects=True, trust_env=False).text)
"""


@pytest.fixture(scope="module")
def module_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator"), albums=5) as simulator:
        yield simulator


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def simulator(module_simulator: RunningSimulator, port: int) -> RunningSimulator:
    control = module_simulator.control
    control.reset()
    control.add_client(CLIENT_ID, SECRET, redirect_uris=[f"http://127.0.0.1:{port}/callback"])
    control.add_user("anna", display_name="Anna")
    return module_simulator


@pytest.fixture
def environment(
    database_url: str,
    redis_url: str,
    simulator: RunningSimulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Path:
    """Everything the command reads, and a folder to be in."""
    for name, value in {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SPOTIFY_API_URL": simulator.api_url,
        "SPOTIFY_ACCOUNTS_URL": simulator.accounts_url,
        "RECCOBEATS_URL": simulator.reccobeats_url,
        "VAULT_KEYS": KEY,
        "CLIENT_SECRET": SECRET,
    }.items():
        monkeypatch.setenv(f"SPOTIFY_PIPELINES_{name}", value)
    script = tmp_path / "browser.py"
    script.write_text(BROWSER)
    monkeypatch.setenv("BROWSER", f"{sys.executable} {script} %s")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(environment: Path) -> Command:
    def run(*words: str) -> Result:
        return CliRunner().invoke(build_app(), list(words), catch_exceptions=False)

    return run


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(create_database_engine(database_url))) as database:
        yield database


def answer(page: str) -> bool:
    """Agree, in a browser that waits for the page it is sent back to."""
    return httpx.get(page, follow_redirects=True, trust_env=False).is_success


def as_json(result: Result) -> Any:
    return json.loads(result.stdout)


def test_an_apps_secret_comes_from_the_environment_and_is_stored_sealed(
    command: Command, database: Database
) -> None:
    result = command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    assert (result.exit_code, result.stdout) == (0, "The app 'studio' is stored in the world 'sandbox'.\n")
    with database.transaction() as session:
        app = session.scalars(select(SpotifyApp)).one()
    assert app.client_secret is not None
    assert SECRET.encode() not in app.client_secret
    assert Vault([KEY]).open(app.client_secret, owner=f"app:{app.id}", purpose="client secret") == SECRET


def test_without_terminal_and_variable_the_secret_is_asked_for_in_vain(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPOTIFY_PIPELINES_CLIENT_SECRET")
    result = command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    assert result.exit_code == 2
    assert "SPOTIFY_PIPELINES_CLIENT_SECRET" in result.stderr
    assert command("apps", "add", "--no-probe", "studio", CLIENT_ID, "--public").exit_code == 0


@pytest.mark.parametrize("client_id", ["", "two words", "https://x", "ünïcode", "-"])
def test_what_is_no_client_id_is_refused(command: Command, client_id: str) -> None:
    assert command("apps", "add", "studio", "--", client_id).exit_code == 2


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "\udcff", "x" * 101])
def test_what_is_no_name_is_refused(command: Command, name: str) -> None:
    assert command("apps", "add", "--no-probe", name, CLIENT_ID).exit_code == 2
    assert (
        command("apps", "add", "--no-probe", "studio", CLIENT_ID, "--developer-account", name).exit_code == 2
    )
    assert command("accounts", "connect", "--name", name).exit_code == 2


def test_numbers_beyond_all_reason_are_refused(command: Command) -> None:
    assert (
        command("apps", "add", "--no-probe", "studio", CLIENT_ID, "--calls-per-30s", "9" * 20).exit_code == 2
    )
    assert command("accounts", "connect", "--timeout", "1e400").exit_code == 2
    assert command("albums", "list", "--limit", "9" * 20).exit_code == 2


def test_apps_are_listed_with_what_they_lack(command: Command, database: Database) -> None:
    assert "apps add" in command("apps", "list").stdout
    command(
        "apps",
        "add",
        "--no-probe",
        "studio",
        CLIENT_ID,
        "--developer-account",
        "label",
        "--calls-per-30s",
        "50",
    )
    command("apps", "add", "--no-probe", "studio", CLIENT_ID, "--calls-per-day", "700")
    until = datetime.now(UTC) + timedelta(hours=1)
    with database.transaction() as session:
        session.execute(
            update(SpotifyApp).values(
                cooldown_until=until,
                cooldown_reason="QUOTA_EXCEEDED",
                capabilities={"audio_features": {"available": False}},
            )
        )
    shown = command("apps", "list").stdout
    for text in (
        "studio",
        CLIENT_ID,
        "label",
        "50",
        "0 of 700",
        f"{until:%Y-%m-%d %H:%M}",
        "QUOTA_EXC",
        "audio_f",
    ):
        assert text in shown
    [app] = as_json(command("apps", "list", "--json"))["apps"]
    assert (app["name"], app["has_secret"], app["accounts"]) == ("studio", True, 0)
    assert "client_secret" not in app


def test_a_learned_limit_is_listed_with_its_evidence_and_can_be_fixed_and_left_to_be_found(
    command: Command, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit() -> dict[str, Any]:
        [app] = as_json(command("apps", "list", "--json"))["apps"]
        found: dict[str, Any] = app["limit"]
        return found

    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    assert (limit()["calls_per_30s"], limit()["mode"]) == (30, "searching")

    learned = LearnedLimit.restored(
        142.0, Mode.STEADY, None, datetime(2026, 11, 23, 3, 10, tzinfo=UTC).timestamp(), 0
    )
    with database.transaction() as session:
        app_id = find_app(session, "studio").id
    at = datetime(2026, 11, 23, 2, 10, tzinfo=UTC).timestamp()
    counted = {"at": at, "calls_surely_in_window": 141, "calls_possibly_in_window": 143}
    DatabaseApps(database).record_learned_limit(app_id, learned, counted)
    shown = command("apps", "list").stdout
    for text in (
        "142 (settled)",
        "counted 141–143 calls in the 30 s before the 429 of 2026-11-23 02:10",
        "2026-11-23 03:10",
        "not found out yet",
    ):
        assert text in shown

    assert "at most 180 calls" in command("apps", "limit", "studio", "180").stdout
    assert limit() == {
        "calls_per_30s": 180,
        "mode": "fixed",
        "evidence": "fixed for this app ('apps limit')",
        "next_look": None,
        "learned": 142.0,
    }
    assert DatabaseApps(database).profile(app_id).calls_per_30s == 180
    assert "found by counting" in command("apps", "limit", "studio", "--learn").stdout
    assert (limit()["calls_per_30s"], limit()["mode"]) == (142.0, "settled")
    assert DatabaseApps(database).profile(app_id).calls_per_30s is None

    monkeypatch.setenv("SPOTIFY_PIPELINES_APP_CALLS_PER_30S", "90")
    assert (limit()["calls_per_30s"], limit()["mode"]) == (90, "fixed")
    assert "Unset it" in command("apps", "limit", "studio", "--learn").stdout


@pytest.mark.parametrize("given", [[], ["180", "--learn"], ["0"], ["-1"], ["many"], ["100001"]])
def test_a_limit_is_one_sensible_number_or_left_to_be_found(command: Command, given: list[str]) -> None:
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    assert command("apps", "limit", "studio", *given).exit_code == 2


@pytest.mark.parametrize("regime", ["extended", "development"])
def test_a_probe_finds_out_what_spotify_grants_an_app(
    command: Command, simulator: RunningSimulator, database: Database, regime: str
) -> None:
    simulator.control.add_client(CLIENT_ID, SECRET, regime=regime)
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    [album, *_] = simulator.control.album_ids()
    with database.transaction() as session:
        session.add(Album(id=album, name="ours", total_tracks=1, read_at=datetime.now(UTC)))
    found = as_json(command("apps", "probe", "studio", "--json"))["capabilities"]
    granted = regime == "extended"
    assert found == {
        **dict.fromkeys(("albums_batch", "tracks_batch", "audio_features"), granted),
        "conditional_reads": True,
    }
    [app] = as_json(command("apps", "list", "--json"))["apps"]
    assert {name: each["available"] for name, each in app["capabilities"].items()} == found
    for each in app["capabilities"].values():
        at, expires = (datetime.fromisoformat(each[name]) for name in ("at", "expires_at"))
        assert expires - at == timedelta(days=30)
        assert any(sign in each["evidence"] for sign in ("answered a probe", "status 40", "answered 304"))
    shown = [line.split() for line in command("apps", "list").stdout.splitlines()]
    granted_as = {line[1]: line[2] for line in shown if line[1:2] and line[1] in found}
    assert granted_as == {name: "yes" if available else "no" for name, available in found.items()}
    with database.transaction() as session:
        rows = session.scalars(select(ApiCalls).where(ApiCalls.app_id.is_not(None))).all()
        asked = {row.endpoint: (row.calls, row.minimum) for row in rows if ": " not in row.endpoint}
    assert asked == {
        **dict.fromkeys(("GET /albums", "GET /tracks", "GET /audio-features"), (1, 1)),
        "GET /albums/{id}": (2, 2),
    }


def test_a_probe_says_nothing_of_conditional_reads_where_there_is_no_album_to_read(command: Command) -> None:
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    assert "conditional_reads" not in as_json(command("apps", "probe", "studio", "--json"))["capabilities"]


def test_a_probe_that_finds_nothing_out_says_why(command: Command, simulator: RunningSimulator) -> None:
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    simulator.control.add_client(CLIENT_ID, "another secret")
    with pytest.raises(ProbeFailed, match="refuses the id or secret of the app"):
        command("apps", "probe", "studio")
    with pytest.raises(RegistryError, match="There is no app 'nobody'"):
        command("apps", "probe", "nobody")


def test_an_account_is_connected_in_the_browser(
    command: Command, environment: Path, simulator: RunningSimulator, port: int
) -> None:
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    done = subprocess.run(
        [PROGRAM, "accounts", "connect", "--port", str(port), "--name", "Studio Berlin", "--timeout", "30"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Connected 'Studio Berlin' (Spotify user anna)" in done.stdout
    assert "world 'sandbox'" in done.stderr
    [account] = as_json(command("accounts", "list", "--json"))["accounts"]
    assert (account["name"], account["health"], account["missing_scopes"]) == ("Studio Berlin", "ok", [])
    assert SECRET not in done.stdout + done.stderr


def test_a_user_who_declines_ends_the_wait(
    command: Command, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    monkeypatch.setattr(webbrowser, "open", lambda page: answer(f"{page}&decision=deny"))
    with pytest.raises(ConnectError, match="the user declined"):
        command("accounts", "connect", "--port", str(port), "--timeout", "30")


def test_an_account_is_connected_without_a_browser_by_pasting(
    command: Command, simulator: RunningSimulator, port: int
) -> None:
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    with subprocess.Popen(
        [PROGRAM, "accounts", "connect", "--no-browser", "--port", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        page = next(line for line in process.stderr if line.startswith(simulator.accounts_url)).strip()
        assert parse_qs(urlsplit(page).query)["code_challenge_method"] == ["S256"]
        back = httpx.get(page, trust_env=False).headers["Location"]
        out, err = process.communicate(f"{back}\n", timeout=60)
    assert process.returncode == 0, err
    assert "Connected 'Anna'" in out


def test_another_user_than_the_expected_one_is_refused(
    command: Command, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    monkeypatch.setattr(webbrowser, "open", answer)
    with pytest.raises(ConnectError, match="answered as 'anna', but 'ben'"):
        command("accounts", "connect", "--port", str(port), "--user", "ben", "--timeout", "30")
    assert as_json(command("accounts", "list", "--json"))["accounts"] == []


def test_connecting_without_an_app_says_how_to_add_one(command: Command) -> None:
    with pytest.raises(RegistryError, match="apps add"):
        command("accounts", "connect")


def test_without_a_key_the_secret_is_not_taken(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPOTIFY_PIPELINES_VAULT_KEYS")
    with pytest.raises(VaultError, match="SPOTIFY_PIPELINES_VAULT_KEYS is not set"):
        command("apps", "add", "--no-probe", "studio", CLIENT_ID)


def test_a_database_of_the_other_world_is_refused(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPOTIFY_API_URL", "SPOTIFY_ACCOUNTS_URL"):
        monkeypatch.delenv(f"SPOTIFY_PIPELINES_{name}")
    monkeypatch.setenv("SPOTIFY_PIPELINES_WORLD", "live")
    with pytest.raises(DatabaseError, match="belongs to the world 'sandbox'"):
        command("apps", "add", "--no-probe", "studio", CLIENT_ID)


def test_health_says_what_to_do_and_ends_with_one_while_somebody_is_not_well(
    command: Command, database: Database
) -> None:
    now = datetime.now(UTC)
    assert command("accounts", "health").exit_code == 0
    with database.transaction() as session:
        app = SpotifyApp(name="studio", client_id=CLIENT_ID)
        session.add(app)
        session.flush()
        session.add_all(
            [
                Account(app_id=app.id, name="[red]Anna\x1b[31m", spotify_user_id="anna"),
                Account(
                    app_id=app.id,
                    name="Ben",
                    spotify_user_id="ben",
                    health="quarantined",
                    health_reason="not_registered",
                    next_probe_at=now,
                ),
                Account(
                    app_id=app.id,
                    name="Carla",
                    spotify_user_id="carla",
                    consent_ends_at=now + timedelta(days=10),
                ),
            ]
        )
    result = command("accounts", "health")
    assert result.exit_code == 1
    assert "User Management" in result.stdout
    assert "(urgent)" in result.stdout
    assert "[red]Anna" in result.stdout
    assert "\x1b" not in result.stdout
    found = as_json(command("accounts", "health", "--json"))
    assert found["version"] == 1
    assert {account["name"]: account["consent"] for account in found["accounts"]}["Carla"] == "urgent"
    assert "(urgent)" in command("accounts", "list").stdout


def connected(command: Command, monkeypatch: pytest.MonkeyPatch, port: int, *, user: str = "anna") -> None:
    """An app and an account, connected as ever."""
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    monkeypatch.setattr(webbrowser, "open", lambda page: answer(f"{page}&login_hint={user}"))
    command("accounts", "connect", "--port", str(port), "--timeout", "30")


def test_a_new_app_is_probed_at_once(command: Command, simulator: RunningSimulator) -> None:
    result = command("apps", "add", "studio", CLIENT_ID)
    assert result.exit_code == 0
    assert "extended quota" in result.stdout
    [app] = as_json(command("apps", "list", "--json"))["apps"]
    assert app["capabilities"]["albums_batch"]["available"] is True


def test_an_app_whose_probe_fails_is_stored_and_it_is_said(
    command: Command, simulator: RunningSimulator
) -> None:
    simulator.control.add_client(CLIENT_ID, "another secret")
    result = command("apps", "add", "studio", CLIENT_ID)
    assert result.exit_code == 1
    assert "refuses the id or secret" in result.stderr
    assert "apps probe studio" in result.stderr
    assert [app["name"] for app in as_json(command("apps", "list", "--json"))["apps"]] == ["studio"]


def test_an_apps_secret_is_read_from_a_file(
    command: Command, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPOTIFY_PIPELINES_CLIENT_SECRET")
    file = tmp_path / "secret"
    for content in ("", "two words", "gr\u00fcn"):
        file.write_text(content, encoding="utf-8")
        assert command("apps", "add", "studio", CLIENT_ID, "--secret-file", str(file)).exit_code == 2
    assert command("apps", "add", "studio", CLIENT_ID, "--secret-file", str(tmp_path / "x")).exit_code == 2
    file.write_text(f"{SECRET}\n")
    assert command("apps", "add", "studio", CLIENT_ID, "--public", "--secret-file", str(file)).exit_code == 2
    assert command("apps", "add", "studio", CLIENT_ID, "--secret-file", str(file)).exit_code == 0
    with database.transaction() as session:
        app = session.scalars(select(SpotifyApp)).one()
    assert app.client_secret
    assert Vault([KEY]).open(app.client_secret, owner=f"app:{app.id}", purpose="client secret") == SECRET


def test_an_account_is_shown_with_what_happened_to_it(
    command: Command, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    connected(command, monkeypatch, port)
    shown = command("accounts", "show", "Anna").stdout
    for text in ("anna", "studio", "ok", "connected"):
        assert text in shown
    found = as_json(command("accounts", "show", "1", "--json"))
    assert (found["account"]["name"], found["events"][0]["event"]) == ("Anna", "connected")
    with pytest.raises(RegistryError, match="There is no account 'Ben'"):
        command("accounts", "show", "Ben")


def test_a_consent_is_renewed_by_the_same_user_alone(
    command: Command,
    simulator: RunningSimulator,
    monkeypatch: pytest.MonkeyPatch,
    port: int,
    database: Database,
) -> None:
    connected(command, monkeypatch, port)
    simulator.control.add_user("ben", display_name="Ben")
    renew = ("accounts", "reauthorize", "Anna", "--port", str(port), "--timeout", "30")

    monkeypatch.setattr(webbrowser, "open", lambda page: answer(f"{page}&login_hint=ben"))
    with pytest.raises(ConnectError, match="answered as 'ben', but 'Anna' is the Spotify user 'anna'"):
        command(*renew)
    assert [each["name"] for each in as_json(command("accounts", "list", "--json"))["accounts"]] == ["Anna"]

    with database.transaction() as session:
        session.execute(update(Account).values(health="quarantined", health_reason="authorization_lost"))
    monkeypatch.setattr(webbrowser, "open", lambda page: answer(f"{page}&login_hint=anna"))
    assert "Connected 'Anna'" in command(*renew).stdout
    [account] = as_json(command("accounts", "list", "--json"))["accounts"]
    assert account["health"] == "ok"


def test_disconnecting_asks_first_and_exports_what_it_deletes(
    command: Command, monkeypatch: pytest.MonkeyPatch, port: int, tmp_path: Path
) -> None:
    connected(command, monkeypatch, port)
    assert command("accounts", "disconnect", "Anna").exit_code == 2, "there is nobody to ask"
    file = tmp_path / "anna.json"
    file.write_text("mine")
    assert command("accounts", "disconnect", "Anna", "--yes", "--export", str(file)).exit_code == 2
    assert file.read_text() == "mine"
    assert len(as_json(command("accounts", "list", "--json"))["accounts"]) == 1

    file.unlink()
    result = command("accounts", "disconnect", "Anna", "--yes", "--export", str(file))
    assert "'Anna' is disconnected" in result.stdout
    exported = json.loads(file.read_text())
    assert exported["account"]["spotify_user_id"] == "anna"
    assert "token" not in json.dumps(exported["account"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert as_json(command("accounts", "list", "--json"))["accounts"] == []
    connected(command, monkeypatch, port)
    [again] = as_json(command("accounts", "list", "--json"))["accounts"]
    assert again["id"] == 2


def test_an_incident_is_shown_and_ended_by_a_person(command: Command, database: Database) -> None:
    assert "No incident" in command("apps", "incident").stdout
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    now = datetime.now(UTC)
    with database.transaction() as session:
        app = find_app(session, "studio")
        accounts = [
            Account(
                app_id=app.id, name=name, spotify_user_id=name, health="degraded", health_reason="incident"
            )
            for name in ("anna", "ben", "carla")
        ]
        session.add_all(accounts)
        session.flush()
        session.add(
            ConsentIncident(
                app_id=app.id, began_at=now, next_probe_at=now, account_ids=[each.id for each in accounts]
            )
        )
    [found] = as_json(command("apps", "incident", "--json"))["incidents"]
    assert (found["accounts"], found["next_probe"]) == (["anna", "ben", "carla"], "anna")
    assert "anna, ben, carla" in command("apps", "incident", "studio").stdout
    for wrong in (["--confirm"], ["studio", "--confirm", "--release"]):
        assert command("apps", "incident", *wrong).exit_code == 2
    assert "3 accounts are quarantined" in command("apps", "incident", "studio", "--confirm").stdout
    found = as_json(command("accounts", "health", "--json"))["accounts"]
    assert {each["reason"] for each in found} == {"authorization_lost"}


def test_keys_are_made_checked_and_rotated(
    command: Command, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("apps", "add", "--no-probe", "studio", CLIENT_ID)
    made = command("keys", "new").stdout.strip()
    Vault([made])
    assert as_json(command("keys", "check", "--json"))["by_key"] == {key_id(KEY): 1}
    monkeypatch.setenv("SPOTIFY_PIPELINES_VAULT_KEYS", made)
    missing = command("keys", "check")
    assert missing.exit_code == 1
    assert "client secret of app:1" in missing.stdout
    monkeypatch.setenv("SPOTIFY_PIPELINES_VAULT_KEYS", f"{made},{KEY}")
    assert "keys rotate" in command("keys", "check").stdout
    assert "1 of 1 secrets were encrypted anew" in command("keys", "rotate").stdout
    assert as_json(command("keys", "rotate", "--json"))["resealed"] == 0
    monkeypatch.setenv("SPOTIFY_PIPELINES_VAULT_KEYS", made)
    shown = command("keys", "check")
    assert shown.exit_code == 0
    assert made not in shown.stdout + missing.stdout

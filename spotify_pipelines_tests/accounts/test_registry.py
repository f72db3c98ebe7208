"""The register: apps and accounts are stored once, names are unique, changes of health leave a trace."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from spotify_pipelines.accounts.apps import DatabaseApps
from spotify_pipelines.accounts.budget import budgets
from spotify_pipelines.accounts.capabilities import findings
from spotify_pipelines.accounts.health import Outcome
from spotify_pipelines.accounts.registry import (
    RegistryError,
    account_standings,
    add_app,
    app_standings,
    find_app,
    load_account,
    record_health,
    save_account,
)
from spotify_pipelines.accounts.vault import Vault, VaultError
from spotify_pipelines.spotify.errors import BanKind, QuotaExceeded
from spotify_pipelines.spotify.learning import LearnedLimit, Mode
from spotify_pipelines.spotify.models import Profile
from spotify_pipelines.spotify.oauth import TokenGrant
from spotify_pipelines.store import tables
from spotify_pipelines.store.cooldowns import bans
from spotify_pipelines.store.tables import Account, Cooldown
from spotify_pipelines_tests.accounts.office import SECRET, Office

NOW = datetime(2026, 8, 31, 12, tzinfo=UTC)
GRANT = TokenGrant(SecretStr("access"), 3600, SecretStr("refresh"), ("playlist-read-private",))


def save(office: Office, user: str, *, name: str | None = None, now: datetime = NOW, **profile: Any) -> int:
    with office.database.transaction() as session:
        return save_account(
            session,
            office.desk.vault,
            app_id=office.app_id,
            name=name,
            profile=Profile(id=user, **profile),
            grant=GRANT,
            now=now,
        ).id


def record(office: Office, account_id: int, *outcomes: Outcome, detail: str | None = None) -> None:
    for outcome in outcomes:
        with office.database.transaction() as session:
            record_health(session, account_id, outcome, NOW, "run-1", detail=detail)


def test_the_same_user_is_stored_once_and_renewed(office: Office) -> None:
    first = save(office, "anna", display_name="Anna")
    record(office, first, Outcome.AUTHORIZATION_LOST)
    again = save(office, "anna", display_name="Anna B.", now=NOW + timedelta(days=1))
    assert again == first
    row = office.account(first)
    assert (row.name, row.display_name, row.health) == ("Anna", "Anna B.", "ok")
    assert row.authorized_at == NOW + timedelta(days=1)
    assert [event.event for event in office.events(first)] == [
        "connected",
        "health_changed",
        "reauthorized",
        "health_changed",
    ]


def test_a_user_is_known_by_the_key_that_never_changes(office: Office) -> None:
    first = save(office, "anna", account_id="acc1")
    assert save(office, "anna.new", account_id="acc1") == first
    assert office.account(first).spotify_user_id == "anna.new"
    other = save(office, "anna", account_id="acc2")
    assert other != first
    assert office.account(other).name == "anna (2)"


def test_a_user_stored_before_that_key_existed_gets_it(office: Office) -> None:
    first = save(office, "anna")
    assert save(office, "anna", account_id="acc1") == first
    assert office.account(first).spotify_account_id == "acc1"


def test_consent_ends_six_calendar_months_after_the_authorization(office: Office) -> None:
    assert office.account(save(office, "anna")).consent_ends_at == datetime(2027, 2, 28, 12, tzinfo=UTC)


def test_two_accounts_never_share_a_name(office: Office) -> None:
    save(office, "anna", display_name="Studio")
    assert office.account(save(office, "ben", display_name="Studio")).name == "ben"
    with pytest.raises(RegistryError, match="'Studio' already"):
        save(office, "carla", name="Studio")
    assert office.account(save(office, "ben", name="Second studio")).name == "Second studio"


def test_tokens_are_not_readable_in_the_database(office: Office) -> None:
    row = office.account(save(office, "anna"))
    assert row.access_token is not None
    assert row.refresh_token is not None
    assert b"access" not in row.access_token
    assert SECRET.encode() not in (office.app().client_secret or b"")


def test_without_a_key_nothing_is_stored(office: Office) -> None:
    with pytest.raises(VaultError), office.database.transaction() as session:
        save_account(
            session,
            Vault([]),
            app_id=office.app_id,
            name=None,
            profile=Profile(id="anna"),
            grant=GRANT,
            now=NOW,
        )
    with office.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Account)) == 0


def test_only_a_change_of_state_leaves_an_event_and_a_line_in_the_log(
    office: Office, logged: list[dict[str, Any]]
) -> None:
    anna = save(office, "anna")
    failure = Outcome.TRANSIENT_FAILURE
    well = Outcome.SUCCESS
    record(office, anna, well, failure, failure, failure, failure, well, well, well)
    changes = [event for event in office.events(anna) if event.event == "health_changed"]
    assert [(change.health_before, change.health_after) for change in changes] == [
        ("ok", "degraded"),
        ("degraded", "ok"),
    ]
    assert changes[0].run_id == "run-1"
    lines = [line for line in logged if line["event"] == "account.health_changed"]
    assert [line["after"] for line in lines] == ["degraded", "ok"]


def test_an_event_says_what_happened_and_the_standing_what_to_do(office: Office) -> None:
    anna = save(office, "anna")
    record(office, anna, Outcome.PREMIUM_LAPSED, detail="403 from GET /me")
    assert office.events(anna)[-1].reason == "premium_lapsed: 403 from GET /me"
    with office.database.transaction() as session:
        [standing] = account_standings(session, NOW)
    assert (standing.health, standing.reason) == ("quarantined", "premium_lapsed")
    assert "Have it renewed" in (standing.advice or "")
    assert standing.missing_scopes == ("playlist-modify-public", "playlist-modify-private")
    assert standing.app == "office"


def test_another_reason_for_quarantine_is_news_too(office: Office) -> None:
    anna = save(office, "anna")
    record(office, anna, Outcome.PREMIUM_LAPSED, Outcome.PREMIUM_LAPSED, Outcome.AUTHORIZATION_LOST)
    assert len([event for event in office.events(anna) if event.event == "health_changed"]) == 2


def test_what_is_not_there_is_named(office: Office) -> None:
    with office.database.transaction() as session, pytest.raises(RegistryError, match="id 77"):
        load_account(session, 77)
    with office.database.transaction() as session, pytest.raises(RegistryError, match=r"'nope'.*'office'"):
        find_app(session, "nope")


def test_adding_an_app_again_replaces_its_secret_and_keeps_the_rest(office: Office) -> None:
    with office.database.transaction() as session:
        app = find_app(session, None)
        before = app.client_secret
        add_app(
            session,
            office.desk.vault,
            name="office",
            client_id=app.client_id,
            client_secret=SecretStr("new"),
            developer_account="studio",
            calls_per_30s=50,
        )
    with office.database.transaction() as session:
        add_app(session, office.desk.vault, name="office", client_id=app.client_id, client_secret=None)
        [standing] = app_standings(session, NOW)
        assert find_app(session, "office").client_secret not in (None, before)
    assert (standing.developer_account, standing.calls_per_30s, standing.has_secret) == ("studio", 50, True)


@pytest.mark.parametrize(("name", "client_id"), [("office", "another-id"), ("another", "office-app")])
def test_a_name_and_a_client_id_belong_together(office: Office, name: str, client_id: str) -> None:
    with office.database.transaction() as session, pytest.raises(RegistryError, match="'office'"):
        add_app(session, office.desk.vault, name=name, client_id=client_id, client_secret=None)


def ban(until: datetime = NOW, kind: BanKind = BanKind.QUOTA) -> QuotaExceeded:
    return QuotaExceeded(
        "banned", until=until, kind=kind, said=f"{kind} said so", retry_after="60", endpoint="GET /me"
    )


def test_a_cooldown_is_never_shortened_and_survives_the_process(office: Office) -> None:
    apps = DatabaseApps(office.database)
    later, sooner = NOW + timedelta(hours=13), NOW + timedelta(hours=1)
    apps.record_cooldown(office.app_id, ban(later))
    apps.record_cooldown(office.app_id, ban(sooner, BanKind.LIMIT))
    assert apps.profile(office.app_id).cooldown_until == later
    assert DatabaseApps(office.database).profile(office.app_id).cooldown_until == later
    assert office.app().cooldown_reason == "quota said so"


def test_every_ban_is_kept_in_spotifys_own_words(office: Office, logged: list[dict[str, Any]]) -> None:
    apps = DatabaseApps(office.database, clock=lambda: NOW)
    apps.record_cooldown(office.app_id, ban(NOW + timedelta(hours=2)))
    apps.record_cooldown(office.app_id, ban(NOW + timedelta(hours=1), BanKind.LIMIT))
    with office.database.transaction() as session:
        rows = session.scalars(select(Cooldown).order_by(Cooldown.id)).all()
        assert [(row.kind, row.until - NOW, row.reason) for row in rows] == [
            ("quota", timedelta(hours=2), "quota said so"),
            ("limit", timedelta(hours=1), "limit said so"),
        ]
        assert {(row.retry_after, row.endpoint, row.observed_at) for row in rows} == {("60", "GET /me", NOW)}
        [told] = bans(session, NOW)
        assert (told.app, told.kind, told.retry_after, told.endpoint) == ("office", "quota", "60", "GET /me")
        assert bans(session, NOW + timedelta(hours=2)) == []
    events = [event for event in logged if event["event"] == "app.cooldown_started"]
    assert [(event["kind"], event["apps"]) for event in events] == [("quota", ["office"]), ("limit", [])]


def test_a_limit_ban_holds_for_its_app_alone(office: Office) -> None:
    with office.database.transaction() as session:
        one, other = (
            add_app(
                session,
                office.desk.vault,
                name=name,
                client_id=name,
                client_secret=None,
                developer_account="studio",
            ).id
            for name in ("one", "other")
        )
    apps = DatabaseApps(office.database)
    apps.record_cooldown(one, ban(kind=BanKind.LIMIT))
    assert apps.profile(one).cooldown_until == NOW
    assert apps.profile(other).cooldown_until is None


def test_an_app_added_during_a_quota_ban_of_its_developer_keeps_it_too(office: Office) -> None:
    def add(name: str, developer: str | None) -> int:
        with office.database.transaction() as session:
            return add_app(
                session,
                office.desk.vault,
                name=name,
                client_id=name,
                client_secret=None,
                developer_account=developer,
            ).id

    apps = DatabaseApps(office.database)
    apps.record_cooldown(add("first", "studio"), ban())
    assert DatabaseApps(office.database).profile(add("stranger", None)).cooldown_until is None
    newcomer = add("newcomer", "studio")
    assert DatabaseApps(office.database).profile(newcomer).cooldown_until == NOW
    with office.database.transaction() as session:
        told = {each.app: each.reason for each in bans(session, NOW - timedelta(hours=1))}
    assert told == {"first": "quota said so", "newcomer": "quota said so"}


def test_a_cooldown_holds_for_all_apps_of_the_developer_account_and_for_no_other(office: Office) -> None:
    with office.database.transaction() as session:
        ids = {
            name: add_app(
                session,
                office.desk.vault,
                name=name,
                client_id=name,
                client_secret=None,
                developer_account=developer,
            ).id
            for name, developer in (
                ("a", "studio"),
                ("b", "studio"),
                ("c", "label"),
                ("d", None),
                ("e", None),
            )
        }
    apps = DatabaseApps(office.database)
    apps.record_cooldown(ids["a"], ban())
    apps.record_cooldown(ids["d"], ban())
    cooling = {name for name, id_ in ids.items() if apps.profile(id_).cooldown_until == NOW}
    assert cooling == {"a", "b", "d"}


def test_a_cooldown_of_another_process_is_seen_when_memory_has_gone_stale(office: Office) -> None:
    patient, prompt = (
        DatabaseApps(office.database, fresh_for=3600),
        DatabaseApps(office.database, fresh_for=0),
    )
    for apps in (patient, prompt):
        assert apps.profile(office.app_id).cooldown_until is None
    DatabaseApps(office.database).record_cooldown(office.app_id, ban())
    assert patient.profile(office.app_id).cooldown_until is None
    assert prompt.profile(office.app_id).cooldown_until == NOW


def test_capabilities_are_remembered_side_by_side_with_date_and_evidence(office: Office) -> None:
    apps = DatabaseApps(office.database, clock=lambda: NOW)
    apps.record_capability(office.app_id, "albums_batch", True, "answered")
    apps.record_capability(office.app_id, "audio_features", False, "403")
    apps.record_capability(office.app_id, "albums_batch", False, "403 since")
    assert apps.profile(office.app_id).capabilities == {"albums_batch": False, "audio_features": False}
    found = office.app().capabilities["albums_batch"]
    assert found == {
        "available": False,
        "at": NOW.isoformat(),
        "evidence": "403 since",
        "expires_at": (NOW + timedelta(days=30)).isoformat(),
    }


@pytest.mark.parametrize(
    ("stored", "expires"),
    [
        ({"available": False, "at": NOW.isoformat()}, NOW + timedelta(days=7)),
        ({"available": False, "at": NOW.isoformat(), "expires_at": NOW.isoformat()}, NOW),
        ({"available": False}, None),
    ],
)
def test_what_was_found_out_earlier_expires_too_if_its_date_is_known(
    stored: dict[str, Any], expires: datetime | None
) -> None:
    found = findings({"albums_batch": stored}, days=7)["albums_batch"]
    assert found.expires_at == expires
    assert found.holds(NOW - timedelta(seconds=1))
    assert found.holds(NOW + timedelta(days=999)) == (expires is None)


def test_a_budget_is_set_kept_and_taken_away(office: Office) -> None:
    def add(calls_per_day: int | None) -> int | None:
        with office.database.transaction() as session:
            app = add_app(
                session,
                office.desk.vault,
                name="office",
                client_id="office-app",
                client_secret=None,
                calls_per_day=calls_per_day,
            )
            found = budgets(session, NOW).get(app.id)
            assert found is None or (found.left, found.used) == (found.calls_per_day, 0)
            return app.calls_per_day

    assert [add(500), add(None), add(0)] == [500, 500, None]


def test_an_expired_finding_is_unknown_again_until_the_next_use_finds_out(office: Office) -> None:
    times = [NOW]
    apps = DatabaseApps(office.database, clock=lambda: times[-1], fresh_for=0, capability_days=10)
    apps.record_capability(office.app_id, "albums_batch", False, "403")
    times.append(NOW + timedelta(days=10, seconds=-1))
    assert apps.profile(office.app_id).capabilities == {"albums_batch": False}
    times.append(NOW + timedelta(days=10))
    assert apps.profile(office.app_id).capabilities == {}
    apps.record_capability(office.app_id, "albums_batch", True, "answered")
    assert apps.profile(office.app_id).capabilities == {"albums_batch": True}
    assert office.app().capabilities["albums_batch"]["at"] == times[-1].isoformat()


def test_unknown_apps_and_accounts_are_named(office: Office) -> None:
    apps = DatabaseApps(office.database)
    with pytest.raises(RegistryError, match="apps list"):
        apps.profile(99)
    with pytest.raises(RegistryError, match="accounts list"):
        apps.account_app(99)
    assert apps.account_app(save(office, "anna")) == office.app_id


def test_what_was_learned_of_a_limit_outlives_every_process(office: Office) -> None:
    learned = LearnedLimit(87.5, Mode.STEADY, 1.0, 1000.0, None, 5000.0)
    for limit in (40.0, 87.5):
        DatabaseApps(office.database).record_learned_limit(
            office.app_id, replace(learned, limit=limit), {"calls_surely_in_window": 87}
        )
    restored = DatabaseApps(office.database).learned_limit(office.app_id)

    assert restored is not None
    assert (restored.limit, restored.mode, restored.probe_at) == (87.5, Mode.STEADY, 5000.0)
    with office.database.transaction() as session:
        row = session.get(tables.LearnedLimit, office.app_id)
        assert row is not None
        assert row.evidence == {"calls_surely_in_window": 87}


def test_of_a_new_app_no_limit_is_known(office: Office) -> None:
    assert DatabaseApps(office.database).learned_limit(office.app_id) is None

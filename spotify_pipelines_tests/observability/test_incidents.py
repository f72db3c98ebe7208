"""Incidents: each is found in what is stored, and what is nobody's emergency is not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from spotify_pipelines.observability.alerts import Alert, Kind
from spotify_pipelines.observability.incidents import find_failures, find_incidents
from spotify_pipelines.store.cooldowns import save_cooldown
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Account, AlbumSource, ApiCalls, Base, JobRun, SpotifyApp
from spotify_pipelines_tests.support.databases import open_database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as database:
        yield database


@pytest.fixture
def app(database: Database) -> SpotifyApp:
    app = SpotifyApp(name="studio", client_id="c")
    add(database, app)
    return app


def add(database: Database, *rows: Base) -> None:
    with database.transaction() as session:
        session.add_all(rows)


def incidents(database: Database) -> list[Alert]:
    with database.transaction() as session:
        return find_incidents(session, NOW, consent_warns=30 * DAY, consent_alarms=14 * DAY)


def failures(database: Database) -> list[Alert]:
    with database.transaction() as session:
        return find_failures(session, NOW)


def accounts(
    database: Database, app: SpotifyApp, lost: list[timedelta], well: int, reason: str = "authorization_lost"
) -> None:
    states = [{"health": "quarantined", "health_reason": reason, "health_since": NOW - ago} for ago in lost]
    add(
        database,
        *(
            Account(app_id=app.id, name=f"{reason} {number}", spotify_user_id=f"{reason} {number}", **state)
            for number, state in enumerate([*states, *[{}] * well])
        ),
    )


def run(name: str, ago: timedelta, error: str | None, status: str = "failure") -> JobRun:
    return JobRun(
        run_id=f"{name} {ago}",
        job_name=name,
        trigger="cli",
        status=status,
        error=error,
        finished_at=NOW - ago,
    )


def calls(app: SpotifyApp, *, ok: int, failed: int, ago: timedelta, endpoint: str = "GET /me") -> ApiCalls:
    figures = {"calls": ok + failed, "ok": ok, "failed": failed}
    return ApiCalls(run_id="r", use_case="u", app_id=app.id, endpoint=endpoint, at=NOW - ago, **figures)


def test_where_all_is_well_there_is_nothing_to_tell(database: Database, app: SpotifyApp) -> None:
    accounts(database, app, [], 3)
    add(database, calls(app, ok=5, failed=1, ago=MINUTE), run("nightly", HOUR, None, "success"))
    assert incidents(database) == failures(database) == []


def test_a_ban_is_told_with_its_end_and_spotifys_words(database: Database, app: SpotifyApp) -> None:
    with database.transaction() as session:
        save_cooldown(
            session,
            app.id,
            kind="quota",
            until=NOW + 13 * HOUR,
            observed_at=NOW,
            retry_after="46800",
            endpoint="GET /albums",
            reason="QUOTA_EXCEEDED Bearer BQabcdefghijkl",
        )
    [alert] = incidents(database)
    assert alert.kind is Kind.BAN
    assert "studio, until 2026-11-24 01:00 UTC: QUOTA_EXCEEDED" in alert.line
    assert "BQabc" not in alert.line


@pytest.mark.parametrize(
    ("lost", "well", "is_mass"),
    [
        ([MINUTE, 2 * MINUTE, 3 * MINUTE], 11, True),
        ([MINUTE, 2 * MINUTE, 3 * MINUTE], 12, False),
        ([MINUTE, 2 * MINUTE], 0, False),
        ([MINUTE, 2 * MINUTE, 30 * MINUTE], 0, False),
        ([30 * HOUR, 30 * HOUR, 30 * HOUR], 0, False),
    ],
    ids=["3 of 14", "3 of 15", "only 2", "not at once", "long ago"],
)
def test_many_accounts_lost_at_once_are_one_incident(
    database: Database, app: SpotifyApp, lost: list[timedelta], well: int, is_mass: bool
) -> None:
    accounts(database, app, lost, well)
    found = incidents(database)
    assert [alert.kind for alert in found] == [Kind.ACCESS_LOST] * is_mass
    if is_mass:
        assert "3 of 14 accounts of the app studio" in found[0].line
        assert found[0].newest == NOW - MINUTE


def test_consents_are_worth_a_word_and_then_urgent(database: Database, app: SpotifyApp) -> None:
    for name, ends, health in (
        ("ended", -DAY, "ok"),
        ("urgent", 13 * DAY, "ok"),
        ("soon", 29 * DAY, "degraded"),
        ("later", 31 * DAY, "ok"),
        ("lost", 2 * DAY, "quarantined"),
    ):
        account = Account(app_id=app.id, name=name, spotify_user_id=name, health=health, health_since=NOW)
        account.consent_ends_at = NOW + ends
        add(database, account)
    found = [(alert.kind, alert.line) for alert in incidents(database)]
    assert found == [
        (Kind.CONSENT_ENDS, "ended: ended 2026-11-22 12:00 UTC"),
        (Kind.CONSENT_ENDS, "urgent: ends 2026-12-06 12:00 UTC"),
        (Kind.CONSENT_ENDS_SOON, "soon: ends 2026-12-22 12:00 UTC"),
    ]


def test_dead_letters_are_told_by_kind(database: Database) -> None:
    for id_, status, kind in (
        ("a", "dead", "NotFound"),
        ("b", "dead", "NotFound"),
        ("c", "dead", None),
        ("d", "failed", "NotFound"),
    ):
        add(database, AlbumSource(url=id_, album_id=id_, status=status, error_kind=kind, error=f"why {id_}"))
    assert [alert.line for alert in incidents(database)] == [
        "2 for NotFound, such as a: why a",
        "1 for unknown, such as c: why c",
    ]


@pytest.mark.parametrize(
    ("made", "is_silent"),
    [
        ({"ok": 0, "failed": 5, "ago": MINUTE}, True),
        ({"ok": 1, "failed": 50, "ago": MINUTE}, False),
        ({"ok": 0, "failed": 4, "ago": MINUTE}, False),
        ({"ok": 0, "failed": 5, "ago": HOUR}, False),
        ({"ok": 0, "failed": 5, "ago": MINUTE, "endpoint": "reccobeats: GET /x"}, False),
    ],
    ids=["no call succeeds", "one succeeded", "too few", "long ago", "another service"],
)
def test_an_app_whose_calls_all_fail_is_an_outage(
    database: Database, app: SpotifyApp, made: dict[str, object], is_silent: bool
) -> None:
    add(database, calls(app, **made))  # type: ignore[arg-type]
    assert [alert.kind for alert in incidents(database)] == [Kind.OUTAGE] * is_silent


def test_runs_that_failed_alike_are_one_alert_and_secrets_stay_out(database: Database) -> None:
    add(
        database,
        run("nightly", HOUR, "ValueError: no space for Bearer BQabcdefghijkl"),
        run("nightly", 2 * HOUR, "ValueError: no space for Bearer BQabcdefghijkl"),
        run("nightly", 3 * HOUR, None),
        run("refresh_tokens", 4 * HOUR, "ValueError: 17 rows"),
        run("refresh_tokens", 25 * HOUR, "ValueError: old"),
        run("refresh_tokens", HOUR, None, "canceled"),
    )
    found = failures(database)
    assert [alert.line for alert in found] == [
        "nightly, 2 times in 24 hours, last at 2026-11-23 11:00 UTC: ValueError: no space for Bearer [redacted]",
        "nightly, once at 2026-11-23 09:00 UTC: no error was kept",
        "refresh_tokens, once at 2026-11-23 08:00 UTC: ValueError: 17 rows",
    ]
    assert [alert.newest for alert in found] == [NOW - HOUR, NOW - 3 * HOUR, NOW - 4 * HOUR]
    before = {alert.key for alert in found}
    add(database, run("refresh_tokens", MINUTE, "ValueError: 18 rows"))
    assert {alert.key for alert in failures(database)} == before

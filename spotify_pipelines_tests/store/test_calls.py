"""Calls and their minimum: everything that was sent is stored, and nothing drops out of a sum."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from spotify_pipelines.spotify.accounting import CallKey, CallLog, Outcome, Service
from spotify_pipelines.store.calls import (
    CallTarget,
    GroupBy,
    calls_today,
    midnight,
    record_calls,
    summarize,
    totals,
)
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Account, ApiCalls, SpotifyApp

ALBUM = "GET /albums/{id}"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def log_of(*calls: tuple[Service, int | None, str, Outcome]) -> CallLog:
    log = CallLog()
    for service, app_id, endpoint, outcome in calls:
        log.record(CallKey(service, app_id, None, endpoint), outcome, waited=0.5, in_flight=0.25)
    return log


def store(database: Database, log: CallLog, minimum: dict[CallTarget, int], run_id: str = "run") -> None:
    with database.transaction() as session:
        record_calls(session, run_id=run_id, use_case="ingest", rows=log.rows(), minimum=minimum)


def test_calls_are_stored_with_how_they_ended_and_their_minimum(database: Database) -> None:
    log = log_of(
        (Service.WEB_API, 1, ALBUM, Outcome.OK),
        (Service.WEB_API, 1, ALBUM, Outcome.LIMITED),
        (Service.WEB_API, 1, ALBUM, Outcome.ERROR),
    )
    store(database, log, {(1, None, ALBUM): 2})
    with database.transaction() as session:
        (row,) = session.scalars(select(ApiCalls))
        assert (row.run_id, row.use_case, row.app_id, row.endpoint) == ("run", "ingest", 1, ALBUM)
        assert (row.calls, row.ok, row.limited, row.failed, row.minimum) == (3, 1, 1, 1, 2)
        assert (row.waited_seconds, row.call_seconds) == (1.5, 0.75)


def test_other_services_are_kept_apart_from_the_web_api(database: Database) -> None:
    features = "GET /audio-features"
    store(
        database,
        log_of((Service.RECCOBEATS, None, features, Outcome.OK), (Service.WEB_API, 1, features, Outcome.OK)),
        {},
    )
    with database.transaction() as session:
        assert set(session.scalars(select(ApiCalls.endpoint))) == {features, f"reccobeats: {features}"}


def test_a_minimum_without_a_call_is_stored_too(database: Database) -> None:
    store(database, CallLog(), {(1, None, ALBUM): 7})
    with database.transaction() as session:
        (line,) = summarize(session, since=LONG_AGO)
        assert (line.calls, line.minimum) == (0, 7)


def test_no_calls_and_no_minimum_are_no_rows(database: Database) -> None:
    store(database, CallLog(), {})
    with database.transaction() as session:
        assert summarize(session, since=LONG_AGO) == []


def test_sums_are_by_day_app_and_endpoint_and_leave_nothing_out(database: Database) -> None:
    one = log_of((Service.WEB_API, 1, ALBUM, Outcome.OK))
    nobody = log_of((Service.ACCOUNTS, None, "POST /api/token", Outcome.OK))
    for run in ("yesterday", "a", "b"):
        store(database, one, {(1, None, ALBUM): 1}, run_id=run)
    store(database, nobody, {}, run_id="c")
    store(database, log_of((Service.WEB_API, 2, ALBUM, Outcome.OK)), {}, run_id="d")
    with database.transaction() as session:
        session.execute(
            update(ApiCalls).where(ApiCalls.run_id == "yesterday").values(at=ApiCalls.at - timedelta(days=1))
        )
    with database.transaction() as session:
        lines = summarize(session, since=LONG_AGO)
        assert [(line.app_id, line.endpoint, line.calls, line.minimum) for line in lines] == [
            (1, ALBUM, 2, 2),
            (2, ALBUM, 1, 0),
            (None, "accounts: POST /api/token", 1, 0),
            (1, ALBUM, 1, 1),
        ]
        assert lines[0].day - lines[-1].day == timedelta(days=1)
        assert [line.calls for line in summarize(session, since=LONG_AGO, run_id="a")] == [1]
        assert summarize(session, since=LONG_AGO, until=LONG_AGO + timedelta(days=1)) == []


def test_totals_are_by_day_account_endpoint_or_app_and_of_the_web_api_alone(database: Database) -> None:
    with database.transaction() as session:
        app = SpotifyApp(name="studio", client_id="c")
        session.add(app)
        session.flush()
        account = Account(app_id=app.id, name="Anna", spotify_user_id="anna")
        session.add(account)
        session.flush()
        app_id, account_id = app.id, account.id
    log = log_of(
        (Service.WEB_API, app_id, ALBUM, Outcome.OK), (Service.WEB_API, app_id, ALBUM, Outcome.LIMITED)
    )
    log.record(CallKey(Service.WEB_API, app_id, account_id, "GET /me"), Outcome.OK)
    log.record(CallKey(Service.ACCOUNTS, app_id, None, "POST /api/token"), Outcome.OK)
    store(database, log, {(app_id, None, ALBUM): 1, (app_id, account_id, "GET /me"): 1})
    now = datetime.now(UTC)
    with database.transaction() as session:

        def found(by: GroupBy) -> list[tuple[str | None, int, int, float | None]]:
            rows = totals(session, by, since=LONG_AGO)
            return [(row.name, row.calls, row.minimum, row.ratio) for row in rows]

        assert found(GroupBy.ACCOUNT) == [(None, 2, 1, 2.0), ("Anna", 1, 1, 1.0)]
        assert found(GroupBy.APP) == [("studio", 3, 2, 1.5)]
        assert found(GroupBy.ENDPOINT) == [
            (ALBUM, 2, 1, 2.0),
            ("GET /me", 1, 1, 1.0),
            ("accounts: POST /api/token", 1, 0, None),
        ]
        [(day, *figures)] = found(GroupBy.DAY)
        assert figures == [3, 2, 1.5]
        assert midnight(now) <= datetime.fromisoformat(f"{day}T00:00:00+00:00") <= midnight(now, days=1)
        (row,) = totals(session, GroupBy.DAY, since=LONG_AGO)
        assert (row.limited, row.waited_seconds) == (1, 1.0)
        assert calls_today(session, now) == {app_id: 3}
        assert calls_today(session, now + timedelta(days=1)) == {}

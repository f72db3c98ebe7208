"""Waves, probes and incidents of apps, judged by the order and number of requests in the simulator's ledger."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from spotify_pipelines.accounts.registry import account_standings, app_standings
from spotify_pipelines.store.tables import Account, AccountEvent, AppIncident
from spotify_pipelines_tests.accounts.office import CLIENT_ID
from spotify_pipelines_tests.playlists.studio import Studio

PROBE = "GET /v1/me/playlists"


def requests(studio: Studio) -> list[tuple[str, str]]:
    return [
        (entry["user_id"], f"{entry['method']} {entry['endpoint']}")
        for entry in studio.simulator.control.ledger()
        if entry["path"].startswith("/v1/")
    ]


def users(studio: Studio) -> list[str]:
    """Whom requests were made for, in order, runs of the same one once."""
    found: list[str] = []
    for user, _ in requests(studio):
        if found[-1:] != [user]:
            found.append(user)
    return found


def set_health(studio: Studio, account_id: int, **values: Any) -> None:
    with studio.database.transaction() as session:
        session.execute(update(Account).where(Account.id == account_id).values(**values))


def incidents(studio: Studio) -> list[AppIncident]:
    with studio.database.transaction() as session:
        return list(session.scalars(select(AppIncident).order_by(AppIncident.id)))


def events(studio: Studio) -> list[AccountEvent]:
    with studio.database.transaction() as session:
        query = select(AccountEvent).where(AccountEvent.event == "health_changed").order_by(AccountEvent.id)
        return list(session.scalars(query))


def ready(studio: Studio) -> None:
    studio.apply()
    studio.plan()
    studio.draw()


async def test_healthy_accounts_go_first_then_degraded_ones_then_probes(studio: Studio) -> None:
    ready(studio)
    first, second, third = studio.accounts
    now = studio.now()
    set_health(
        studio,
        first,
        health="quarantined",
        health_reason="not_registered",
        failures=1,
        next_probe_at=now,
        last_failure_at=now,
    )
    set_health(
        studio,
        second,
        health="degraded",
        health_reason="transient_failure",
        failures=3,
        last_failure_at=now,
    )

    report = await studio.sync()

    assert report.changed == 6
    assert users(studio) == ["studio-3", "studio-2", "studio-1"]
    assert requests(studio)[8] == ("studio-1", PROBE)
    assert studio.account(third).health == studio.account(first).health == "ok"
    assert studio.account(second).health == "degraded", "one good run is no proof"
    assert [(event.cause, event.calls, event.run_id is not None) for event in events(studio)] == [
        ("success", 1, True)
    ]


async def test_a_quarantined_account_costs_one_call_when_its_probe_is_due_and_none_before(
    studio: Studio,
) -> None:
    ready(studio)
    account_id = studio.accounts[0]
    now = studio.now()
    set_health(
        studio,
        account_id,
        health="quarantined",
        health_reason="not_registered",
        failures=1,
        next_probe_at=now,
        last_failure_at=now,
    )
    message = {"error": {"status": 403, "message": "User not registered in the Developer Dashboard"}}
    studio.simulator.control.add_fault(path="/v1/", user_id="studio-1", status=403, body=message)

    report = await studio.sync()

    assert (report.changed, len(report.deferred)) == (4, 2)
    assert [request for user, request in requests(studio) if user == "studio-1"] == [PROBE]
    until = studio.account(account_id).next_probe_at
    assert until is not None
    assert until - now > timedelta(hours=1)
    assert {deferral.until for deferral in report.deferred} == {until}
    studio.forget_requests()
    await studio.sync()
    assert requests(studio) == []


async def test_a_lapsed_premium_of_the_owner_is_the_apps_and_one_call_tries_it(studio: Studio) -> None:
    ready(studio)
    studio.simulator.control.add_client(
        CLIENT_ID, "office-secret-nobody-may-see-0123456789", limit=100_000, owner_premium=False
    )

    report = await studio.sync(max_parallel_accounts=1)

    assert report.failed == []
    assert len(report.deferred) == 6
    assert len(requests(studio)) == 1
    [incident] = incidents(studio)
    assert (incident.kind, incident.ended_at) == ("premium", None)
    assert events(studio) == []
    assert {studio.account(id_).health for id_ in studio.accounts} == {"ok"}
    with studio.database.transaction() as session:
        [app] = app_standings(session, studio.now())
    assert app.incident is not None
    assert "Renew it" in app.incident.advice
    assert app.cooldown_until == app.incident.next_probe_at

    studio.forget_requests()
    await studio.sync()
    assert requests(studio) == []

    studio.advance(minutes=20)
    report = await studio.sync()
    assert len(report.deferred) == 6
    assert [request for _, request in requests(studio)] == [PROBE]
    assert incidents(studio)[0].probes == 1

    studio.simulator.control.add_client(CLIENT_ID, "office-secret-nobody-may-see-0123456789", limit=100_000)
    studio.advance(minutes=40)
    report = await studio.sync()
    assert (report.changed, report.deferred) == (6, [])
    assert incidents(studio)[0].ended_at is not None


async def test_an_outage_is_the_apps_and_nobody_is_degraded_for_it(studio: Studio) -> None:
    ready(studio)
    fault = studio.simulator.control.add_fault(path="/v1/", status=503)

    for _ in range(5):
        await studio.sync()

    [incident] = incidents(studio)
    assert (incident.kind, incident.ended_at) == ("outage", None)
    assert events(studio) == []
    with studio.database.transaction() as session:
        standings = account_standings(session, studio.now())
    assert {(each.health, each.failures) for each in standings} == {("ok", 0)}

    studio.forget_requests()
    studio.advance(minutes=2)
    await studio.sync()
    assert [request for _, request in requests(studio)] == [PROBE], "one account tries, once"

    studio.simulator.control.remove_fault(fault)
    studio.forget_requests()
    studio.advance(minutes=5)
    report = await studio.sync()
    assert (report.changed, report.failed, report.deferred) == (6, [], [])
    assert users(studio)[0] == "studio-2", "the next one in turn"
    assert requests(studio)[0][1] == PROBE
    assert len(studio.on_spotify()) == 6
    assert incidents(studio)[0].ended_at is not None


async def test_one_account_that_always_fails_is_no_outage_and_is_degraded_after_three_runs(
    studio: Studio,
) -> None:
    await studio.publish()
    studio.simulator.control.add_fault(path="/v1/", user_id="studio-1", status=503)
    for _ in range(4):
        studio.draw(force=True)
        report = await studio.sync()
        assert report.changed == 4
    assert incidents(studio) == []
    assert [studio.account(id_).health for id_ in studio.accounts] == ["degraded", "ok", "ok"]
    [event] = events(studio)
    assert event.cause == "transient_failure"
    assert event.calls is not None
    assert event.calls > 0
    assert users(studio)[-1] == "studio-1", "after the others"

"""Refreshes that go wrong for many at once, or whose answers are lost, against a real accounts service."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from spotify_pipelines.accounts.credentials import DatabaseCredentials
from spotify_pipelines.accounts.incidents import end_incident, incident_standings
from spotify_pipelines.accounts.mass_refusal import Ending
from spotify_pipelines.accounts.refresh import refresh_tokens
from spotify_pipelines.accounts.registry import RegistryError
from spotify_pipelines.accounts.token_store import SETTLE
from spotify_pipelines.report import Report
from spotify_pipelines.spotify.errors import Ambiguous, AuthorizationLost, Unavailable, is_transient
from spotify_pipelines.store.due import tokens_due
from spotify_pipelines.store.tables import ConsentIncident
from spotify_pipelines_tests.accounts.office import CLIENT_ID, HOUR, SECRET, Office
from spotify_pipelines_tests.accounts.test_connect import complete, consent

MINUTE = timedelta(minutes=1)
USERS = ("anna", "ben", "carla", "dora", "emil")


async def refresh(office: Office, *, force: bool = False) -> Report:
    return await refresh_tokens(
        office.database, office.credentials(), office.calls, run_id="run-1", now=office.now, force=force
    )


def health(office: Office, accounts: Sequence[int]) -> list[tuple[str, str | None]]:
    return [(row.health, row.health_reason) for row in map(office.account, accounts)]


def refuse(office: Office, *users: str) -> None:
    """Spotify says that their consents are gone, without being right."""
    for user in users:
        office.simulator.control.add_fault(kind="invalid_grant", user_id=user)


def end(office: Office, ending: Ending) -> int:
    with office.database.transaction() as session:
        return end_incident(session, "office", ending, office.now())


def incidents(office: Office) -> Sequence[ConsentIncident]:
    with office.database.transaction() as session:
        return session.scalars(select(ConsentIncident).order_by(ConsentIncident.id)).all()


def next_probe(office: Office) -> datetime:
    return incidents(office)[-1].next_probe_at


IN_INCIDENT = ("degraded", "incident")
LOST = ("quarantined", "authorization_lost")
WELL = ("ok", None)


async def test_two_refused_consents_are_two_lost_accounts(office: Office) -> None:
    accounts = office.connect(*USERS)
    refuse(office, "anna", "ben")
    office.advance(HOUR)
    await refresh(office)
    assert health(office, accounts) == [LOST, LOST, WELL, WELL, WELL]
    assert incidents(office) == []


async def test_a_mass_of_refusals_is_one_incident_and_those_before_are_released_into_it(
    office: Office, logged: list[dict[str, Any]]
) -> None:
    accounts = office.connect(*USERS)
    refuse(office, "anna", "ben", "carla")
    office.advance(HOUR)
    report = await refresh(office)
    assert len(report.failed) == 3
    assert health(office, accounts) == [IN_INCIDENT] * 3 + [WELL] * 2
    [incident] = incidents(office)
    assert sorted(incident.account_ids) == accounts[:3]
    assert [event["event"] for event in logged].count("app.consents_refused_in_a_mass") == 1
    assert [event.health_after for event in office.events(accounts[0])][-2:] == ["quarantined", "degraded"]
    with office.database.transaction() as session:
        [standing] = incident_standings(session)
    assert (standing.app, standing.accounts, standing.connected) == ("office", ("anna", "ben", "carla"), 5)


async def test_refusals_more_than_ten_minutes_apart_are_no_incident(office: Office) -> None:
    accounts = office.connect(*USERS)
    for user in ("anna", "ben", "carla"):
        refuse(office, user)
    office.advance(HOUR)
    credentials = office.credentials()
    for account in accounts[:3]:
        with pytest.raises(AuthorizationLost):
            await credentials.account_token(account)
        office.advance(6 * MINUTE)
    assert health(office, accounts[:3]) == [LOST] * 3


async def test_a_mass_met_by_several_processes_at_once_is_one_incident(office: Office) -> None:
    accounts = office.connect(*USERS)
    refuse(office, *USERS)
    office.advance(HOUR)
    processes = [office.credentials() for _ in accounts]

    async def ask(process: DatabaseCredentials, account: int) -> None:
        with pytest.raises(AuthorizationLost):
            await process.account_token(account)

    await asyncio.gather(*map(ask, processes, accounts))
    assert health(office, accounts) == [IN_INCIDENT] * 5
    assert len(incidents(office)) == 1


async def test_in_an_incident_one_account_at_a_time_is_tried_and_nobody_else_asks(office: Office) -> None:
    accounts = office.connect(*USERS)
    refuse(office, *USERS)
    office.advance(HOUR)
    await refresh(office)
    asked = len(office.token_requests())
    assert asked == 5
    report = await refresh(office)
    assert (report.requested, len(office.token_requests())) == (0, asked)
    with pytest.raises(Unavailable, match="consents of many accounts") as told:
        await office.credentials().account_token(accounts[0])
    assert is_transient(told.value)
    with office.database.transaction() as session:
        assert tokens_due(session, office.now(), 5 * MINUTE).count == 0
        assert tokens_due(session, next_probe(office), 5 * MINUTE).count == 1
    for probes in (1, 2):
        office.advance(next_probe(office) - office.now())
        report = await refresh(office)
        assert (report.requested, len(office.token_requests())) == (1, asked + probes)
        assert health(office, accounts) == [IN_INCIDENT] * 5


async def test_a_living_token_of_an_account_in_an_incident_is_used_on(office: Office) -> None:
    accounts = office.connect(*USERS)
    refuse(office, *USERS)
    await refresh(office, force=True)
    assert health(office, accounts) == [IN_INCIDENT] * 5
    assert await office.credentials().account_token(accounts[0]) == office.secrets(accounts[0])[0]


async def test_a_probe_that_gets_a_token_ends_the_incident_for_all(office: Office) -> None:
    accounts = office.connect(*USERS)
    refuse(office, "anna", "ben", "carla")
    office.advance(HOUR)
    await refresh(office)
    office.simulator.control.clear_faults()
    office.advance(next_probe(office) - office.now())
    await refresh(office)
    assert health(office, accounts) == [WELL] * 5
    assert [incident.ending for incident in incidents(office)] == ["recovered"]
    assert (await refresh(office)).changed == 2, "the others are asked for now"


async def test_a_probe_that_meets_a_server_in_trouble_passes_the_turn_on(office: Office) -> None:
    office.connect(*USERS)
    refuse(office, *USERS)
    office.advance(HOUR)
    await refresh(office)
    office.simulator.control.add_fault(path="/api/token", status=503)
    office.advance(next_probe(office) - office.now())
    before = next_probe(office)
    await refresh(office)
    assert next_probe(office) > before
    assert incidents(office)[-1].probes == 1


async def test_what_a_person_confirms_is_quarantined_and_begins_no_incident_again(office: Office) -> None:
    accounts = office.connect(*USERS)
    refuse(office, *USERS)
    office.advance(HOUR)
    with pytest.raises(RegistryError, match="No incident"):
        end(office, Ending.CONFIRMED)
    await refresh(office)
    assert end(office, Ending.CONFIRMED) == 5
    assert health(office, accounts) == [LOST] * 5
    await refresh(office, force=True)
    assert health(office, accounts) == [LOST] * 5
    assert [incident.ending for incident in incidents(office)] == ["confirmed"]


async def test_what_a_person_releases_is_tried_at_once(office: Office) -> None:
    accounts = office.connect(*USERS)
    refuse(office, *USERS)
    office.advance(HOUR)
    await refresh(office)
    office.simulator.control.clear_faults()
    assert end(office, Ending.RELEASED) == 5
    assert (await refresh(office)).changed == 5
    assert health(office, accounts) == [WELL] * 5


async def test_an_account_that_was_lost_before_does_not_join(office: Office) -> None:
    accounts = office.connect(*USERS)
    refuse(office, "emil")
    office.advance(HOUR)
    await refresh(office)
    refuse(office, *USERS)
    office.advance(HOUR)
    await refresh(office)
    assert health(office, accounts) == [IN_INCIDENT] * 4 + [LOST]


async def test_an_answer_that_is_lost_after_rotation_is_told_apart_from_a_withdrawn_consent(
    office: Office,
) -> None:
    office.simulator.control.add_client(CLIENT_ID, SECRET, rotate_refresh_tokens=True)
    [anna] = office.connect("anna")
    office.advance(HOUR)
    office.simulator.control.add_fault(path="/api/token", status=502, effect=True, n=1)
    with pytest.raises(Ambiguous):
        await office.credentials().account_token(anna)
    assert health(office, [anna]) == [("degraded", "token_failure")]
    with pytest.raises(Unavailable, match="was lost"):
        await office.credentials().account_token(anna)
    assert (await refresh(office)).requested == 0
    assert len(office.token_requests()) == 1, "the first one may still be under way"
    office.advance(SETTLE)
    with pytest.raises(AuthorizationLost, match="answer to an earlier refresh was lost"):
        await office.credentials().account_token(anna)
    assert "was lost" in (office.events(anna)[-1].reason or "")


async def test_an_answer_that_is_lost_without_rotation_costs_a_minute(office: Office) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR)
    office.simulator.control.add_fault(path="/api/token", drop="after", n=1)
    with pytest.raises(Ambiguous):
        await office.credentials().account_token(anna)
    office.advance(SETTLE)
    assert (await refresh(office)).changed == 1
    assert office.account(anna).refresh_sent_at is None
    office.advance(HOUR)
    assert (await refresh(office)).changed == 1
    assert health(office, [anna]) == [WELL]


async def test_that_a_refresh_is_under_way_is_committed_before_it_is_sent(office: Office) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR)
    office.simulator.control.add_fault(path="/api/token", delay_after=0.5, n=1)
    under_way = asyncio.create_task(office.credentials().account_token(anna))
    await office.token_request_arrived("anna")
    assert office.account(anna).refresh_sent_at is not None, "so a process that is killed now leaves a trace"
    await under_way
    assert office.account(anna).refresh_sent_at is None


async def test_a_new_consent_takes_an_account_out_of_the_incident(office: Office) -> None:
    accounts = office.connect(*USERS)
    refuse(office, *USERS)
    office.advance(HOUR)
    await refresh(office)
    request, address = consent(office, "anna")
    await complete(office, request, address)
    assert health(office, accounts) == [WELL] + [IN_INCIDENT] * 4
    assert accounts[0] not in incidents(office)[-1].account_ids

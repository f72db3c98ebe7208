"""Refreshing ahead of time: whose token is due, whose is not, and what the report says."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select

from spotify_pipelines.accounts.refresh import refresh_tokens
from spotify_pipelines.report import Report
from spotify_pipelines.store.tables import ApiCalls
from spotify_pipelines_tests.accounts.office import HOUR, Office


async def refresh(
    office: Office,
    *,
    account_ids: Sequence[int] = (),
    limit: int | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> Report:
    return await refresh_tokens(
        office.database,
        office.credentials(),
        office.calls,
        run_id="run-1",
        now=office.now,
        account_ids=account_ids,
        limit=limit,
        force=force,
        dry_run=dry_run,
    )


def outcome(report: Report) -> tuple[int, int, int, int]:
    return report.requested, report.changed, report.unchanged, len(report.failed)


async def test_on_an_empty_installation_there_is_nothing_to_do(office: Office) -> None:
    report = await refresh(office)
    assert outcome(report) == (0, 0, 0, 0)
    assert report.rows == []


@pytest.mark.parametrize(("minutes_left", "is_due"), [(10, False), (6, False), (4, True), (-60, True)])
async def test_tokens_that_expire_within_five_minutes_are_due(
    office: Office, minutes_left: int, is_due: bool
) -> None:
    office.connect("anna")
    office.advance(HOUR - timedelta(minutes=minutes_left))
    assert outcome(await refresh(office)) == ((1, 1, 0, 0) if is_due else (0, 0, 0, 0))
    assert len(office.token_requests()) == is_due


async def test_a_second_run_right_after_finds_nothing_due(office: Office) -> None:
    office.connect("anna", "ben")
    office.advance(HOUR)
    assert outcome(await refresh(office)) == (2, 2, 0, 0)
    assert outcome(await refresh(office)) == (0, 0, 0, 0)
    assert len(office.token_requests()) == 2


async def test_calls_to_the_token_endpoint_are_stored_by_app_and_account_beside_their_minimum(
    office: Office,
) -> None:
    anna, ben = office.connect("anna", "ben")
    office.advance(HOUR)
    report = await refresh(office)
    assert (report.counts["token_calls"], report.counts["token_calls_minimum"]) == (2, 2)
    assert (report.calls, report.minimum_calls) == (0, 0), "none of them is the Web API's"
    with office.database.transaction() as session:
        rows = session.scalars(select(ApiCalls).where(ApiCalls.use_case == "refresh_tokens")).all()
        assert {
            (row.app_id, row.account_id, row.endpoint, row.calls, row.ok, row.minimum) for row in rows
        } == {(office.app_id, account, "accounts: POST /api/token", 1, 1, 1) for account in (anna, ben)}
        assert {row.run_id for row in rows} == {"run-1"}
    assert (await refresh(office)).counts["token_calls_minimum"] == 0


async def test_one_lost_account_stops_no_other_and_is_reported_with_what_to_do(office: Office) -> None:
    anna, _ben, _carla = office.connect("anna", "ben", "carla")
    office.advance(HOUR)
    office.simulator.control.revoke("anna")
    report = await refresh(office)
    assert outcome(report) == (3, 2, 0, 1)
    [failure] = report.failed
    assert failure.kind == "AuthorizationLost"
    assert failure.final
    assert "'anna'" in failure.reason
    assert "accounts connect" in failure.reason
    assert [(row["account"], row["health"]) for row in report.rows] == [
        ("anna", "quarantined"),
        ("ben", "ok"),
        ("carla", "ok"),
    ]
    assert report.rows[1]["consent"] == "fine"
    assert report.counts["token_calls"] == 3
    assert report.calls == 0, "the accounts service is not the Web API"
    assert [event.run_id for event in office.events(anna)][-1] == "run-1"


async def test_a_quarantined_account_is_left_alone_until_its_probe_is_due(office: Office) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR)
    office.simulator.control.add_fault(kind="invalid_grant", user_id="anna", n=1)
    assert outcome(await refresh(office)) == (1, 0, 0, 1)
    assert outcome(await refresh(office)) == (0, 0, 0, 0)
    office.advance(HOUR)
    assert outcome(await refresh(office)) == (1, 1, 0, 0)
    assert office.account(anna).health == "ok"


async def test_narrowed_and_limited_runs_touch_only_what_they_are_asked_for(office: Office) -> None:
    anna, _ben, carla = office.connect("anna", "ben", "carla")
    office.advance(HOUR)
    assert outcome(await refresh(office, account_ids=[anna, carla], limit=1)) == (1, 1, 0, 0)
    assert outcome(await refresh(office, account_ids=[anna, carla])) == (1, 1, 0, 0)
    assert office.token_requests("ben") == []


async def test_force_refreshes_tokens_that_are_still_good(office: Office) -> None:
    [anna] = office.connect("anna")
    before = office.secrets(anna)[0]
    assert outcome(await refresh(office, force=True)) == (1, 1, 0, 0)
    assert office.secrets(anna)[0] != before


async def test_a_dry_run_shows_who_is_due_and_does_nothing(office: Office) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR)
    before = office.secrets(anna)
    report = await refresh(office, dry_run=True)
    assert [row["account"] for row in report.rows] == ["anna"]
    assert report.changed == 0
    assert office.token_requests() == []
    assert office.secrets(anna) == before

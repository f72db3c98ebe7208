"""Tokens: from the row while they live, refreshed once when they don't, and what each failure leaves behind."""

import asyncio
import threading
import traceback
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from spotify_pipelines.accounts.registry import load_app
from spotify_pipelines.accounts.token_store import SETTLE
from spotify_pipelines.accounts.vault import Vault, new_key
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.errors import (
    AuthorizationLost,
    LostReason,
    QuotaExceeded,
    SpotifyError,
    is_transient,
)
from spotify_pipelines.store.database import Database, create_database_engine
from spotify_pipelines.store.tables import Account, Lease
from spotify_pipelines_tests.accounts.office import CLIENT_ID, HOUR, KEY, SECRET, Office, open_endpoint


async def test_a_living_token_is_used_as_it_is_stored(office: Office) -> None:
    [anna] = office.connect("anna")
    assert await office.credentials().account_token(anna) == office.secrets(anna)[0]
    assert office.token_requests() == []


async def test_an_expired_token_is_refreshed_and_stored_with_its_new_expiry(office: Office) -> None:
    [anna] = office.connect("anna")
    old, refresh_token = office.secrets(anna)
    office.advance(HOUR)
    before = office.now()
    token = await office.credentials().account_token(anna)
    assert token != old
    assert office.secrets(anna) == (token, refresh_token), "without a new refresh token the old one stays"
    expires_at = office.account(anna).expires_at
    assert expires_at is not None
    assert timedelta(0) <= expires_at - before - HOUR < timedelta(minutes=1)
    assert [event.event for event in office.events(anna)] == ["connected", "token_refreshed"]
    assert len(office.token_requests("anna")) == 1


async def test_a_token_that_is_about_to_expire_is_not_used_any_more(office: Office) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR - timedelta(seconds=30))
    assert await office.credentials().account_token(anna) == office.secrets(anna)[0]
    assert len(office.token_requests("anna")) == 1


async def test_a_rotated_refresh_token_is_stored_before_the_new_token_is_used(office: Office) -> None:
    office.simulator.control.add_client(CLIENT_ID, SECRET, rotate_refresh_tokens=True)
    [anna] = office.connect("anna")
    seen = [office.secrets(anna)[1]]
    for _ in range(2):
        office.advance(HOUR)
        token = await office.credentials().account_token(anna)
        access, refresh = office.secrets(anna)
        assert access == token
        seen.append(refresh)
    assert len(set(seen)) == 3
    assert office.account(anna).health == "ok"


async def test_callers_in_one_process_share_one_refresh(office: Office) -> None:
    office.simulator.control.add_client(CLIENT_ID, SECRET, rotate_refresh_tokens=True)
    [anna] = office.connect("anna")
    office.advance(HOUR)
    credentials = office.credentials()
    tokens = await asyncio.gather(*(credentials.account_token(anna) for _ in range(10)))
    assert len(set(tokens)) == 1
    assert len(office.token_requests("anna")) == 1


async def test_processes_that_find_the_same_expired_token_refresh_it_once(
    office: Office, key_prefix: str
) -> None:
    office.simulator.control.add_client(CLIENT_ID, SECRET, rotate_refresh_tokens=True)
    [anna] = office.connect("anna")
    office.advance(HOUR)
    # Slow enough that all of them are there before the first one is done.
    office.simulator.control.add_fault(path="/api/token", delay_after=0.5)
    start = threading.Barrier(3)

    def process() -> str:
        """A process of its own, as far as the database and the accounts service can tell."""

        async def ask() -> str:
            database = Database(create_database_engine(office.desk.settings.require_database_url()))
            async with open_endpoint(office.desk.settings, key_prefix, CallLog()) as endpoint:
                credentials = office.credentials(database=database, endpoint=endpoint)
                start.wait()
                try:
                    return await credentials.account_token(anna)
                finally:
                    database.close()

        return asyncio.run(ask())

    tokens = await asyncio.gather(*(asyncio.to_thread(process) for _ in range(3)))
    assert len(set(tokens)) == 1
    assert len(office.token_requests("anna")) == 1
    assert office.account(anna).health == "ok"


async def test_a_refused_token_is_replaced_although_it_should_still_live(office: Office) -> None:
    [anna] = office.connect("anna")
    old, _ = office.secrets(anna)
    token = await office.credentials().account_token(anna, refused=old)
    assert token != old
    assert len(office.token_requests("anna")) == 1


async def test_a_refused_token_that_somebody_has_replaced_costs_no_call(office: Office) -> None:
    [anna] = office.connect("anna")
    old, _ = office.secrets(anna)
    newer = await office.credentials().account_token(anna, refused=old)
    assert await office.credentials().account_token(anna, refused=old) == newer
    assert len(office.token_requests("anna")) == 1


async def test_a_lost_consent_quarantines_that_account_at_once_and_no_other(office: Office) -> None:
    anna, ben = office.connect("anna", "ben")
    office.simulator.control.revoke("anna")
    office.advance(HOUR)
    credentials = office.credentials()
    with pytest.raises(AuthorizationLost, match=r"'anna' can't be used.*accounts connect") as lost:
        await credentials.account_token(anna)
    assert lost.value.reason is LostReason.CONSENT_GONE
    assert lost.value.account_id == anna
    assert (office.account(anna).health, office.account(anna).health_reason) == (
        "quarantined",
        "authorization_lost",
    )
    assert office.account(anna).refresh_token is not None, "Spotify has been wrong before"
    assert office.events(anna)[-1].health_after == "quarantined"
    await credentials.account_token(ben)
    assert office.account(ben).health == "ok"

    with pytest.raises(AuthorizationLost):
        await credentials.account_token(anna)
    assert len(office.token_requests("anna")) == 1, "no retries until the probe is due"


async def test_a_probe_finds_out_that_the_consent_was_not_lost_after_all(office: Office) -> None:
    [anna] = office.connect("anna")
    office.simulator.control.add_fault(kind="invalid_grant", user_id="anna", n=2)
    office.advance(HOUR)
    credentials = office.credentials()
    for wait in (HOUR, 2 * HOUR):
        with pytest.raises(AuthorizationLost):
            await credentials.account_token(anna)
        office.advance(wait)
    await credentials.account_token(anna)
    assert office.account(anna).health == "ok"
    assert [event.health_after for event in office.events(anna) if event.event == "health_changed"] == [
        "quarantined",
        "ok",
    ]


async def test_even_a_living_token_of_a_lost_account_is_not_used(office: Office) -> None:
    [anna] = office.connect("anna")
    office.simulator.control.add_fault(kind="invalid_grant", user_id="anna")
    credentials = office.credentials()
    for refused in (office.secrets(anna)[0], None):
        with pytest.raises(AuthorizationLost):
            await credentials.account_token(anna, refused=refused)


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 503},
        {"status": 500},
        {"drop": "before"},
    ],
    ids=["503", "500", "dropped"],
)
async def test_a_server_in_trouble_degrades_and_never_quarantines(
    office: Office, trouble: dict[str, Any]
) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR)
    fault = office.simulator.control.add_fault(path="/api/token", **trouble)
    credentials = office.credentials()
    with pytest.raises(SpotifyError) as caught:
        await credentials.account_token(anna)
    assert is_transient(caught.value)
    row = office.account(anna)
    assert (row.health, row.health_reason, row.failures) == ("degraded", "token_failure", 1)
    office.simulator.control.remove_fault(fault)
    office.advance(SETTLE)
    await office.credentials().account_token(anna)
    assert office.account(anna).health == "degraded", "one token is no recovery yet"
    office.advance(HOUR)
    await office.credentials().account_token(anna)
    assert office.account(anna).health == "ok"


async def test_a_ban_of_the_accounts_service_degrades_the_account_and_is_obeyed(office: Office) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR)
    fault = office.simulator.control.add_fault(path="/api/token", status=429, headers={"Retry-After": "7200"})
    credentials = office.credentials()
    with pytest.raises(QuotaExceeded):
        await credentials.account_token(anna)
    row = office.account(anna)
    assert (row.health, row.health_reason, row.failures) == ("degraded", "token_failure", 1)
    office.simulator.control.remove_fault(fault)
    asked = len(office.simulator.control.ledger())
    with pytest.raises(QuotaExceeded, match="not sent"):
        await credentials.account_token(anna)
    assert len(office.simulator.control.ledger()) == asked


async def test_rows_that_were_swapped_are_detected_and_the_tokens_never_sent(office: Office) -> None:
    anna, ben, carla = office.connect("anna", "ben", "carla")
    theirs = office.account(ben).access_token, office.account(ben).refresh_token
    with office.database.transaction() as session:
        session.execute(
            update(Account).where(Account.id == anna).values(access_token=theirs[0], refresh_token=theirs[1])
        )
    credentials = office.credentials()
    with pytest.raises(AuthorizationLost, match=f"account:{anna}.*account:{ben}.*swapped"):
        await credentials.account_token(anna)
    assert office.account(anna).health_reason == "secret_unreadable"
    assert await credentials.account_token(carla)
    assert office.token_requests() == []


async def test_a_missing_key_quarantines_what_it_protects_until_it_is_back(office: Office) -> None:
    anna, ben = office.connect("anna", "ben")
    other = new_key()
    with office.database.transaction() as session:
        row = session.get_one(Account, ben)
        app = load_app(session, office.app_id)
        vault = Vault([other])
        for name, purpose in (("access_token", "access token"), ("refresh_token", "refresh token")):
            sealed = vault.seal("something", owner=f"account:{ben}", purpose=purpose)
            setattr(row, name, sealed)
        app.client_secret = Vault([KEY]).seal(SECRET, owner=f"app:{office.app_id}", purpose="client secret")
    credentials = office.credentials()
    for _ in range(3):
        with pytest.raises(AuthorizationLost, match="SPOTIFY_PIPELINES_VAULT_KEYS"):
            await credentials.account_token(ben)
    assert (office.account(ben).health, office.account(ben).failures) == ("quarantined", 1)
    assert await credentials.account_token(anna)
    assert await office.credentials(vault=Vault([KEY, other])).account_token(ben) == "something"


async def test_a_refused_app_is_marked_and_its_accounts_are_not_blamed(office: Office) -> None:
    [anna] = office.connect("anna")
    office.simulator.control.add_client(CLIENT_ID, "another-secret")
    office.advance(HOUR)
    credentials = office.credentials()
    with pytest.raises(AuthorizationLost, match="the app 'office'") as lost:
        await credentials.account_token(anna)
    assert lost.value.reason is LostReason.APP_REFUSED
    assert office.account(anna).health == "ok"
    assert office.app().capabilities["token_grants"]["available"] is False

    office.simulator.control.add_client(CLIENT_ID, SECRET)
    await credentials.app_token(office.app_id)
    assert office.app().capabilities["token_grants"]["available"] is True


async def test_cancelling_who_waits_does_not_lose_the_refresh(office: Office) -> None:
    office.simulator.control.add_client(CLIENT_ID, SECRET, rotate_refresh_tokens=True)
    [anna] = office.connect("anna")
    _, old = office.secrets(anna)
    office.advance(HOUR)
    office.simulator.control.add_fault(path="/api/token", delay_after=0.3)
    credentials = office.credentials()
    waiting = asyncio.create_task(credentials.account_token(anna))
    await office.token_request_arrived("anna")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await credentials.aclose()
    assert office.secrets(anna)[1] != old


async def test_a_claim_that_a_dead_process_left_behind_is_taken_over_when_it_expires(office: Office) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR)
    with office.database.transaction() as session:
        session.add(
            Lease(name=f"refresh:account:{anna}", holder="dead", token=5, expires_at=office.now() - 2 * HOUR)
        )
    await office.credentials().account_token(anna)
    with office.database.transaction() as session:
        lease = session.get_one(Lease, f"refresh:account:{anna}")
        assert (lease.token, lease.holder) == (6, None)


async def test_who_was_overtaken_writes_nothing_and_uses_what_the_other_stored(office: Office) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR)
    office.simulator.control.add_fault(path="/api/token", delay_after=0.5, n=1)
    frozen = asyncio.create_task(office.credentials().account_token(anna))
    await office.token_request_arrived("anna")
    with office.database.transaction() as session:  # as if its lease had run out long ago
        session.execute(update(Lease).values(expires_at=office.now() - 24 * HOUR))
    office.advance(SETTLE)
    winner = await office.credentials().account_token(anna)
    assert await frozen == winner == office.secrets(anna)[0]


async def test_an_app_token_is_fetched_once_and_kept_until_it_expires(office: Office) -> None:
    credentials = office.credentials()
    tokens = await asyncio.gather(*(credentials.app_token(office.app_id) for _ in range(5)))
    assert len(set(tokens)) == 1
    assert await credentials.app_token(office.app_id) == tokens[0]
    assert len(office.token_requests()) == 1
    office.advance(HOUR)
    assert await credentials.app_token(office.app_id) != tokens[0]


async def test_a_refused_app_token_is_replaced_once_for_all_who_held_it(office: Office) -> None:
    credentials = office.credentials()
    old = await credentials.app_token(office.app_id)
    newer = await credentials.app_token(office.app_id, refused=old)
    assert newer != old
    assert await credentials.app_token(office.app_id, refused=old) == newer
    assert len(office.token_requests()) == 2


async def test_an_app_without_a_secret_gets_no_token_of_its_own(office: Office) -> None:
    with office.database.transaction() as session:
        load_app(session, office.app_id).client_secret = None
    with pytest.raises(AuthorizationLost, match="apps add"):
        await office.credentials().app_token(office.app_id)
    assert office.token_requests() == []


async def test_no_secret_is_in_any_log_line_or_error(office: Office, logged: list[dict[str, Any]]) -> None:
    office.simulator.control.add_client(CLIENT_ID, SECRET, rotate_refresh_tokens=True)
    anna, ben = office.connect("anna", "ben")
    secrets = {SECRET, KEY, *office.secrets(anna), *office.secrets(ben)}
    credentials, texts = office.credentials(), []
    office.advance(HOUR)
    await credentials.account_token(anna)
    secrets |= set(office.secrets(anna))
    office.simulator.control.revoke("ben")
    office.simulator.control.add_fault(path="/api/token", user_id="anna", status=503)
    office.advance(HOUR)
    for account in (anna, ben):
        try:
            await credentials.account_token(account)
        except SpotifyError as error:
            texts += traceback.format_exception(error)
            texts.append(str(vars(error)))
    assert len(texts) >= 6
    haystack = "\n".join([*texts, *map(str, logged)])
    assert "account.refreshed" in haystack
    for secret in secrets:
        assert secret not in haystack

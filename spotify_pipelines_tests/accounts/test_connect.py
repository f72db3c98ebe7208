"""Connecting: the whole way through the simulator's consent page, and everything that must be refused."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from spotify_pipelines.accounts.connect import ConnectError, code_from_redirect, complete_authorization
from spotify_pipelines.accounts.registry import AccountStanding
from spotify_pipelines.accounts.sandbox import REDIRECT_URI, SANDBOX_APP, connect_sandbox
from spotify_pipelines.settings import Settings, World
from spotify_pipelines.spotify.oauth import AuthorizationRequest
from spotify_pipelines_tests.accounts.office import CLIENT_ID, HOUR, SECRET, Office

REQUEST = AuthorizationRequest("https://accounts.spotify.com/authorize", "the-state", SecretStr("v"))


def consent(office: Office, user: str, **query: str) -> tuple[AuthorizationRequest, str]:
    """Ask for consent as the browser would; the request, and the address that the browser was sent back to."""
    office.simulator.control.add_user(user, display_name=user.title())
    request = office.desk.endpoint.authorize_url(CLIENT_ID, redirect_uri=REDIRECT_URI)
    page = httpx.URL(request.url).copy_merge_params({"login_hint": user, **query})
    return request, httpx.get(page, trust_env=False).headers["Location"]


async def complete(
    office: Office, request: AuthorizationRequest, address: str, expected_user: str | None = None
) -> AccountStanding:
    return await complete_authorization(
        office.desk,
        office.app_id,
        code=code_from_redirect(address, request, REDIRECT_URI),
        code_verifier=request.code_verifier,
        redirect_uri=REDIRECT_URI,
        expected_user=expected_user,
    )


async def test_consent_through_the_real_page_stores_a_healthy_account(office: Office) -> None:
    request, address = consent(office, "anna")
    query = parse_qs(urlsplit(request.url).query)
    assert query["code_challenge_method"] == ["S256"]
    account = await complete(office, request, address, expected_user="anna")
    assert (account.name, account.spotify_user_id, account.health) == ("Anna", "anna", "ok")
    assert account.missing_scopes == ()
    assert office.account(account.id).spotify_account_id is not None
    office.advance(HOUR)
    assert await office.credentials().account_token(account.id)


async def test_an_app_without_a_secret_connects_by_pkce_alone_and_rotates_from_then_on(
    office: Office,
) -> None:
    request, address = consent(office, "anna")
    with office.database.transaction() as session:
        session.merge(office.app()).client_secret = None
    account = await complete(office, request, address)
    before = office.secrets(account.id)[1]
    office.advance(HOUR)
    await office.credentials().account_token(account.id)
    assert office.secrets(account.id)[1] != before


async def test_a_code_works_once(office: Office) -> None:
    request, address = consent(office, "anna")
    await complete(office, request, address)
    with pytest.raises(ConnectError, match="was not connected"):
        await complete(office, request, address)


async def test_a_code_without_its_verifier_is_worth_nothing(office: Office) -> None:
    request, address = consent(office, "anna")
    stolen = replace(request, code_verifier=SecretStr("x" * 64))
    with pytest.raises(ConnectError) as refused:
        await complete(office, stolen, address)
    assert SECRET not in str(refused.value)
    assert code_from_redirect(address, request, REDIRECT_URI) not in str(refused.value)


async def test_another_user_than_the_expected_one_is_refused_and_nothing_stored(office: Office) -> None:
    request, address = consent(office, "ben")
    with pytest.raises(ConnectError, match="answered as 'ben', but 'anna'"):
        await complete(office, request, address, expected_user="anna")
    with pytest.raises(Exception, match="no account"):
        office.account(1)


async def test_a_user_who_is_not_on_the_apps_list_is_told_so(office: Office) -> None:
    office.simulator.control.add_client("other", "other", redirect_uris=[])
    request, address = consent(office, "anna")
    office.simulator.control.add_user("anna", clients=["other"])
    with pytest.raises(ConnectError, match=r"(?i)dashboard"):
        await complete(office, request, address)


async def test_declining_is_said_in_a_sentence(office: Office) -> None:
    request, address = consent(office, "anna", decision="deny")
    with pytest.raises(ConnectError, match="the user declined"):
        await complete(office, request, address)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        (f"{REDIRECT_URI}?code=abc&state=other", "state differs"),
        (f"{REDIRECT_URI}?code=abc", "state differs"),
        (f"{REDIRECT_URI}?state=the-state", "no code"),
        (f"{REDIRECT_URI}?error=server_error&state=the-state", "'server_error'"),
        ("http://localhost:8910/callback?code=abc&state=the-state", "not the address"),
        ("http://127.0.0.1:8910/other?code=abc&state=the-state", "not the address"),
        ("http://127.0.0.1.evil.example:8910/callback?code=abc&state=the-state", "not the address"),
        ("junk", "not the address"),
        ("http://[", "not the address"),
        ("", "not the address"),
    ],
)
def test_an_address_that_is_no_answer_to_this_request_is_refused(address: str, complaint: str) -> None:
    with pytest.raises(ConnectError, match=complaint):
        code_from_redirect(address, REQUEST, REDIRECT_URI)


def test_the_code_is_read_from_a_pasted_address() -> None:
    pasted = f"  {REDIRECT_URI}?code=AQ%2Babc&state=the-state \n"
    assert code_from_redirect(pasted, REQUEST, REDIRECT_URI) == "AQ+abc"


async def test_the_sandboxs_accounts_are_connected_the_real_way(office: Office) -> None:
    accounts = await connect_sandbox(office.desk, count=3, run_id="demo")
    assert [account.app for account in accounts] == [SANDBOX_APP] * 3
    assert len({account.name for account in accounts}) == 3
    asked = [entry["path"] for entry in office.simulator.control.ledger()]
    assert [asked.count(path) for path in ("/authorize", "/api/token", "/v1/me")] == [3, 3, 3]
    for account in accounts:
        office.advance(HOUR)
        assert await office.credentials().account_token(account.id)


async def test_connecting_the_sandbox_again_asks_nothing_of_spotify(office: Office) -> None:
    first = await connect_sandbox(office.desk, count=2)
    position = office.simulator.control.ledger_position()
    assert [account.id for account in await connect_sandbox(office.desk, count=2)] == [
        account.id for account in first
    ]
    assert office.simulator.control.ledger(after=position) == []


async def test_more_sandbox_accounts_join_those_that_are_there(office: Office) -> None:
    first = await connect_sandbox(office.desk, count=1)
    more = await connect_sandbox(office.desk, count=3)
    assert more[0].id == first[0].id
    office.advance(HOUR)
    for account in more:
        assert await office.credentials().account_token(account.id)


async def test_a_live_world_gets_no_sandbox_accounts(office: Office) -> None:
    live = replace(office.desk, settings=Settings(_env_file=None, world=World.LIVE))
    with pytest.raises(ConnectError, match="SPOTIFY_PIPELINES_WORLD=sandbox"):
        await connect_sandbox(live)

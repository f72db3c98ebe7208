"""The accounts service: every way to a token, and every way not to get one."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from spotify_pipelines_tests.simulator.conftest import REDIRECT_URI, http
from spotify_pipelines_tests.support.simulator import RunningSimulator

VERIFIER = "a-verifier-that-is-long-enough-to-be-one-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
HALF_A_YEAR = 184 * 24 * 3600


def authorize(simulator: RunningSimulator, **query: str) -> httpx.Response:
    defaults = {
        "client_id": "classic",
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "state": "s t&te",
    }
    return http.get(f"{simulator.accounts_url}/authorize", params={**defaults, **query})


def brought_back(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    location = urlsplit(answer.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT_URI
    return {key: values[0] for key, values in parse_qs(location.query).items()}


def token(
    simulator: RunningSimulator, *, auth: tuple[str, str] | None = ("classic", "secret"), **form: str
) -> httpx.Response:
    return http.post(f"{simulator.accounts_url}/api/token", data=form, auth=auth or httpx.USE_CLIENT_DEFAULT)


def exchange(simulator: RunningSimulator, code: str, **options: Any) -> httpx.Response:
    return token(simulator, grant_type="authorization_code", code=code, redirect_uri=REDIRECT_URI, **options)


def refresh(simulator: RunningSimulator, refresh_token: str, **options: Any) -> httpx.Response:
    return token(simulator, grant_type="refresh_token", refresh_token=refresh_token, **options)


def error(answer: httpx.Response) -> tuple[int, str]:
    assert set(answer.json()) == {"error", "error_description"}
    return answer.status_code, answer.json()["error"]


def who(simulator: RunningSimulator, access_token: str) -> str:
    answer = http.get(f"{simulator.api_url}/me", headers={"Authorization": f"Bearer {access_token}"})
    return str(answer.json().get("id", answer.status_code))


def test_a_code_buys_tokens_for_the_user_who_was_hinted_at(simulator: RunningSimulator) -> None:
    back = brought_back(
        authorize(simulator, login_hint="bob", scope="playlist-modify-public ugc-image-upload")
    )
    assert back["state"] == "s t&te"
    tokens = exchange(simulator, back["code"]).json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    assert set(tokens["scope"].split()) == {"playlist-modify-public", "ugc-image-upload"}
    assert who(simulator, tokens["access_token"]) == "bob"


def test_without_a_hint_the_first_user_approves(simulator: RunningSimulator) -> None:
    tokens = exchange(simulator, brought_back(authorize(simulator))["code"]).json()
    assert who(simulator, tokens["access_token"]) == "ann"


def test_a_code_is_good_once_for_ten_minutes_and_for_its_redirect_uri(simulator: RunningSimulator) -> None:
    code = brought_back(authorize(simulator))["code"]
    elsewhere = token(
        simulator, grant_type="authorization_code", code=code, redirect_uri="https://example.com/"
    )
    assert error(elsewhere) == (400, "invalid_grant")
    assert exchange(simulator, code).status_code == 200
    assert error(exchange(simulator, code)) == (400, "invalid_grant")
    late = brought_back(authorize(simulator))["code"]
    simulator.control.advance(601)
    assert error(exchange(simulator, late)) == (400, "invalid_grant")


def test_pkce_needs_the_verifier_and_no_secret(simulator: RunningSimulator) -> None:
    def code() -> str:
        return brought_back(authorize(simulator, code_challenge=CHALLENGE, code_challenge_method="S256"))[
            "code"
        ]

    public = {"auth": None, "client_id": "classic"}
    wrong = exchange(simulator, code(), code_verifier="w" * 50, **public)
    missing = exchange(simulator, code(), **public)
    assert [error(wrong), error(missing)] == [(400, "invalid_grant"), (400, "invalid_request")]
    tokens = exchange(simulator, code(), code_verifier=VERIFIER, **public).json()
    assert who(simulator, tokens["access_token"]) == "ann"
    first = refresh(simulator, tokens["refresh_token"], **public)
    assert first.json()["refresh_token"] != tokens["refresh_token"]
    assert error(refresh(simulator, tokens["refresh_token"], **public)) == (400, "invalid_grant")


def test_a_code_without_a_challenge_needs_the_secret(simulator: RunningSimulator) -> None:
    code = brought_back(authorize(simulator))["code"]
    assert error(exchange(simulator, code, auth=None, client_id="classic")) == (400, "invalid_client")


def test_plain_challenges_are_refused(simulator: RunningSimulator) -> None:
    back = brought_back(authorize(simulator, code_challenge=VERIFIER, code_challenge_method="plain"))
    assert back["error"] == "invalid_request"


def test_a_user_can_say_no(simulator: RunningSimulator) -> None:
    assert brought_back(authorize(simulator, decision="deny")) == {
        "error": "access_denied",
        "state": "s t&te",
    }


def as_a_browser(simulator: RunningSimulator, **query: str) -> httpx.Response:
    defaults = {"client_id": "classic", "response_type": "code", "redirect_uri": REDIRECT_URI}
    return http.get(
        f"{simulator.accounts_url}/authorize",
        params={**defaults, **query},
        headers={"Accept": "text/html,application/xhtml+xml"},
    )


def test_a_browser_gets_a_page_that_asks_and_shows_nothing_unescaped(simulator: RunningSimulator) -> None:
    simulator.control.add_user("eve", display_name="<b>Eve</b>")
    page = as_a_browser(simulator, state='"><script>', scope="playlist-read-private <i>")
    assert page.status_code == 200
    for each in ("<script>", "<b>", "<i>"):
        assert each not in page.text
    assert "&lt;b&gt;Eve" in page.text
    assert 'value="eve"' in page.text


def test_what_the_page_sends_back_decides_who_and_what(simulator: RunningSimulator) -> None:
    form = {"state": "s", "scope": "playlist-read-private playlist-modify-public", "user": "bob"}
    back = brought_back(as_a_browser(simulator, **form, decision="agree", refuse="playlist-read-private"))
    tokens = exchange(simulator, back["code"]).json()
    assert (tokens["scope"], who(simulator, tokens["access_token"])) == ("playlist-modify-public", "bob")
    assert brought_back(as_a_browser(simulator, **form, decision="deny"))["error"] == "access_denied"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"client_id": "nobody"}, "Invalid client"),
        ({"redirect_uri": "http://localhost:8888/callback"}, "Insecure redirect URI"),
        ({"redirect_uri": "http://example.com/callback"}, "Insecure redirect URI"),
        ({"redirect_uri": "https://example.com/callback"}, "Invalid redirect URI"),
        ({"redirect_uri": "http://127.0.0.1:8889/callback"}, "Invalid redirect URI"),
        ({"redirect_uri": f"{REDIRECT_URI}/"}, "Invalid redirect URI"),
        ({"login_hint": "nobody"}, "no such user"),
    ],
)
def test_no_code_goes_to_a_stranger(simulator: RunningSimulator, changes: dict[str, str], text: str) -> None:
    answer = authorize(simulator, **changes)
    assert answer.status_code == 400
    assert text in answer.text
    assert "location" not in answer.headers


def test_a_refresh_keeps_its_token_unless_the_app_rotates(simulator: RunningSimulator) -> None:
    minted = simulator.control.mint_tokens("classic", "ann")
    kept = refresh(simulator, minted["refresh_token"])
    assert kept.status_code == 200
    assert "refresh_token" not in kept.json()
    assert refresh(simulator, minted["refresh_token"]).status_code == 200
    simulator.control.add_client("classic", "secret", rotate_refresh_tokens=True)
    rotated = refresh(simulator, minted["refresh_token"]).json()
    assert error(refresh(simulator, minted["refresh_token"])) == (400, "invalid_grant")
    assert refresh(simulator, rotated["refresh_token"]).status_code == 200


def test_a_refresh_token_dies_half_a_year_after_the_consent_however_often_it_was_used(
    simulator: RunningSimulator,
) -> None:
    simulator.control.add_client("classic", "secret", rotate_refresh_tokens=True)
    current = simulator.control.mint_tokens("classic", "ann")["refresh_token"]
    for _ in range(2):
        simulator.control.advance(HALF_A_YEAR // 3)
        current = refresh(simulator, current).json()["refresh_token"]
    simulator.control.advance(HALF_A_YEAR // 3 + 1)
    assert error(refresh(simulator, current)) == (400, "invalid_grant")


def test_revoked_and_foreign_tokens_are_invalid_grants(simulator: RunningSimulator) -> None:
    minted = simulator.control.mint_tokens("classic", "ann")
    assert error(refresh(simulator, minted["refresh_token"], auth=("reduced", "secret"))) == (
        400,
        "invalid_grant",
    )
    assert error(refresh(simulator, "never issued")) == (400, "invalid_grant")
    assert simulator.control.revoke("ann") == 1
    assert error(refresh(simulator, minted["refresh_token"])) == (400, "invalid_grant")
    assert who(simulator, minted["access_token"]) == "401"


def test_invalid_grant_can_be_ordered_for_one_user_and_a_number_of_times(simulator: RunningSimulator) -> None:
    ann, bob = (simulator.control.mint_tokens("classic", user)["refresh_token"] for user in ("ann", "bob"))
    simulator.control.add_fault(kind="invalid_grant", user_id="ann", n=2)
    assert [refresh(simulator, bob).status_code] == [200]
    assert [refresh(simulator, ann).status_code for _ in range(3)] == [400, 400, 200]
    faults = [entry["fault_id"] for entry in simulator.control.ledger(user="ann", path="/api/token")]
    assert faults == [1, 1, None]


def test_faults_can_pick_the_refreshes_of_one_user(simulator: RunningSimulator) -> None:
    ann, bob = (simulator.control.mint_tokens("classic", user)["refresh_token"] for user in ("ann", "bob"))
    simulator.control.add_fault(path="/api/token", client_id="classic", user_id="ann", status=503)
    assert [refresh(simulator, token).status_code for token in (ann, bob, ann)] == [503, 200, 503]


@pytest.mark.parametrize(
    ("auth", "form", "expected"),
    [
        (("nobody", "secret"), {"grant_type": "client_credentials"}, "invalid_client"),
        (("classic", "wrong"), {"grant_type": "client_credentials"}, "invalid_client"),
        (None, {"grant_type": "client_credentials", "client_id": "classic"}, "invalid_client"),
        (("classic", "secret"), {"grant_type": "password"}, "unsupported_grant_type"),
        (("classic", "secret"), {"grant": "forgotten"}, "invalid_request"),
    ],
)
def test_bad_token_requests_say_which_part_is_bad(
    simulator: RunningSimulator, auth: tuple[str, str] | None, form: dict[str, str], expected: str
) -> None:
    assert error(token(simulator, auth=auth, **form)) == (400, expected)


def test_credentials_may_come_in_the_body_and_json_may_not(simulator: RunningSimulator) -> None:
    form = {"grant_type": "client_credentials", "client_id": "classic", "client_secret": "secret"}
    assert token(simulator, auth=None, **form).json()["expires_in"] == 3600
    assert http.post(f"{simulator.accounts_url}/api/token", json=form).status_code == 415


def test_the_token_endpoint_is_outside_the_web_apis_limit(simulator: RunningSimulator) -> None:
    simulator.control.add_client("classic", "secret", limit=1)
    minted = simulator.control.mint_tokens("classic", "ann")
    assert [who(simulator, minted["access_token"]) for _ in range(2)] == ["ann", "429"]
    assert refresh(simulator, minted["refresh_token"]).status_code == 200


def test_no_secret_reaches_the_ledger(simulator: RunningSimulator) -> None:
    minted = simulator.control.mint_tokens("classic", "ann")
    refresh(simulator, minted["refresh_token"])
    who(simulator, minted["access_token"])
    book = str(simulator.control.ledger())
    assert minted["refresh_token"] not in book
    assert minted["access_token"] not in book
    assert "'grant_type': 'refresh_token'" in book

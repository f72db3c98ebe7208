"""The accounts service: ``/authorize`` and ``/api/token``.

Authorization Code with a client secret or with PKCE (RFC 7636, S256), refresh, and client credentials. A browser
(it accepts HTML) gets the consent page (``consent_page``); for anybody else it is skipped: whoever ``login_hint`` (or
``user``) names, or else the first user, says yes at once; ``decision=deny`` says no.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from spotify_pipelines.simulator.consent_page import consent_page
from spotify_pipelines.simulator.errors import OAuthError
from spotify_pipelines.simulator.exchange import Call, Endpoint, Reply, Service
from spotify_pipelines.simulator.people import Client, User, check_redirect_uri
from spotify_pipelines.simulator.tokens import ACCESS_TOKEN_LIFETIME, Code, RefreshToken, consent_end

__all__ = ["ENDPOINTS"]


# --- /authorize ---


def _authorize(call: Call) -> Reply:
    """Send the browser back with a code, or say why not.

    While the app or its redirect URI is in doubt, the answer is a page: a code must never go to a stranger.
    """
    query = call.query
    client = call.state.people.clients.get(query.get("client_id", ""))
    if client is None:
        return _page("INVALID_CLIENT: Invalid client")
    call.client_id = client.client_id
    redirect_uri = query.get("redirect_uri", "")
    try:
        check_redirect_uri(redirect_uri)
    except ValueError:
        return _page("INVALID_CLIENT: Insecure redirect URI")
    if redirect_uri not in client.redirect_uris:
        return _page("INVALID_CLIENT: Invalid redirect URI")
    if problem := _authorize_problem(query):
        return _send_back(redirect_uri, query, {"error": problem})
    return _ask_person(call, client) if _is_a_person(call) else _approve(call, client)


def _ask_person(call: Call, client: Client) -> Reply:
    users = [user for user in call.state.people.users.values() if _is_listed(user, client)]
    return Reply(200, consent_page(client, users, call.query), {"Cache-Control": "no-store"})


def _approve(call: Call, client: Client) -> Reply:
    query, redirect_uri = call.query, call.query["redirect_uri"]
    user = _approving_user(call, client)
    if user is None:
        return _page("There is no such user in the simulator: create one with POST /_sim/users")
    call.user_id = user.user_id
    scopes = frozenset(query.get("scope", "").split()) - frozenset(query.get("refuse", "").split())
    code = call.state.tokens.issue_code(
        client.client_id,
        user.user_id,
        scopes,
        redirect_uri=redirect_uri,
        challenge=query.get("code_challenge"),
        now=call.now,
    )
    return _send_back(redirect_uri, query, {"code": code}, effect=True)


def _is_a_person(call: Call) -> bool:
    """A browser that has not decided yet."""
    decided = {"decision", "login_hint", "user"} & call.query.keys()
    return not decided and "text/html" in call.headers.get("accept", "")


def _authorize_problem(query: Mapping[str, str]) -> str | None:
    if query.get("response_type") != "code":
        return "unsupported_response_type"
    if "code_challenge" in query and query.get("code_challenge_method") != "S256":
        return "invalid_request"
    return "access_denied" if query.get("decision") == "deny" else None


def _approving_user(call: Call, client: Client) -> User | None:
    users = call.state.people.users
    if wanted := call.query.get("login_hint") or call.query.get("user"):
        return users.get(wanted)
    return next((user for user in users.values() if _is_listed(user, client)), None)


def _is_listed(user: User, client: Client) -> bool:
    return user.clients is None or client.client_id in user.clients


def _send_back(
    redirect_uri: str, query: Mapping[str, str], answer: Mapping[str, str], *, effect: bool = False
) -> Reply:
    state = {"state": query["state"]} if "state" in query else {}
    separator = "&" if urlsplit(redirect_uri).query else "?"
    location = f"{redirect_uri}{separator}{urlencode({**answer, **state})}"
    return Reply(302, headers={"Location": location, "Cache-Control": "no-store"}, effect=effect)


def _page(text: str) -> Reply:
    return Reply(400, f"<!doctype html><title>Spotify (simulated)</title><p>{text}</p>")


# --- /api/token ---


def _token(call: Call) -> Reply:
    if not call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise OAuthError(
            "unsupported_media_type", "Content-Type has to be application/x-www-form-urlencoded", 415
        )
    form = _form(call)
    client, is_confidential = _authenticate(call, form)
    match form.get("grant_type"):
        case "authorization_code":
            return _exchange_code(call, client, is_confidential, form)
        case "refresh_token":
            return _refresh(call, client, is_confidential, form)
        case "client_credentials":
            return _app_token(call, client, is_confidential)
        case None | "":
            raise OAuthError("invalid_request", "grant_type parameter is missing")
        case _:
            raise OAuthError("unsupported_grant_type", "grant_type is not supported")


def _form(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode(errors="replace"), keep_blank_values=True))


def _recognise(call: Call) -> None:
    """Whose tokens this request is about, whether or not it will succeed."""
    form = _form(call)
    client_id, _ = _credentials(call, form) or (None, None)
    call.client_id = client_id if client_id in call.state.people.clients else None
    tokens = call.state.tokens
    grant = tokens.find_code(form.get("code", "")) or tokens.find_refresh(form.get("refresh_token", ""))
    call.user_id = grant.user_id if grant else None


def _authenticate(call: Call, form: Mapping[str, str]) -> tuple[Client, bool]:
    """The client, and whether it proved to be itself with its secret."""
    given = _credentials(call, form)
    if given is None:
        raise OAuthError("invalid_client", "Invalid authorization header")
    client_id, secret = given
    client = call.state.people.clients.get(client_id or "")
    if client is None:
        raise OAuthError("invalid_client", "Invalid client")
    if secret is not None and not hmac.compare_digest(secret.encode(), client.secret.encode()):
        raise OAuthError("invalid_client", "Invalid client secret")
    return client, secret is not None


def _credentials(call: Call, form: Mapping[str, str]) -> tuple[str | None, str | None] | None:
    header = call.headers.get("authorization")
    return _basic_credentials(header) if header else (form.get("client_id"), form.get("client_secret"))


def _basic_credentials(header: str) -> tuple[str, str] | None:
    scheme, _, value = header.partition(" ")
    try:
        name, separator, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote(name), unquote(password)) if separator and scheme.lower() == "basic" else None


def _exchange_code(call: Call, client: Client, is_confidential: bool, form: Mapping[str, str]) -> Reply:
    code = call.state.tokens.find_code(form.get("code", ""))
    if code is None or code.client_id != client.client_id or code.used:
        raise OAuthError("invalid_grant", "Invalid authorization code")
    if code.expires_at <= call.now:
        raise OAuthError("invalid_grant", "Authorization code expired")
    if code.redirect_uri != form.get("redirect_uri"):
        raise OAuthError("invalid_grant", "Invalid redirect URI")
    _check_proof(code, is_confidential, form)
    call.state.tokens.use_code(code)
    refresh = call.state.tokens.issue_refresh(
        client.client_id, code.user_id, code.scopes, call.now, is_public=not is_confidential
    )
    return _bearer(call, client, code.user_id, code.scopes, refresh.token)


def _check_proof(code: Code, is_confidential: bool, form: Mapping[str, str]) -> None:
    """The secret proves the client; without it the verifier of the challenge must."""
    if code.challenge is None:
        if not is_confidential:
            raise OAuthError("invalid_client", "Invalid client secret")
        return
    verifier = form.get("code_verifier")
    if not verifier:
        raise OAuthError("invalid_request", "code_verifier required")
    hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(hashed, code.challenge):
        raise OAuthError("invalid_grant", "code_verifier was incorrect")


def _refresh(call: Call, client: Client, is_confidential: bool, form: Mapping[str, str]) -> Reply:
    token = call.state.tokens.find_refresh(form.get("refresh_token", ""))
    if token is None or token.client_id != client.client_id:
        raise OAuthError("invalid_grant", "Invalid refresh token")
    if not is_confidential and not token.is_public:
        raise OAuthError("invalid_client", "Invalid client secret")
    call.fault_id = call.state.faults.refuses_grant(client.client_id, token.user_id)
    if call.fault_id is not None or token.revoked:
        raise OAuthError("invalid_grant", "Refresh token revoked")
    if consent_end(token.authorized_at) <= call.now:
        raise OAuthError("invalid_grant", "Refresh token expired")
    return _bearer(call, client, token.user_id, token.scopes, _rotated(call, client, token))


def _rotated(call: Call, client: Client, token: RefreshToken) -> str | None:
    """The next refresh token where the app rotates them (public clients always do); the old one dies."""
    if not (client.rotate_refresh_tokens or token.is_public):
        return None
    call.state.tokens.revoke_refresh(token.token)
    return call.state.tokens.issue_refresh(
        token.client_id, token.user_id, token.scopes, token.authorized_at, is_public=token.is_public
    ).token


def _app_token(call: Call, client: Client, is_confidential: bool) -> Reply:
    if not is_confidential:
        raise OAuthError("invalid_client", "Invalid client secret")
    token = call.state.tokens.issue_access(client.client_id, None, frozenset(), call.now)
    body = {"access_token": token.token, "token_type": "Bearer", "expires_in": ACCESS_TOKEN_LIFETIME}
    return Reply(200, body, {"Cache-Control": "no-store"}, effect=True)


def _bearer(
    call: Call, client: Client, user_id: str, scopes: frozenset[str], refresh_token: str | None
) -> Reply:
    token = call.state.tokens.issue_access(client.client_id, user_id, scopes, call.now)
    body: dict[str, object] = {
        "access_token": token.token,
        "token_type": "Bearer",
        "expires_in": ACCESS_TOKEN_LIFETIME,
        "scope": " ".join(sorted(scopes)),
    }
    if refresh_token:
        body["refresh_token"] = refresh_token
    return Reply(200, body, {"Cache-Control": "no-store"}, effect=True)


ENDPOINTS = (
    Endpoint("GET", "/authorize", _authorize, "authorize", Service.ACCOUNTS),
    Endpoint("POST", "/api/token", _token, "token", Service.ACCOUNTS, recognise=_recognise),
)

"""Errors explain themselves: which request, of which endpoint, why, and what to do next; never a token."""

import json
import traceback
from collections.abc import Sequence

import httpx
import pytest

from spotify_pipelines.spotify.errors import Ambiguous, SpotifyError
from spotify_pipelines.spotify.turns import Fate, Slot, Turn
from spotify_pipelines_tests.spotify.harness import (
    ACCOUNT,
    APP,
    MemoryCredentials,
    open_desk,
    sandbox_settings,
)

TOKEN = "BQ" + "c4n_-" * 40
NEXT_STEPS = {
    302: "Check the base URL",
    400: "Correct it",
    401: "connect it again",
    403: "use an app that may",
    404: "leave it out",
    408: "Try again later",
    429: "lower the app's limit",
    500: "Try again later",
    503: "Try again later",
}


async def failure(status: int, redis_url: str, key_prefix: str, *, create: bool = False) -> SpotifyError:
    """What a call ends in when Spotify answers so every time, with the token wherever a text can stand."""

    def refuse(request: httpx.Request) -> httpx.Response:
        body = {"error": {"status": status, "message": f"no: {TOKEN}", "reason": TOKEN}}
        headers = {"spotify-request-id": "req-1", "retry-after": "1", "location": TOKEN}
        return httpx.Response(status, content=json.dumps(body), headers=headers)

    settings = sandbox_settings(redis_url, "http://simulator.test/v1")
    credentials = MemoryCredentials([TOKEN], [TOKEN])
    async with open_desk(
        redis_url, key_prefix, settings, credentials=credentials, mounted=httpx.MockTransport(refuse)
    ) as desk:
        desk.client.caller.limiter = _Unlimited()
        playlists = desk.client.as_account(ACCOUNT)
        with pytest.raises(SpotifyError) as caught:
            await (playlists.create_playlist("Name", "Words", public=True) if create else playlists.me())
        return caught.value


class _Unlimited:
    """Always a turn: later attempts would wait for the pause that a refusal sets."""

    async def acquire(self, turn: Turn) -> Slot:
        return Slot(turn, waited=0.0, booked=0.0)

    async def answered(self, slot: Slot, fate: Fate, *, pause: float | None = None) -> None:
        return None

    async def ban(self, apps: Sequence[str], seconds: float) -> None:
        return None

    async def refund(self, slot: Slot) -> None:
        return None


@pytest.mark.parametrize("status", NEXT_STEPS)
async def test_an_error_names_its_request_and_the_next_step(
    status: int, redis_url: str, key_prefix: str
) -> None:
    error = await failure(status, redis_url, key_prefix)

    assert (error.endpoint, error.status, error.request_id) == ("GET /me", status, "req-1")
    assert (error.app_id, error.account_id) == (APP, ACCOUNT)
    assert NEXT_STEPS[status] in error.message
    for part in ("GET /me", f"account {ACCOUNT}", f"app {APP}", f"status {status}", "request req-1"):
        assert part in str(error)


@pytest.mark.parametrize("status", [302, 408, 500, 503])
async def test_an_unclear_creation_says_that_one_has_to_look_first(
    status: int, redis_url: str, key_prefix: str
) -> None:
    error = await failure(status, redis_url, key_prefix, create=True)

    assert isinstance(error, Ambiguous)
    assert (error.endpoint, error.status, error.request_id) == ("POST /me/playlists", status, "req-1")
    assert "look for its effect first" in error.message
    assert error.attempts == 1


@pytest.mark.parametrize("status", NEXT_STEPS)
@pytest.mark.parametrize("create", [False, True])
async def test_no_part_of_an_error_holds_a_token(
    status: int, create: bool, redis_url: str, key_prefix: str
) -> None:
    error = await failure(status, redis_url, key_prefix, create=create)

    told = "".join([*traceback.format_exception(error), repr(error.__dict__), repr(error.args), str(error)])
    assert "c4n_-" not in told

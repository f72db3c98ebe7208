"""The way of a call, seen from the simulator's ledger: what was really sent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from spotify_pipelines.settings import Settings
from spotify_pipelines.spotify.errors import (
    Ambiguous,
    AuthorizationLost,
    BadRequest,
    BanKind,
    Forbidden,
    ForbiddenReason,
    LostReason,
    MalformedAnswer,
    NotFound,
    QuotaExceeded,
    RateLimited,
    SpotifyError,
    Unavailable,
)
from spotify_pipelines.spotify.retry import MAX_ATTEMPTS
from spotify_pipelines.spotify.turns import Fate, Slot
from spotify_pipelines_tests.spotify.harness import (
    ACCOUNT,
    APP,
    CLIENT_ID,
    Desk,
    MemoryApps,
    MemoryCredentials,
    minted,
    open_desk,
    sandbox_settings,
)
from spotify_pipelines_tests.support.simulator import RunningSimulator


@pytest.fixture
async def desk(
    simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> AsyncIterator[Desk]:
    async with open_desk(redis_url, key_prefix, settings, credentials=minted(simulator)) as opened:
        simulator.control.clear_ledger()
        yield opened


def sent(simulator: RunningSimulator, path: str, method: str | None = None) -> list[dict[str, Any]]:
    return simulator.control.ledger(path=path, method=method)


async def test_a_failing_service_is_asked_again_with_growing_bounds(
    desk: Desk, simulator: RunningSimulator
) -> None:
    simulator.control.add_fault(path="/me$", status=503, n=3)

    await desk.client.as_account(ACCOUNT).me()

    assert len(sent(simulator, "/v1/me")) == 4
    assert len(desk.sleeps.seconds) == 3
    assert all(pause <= 0.5 * 2**number for number, pause in enumerate(desk.sleeps.seconds))


@pytest.mark.parametrize(
    ("fault", "status"),
    [({"status": 500}, 500), ({"status": 502}, 502), ({"drop": "before"}, None), ({"drop": "after"}, None)],
    ids=str,
)
async def test_a_read_is_given_up_after_six_attempts(
    desk: Desk, simulator: RunningSimulator, fault: dict[str, Any], status: int | None
) -> None:
    simulator.control.add_fault(path="/me$", **fault)

    with pytest.raises(Unavailable) as caught:
        await desk.client.as_account(ACCOUNT).me()

    assert len(sent(simulator, "/v1/me")) == MAX_ATTEMPTS
    assert (caught.value.attempts, caught.value.status) == (MAX_ATTEMPTS, status)


@pytest.mark.parametrize(
    ("fault", "playlists"),
    [
        ({"status": 502}, 0),
        ({"status": 503, "effect": True}, 1),
        ({"drop": "before"}, 0),
        ({"drop": "after"}, 1),
        ({"status": 201, "body": "<html>", "effect": True}, 1),
        ({"status": 201, "body": {"name": "no id"}, "effect": True}, 1),
    ],
    ids=str,
)
async def test_a_create_with_an_unknown_effect_is_never_sent_twice(
    desk: Desk, simulator: RunningSimulator, fault: dict[str, Any], playlists: int
) -> None:
    simulator.control.add_fault(method="POST", path="/me/playlists", **fault)

    with pytest.raises(Ambiguous):
        await desk.client.as_account(ACCOUNT).create_playlist("Name", "Words", public=False)

    assert len(sent(simulator, "/me/playlists", "POST")) == 1
    assert len(simulator.control.playlists("user1")) == playlists


async def test_a_create_slower_than_the_time_limit_is_ambiguous(
    desk: Desk, simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> None:
    simulator.control.add_fault(method="POST", path="/me/playlists", delay=0.4, n=1)
    hasty = settings.model_copy(update={"request_timeout": 0.2})

    async with open_desk(redis_url, key_prefix, hasty, credentials=desk.credentials) as hurried:
        with pytest.raises(Ambiguous):
            await hurried.client.as_account(ACCOUNT).create_playlist("Name", "Words", public=False)

    async with asyncio.timeout(10):
        # The simulator has no event to await: it runs in a thread and a loop of its own.
        while not simulator.control.playlists("user1"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert len(sent(simulator, "/me/playlists", "POST")) == 1


async def test_a_create_that_surely_had_no_effect_is_sent_again(
    desk: Desk, simulator: RunningSimulator
) -> None:
    simulator.control.expire_access_tokens("user1")
    desk.credentials.account_tokens.append(minted(simulator).account_tokens[0])
    desk.credentials.account_tokens.pop(0)

    await desk.client.as_account(ACCOUNT).create_playlist("Name", "Words", public=False)

    assert [entry["status"] for entry in sent(simulator, "/me/playlists", "POST")] == [401, 201]
    assert len(simulator.control.playlists("user1")) == 1


async def test_one_refresh_and_one_more_try_for_a_refused_token(
    desk: Desk, simulator: RunningSimulator
) -> None:
    first, second = desk.credentials.account_tokens
    simulator.control.add_fault(path="/me$", status=401, n=1)

    await desk.client.as_account(ACCOUNT).me()

    assert desk.credentials.refused == [first]
    assert desk.credentials.account_tokens == [second]
    assert len(sent(simulator, "/v1/me")) == 2


async def test_a_refused_token_is_told_once_however_many_attempts_follow(
    desk: Desk, simulator: RunningSimulator
) -> None:
    simulator.control.add_fault(path="/me$", status=401, n=1)
    simulator.control.add_fault(path="/me$", status=503, n=2)

    await desk.client.as_account(ACCOUNT).me()

    assert [entry["status"] for entry in sent(simulator, "/v1/me")] == [401, 503, 503, 200]
    assert len(desk.credentials.refused) == 1


async def test_a_fresh_token_that_is_refused_ends_the_call(desk: Desk, simulator: RunningSimulator) -> None:
    simulator.control.add_fault(path="/me$", status=401)

    with pytest.raises(AuthorizationLost) as caught:
        await desk.client.as_account(ACCOUNT).me()

    assert caught.value.reason is LostReason.REFUSED_AFTER_REFRESH
    assert len(desk.credentials.refused) == 1
    assert len(sent(simulator, "/v1/me")) == 2


async def test_a_short_429_pauses_the_app_and_goes_on(desk: Desk, simulator: RunningSimulator) -> None:
    simulator.control.add_fault(path="/me$", status=429, headers={"Retry-After": "1"}, n=1)

    with capture_logs() as logs:
        await desk.client.as_account(ACCOUNT).me()

    first, second = sent(simulator, "/v1/me")
    assert second["real_time"] - first["real_time"] >= 1.0
    assert [entry["event"] for entry in logs] == ["spotify.rate_limited"]
    (row,) = desk.calls.rows()
    assert (row["calls"], row["limited"], row["ok"], row["retries"]) == (2, 1, 1, 1)


async def test_before_each_attempt_is_asked_whether_it_may_still_be_sent(
    desk: Desk, simulator: RunningSimulator
) -> None:
    simulator.control.add_fault(path="/me/playlists$", status=429, headers={"Retry-After": "0"}, n=1)
    asked: list[int] = []

    def ask() -> None:
        asked.append(len(sent(simulator, "/me/playlists")))
        if len(asked) == 3:
            raise RuntimeError("taken over")

    account = desk.client.as_account(ACCOUNT)
    await account.create_playlist("Name", "Words", public=False, before_send=ask)
    with pytest.raises(RuntimeError, match="taken over"):
        await account.create_playlist("Name", "Words", public=False, before_send=ask)

    assert asked == [0, 1, 2], "after the wait for a turn, before the call is sent"
    assert len(sent(simulator, "/me/playlists")) == 2


async def test_a_call_may_be_told_to_give_up_earlier(desk: Desk, simulator: RunningSimulator) -> None:
    simulator.control.add_fault(path="/items$", status=502)

    with pytest.raises(Unavailable):
        await desk.client.as_account(ACCOUNT).replace_items("A" * 22, [], max_attempts=2)

    assert len(sent(simulator, "/items")) == 2


async def test_a_pause_by_one_client_stops_the_other(
    desk: Desk, simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> None:
    simulator.control.add_fault(path="/albums", status=429, headers={"Retry-After": "1"}, n=1)

    async def call_elsewhere(seconds: float) -> None:
        await desk.client.as_account(ACCOUNT).me()

    async with open_desk(
        redis_url, key_prefix, settings, credentials=desk.credentials, sleep=call_elsewhere
    ) as limited:
        async for _ in limited.client.as_app(APP).albums(simulator.control.album_ids(1)):
            pass

    first, _ = sent(simulator, "/albums")
    (elsewhere,) = sent(simulator, "/v1/me")
    assert elsewhere["real_time"] - first["real_time"] >= 1.0


async def test_a_ban_is_recorded_and_nothing_is_called_any_more(
    desk: Desk, simulator: RunningSimulator
) -> None:
    simulator.control.add_client(CLIENT_ID, "s", developer_account="dev", limit=1000)
    simulator.control.ban("dev", 48_925)

    with pytest.raises(QuotaExceeded) as caught:
        await desk.client.as_account(ACCOUNT).me()
    with pytest.raises(QuotaExceeded) as again:
        await desk.client.as_account(ACCOUNT).create_playlist("Name", "Words", public=False)
    with pytest.raises(QuotaExceeded):
        async for _ in desk.client.as_app(APP).albums(simulator.control.album_ids(1)):
            pass

    assert len(sent(simulator, "/v1/")) == 1
    (ban,) = desk.apps.cooldowns
    assert (ban.kind, ban.retry_after) == (BanKind.QUOTA, "48925")
    assert (ban.said, ban.endpoint) == ("QUOTA_EXCEEDED: Too many requests", "GET /me")
    until = ban.until
    assert until == caught.value.until == again.value.until
    assert until - datetime.now(UTC) > timedelta(seconds=48_000)
    assert desk.sleeps.seconds == []


async def test_a_ban_that_one_client_meets_ends_the_calls_of_another_before_it_has_heard_of_it(
    desk: Desk, simulator: RunningSimulator, settings: Settings, redis_url: str, key_prefix: str
) -> None:
    simulator.control.add_client(CLIENT_ID, "s", developer_account="dev", limit=1000)
    simulator.control.ban("dev", 48_925)
    with pytest.raises(QuotaExceeded) as met:
        await desk.client.as_account(ACCOUNT).me()
    async with open_desk(redis_url, key_prefix, settings, credentials=desk.credentials) as other:
        assert other.apps.known.cooldown_until is None
        async with asyncio.timeout(5):
            with pytest.raises(QuotaExceeded) as told:
                await other.client.as_account(ACCOUNT).me()

    assert len(sent(simulator, "/v1/")) == 1
    assert abs(told.value.until - met.value.until) < timedelta(seconds=5)
    assert other.apps.cooldowns == []


async def test_a_ban_that_is_over_is_over(desk: Desk) -> None:
    desk.apps.known = replace(desk.apps.known, cooldown_until=datetime.now(UTC) - timedelta(seconds=1))

    assert (await desk.client.as_account(ACCOUNT).me()).id == "user1"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 400}, BadRequest),
        (
            {"status": 403, "body": {"error": {"status": 403, "message": "Insufficient client scope"}}},
            Forbidden,
        ),
        ({"status": 404}, NotFound),
        ({"status": 200, "body": "<html>hello</html>"}, MalformedAnswer),
        ({"status": 200, "body": {"display_name": "no id"}}, MalformedAnswer),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, MalformedAnswer),
    ],
    ids=str,
)
async def test_what_is_permanent_is_asked_once(
    desk: Desk, simulator: RunningSimulator, fault: dict[str, Any], kind: type[SpotifyError]
) -> None:
    simulator.control.add_fault(path="/me$", **fault)

    with pytest.raises(kind) as caught:
        await desk.client.as_account(ACCOUNT).me()

    assert len(sent(simulator, "/v1/me")) == 1
    assert (caught.value.endpoint, caught.value.account_id, caught.value.app_id) == ("GET /me", ACCOUNT, APP)


async def test_a_missing_scope_is_told_apart(desk: Desk, simulator: RunningSimulator) -> None:
    token = simulator.control.mint_tokens(CLIENT_ID, "user1", scopes=["playlist-read-private"])[
        "access_token"
    ]
    desk.credentials.account_tokens[:] = [token]

    with pytest.raises(Forbidden) as caught:
        await desk.client.as_account(ACCOUNT).create_playlist("Name", "Words", public=True)

    assert caught.value.reason is ForbiddenReason.SCOPE


async def test_no_secret_is_in_any_error_or_log(redis_url: str, key_prefix: str) -> None:
    """The server echoes the token wherever it can, in every kind of failure."""
    canary = "BQCANARY" + "a1B2_-" * 30

    def echo(request: httpx.Request) -> httpx.Response:
        status = statuses.pop(0)
        if status == 0:
            raise httpx.ReadError(f"broken {canary}")
        body = {"error": {"status": status, "message": f"Bearer {canary}", "reason": canary}}
        return httpx.Response(status, json=body, headers={"X-Echo": canary, "Retry-After": "0"})

    texts = []
    settings = sandbox_settings(redis_url, "http://simulator.test/v1")
    for status in (0, 200, 302, 400, 401, 403, 404, 500):
        statuses = [status] * 2 * MAX_ATTEMPTS
        async with open_desk(
            redis_url,
            key_prefix,
            settings,
            credentials=MemoryCredentials([canary], [canary]),
            mounted=httpx.MockTransport(echo),
        ) as desk:
            with capture_logs() as logs, pytest.raises(SpotifyError) as caught:
                await desk.client.as_account(ACCOUNT).me()
            texts += [str(caught.value), repr(caught.value.__dict__), repr(caught.value.args), repr(logs)]

    assert len(texts) == 32
    assert not any("CANARY" in text for text in texts)


async def test_every_attempt_is_counted_with_its_endpoint(desk: Desk, simulator: RunningSimulator) -> None:
    simulator.control.add_fault(path="/playlists/", status=502, n=1)
    with pytest.raises(NotFound):
        await desk.client.as_account(ACCOUNT).playlist("0000000000000000000000")

    (row,) = desk.calls.rows()
    assert {name: row[name] for name in ("service", "app_id", "account_id", "endpoint")} == {
        "service": "web_api",
        "app_id": APP,
        "account_id": ACCOUNT,
        "endpoint": "GET /playlists/{id}",
    }
    assert (row["calls"], row["errors"], row["retries"]) == (2, 2, 1)
    assert desk.calls.total == len(sent(simulator, "/playlists/"))


async def test_a_rate_limit_that_stays_is_raised_as_such(redis_url: str, key_prefix: str) -> None:
    apps = MemoryApps()
    settings = sandbox_settings(redis_url, "http://simulator.test/v1")
    sent_count = 0

    def limited(request: httpx.Request) -> httpx.Response:
        nonlocal sent_count
        sent_count += 1
        return httpx.Response(429, headers={"Retry-After": "100"})

    async with open_desk(
        redis_url, key_prefix, settings, apps=apps, mounted=httpx.MockTransport(limited)
    ) as desk:
        pauses = []

        async def answered(slot: Slot, fate: Fate, *, pause: float | None = None) -> None:
            pauses.append(pause)

        desk.client.caller.limiter.answered = answered  # type: ignore[method-assign]
        with pytest.raises(RateLimited):
            await desk.client.as_account(ACCOUNT).me()

    # A second wait of 100 s would go beyond the deadline; the app is paused for others all the same.
    assert sent_count == 2
    assert len(pauses) == 2
    assert apps.cooldowns == []

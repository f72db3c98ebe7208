"""The guard's decisions, on plain values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.web.rules import (
    COOKIE_SECONDS,
    GuardError,
    Rules,
    changes_something,
    is_loopback,
    make_cookie,
    origin_fits,
)

TOKEN = "a token that is long enough"
HERE = Rules.for_address("127.0.0.1", ["UI.example"], None, read_only=False)
LOCKED = Rules.for_address("0.0.0.0", [], TOKEN, read_only=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "pipelines.example"])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(GuardError, match="SPOTIFY_PIPELINES_WEB_TOKEN"):
        Rules.for_address(host, [], None, read_only=True)
    assert Rules.for_address(host, [], TOKEN, read_only=True).token == TOKEN


@pytest.mark.parametrize("name", ["https://ui.example", "ui.example:80", "*", "", "a b"])
def test_a_name_that_is_no_host_is_refused(name: str) -> None:
    with pytest.raises(GuardError, match="no host name"):
        Rules.for_address("127.0.0.1", [name], None, read_only=False)


@pytest.mark.parametrize(
    "header", ["localhost", "127.0.0.1:3000", "[::1]:3000", "LOCALHOST:1", "ui.example", "ui.example:443"]
)
def test_our_own_names_are_known(header: str) -> None:
    assert HERE.knows_host(header)


@pytest.mark.parametrize(
    "header",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:3000",
        "localhost@evil.example",
        "localhost:3000@evil.example",
        "localhost:",
        "localhost:x",
        "localhost ",
        "",
        "0.0.0.0:3000",
        "[::1",
        "localhost, evil.example",
    ],
)
def test_other_names_are_not(header: str) -> None:
    assert not HERE.knows_host(header)


@given(st.text(max_size=30))
def test_no_other_text_is_one_of_our_names(header: str) -> None:
    name = header.lower().rpartition(":")[0] or header.lower()
    assert not HERE.knows_host(header) or name in HERE.hosts or header.lower() in HERE.hosts


@pytest.mark.parametrize(
    ("origin", "host", "fits"),
    [
        ("http://127.0.0.1:3000", "127.0.0.1:3000", True),
        ("http://[::1]:3000", "[::1]:3000", True),
        ("https://ui.example", "ui.example", True),
        ("https://ui.example:8443", "ui.example:8443", True),
        ("http://127.0.0.1:3001", "127.0.0.1:3000", False),
        ("http://127.0.0.1", "127.0.0.1:3000", False),
        ("http://localhost:3000", "127.0.0.1:3000", False),
        ("https://ui.example.evil", "ui.example", False),
        ("https://evil.example", "ui.example", False),
        ("file://", "ui.example", False),
        ("null", "localhost:3000", False),
        ("", "localhost:3000", False),
        ("http://localhost:99999", "localhost:3000", False),
        ("chrome-extension://localhost:3000", "localhost:3000", False),
    ],
)
def test_a_page_has_to_come_from_the_server_it_talks_to(origin: str, host: str, fits: bool) -> None:
    assert origin_fits(origin, host) is fits


@pytest.mark.parametrize(
    ("query", "changes"),
    [
        ("{ version }", False),
        ("query Q { version }", False),
        ("mutation { wipeAssets }", True),
        ("\n# query\nmutation M($a: Int) { wipe(a: $a) }", True),
        ("query Q { version } mutation M { wipeAssets }", True),
        ("fragment F on Mutation { wipeAssets } mutation { ...F }", True),
        ("subscription { logs }", True),
        ("\ufeffmutation { wipeAssets }", True),
        ("mutation {", True),
        ("no GraphQL at all", False),
        ("mutation " + "{a" * 100_000 + "}" * 100_000, True),
        ("{a" * 100_000 + "}" * 100_000, False),
    ],
)
def test_a_text_that_changes_something_is_told_from_a_question(query: str, changes: bool) -> None:
    assert changes_something(query) is changes


def test_a_cookie_is_good_for_a_week_and_for_its_token_only() -> None:
    cookie = make_cookie(TOKEN, now=1_000)
    assert LOCKED.knows_cookie(cookie, now=1_000 + COOKIE_SECONDS)
    assert not LOCKED.knows_cookie(cookie, now=1_001 + COOKIE_SECONDS)
    assert not LOCKED.knows_cookie(make_cookie(TOKEN + "!", now=1_000), now=1_000)
    assert TOKEN not in cookie


@pytest.mark.parametrize(
    "forged", ["", ".", "9999999999", "9999999999.", "9999999999.00", "-1.x", "é.x", TOKEN]
)
def test_a_forged_cookie_is_not_known(forged: str) -> None:
    assert not LOCKED.knows_cookie(forged, now=0)


def test_later_by_hand_is_not_later() -> None:
    until, _, signature = make_cookie(TOKEN, now=0).partition(".")
    assert not LOCKED.knows_cookie(f"{int(until) + 1}.{signature}", now=0)


def test_without_a_token_nothing_opens_by_one() -> None:
    assert not HERE.knows_token("")
    assert not HERE.knows_cookie("", now=0)


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("127.0.0.9", True), ("::1", True), ("localhost", True), ("::", False), ("ui", False)],
)
def test_loopback_is_told_from_other_addresses(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one

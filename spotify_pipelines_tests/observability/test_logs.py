"""Logs: one JSON object per line on stderr, and no secret in any of them, whichever way it came in."""

import contextlib
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.observability.logs import configure_logging, redact

BEARER = "BQ" + "canary-access-token_0123456789" * 3
REFRESH = "AQ" + "canary-refresh-token_0123456789" * 3
CANARIES = (BEARER, REFRESH, "hunter2canary")


@pytest.fixture(autouse=True)
def unconfigured_afterwards() -> Iterator[None]:
    level = logging.getLogger("httpx").level
    yield
    structlog.reset_defaults()
    logging.getLogger("httpx").setLevel(level)


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == "", "results stay alone on stdout"
    return [json.loads(line) for line in err.splitlines()]


def test_an_event_is_one_json_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(log_format="json")
    structlog.get_logger().info("playlist.created", playlist="Evening", account=3)
    [line] = written(capsys)
    assert (line["event"], line["playlist"], line["account"], line["level"]) == (
        "playlist.created",
        "Evening",
        3,
        "info",
    )
    assert line["timestamp"].endswith("Z")


def test_without_a_terminal_logs_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    structlog.get_logger().warning("x")
    assert written(capsys)[0]["event"] == "x"


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(log_format="json", level="WARNING")
    structlog.get_logger().info("quiet")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in written(capsys)] == ["loud"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_gets_through_by_key_text_or_exception(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure_logging(log_format=log_format)
    log = structlog.get_logger()
    try:
        raise RuntimeError(f"401 with Bearer {BEARER} and refresh_token={REFRESH}&x=1")
    except RuntimeError:
        log.exception("failed", url="postgresql://app:hunter2canary@localhost/db")
    log.warning("redis is away", url="redis://:hunter2canary@127.0.0.1:6379/0", path=Path(REFRESH))
    log.info(
        "event",
        access_token="hunter2canary",
        nested={"headers": [{"Authorization": f"Bearer {BEARER}"}], "note": f"got {REFRESH}"},
        error=ValueError(f"client_secret=hunter2canary in {BEARER}"),
    )
    log.info(f"a token in the event itself: {BEARER}")
    text = capsys.readouterr().err
    assert "failed" in text
    assert "[redacted]" in text
    for canary in CANARIES:
        assert canary not in text


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("tokens_refreshed", 3, True),
        ("has_secret", False, True),
        ("refresh_token", None, True),
        ("refresh_token", "x", False),
        ("VaultKeys", ["k"], False),
        ("cookie", {"a": 1}, False),
        ("playlist", "Basic grooves for a long evening", True),
    ],
)
def test_a_key_that_names_a_secret_hides_its_text_and_counts_stay(
    key: str, value: object, kept: bool
) -> None:
    assert redact(value, key) == (value if kept else "[redacted]")


@given(st.recursive(st.none() | st.booleans() | st.integers(), st.lists, max_leaves=10))
def test_what_holds_no_text_passes_unchanged(value: object) -> None:
    assert redact(value) == value


@given(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=40),
    st.text(alphabet=" .,:;\n", max_size=5),
)
def test_tokens_are_found_wherever_they_stand_in_a_text(token: str, before: str) -> None:
    assert token not in redact(f"{before}BQ{token}")
    assert token not in redact(f"{before}AQ{token} and more")


def test_httpx_does_not_log_addresses_which_may_hold_a_code() -> None:
    code = (
        "import logging; logging.basicConfig(level=logging.DEBUG);"
        "from spotify_pipelines.observability.logs import configure_logging; configure_logging(level='DEBUG');"
        "logging.getLogger('httpx').info('GET https://x/?code=canary')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "canary" not in done.stderr + done.stdout


def test_a_stderr_that_was_replaced_and_closed_is_not_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as replaced:
        configure_logging(log_format="json")
        structlog.get_logger().info("inside")
        assert "inside" in replaced.getvalue()
        replaced.close()
    structlog.get_logger().info("outside")
    assert [line["event"] for line in written(capsys)] == ["outside"]

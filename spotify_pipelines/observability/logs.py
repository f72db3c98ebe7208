"""Structured logs: one event per line, JSON when nobody watches a terminal, secrets taken out last.

What belongs here: the set-up of structlog and the redaction. What does not: the events, which are logged
where they happen as ``log.info("playlist.created", playlist=…, account=…)``.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

__all__ = ["configure_logging", "redact"]

_SECRET_KEYS = re.compile(r"token|secret|password|authorization|cookie|verifier|vault", re.IGNORECASE)
_SECRET_TEXTS = (
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 [redacted]"),
    (
        re.compile(r"\b((?:access|refresh)_token|client_secret|code_verifier|code)=[^&\s\"']+"),
        r"\1=[redacted]",
    ),
    (re.compile(r"\b(?:AQ|BQ)[A-Za-z0-9_-]{40,}"), "[redacted]"),
    (re.compile(r"://([^:/@\s]*):[^@/\s]+@"), r"://\1:[redacted]@"),
)


def redact(value: Any, key: str = "") -> Any:
    """``value`` without secrets: by the name of its key, and by shape within texts (tokens, passwords)."""
    if key and _SECRET_KEYS.search(key) and not isinstance(value, bool | int | float | None):
        return "[redacted]"
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXTS:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {name: redact(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if isinstance(value, bool | int | float | None):
        return value
    # The renderer would turn any other object into a text after it has passed here.
    return redact(str(value))


def _redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: redact(value, name) for name, value in event.items()}


def configure_logging(*, log_format: str = "auto", level: str = "INFO") -> None:
    """Set up structlog for this process; logs go to stderr, results stay alone on stdout.

    Args:
        log_format: ``json``, ``console``, or ``auto`` (console in a terminal, JSON elsewhere).
        level: the least level that is written.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    renderers: list[Any] = (
        [structlog.processors.format_exc_info, _redact_event, structlog.processors.JSONRenderer(default=str)]
        if as_json
        else [structlog.processors.format_exc_info, _redact_event, structlog.dev.ConsoleRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        # Looked up for each line: whoever replaces stderr (a test, a runner) may close it again.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # httpx logs full URLs at INFO, and an authorization code travels in one.
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

"""What is known of an app's rate limit, by whom or from what, as people are told it.

What belongs here: fixed, settled or searching, and the evidence in words; pure. What does not: finding a limit
(``spotify.learning``), storing it (``store.accounts``), which limit a call keeps to (``spotify.routes``, whose order
is the same: the app's own, the setting's, the learned one).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from spotify_pipelines.spotify.learning import CAUTIOUS, Mode

__all__ = ["Learned", "LimitStanding", "evidence_in_words", "limit_standing"]


@dataclass(frozen=True, slots=True)
class Learned:
    """What is remembered of a search: the row of ``learned_limits``, as it is stored."""

    calls_per_30s: float
    mode: str
    probed_from: float | None
    probe_at: datetime | None
    evidence: Mapping[str, Any]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class LimitStanding:
    """The limit that an app's calls keep to.

    Attributes:
        calls_per_30s: a learned one moves on between two entries of its memory.
        mode: fixed by a person, settled on by counting, or still searching.
        evidence: who fixed it, or what was counted and when.
        next_look: when a settled limit is next raised to see whether it still is the limit; calls have to wait
            for turns then, or it is put off. None where it never is, or is being raised now.
        learned: what was found where a person fixed another.
    """

    calls_per_30s: float
    mode: Literal["fixed", "settled", "searching"]
    evidence: str
    next_look: datetime | None = None
    learned: float | None = None


def limit_standing(of_app: int | None, of_setting: int | None, learned: Learned | None) -> LimitStanding:
    """The limit in force: the app's own, else the setting's, else what was learned, else where a search begins."""
    found = None if learned is None else round(learned.calls_per_30s, 1)
    if of_app is not None:
        return LimitStanding(of_app, "fixed", "fixed for this app ('apps limit')", learned=found)
    if of_setting is not None:
        where = "SPOTIFY_PIPELINES_APP_CALLS_PER_30S"
        return LimitStanding(of_setting, "fixed", f"fixed for all apps by {where}", learned=found)
    if learned is None or found is None:
        return LimitStanding(CAUTIOUS, "searching", "nothing was learned yet: the search begins here")
    evidence = evidence_in_words(learned.evidence, learned.updated_at)
    if learned.mode == Mode.STEADY:
        return LimitStanding(found, "settled", evidence, next_look=learned.probe_at)
    if learned.probed_from is not None:
        evidence = f"{evidence}; looking upward from {learned.probed_from:.0f}"
    return LimitStanding(found, "searching", evidence)


def evidence_in_words(facts: Mapping[str, Any], updated_at: datetime) -> str:
    """What a limit was concluded from, as a sentence.

    Args:
        facts: as the limiter stored them with the limit; ``at`` in seconds since the epoch.
        updated_at: when they were stored, for facts that don't say when they were seen.

    >>> evidence_in_words(
    ...     {"at": 1795486200, "calls_surely_in_window": 141, "calls_possibly_in_window": 143},
    ...     datetime(2026, 11, 24, tzinfo=UTC),
    ... )
    'counted 141–143 calls in the 30 s before the 429 of 2026-11-24 01:30'
    """
    at = facts.get("at")
    time = f"{datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else updated_at:%Y-%m-%d %H:%M}"
    sure, possible = facts.get("calls_surely_in_window"), facts.get("calls_possibly_in_window")
    if sure is not None and possible is not None:
        counted = f"{sure}" if sure == possible else f"{sure}–{possible}"
        if facts.get("refused_while_testing"):
            return f"lowered, as after a pause a single call, with {counted} before it, got a 429 on {time}"
        return f"counted {counted} calls in the 30 s before the 429 of {time}"
    if facts.get("calls_let_through") is not None:
        return f"{facts['calls_let_through']} more calls were let through without a 429, on {time}"
    return f"remembered on {time}"

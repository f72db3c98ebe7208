"""What people are told of a limit: which one holds, by whom or from what, and when it is tested again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spotify_pipelines.accounts.limits import Learned, evidence_in_words, limit_standing

NOW = datetime(2026, 11, 23, 2, 10, tzinfo=UTC)
COUNTED = {"at": NOW.timestamp(), "calls_surely_in_window": 141, "calls_possibly_in_window": 143}
SETTLED = Learned(142.04, "steady", None, NOW + timedelta(hours=1), COUNTED, NOW)


def test_a_settled_limit_shows_its_count_and_when_it_is_tested_again() -> None:
    standing = limit_standing(None, None, SETTLED)
    assert (standing.calls_per_30s, standing.mode) == (142.0, "settled")
    assert standing.evidence == "counted 141–143 calls in the 30 s before the 429 of 2026-11-23 02:10"
    assert standing.next_look == NOW + timedelta(hours=1)


def test_a_search_shows_from_where_it_looks_upward() -> None:
    seen = {"at": NOW.timestamp(), "calls_let_through": 12, "saturated_seconds": 31.0}
    standing = limit_standing(None, None, replace(SETTLED, mode="search", probed_from=142.0, evidence=seen))
    assert (standing.mode, standing.next_look) == ("searching", None)
    assert standing.evidence == (
        "12 more calls were let through without a 429, on 2026-11-23 02:10; looking upward from 142"
    )


def test_an_app_of_which_nothing_is_known_begins_cautiously() -> None:
    standing = limit_standing(None, None, None)
    assert (standing.calls_per_30s, standing.mode) == (30, "searching")
    assert "nothing was learned yet" in standing.evidence


@pytest.mark.parametrize(
    ("of_app", "of_setting", "limit", "who"),
    [(180, None, 180, "for this app"), (180, 90, 180, "for this app"), (None, 90, 90, "_APP_CALLS_PER_30S")],
)
def test_what_a_person_fixed_holds_and_says_who_and_what_was_found(
    of_app: int | None, of_setting: int | None, limit: int, who: str
) -> None:
    standing = limit_standing(of_app, of_setting, SETTLED)
    assert (standing.calls_per_30s, standing.mode, standing.learned) == (limit, "fixed", 142.0)
    assert who in standing.evidence
    assert standing.next_look is None
    assert limit_standing(of_app, of_setting, None).learned is None


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({**COUNTED, "calls_possibly_in_window": 141}, "counted 141 calls in the 30 s"),
        ({**COUNTED, "refused_while_testing": True}, "lowered, as after a pause a single call, with 141–143"),
        ({"calls_let_through": 5}, "let through without a 429, on 2026-11-23 02:10"),
        ({}, "remembered on 2026-11-23 02:10"),
        ({"at": "nonsense", "unheard": "of"}, "remembered on 2026-11-23 02:10"),
    ],
)
def test_any_evidence_is_told_in_words(facts: dict[str, Any], words: str) -> None:
    assert words in evidence_in_words(facts, NOW)

"""Checks on draws: each newest snapshot is what its policy and its own figures promise, or says why it is not.

What belongs here: the four promises, and how their breaches are shown. What does not: finding them
(``store.draw_faults``). They warn and never block; one step asks all four, since a step costs more than a query.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import dagster as dg
from sqlalchemy.orm import Session

from spotify_pipelines.defs.resources import PostgresResource
from spotify_pipelines.store.draw_faults import (
    Fault,
    Faults,
    gaps_off_target,
    short_draws,
    unrecorded_excess,
    unrecorded_reuse,
)

__all__ = ["DRAW_CHECKS", "draws_keep_their_promises"]

_ASSET = "playlist_snapshots"


class _Promise(NamedTuple):
    """A true statement, what finds whatever contradicts it, and what that counts."""

    statement: str
    find: Callable[[Session], Faults]
    breach: str


_PROMISES = {
    "every_draw_has_the_feasible_size": _Promise(
        "Every draw holds as many tracks as its policy's rules let come",
        short_draws,
        "draws are shorter than they could be",
    ),
    "caps_hold_or_it_is_recorded": _Promise(
        "No artist and no album has more tracks than its cap, unless the tracks' records say that the cap gave way",
        unrecorded_excess,
        "artists or albums exceed their cap without a record",
    ),
    "cooldown_holds_or_it_is_recorded": _Promise(
        "No track came back before its cooldown was over, unless its record says that the cooldown gave way",
        unrecorded_reuse,
        "tracks came back too early without a record",
    ),
    "every_gap_equals_its_target": _Promise(
        "The smallest distance between two tracks of one artist is the one that was aimed at",
        gaps_off_target,
        "draws have another gap than was aimed at",
    ),
}


@dg.multi_asset_check(
    name="draws_keep_their_promises",
    specs=[
        dg.AssetCheckSpec(name, asset=_ASSET, description=promise.statement)
        for name, promise in _PROMISES.items()
    ],
    can_subset=True,
)
def draws_keep_their_promises(
    context: dg.AssetCheckExecutionContext, postgres: PostgresResource
) -> Iterator[dg.AssetCheckResult]:
    """Look at the newest draw of every playlist that is kept."""
    asked = {key.name for key in context.selected_asset_check_keys}
    with postgres.open() as database:
        for name, promise in _PROMISES.items():
            if name in asked:
                with database.transaction() as session:
                    found = promise.find(session)
                yield _result(name, promise, found)


def _result(name: str, promise: _Promise, found: Faults) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"faults": found.number}
    if found.first:
        metadata["first"] = dg.MetadataValue.table([_record(fault) for fault in found.first])
    return dg.AssetCheckResult(
        asset_key=_ASSET,
        check_name=name,
        passed=not found.number,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{found.number} {promise.breach}" if found.number else f"{promise.statement}.",
        metadata=metadata,
    )


def _record(fault: Fault) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "playlist": fault.playlist,
            "of": fault.of or "",
            "found": "none" if fault.found is None else fault.found,
            "asked": "none" if fault.asked is None else fault.asked,
        }
    )


DRAW_CHECKS: list[dg.AssetChecksDefinition] = [draws_keep_their_promises]

"""Checks on draws: each newest snapshot is what its policy and its own figures promise, or says why it is not.

What belongs here: the promises of draws, and how their breaches are told. What does not: finding them
(``store.draw_faults``), how a check is declared and run (``promises``).
"""

from collections.abc import Callable

import dagster as dg
from sqlalchemy.orm import Session

from spotify_pipelines.defs.promises import Breach, Promise, Scene, promises_of
from spotify_pipelines.store.draw_faults import (
    Faults,
    gaps_off_target,
    missing_draws,
    short_draws,
    unrecorded_excess,
    unrecorded_reuse,
)

__all__ = ["DRAW_CHECKS"]


def _promise(statement: str, find: Callable[[Session], Faults], breach: str) -> Promise:
    return Promise(statement, lambda scene: _told(find(scene.session), breach))


def _missing(scene: Scene) -> Breach:
    return _told(missing_draws(scene.session, scene.now), "playlists lack the draw of their current cycle")


def _told(found: Faults, breach: str) -> Breach:
    rows = [
        {
            "playlist": fault.playlist,
            "of": fault.of,
            "found": "none" if fault.found is None else fault.found,
            "asked": "none" if fault.asked is None else fault.asked,
        }
        for fault in found.first
    ]
    return Breach(found.number, f"{found.number} {breach}", rows)


_PROMISES = {
    "every_playlist_is_drawn": Promise(
        "Every playlist that nobody locked was drawn for its current cycle", _missing
    ),
    "every_draw_has_the_feasible_size": _promise(
        "Every draw holds as many tracks as its policy's rules let come",
        short_draws,
        "draws are shorter than they could be",
    ),
    "caps_hold_or_it_is_recorded": _promise(
        "No artist and no album has more tracks than its cap, unless the tracks' records say that the cap gave way",
        unrecorded_excess,
        "artists or albums exceed their cap without a record",
    ),
    "cooldown_holds_or_it_is_recorded": _promise(
        "No track came back before its cooldown was over, unless its record says that the cooldown gave way",
        unrecorded_reuse,
        "tracks came back too early without a record",
    ),
    "every_gap_equals_its_target": _promise(
        "The smallest distance between two tracks of one artist is the one that was aimed at",
        gaps_off_target,
        "draws have another gap than was aimed at",
    ),
}

DRAW_CHECKS: list[dg.AssetChecksDefinition] = [
    promises_of("playlist_snapshots", "draws_keep_their_promises", _PROMISES)
]

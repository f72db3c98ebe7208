"""What somebody changed by hand, and what a policy says to do about it.

What belongs here: pure decisions over plain values. What does not: reading a playlist (``look``), recording what
was found and acting on it (``records``).

====================  ==========================================================================================
``restore``           what we last decided is written again
``keep``              the edit stays until the next draw, which replaces all of it
``adopt``             the edit is what the playlist should be, until the next cycle
``pause``             nothing is written until a person says so
====================  ==========================================================================================
"""

from collections.abc import Sequence
from enum import StrEnum

from spotify_pipelines.playlists.call_plan import ITEMS_PER_CALL, Content

__all__ = ["Response", "differences", "is_partly_written", "response_to"]


class Response(StrEnum):
    """What is done about an edit by hand; each is recorded before."""

    RESTORE = "restore"
    KEEP = "keep"
    ADOPT = "adopt"
    PAUSE = "pause"


def differences(found: Content, known: Content, desired: Content, *, items_are_ours: bool) -> tuple[str, ...]:
    """What of ``found`` is neither as we left it (``known``) nor as it should be (``desired``).

    Args:
        found: what the playlist is.
        known: what Spotify last confirmed.
        desired: what it should be: a write whose answer was lost leads there.
        items_are_ours: the items are those of one of our own draws, so that no hand put them there.
    """
    fields = {"items": "items_hash", "name": "name", "description": "description"}
    changed = [
        what
        for what, name in fields.items()
        if getattr(found, name) not in (getattr(known, name), getattr(desired, name))
    ]
    return tuple(what for what in changed if not (what == "items" and items_are_ours))


def is_partly_written(found: Sequence[str | None], desired: Sequence[str]) -> bool:
    """Whether ``found`` is what a write of more than 100 items leaves behind when it is cut off.

    >>> is_partly_written(["a"] * 100, ["a"] * 150), is_partly_written(["a"] * 50, ["a"] * 150)
    (True, False)
    """
    begun = 0 < len(found) < len(desired) and len(found) % ITEMS_PER_CALL == 0
    return begun and list(found) == list(desired[: len(found)])


def response_to(rule: str, *, awaits_draw: bool) -> Response:
    """What a policy's ``on_drift`` means for an edit that was found just now.

    Args:
        rule: ``restore``, ``keep``, ``adopt`` or ``pause``.
        awaits_draw: a draw waits to be written: the one until which an edit would have been kept.
    """
    response = Response(rule)
    return Response.RESTORE if response is Response.KEEP and awaits_draw else response

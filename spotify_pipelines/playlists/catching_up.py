"""Reshuffles that nobody was there to do: made up for once, or left out, as their policy says.

What belongs here: which ones were missed, and noting that they are left out. What does not: draws (``snapshot``),
the calendar (``cycles``). However many cycles went by, the one that runs now is the only one that is drawn.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from spotify_pipelines.playlists.cycles import Cycle
from spotify_pipelines.playlists.history import Action, record
from spotify_pipelines.playlists.policies import Policy
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.playlists import DrawRow

__all__ = ["MISSED_AFTER", "is_left_out", "leave_out"]

MISSED_AFTER: Final = timedelta(hours=2)
"""A reshuffle that is later than this was missed: sensors look every minute, and a retry comes after an hour."""


def is_left_out(policy: Policy, cycle: Cycle, now: datetime) -> bool:
    """Whether a playlist that was not drawn for ``cycle`` yet is not to be, because it is too late for that."""
    return policy.reshuffle.catch_up == "skip" and now > cycle.starts_at + MISSED_AFTER


def leave_out(
    database: Database, missed: Sequence[tuple[DrawRow, Cycle]], *, run_id: str, now: datetime
) -> int:
    """Let each of them wait for its next cycle; how many of them had not been told so before."""
    news = [(row, cycle) for row, cycle in missed if row.next_reshuffle_at != cycle.next_at]
    if not news:
        return 0
    with database.transaction() as session:
        for row, cycle in news:
            store.set_playlist(session, row.id, next_reshuffle_at=cycle.next_at)
            record(
                session,
                row.id,
                Action.SKIPPED,
                label=row.label,
                at=now,
                run_id=run_id,
                reason=f"the reshuffle of {cycle.starts_at:%Y-%m-%d %H:%M} UTC was missed; its policy leaves it out",
            )
    return len(news)

"""What happened to a playlist: one row and one structured log event for each thing, appended for good.

What belongs here: the names of what can happen, and recording it within the caller's transaction. What does not:
deciding that it happened. ``before`` holds whatever was replaced, so that it can be brought back.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.store.playlists import add_history

__all__ = ["Action", "record"]

_log = structlog.get_logger(__name__)


class Action(StrEnum):
    """What can happen to a playlist."""

    PLANNED = "planned"
    CREATED = "created"
    ADOPTED = "adopted"
    RENAMED = "renamed"
    COVERED = "cover set"
    RESHUFFLED = "reshuffled"
    SYNCED = "synced"
    SKIPPED = "skipped"
    DRIFT_FOUND = "drift found"
    RETIRED = "retired"
    EDIT_KEPT = "edit kept"
    EDIT_ADOPTED = "edit adopted"
    ROLLED_BACK = "rolled back"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    PAUSED = "paused"
    RESUMED = "resumed"
    UNFOLLOWED = "unfollowed"
    TWIN_REMOVED = "twin removed"
    PROBED = "probed"
    TRACKS_REPLACED = "tracks replaced"


def record(
    session: Session,
    playlist_id: int,
    action: Action,
    *,
    label: str,
    at: datetime,
    run_id: str,
    reason: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    calls: int = 0,
) -> None:
    """Append one row and log ``playlist.<action>``.

    Args:
        session: the transaction in which it happened.
        playlist_id: our id.
        action: what happened.
        label: what a person calls the playlist.
        at: when (aware UTC).
        run_id: by which run.
        reason: why, in a few words.
        before: what was replaced; JSON values only.
        after: what it is now; a ``snapshot_id`` in it is one that Spotify gave us.
        calls: calls that it took.
    """
    add_history(
        session,
        [
            {
                "playlist_id": playlist_id,
                "at": at,
                "action": action.value,
                "reason": reason,
                "before": dict(before) if before else None,
                "after": dict(after) if after else None,
                "calls": calls,
                "run_id": run_id,
            }
        ],
    )
    _log.info(
        f"playlist.{action.value.replace(' ', '_')}",
        playlist=label,
        playlist_id=playlist_id,
        reason=reason,
        calls=calls,
        run_id=run_id,
    )

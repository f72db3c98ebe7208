"""Playlists that differ from what they should be, as far as the database knows: nothing is called.

What belongs here: finding them, and why they still differ. What does not: bringing them there (``sync``).
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from spotify_pipelines.playlists.desired import Target, targets_from
from spotify_pipelines.playlists.policies import policy_from_json
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.policies import policy_definitions

__all__ = ["Divergence", "divergent_playlists"]


@dataclass(frozen=True, slots=True)
class Divergence:
    """A playlist that is to be written: what is missing on Spotify, since when, and why it waits."""

    playlist: str
    spotify_id: str | None
    lacks: str
    since: datetime
    why: str


def divergent_playlists(session: Session, now: datetime) -> list[Divergence]:
    """All that are to be written at ``now`` (aware UTC), the longest waiting first; not what a person holds back."""
    rows = store.sync_rows(session)
    definitions = policy_definitions(session, {row.policy_id for row in rows})
    policies = {id_: policy_from_json(definition) for id_, definition in definitions.items()}
    found = [
        Divergence(
            target.row.label, target.row.spotify_id, ", ".join(writes), target.row.drawn_at, _why(target)
        )
        for target in targets_from(rows, policies, now)
        if (writes := target.writes())
    ]
    return sorted(found, key=lambda each: (each.since, each.playlist))


def _why(target: Target) -> str:
    row, now = target.row, target.now
    if row.cooldown_until is not None and row.cooldown_until > now:
        return f"its app is banned until {row.cooldown_until:%Y-%m-%d %H:%M} UTC"
    if row.sync_not_before is not None and row.sync_not_before > now:
        return f"put off until {row.sync_not_before:%Y-%m-%d %H:%M} UTC"
    return row.sync_error or "no run has written it yet"

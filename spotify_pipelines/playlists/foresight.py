"""What a sync would do to one playlist, for a person who decides whether it should.

What belongs here: putting what Spotify holds, as far as we know, beside what it should hold. What does not: whether
the sync comes to it (health, bans, budgets: ``sync``), and the look, which a whole account shares.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from spotify_pipelines.playlists.call_plan import Write, appends_for
from spotify_pipelines.playlists.desired import Target
from spotify_pipelines.playlists.uris import id_of, uri_of
from spotify_pipelines.playlists.versions import difference, held_items
from spotify_pipelines.store import playlists as store

__all__ = ["Foreseen", "foresee"]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would be written.

    Attributes:
        writes: the writing calls, in order; none: it would only be looked at.
        was: what it is called on Spotify; None where it is not there.
        tracks_in: items that would come, as they are stored.
        tracks_out: items that would go.
        calls: writing calls.
    """

    writes: tuple[Write, ...]
    name: str
    was: str | None
    tracks: int
    tracks_in: tuple[str, ...]
    tracks_out: tuple[str, ...]
    calls: int


def foresee(session: Session, target: Target, items: Sequence[str] | None = None) -> Foreseen:
    """What would be written to a playlist; ``items`` are those of a draw that is not stored."""
    row, writes = target.row, target.writes()
    if items is None:
        items = store.tracks_of(session, row.snapshot_row)
    rewritten = Write.ITEMS in writes or Write.FILL in writes
    held = held_items(session, row.id, row.confirmed_snapshot_row, row.confirmed_items_hash)
    change = difference(held, [uri_of(item) for item in items]) if rewritten else None
    return Foreseen(
        writes,
        target.desired(target.marker).name,
        row.confirmed_name,
        len(items),
        tuple(map(id_of, change.added)) if change else (),
        tuple(map(id_of, change.removed)) if change else (),
        len(writes) + (appends_for(len(items)) if rewritten else 0),
    )

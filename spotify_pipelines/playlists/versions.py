"""What a playlist held at some time, and making it what the playlist should be.

What belongs here: versions by the names that people give them, and snapshots that no draw made. What does not: what
is written to Spotify and when (``sync``), who asks for it (``control``, ``records``).

Every item list that was ever on Spotify, as far as we know, is either a snapshot's or stands with the edit by hand
that was found. So whatever was overwritten has a name here:

=========== ===================================================================================================
``57``      the tracks of snapshot 57
``e812``    what was found at entry 812 of the history, before it was overwritten
``now``     what Spotify last confirmed
``next``    what the playlist should be: its newest snapshot
=========== ===================================================================================================
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from spotify_pipelines.playlists.call_plan import items_hash
from spotify_pipelines.playlists.uris import id_of, uri_of, writable
from spotify_pipelines.store import playlists as store

__all__ = ["choose_snapshot"]

_ATTEMPTS: Final = 5


def choose_snapshot(
    session: Session,
    playlist_id: int,
    *,
    policy_id: int,
    cycle: int,
    uris: Sequence[str | None],
    details: Mapping[str, str] | None,
    origin: str,
    reason: str,
    at: datetime,
    run_id: str,
    as_found: str | None = None,
) -> int:
    """Store a snapshot that a person chose, as the playlist's newest; its id.

    Args:
        session: the caller's transaction.
        playlist_id: our id.
        policy_id: the version of the policy under which it stands; that in force, or the next run draws anew.
        cycle: the cycle for which it stands.
        uris: what it holds; places that nobody can write are left out.
        details: name and description in place of the templates'; None: the templates'.
        origin: ``adopted`` or ``rollback``.
        reason: where it comes from, in a few words.
        at: when (aware UTC).
        run_id: by which run.
        as_found: the hash of the items as they were found, where that is what should stay.
    """
    items = [id_of(uri) for uri in writable(uris)]
    tracks = [
        {"position": position, "track_id": item, "why": reason, "relaxation": None}
        for position, item in enumerate(items)
    ]
    for _ in range(_ATTEMPTS):
        stored = store.store_snapshot(
            session,
            {
                "playlist_id": playlist_id,
                "policy_id": policy_id,
                "cycle": cycle,
                "draw": store.next_draw(session, playlist_id, cycle),
                "origin": origin,
                "reason": reason,
                "seed": "",
                "algorithm": "",
                "input_digest": "",
                "items_hash": as_found or items_hash([uri_of(item) for item in items]),
                "figures": {"tracks": len(items), "top_artists": store.top_artists(session, items)},
                "details": dict(details) if details is not None else None,
                "created_at": at,
                "run_id": run_id,
            },
            tracks,
        )
        if stored is not None:
            return stored
    raise RuntimeError(f"other runs draw playlist {playlist_id} faster than a choice can be stored")

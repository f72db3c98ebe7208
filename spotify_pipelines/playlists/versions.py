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

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import SequenceMatcher
from typing import Final

from sqlalchemy.orm import Session

from spotify_pipelines.playlists.call_plan import items_hash
from spotify_pipelines.playlists.desired import Target
from spotify_pipelines.playlists.policies import policy_from_json
from spotify_pipelines.playlists.uris import id_of, uri_of, writable
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.policies import policy_definitions
from spotify_pipelines.store.tables import Playlist
from spotify_pipelines.store.versions import HistoryEntry, history, history_entry, snapshot

__all__ = [
    "Difference",
    "NoVersion",
    "Version",
    "before_last_write",
    "choose_snapshot",
    "difference",
    "held_items",
    "version",
]

_ATTEMPTS: Final = 5
_FOUND = re.compile(r"e(\d{1,18})")
_WRITES: Final = frozenset(["synced", "reshuffled", "renamed", "cover set"])
_EMPTY: Final = items_hash([])
_LONGEST_NUMBER: Final = 19


class NoVersion(ValueError):
    """There is no such version of the playlist; the text says which there are."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a playlist held, was found to hold, or should hold; ``name`` is what commands call it.

    Attributes:
        cover: the digest of the picture that we gave it; None: none of ours.
    """

    name: str
    what: str
    uris: tuple[str | None, ...]
    title: str
    description: str
    cover: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What leads from one list of items to another: ``moved`` are in both, in another sequence."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    moved: int
    same: int


def difference(before: Sequence[str | None], after: Sequence[str | None]) -> Difference:
    """Items that come and go, each as often as it does, and how many of the others change places.

    >>> difference(["a", "b", "c"], ["c", "b", "d"])
    Difference(added=('d',), removed=('a',), moved=1, same=1)
    """
    old, new = [uri for uri in before if uri], [uri for uri in after if uri]
    added, removed = Counter(new) - Counter(old), Counter(old) - Counter(new)
    stay = (Counter(new) & Counter(old)).total()
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    in_sequence = sum(block.size for block in blocks)
    return Difference(_in_sequence(new, added), _in_sequence(old, removed), stay - in_sequence, in_sequence)


def version(session: Session, playlist: Playlist, name: str, now: datetime) -> Version:
    """The version of a playlist that people call ``name``.

    Raises:
        NoVersion: it has none of that name.
    """
    if name == "now":
        return _confirmed(session, playlist)
    if name == "next":
        newest = store.newest_snapshot(session, playlist.id)
        if newest is None:
            raise NoVersion("It was not drawn yet: there is no version 'next'.")
        return replace(_drawn(session, playlist, newest, now), name="next")
    if found := _FOUND.fullmatch(name):
        return _as_found(session, playlist, int(found[1]))
    if name.isascii() and name.isdigit() and len(name) < _LONGEST_NUMBER:
        return _drawn(session, playlist, int(name), now)
    raise NoVersion(
        f"'{name}' is no version. Versions are the number of a snapshot (57), an edit by hand (e812), now and "
        "next; 'spotify-pipelines playlists history' shows them."
    )


def held_items(
    session: Session, playlist_id: int, snapshot_row: int | None, items: str | None
) -> list[str | None]:
    """What Spotify holds, as far as it was confirmed: a snapshot's tracks, or what was found with this hash."""
    if snapshot_row is not None:
        return list(_uris(session, snapshot_row))
    if items is None or items == _EMPTY:
        return []
    found = (entry.after for entry in history(session, playlist_id))
    return next((list(after["items"]) for after in found if after and after.get("items_hash") == items), [])


def before_last_write(session: Session, playlist: Playlist, now: datetime) -> Version:
    """What Spotify held before we wrote to the playlist last, by our own hand or its owner's.

    Raises:
        NoVersion: nothing was overwritten yet.
    """
    entries = history(session, playlist.id)
    for place, entry in enumerate(entries):
        if entry.action in _WRITES and entry.calls and entry.before:
            found = _replaced_by(session, playlist, entry, entries[place + 1 :], now)
            if found is not None:
                return found
    raise NoVersion("Nothing of this playlist was overwritten yet.")


def choose_snapshot(
    session: Session,
    playlist_id: int,
    *,
    policy_id: int,
    cycle: int,
    uris: Sequence[str | None],
    details: Mapping[str, str | None] | None,
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
        details: name and description in place of the templates', and ``cover`` in place of the policy's; None: those.
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


def _replaced_by(
    session: Session, playlist: Playlist, write: HistoryEntry, earlier: Sequence[HistoryEntry], now: datetime
) -> Version | None:
    """What a write replaced; None where that is nobody's version: nothing, or the rest of a write that failed."""
    before = write.before or {}
    edits = [entry for entry in earlier if entry.after and "items" in entry.after]
    if write.action == "renamed":
        edit = next((entry for entry in edits if entry.run_id == write.run_id), None)
        if edit is not None:
            return _as_found(session, playlist, edit.id)
        return replace(
            _confirmed(session, playlist),
            what="what it was called before",
            title=str(before.get("name") or ""),
            description=str(before.get("description") or ""),
        )
    if write.action == "cover set":
        cover = before.get("cover")
        return (
            None
            if cover is None
            else replace(_confirmed(session, playlist), what="its cover before", cover=cover)
        )
    if before.get("snapshot_row") is not None:
        return _drawn(session, playlist, int(before["snapshot_row"]), now)
    held = before.get("items_hash")
    edit = next((entry for entry in edits if entry.after and entry.after.get("items_hash") == held), None)
    return None if edit is None or held == _EMPTY else _as_found(session, playlist, edit.id)


def _confirmed(session: Session, playlist: Playlist) -> Version:
    if playlist.spotify_id is None:
        raise NoVersion("It is not on Spotify: there is no version 'now'.")
    words = {"title": playlist.confirmed_name or "", "description": playlist.confirmed_description or ""}
    uris = held_items(session, playlist.id, playlist.confirmed_snapshot_row, playlist.confirmed_items_hash)
    return Version("now", "what Spotify holds", tuple(uris), **words, cover=playlist.confirmed_cover)


def _drawn(session: Session, playlist: Playlist, snapshot_id: int, now: datetime) -> Version:
    """A snapshot with the words that it had, or would have had."""
    found = snapshot(session, playlist.id, snapshot_id)
    if found is None:
        raise NoVersion(
            f"It has no snapshot {snapshot_id}; 'spotify-pipelines playlists history' shows those it has."
        )
    row = next(iter(store.sync_rows(session, playlist_ids=[playlist.id], retired=True)))
    policy = policy_from_json(policy_definitions(session, {found.policy_id})[found.policy_id])
    then = replace(
        row,
        snapshot_row=found.id,
        policy_id=found.policy_id,
        cycle=found.cycle,
        drawn_at=found.created_at,
        items_hash=found.items_hash,
        tracks=found.figures.get("tracks") or 0,
        top_artists=found.figures.get("top_artists") or [],
        origin=found.origin,
        details=found.details,
        kept_snapshot_row=None,
    )
    target = Target(then, policy, now)
    content = target.desired(target.marker)
    what = f"{found.origin} {found.created_at:%Y-%m-%d %H:%M} UTC ({found.reason})"
    uris = tuple(_uris(session, found.id))
    return Version(str(found.id), what, uris, content.name, content.description, content.cover)


def _as_found(session: Session, playlist: Playlist, entry_id: int) -> Version:
    entry = history_entry(session, playlist.id, entry_id)
    if entry is None or entry.after is None or "items" not in entry.after:
        raise NoVersion(
            f"Entry {entry_id} of its history holds no items; 'spotify-pipelines playlists history' shows which do."
        )
    after = entry.after
    return Version(
        f"e{entry.id}",
        f"as found {entry.at:%Y-%m-%d %H:%M} UTC ({entry.reason})",
        tuple(after["items"]),
        str(after.get("name") or ""),
        str(after.get("description") or ""),
    )


def _uris(session: Session, snapshot_row: int) -> list[str]:
    return [uri_of(item) for item in store.tracks_of(session, snapshot_row)]


def _in_sequence(uris: Sequence[str], wanted: Counter[str]) -> tuple[str, ...]:
    left = Counter(wanted)
    found = []
    for uri in uris:
        if left[uri] > 0:
            left[uri] -= 1
            found.append(uri)
    return tuple(found)

"""Playlists and libraries as rows: every change of a playlist is a new revision with its own snapshot id.

Keeping all revisions lets faults show the past (late snapshot ids, late items, a lagging listing) and lets a
test ask what happened when. Who may change what is decided in ``web_playlists``; JSON shapes are in ``views``.
"""

import json
import sqlite3
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha1

from spotify_pipelines.simulator.database import Database
from spotify_pipelines.simulator.ids import random_id

__all__ = ["Entry", "Playlist", "Playlists", "Revision", "playlist_uri"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in a playlist. ``uri`` is None for the empty entries that Spotify at times shows."""

    uri: str | None
    added_at: float
    added_by: str


@dataclass(frozen=True, slots=True)
class Playlist:
    """What stays the same from revision to revision."""

    id: str
    owner_id: str
    created_at: float
    public: bool
    collaborative: bool


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a playlist. ``change`` names what made it: created, items, details, cover."""

    number: int
    at: float
    snapshot_id: str
    change: str
    name: str
    description: str
    image: str | None
    total: int
    items_json: str

    def entries(self) -> list[Entry]:
        """The places in order (parsed on each call: listings never need them)."""
        return [Entry(*values) for values in json.loads(self.items_json)]


def playlist_uri(playlist_id: str) -> str:
    """The URI under which a library holds a playlist."""
    return f"spotify:playlist:{playlist_id}"


class Playlists:
    """All playlists, and what every user keeps in the library (a followed playlist is an entry there)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, owner_id: str, name: str, description: str, now: float, *, public: bool, collaborative: bool
    ) -> Playlist:
        """A new, empty playlist on top of its owner's library."""
        playlist = Playlist(random_id(), owner_id, now, public, collaborative)
        self._database.run(
            "INSERT INTO playlists VALUES (?, ?, ?, ?, ?)", playlist.id, owner_id, now, public, collaborative
        )
        self._write(playlist.id, _revision(1, now, "created", name=name, description=description, entries=[]))
        self.save(owner_id, playlist_uri(playlist.id), now)
        return playlist

    def find(self, playlist_id: str) -> Playlist | None:
        """A playlist, followed by anybody or not: Spotify deletes none."""
        row = self._database.row("SELECT * FROM playlists WHERE playlist_id = ?", playlist_id)
        return None if row is None else _playlist(row)

    def all(self) -> list[Playlist]:
        """Every playlist, oldest first."""
        return [_playlist(row) for row in self._database.rows("SELECT * FROM playlists ORDER BY rowid")]

    def latest(self, playlist_id: str) -> Revision:
        """The newest revision.

        Raises:
            KeyError: there is no such playlist.
        """
        row = self._database.row(
            "SELECT * FROM revisions WHERE playlist_id = ? ORDER BY number DESC LIMIT 1", playlist_id
        )
        if row is None:
            raise KeyError(playlist_id)
        return _from_row(row)

    def as_of(self, playlist_id: str, moment: float) -> Revision | None:
        """The revision that was the newest at ``moment``; None before the playlist existed."""
        row = self._database.row(
            "SELECT * FROM revisions WHERE playlist_id = ? AND at <= ? ORDER BY number DESC LIMIT 1",
            playlist_id,
            moment,
        )
        return None if row is None else _from_row(row)

    def history(self, playlist_id: str) -> list[Revision]:
        """All revisions, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM revisions WHERE playlist_id = ? ORDER BY number", playlist_id
        )
        return [_from_row(row) for row in rows]

    def revise(
        self,
        playlist_id: str,
        change: str,
        now: float,
        *,
        name: str | None = None,
        description: str | None = None,
        image: str | None = None,
        entries: list[Entry] | None = None,
    ) -> Revision:
        """Write the next revision with what is given changed, and answer it."""
        last = self.latest(playlist_id)
        revision = _revision(
            last.number + 1,
            now,
            change,
            name=last.name if name is None else name,
            description=last.description if description is None else description,
            image=image or last.image,
            entries=last.entries() if entries is None else entries,
        )
        self._write(playlist_id, revision)
        return revision

    def set_flags(self, playlist_id: str, *, public: bool, collaborative: bool) -> None:
        """Change what is no part of a revision."""
        self._database.run(
            "UPDATE playlists SET public = ?, collaborative = ? WHERE playlist_id = ?",
            public,
            collaborative,
            playlist_id,
        )

    def _write(self, playlist_id: str, revision: Revision) -> None:
        self._database.run(
            "INSERT INTO revisions (playlist_id, number, at, snapshot_id, change, name, description, image, total,"
            " items) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(playlist_id, revision.number, revision.at, revision.snapshot_id, revision.change),
            *(revision.name, revision.description, revision.image, revision.total, revision.items_json),
        )

    def save(self, user_id: str, uri: str, now: float) -> bool:
        """Put ``uri`` on top of the user's library; whether it is new there."""
        changed = self._database.run(
            "INSERT INTO library SELECT ?1, ?2, coalesce(max(position), 0) + 1, ?3 FROM library WHERE user_id = ?1"
            " ON CONFLICT DO NOTHING",
            user_id,
            uri,
            now,
        )
        return changed > 0

    def remove(self, user_id: str, uri: str) -> bool:
        """Take ``uri`` out of the user's library; whether it was there."""
        return self._database.run("DELETE FROM library WHERE user_id = ? AND uri = ?", user_id, uri) > 0

    def has(self, user_id: str, uri: str) -> bool:
        """Whether the user's library holds ``uri``."""
        return (
            self._database.row("SELECT 1 FROM library WHERE user_id = ? AND uri = ?", user_id, uri)
            is not None
        )

    def followers(self, playlist_id: str) -> list[str]:
        """The users whose library holds the playlist, its owner among them unless unfollowed."""
        rows = self._database.rows("SELECT user_id FROM library WHERE uri = ?", playlist_uri(playlist_id))
        return [row["user_id"] for row in rows]

    def count(self, user_id: str) -> int:
        """How many playlists the user's library holds."""
        row = self._database.row(
            "SELECT count(*) AS n FROM library WHERE user_id = ? AND uri LIKE 'spotify:playlist:%'", user_id
        )
        return int(row["n"]) if row else 0

    def followed(self, user_id: str) -> list[Playlist]:
        """The user's playlists, the newest on top."""
        rows = self._database.rows(
            "SELECT playlists.* FROM library JOIN playlists ON uri = 'spotify:playlist:' || playlist_id"
            " WHERE user_id = ? ORDER BY position DESC",
            user_id,
        )
        return [_playlist(row) for row in rows]


def _playlist(row: sqlite3.Row) -> Playlist:
    return Playlist(
        row["playlist_id"],
        row["owner_id"],
        row["created_at"],
        bool(row["public"]),
        bool(row["collaborative"]),
    )


def _from_row(row: sqlite3.Row) -> Revision:
    return Revision(
        number=row["number"],
        at=row["at"],
        snapshot_id=row["snapshot_id"],
        change=row["change"],
        name=row["name"],
        description=row["description"],
        image=row["image"],
        total=row["total"],
        items_json=row["items"],
    )


def _revision(
    number: int,
    at: float,
    change: str,
    *,
    name: str,
    description: str,
    image: str | None = None,
    entries: list[Entry],
) -> Revision:
    items_json = json.dumps([[entry.uri, entry.added_at, entry.added_by] for entry in entries])
    fingerprint = sha1(f"{number}{at}{name}{description}{image}{items_json}".encode(), usedforsecurity=False)
    # Spotify's snapshot ids are base64 of "<revision>,<hash>": opaque to clients, handy for people.
    snapshot_id = b64encode(f"{number},{fingerprint.hexdigest()}".encode()).decode()
    return Revision(number, at, snapshot_id, change, name, description, image, len(entries), items_json)

"""Changes to the catalogue while the simulator runs: a track becomes unplayable, relinks, or disappears.

``LiveCatalogue`` is the catalogue that everything else sees: a fixed one below, overrides on top.
"""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from spotify_pipelines.simulator.catalogue import Album, Artist, Catalogue, Track
from spotify_pipelines.simulator.database import Database

__all__ = ["LiveCatalogue", "TrackOverride"]


class TrackOverride(BaseModel):
    """What is different about one track; None leaves the catalogue's own value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    playable: bool | None = None
    relinked_to: str | None = None
    removed: bool = False


class LiveCatalogue:
    """A catalogue whose tracks can change their fate."""

    def __init__(self, base: Catalogue, database: Database) -> None:
        self._base = base
        self._database = database
        self._overrides: dict[str, TrackOverride] = {}
        self.reload()

    def reload(self) -> None:
        """Read the overrides from the database again."""
        self._overrides = {
            row["track_id"]: TrackOverride.model_validate_json(row["document"])
            for row in self._database.rows("SELECT * FROM overrides")
        }

    def override(self, track_id: str, override: TrackOverride) -> None:
        """Set the fate of a track.

        Raises:
            KeyError: no such track.
        """
        if self._base.track(track_id) is None:
            raise KeyError(track_id)
        self._database.run(
            "INSERT OR REPLACE INTO overrides VALUES (?, ?)", track_id, override.model_dump_json()
        )
        self._overrides[track_id] = override

    def __len__(self) -> int:
        return len(self._base)

    def album_ids(self, start: int, count: int) -> Sequence[str]:
        """Up to ``count`` album ids from position ``start`` on."""
        return self._base.album_ids(start, count)

    def artist(self, artist_id: str) -> Artist | None:
        """One artist."""
        return self._base.artist(artist_id)

    def track(self, track_id: str) -> Track | None:
        """One track, unless it was removed."""
        track = self._base.track(track_id)
        return self._changed(track) if track else None

    def album(self, album_id: str) -> Album | None:
        """The album with those of its tracks that are still there."""
        album = self._base.album(album_id)
        if (
            album is None
            or not self._overrides
            or not any(track.id in self._overrides for track in album.tracks)
        ):
            return album
        return replace(album, tracks=tuple(t for t in map(self._changed, album.tracks) if t))

    def _changed(self, track: Track) -> Track | None:
        override = self._overrides.get(track.id)
        if override is None:
            return track
        if override.removed:
            return None
        return replace(
            track,
            playable=track.playable if override.playable is None else override.playable,
            relinked_to=override.relinked_to or track.relinked_to,
        )

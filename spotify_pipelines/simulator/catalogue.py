"""What Spotify has to offer: albums, tracks, artists and audio features as plain values.

Here are the types, the interface of a catalogue, and the one read from a CSV file. The invented one is in
``synthetic``, changes made while the simulator runs are in ``overrides``, JSON shapes are in ``views``.
Standard library only.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Literal, NoReturn, Protocol

from spotify_pipelines.simulator.ids import is_spotify_id

__all__ = [
    "COLUMNS",
    "Album",
    "Artist",
    "Catalogue",
    "CatalogueError",
    "CsvCatalogue",
    "FeatureSource",
    "Features",
    "Track",
    "digest",
    "read_catalogue",
]

FeatureSource = Literal["spotify", "reccobeats"]

_FEATURE_COLUMNS = (
    "danceability",
    "energy",
    "key",
    "loudness",
    "mode",
    "speechiness",
    "acousticness",
    "instrumentalness",
    "liveness",
    "valence",
    "tempo",
)
COLUMNS = (
    "source",
    "album_id",
    "album_name",
    "artist_id",
    "artist_name",
    "release_date",
    "track_id",
    "track_name",
    "disc_number",
    "track_number",
    "duration_ms",
    "explicit",
    *_FEATURE_COLUMNS,
    "time_signature",
    "feature_source",
)
"""The columns of a catalogue file, in any order; others are ignored."""

_RECCOBEATS_COVERAGE = 0.60
"""Share of the tracks with Spotify's features that ReccoBeats knows as well."""


class CatalogueError(ValueError):
    """A catalogue file can't be used; the text names the file, the line and the column."""


def digest(text: str) -> int:
    """A 64-bit number that depends on ``text`` alone: the source of every fixed but arbitrary detail."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Artist:
    """A credited artist."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Features:
    """Audio features on Spotify's scales; loudness in dB, tempo in beats per minute, key −1 where unknown."""

    danceability: float
    energy: float
    key: int
    loudness: float
    mode: int
    speechiness: float
    acousticness: float
    instrumentalness: float
    liveness: float
    valence: float
    tempo: float
    time_signature: int = 4


@dataclass(frozen=True, slots=True)
class Track:
    """A track of an album; ``relinked_to`` is the track that a listener's market gets in its place."""

    id: str
    name: str
    album_id: str
    artists: tuple[Artist, ...]
    disc_number: int
    track_number: int
    duration_ms: int
    explicit: bool = False
    features: Features | None = None
    feature_source: FeatureSource | None = None
    playable: bool = True
    relinked_to: str | None = None

    @property
    def spotify_features(self) -> Features | None:
        """The features that Spotify's own endpoint gives."""
        return self.features if self.feature_source == "spotify" else None

    @property
    def reccobeats_features(self) -> Features | None:
        """The features that ReccoBeats gives; it knows a fixed share of the tracks that Spotify knows."""
        if (
            self.feature_source == "spotify"
            and digest(f"reccobeats/{self.id}") / 2**64 >= _RECCOBEATS_COVERAGE
        ):
            return None
        return self.features


@dataclass(frozen=True, slots=True)
class Album:
    """An album with all its tracks, ordered by disc and number."""

    id: str
    name: str
    kind: Literal["album", "single", "compilation"]
    artists: tuple[Artist, ...]
    release_date: str
    tracks: tuple[Track, ...]

    @property
    def release_date_precision(self) -> Literal["year", "month", "day"]:
        """How exact ``release_date`` is, from its length."""
        precision: dict[int, Literal["year", "month", "day"]] = {4: "year", 7: "month"}
        return precision.get(len(self.release_date), "day")


class Catalogue(Protocol):
    """What the simulator needs to know about music. Look-ups answer None for what doesn't exist."""

    def __len__(self) -> int:
        """Number of albums."""

    def album(self, album_id: str) -> Album | None:
        """The album with all its tracks."""

    def track(self, track_id: str) -> Track | None:
        """One track."""

    def artist(self, artist_id: str) -> Artist | None:
        """One artist."""

    def album_ids(self, start: int, count: int) -> Sequence[str]:
        """Up to ``count`` album ids in the catalogue's order, from position ``start`` on."""


class CsvCatalogue:
    """A catalogue held in memory, as read from a file."""

    def __init__(self, albums: Sequence[Album]) -> None:
        self._albums = {album.id: album for album in albums}
        self._tracks = {track.id: track for album in albums for track in album.tracks}
        self._artists = {artist.id: artist for track in self._tracks.values() for artist in track.artists}

    def __len__(self) -> int:
        return len(self._albums)

    def album(self, album_id: str) -> Album | None:
        """The album with all its tracks."""
        return self._albums.get(album_id)

    def track(self, track_id: str) -> Track | None:
        """One track."""
        return self._tracks.get(track_id)

    def artist(self, artist_id: str) -> Artist | None:
        """One artist."""
        return self._artists.get(artist_id)

    def album_ids(self, start: int, count: int) -> Sequence[str]:
        """Up to ``count`` album ids in the file's order."""
        return list(islice(self._albums, start, start + count))


def read_catalogue(path: Path) -> CsvCatalogue:
    """Read a catalogue file with the columns of ``COLUMNS``.

    ``feature_source`` says who has a track's features: ``spotify``, ``reccobeats``, or nobody (empty). An empty
    release date becomes ``0000``, which is what Spotify answers for an unknown one.

    Raises:
        CatalogueError: the file is missing, isn't such a table, or holds a value that can't be.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, strict=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise CatalogueError(
                    f"{path}, line 1: the column {', '.join(missing)} is missing. "
                    f"A catalogue file needs the columns {', '.join(COLUMNS)}."
                )
            return CsvCatalogue(_albums_of([_Row(path, reader.line_num, row) for row in reader]))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CatalogueError(f"{path} can't be read as a catalogue: {error}") from None


def _albums_of(rows: Sequence["_Row"]) -> list[Album]:
    by_album: dict[str, list[tuple[_Row, Track]]] = {}
    seen: dict[str, int] = {}
    for row in rows:
        track = row.track()
        if first := seen.get(track.id):
            row.refuse("track_id", f"{track.id!r} is there already, in line {first}")
        seen[track.id] = row.line
        by_album.setdefault(track.album_id, []).append((row, track))
    if not rows:
        raise CatalogueError("The catalogue file holds no tracks, only a head line.")
    return [_album(album_id, members) for album_id, members in by_album.items()]


def _album(album_id: str, members: Sequence[tuple["_Row", Track]]) -> Album:
    tracks = tuple(sorted((track for _, track in members), key=lambda t: (t.disc_number, t.track_number)))
    main_artist = Counter(track.artists[0] for track in tracks).most_common(1)[0][0]
    row = members[0][0]
    return Album(
        id=album_id,
        name=row.text("album_name"),
        kind="album" if len(tracks) > 3 else "single",
        artists=(main_artist,),
        release_date=row.release_date(),
        tracks=tracks,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the file that knows where it stands, so that every complaint can say so."""

    path: Path
    line: int
    values: Mapping[str, str | None]

    def refuse(self, column: str, problem: str) -> NoReturn:
        raise CatalogueError(f"{self.path}, line {self.line}, column {column}: {problem}.")

    def optional(self, column: str) -> str:
        return (self.values.get(column) or "").strip()

    def text(self, column: str) -> str:
        return self.optional(column) or self.refuse(column, "a value is needed here")

    def spotify_id(self, column: str) -> str:
        value = self.text(column)
        return (
            value if is_spotify_id(value) else self.refuse(column, f"{value!r} is not a 22-sign Spotify id")
        )

    def number(self, column: str) -> float:
        value = self.text(column)
        try:
            return float(value)
        except ValueError:
            return self.refuse(column, f"{value!r} is not a number")

    def integer(self, column: str) -> int:
        number = self.number(column)
        return (
            int(number) if number.is_integer() else self.refuse(column, f"{number!r} is not a whole number")
        )

    def positive(self, column: str) -> int:
        number = self.integer(column)
        return number if number > 0 else self.refuse(column, f"{number} is not above zero")

    def flag(self, column: str) -> bool:
        value = self.optional(column).lower()
        if value not in ("", "true", "false", "1", "0"):
            self.refuse(column, f"{value!r} is neither True nor False")
        return value in ("true", "1")

    def release_date(self) -> str:
        value = self.optional("release_date") or "0000"
        parts = value.split("-")
        if not (
            all(part.isdecimal() for part in parts) and list(map(len, parts)) in ([4], [4, 2], [4, 2, 2])
        ):
            self.refuse("release_date", f"{value!r} is not YYYY, YYYY-MM or YYYY-MM-DD")
        return value

    def track(self) -> Track:
        self.release_date()
        source = self._feature_source()
        return Track(
            id=self.spotify_id("track_id"),
            name=self.text("track_name"),
            album_id=self.spotify_id("album_id"),
            artists=(Artist(self.spotify_id("artist_id"), self.text("artist_name")),),
            disc_number=self.positive("disc_number"),
            track_number=self.positive("track_number"),
            duration_ms=self.positive("duration_ms"),
            explicit=self.flag("explicit"),
            features=self._features() if source else None,
            feature_source=source,
        )

    def _feature_source(self) -> FeatureSource | None:
        match self.optional("feature_source"):
            case "spotify":
                return "spotify"
            case "reccobeats":
                return "reccobeats"
            case "":
                return None
            case other:
                return self.refuse(
                    "feature_source", f"{other!r} is none of 'spotify', 'reccobeats' and empty"
                )

    def _features(self) -> Features:
        return Features(
            danceability=self.number("danceability"),
            energy=self.number("energy"),
            key=self.integer("key"),
            loudness=self.number("loudness"),
            mode=self.integer("mode"),
            speechiness=self.number("speechiness"),
            acousticness=self.number("acousticness"),
            instrumentalness=self.number("instrumentalness"),
            liveness=self.number("liveness"),
            valence=self.number("valence"),
            tempo=self.number("tempo"),
            time_signature=self.integer("time_signature") if self.optional("time_signature") else 4,
        )

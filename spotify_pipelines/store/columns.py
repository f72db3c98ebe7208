"""The catalogue as columns: everything that a draw needs, read in one go as arrays.

What belongs here: the one query that walks all tracks. What does not: which of them a policy takes
(``eligibility``), rows as objects.

A million tracks would be many millions of Python objects, so PostgreSQL numbers artists and albums itself and
sends each column as one string of bytes; only ids and names come as texts. One statement sees one state of the
catalogue, whatever is being ingested meanwhile.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    FromClause,
    Integer,
    LargeBinary,
    Select,
    SmallInteger,
    Text,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, Session

from spotify_pipelines.store.tables import Album, AlbumSource, Artist, Track, TrackArtist

__all__ = ["NO", "UNKNOWN", "YES", "CatalogueColumns", "read_catalogue"]

YES: Final = 1
NO: Final = 0
UNKNOWN: Final = -1

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueColumns:
    """All tracks, sorted by id (by code point, as Python sorts); the columns of a kind have one entry for each.

    Attributes:
        albums: position of each track's album in the columns of albums.
        offsets, credits: the artists of track i are ``credits[offsets[i]:offsets[i + 1]]``, each once and in
            ascending sequence, as positions in the columns of artists.
        explicit: of tracks.
        playable: of tracks: ``YES``, ``NO`` or ``UNKNOWN``.
        features: of tracks, by name: those that were asked for; NaN where a track has none.
        available: of tracks, by country: those that were asked for; ``YES``, ``NO`` or ``UNKNOWN``.
        album_years: year of release; 0 where unknown.
        album_added: when the album was queued, in seconds since 1970; NaN where it never was.
        album_popularity: 0 to 100; −1 where unknown.
    """

    track_ids: tuple[str, ...]
    albums: Numbers
    offsets: Numbers
    credits: Numbers
    explicit: NDArray[np.bool_]
    playable: NDArray[np.int8]
    features: dict[str, NDArray[np.float64]]
    available: dict[str, NDArray[np.int8]]
    artist_ids: tuple[str, ...]
    artist_names: tuple[str, ...]
    album_ids: tuple[str, ...]
    album_names: tuple[str, ...]
    album_labels: tuple[str | None, ...]
    album_tags: tuple[tuple[str, ...], ...]
    album_years: NDArray[np.int16]
    album_added: NDArray[np.float64]
    album_popularity: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.track_ids)


def read_catalogue(
    session: Session, features: Collection[str] = (), markets: Collection[str] = ()
) -> CatalogueColumns:
    """The whole catalogue, with the audio features and the availability that are named."""
    named, countries = sorted(features), sorted(markets)
    artist, album = _artists(), _albums()
    track = _tracks(album, named, countries)
    # One pass over each: the aggregates of a table share its sort.
    parts: tuple[FromClause, ...] = (
        select(*(_texts(artist, name) for name in ("id", "name"))).subquery("artists_"),
        select(
            *(_texts(album, name) for name in ("id", "name", "label", "tags")),
            *(_packed(album, name) for name in ("year", "added", "popularity")),
        ).subquery("albums_"),
        select(
            _texts(track, "id"),
            *(_packed(track, name) for name in ("album", "explicit", "playable")),
            *(_packed(track, f"feature_{name}") for name in named),
            *(_packed(track, f"market_{name}") for name in countries),
        ).subquery("tracks_"),
        _credits(track, artist).subquery("credits_"),
    )
    # It sorts the catalogue several times over: in memory, where that suffices, and not on disk.
    session.execute(select(func.set_config("work_mem", _WORK_MEMORY, True)))
    together = reduce(lambda left, right: left.join(right, true()), parts[1:], parts[0])
    row = session.execute(
        select(*(column for part in parts for column in part.c)).select_from(together)
    ).one()
    # The connection keeps a buffer as large as the largest row it ever got: it is closed after this transaction.
    session.connection().detach()
    values = iter(row)
    artist_ids, artist_names, album_ids, album_names, labels, tags = (
        tuple(next(values) or ()) for _ in range(6)
    )
    years, added, popularity = (_unpacked(next(values), of) for of in (np.int16, np.float64, np.int16))
    track_ids = tuple(next(values) or ())
    albums, explicit, playable = (_unpacked(next(values), of) for of in (np.int64, np.bool_, np.int8))
    of_tracks = {name: _unpacked(next(values), np.float64) for name in named}
    available = {name: _unpacked(next(values), np.int8) for name in countries}
    pairs = _unpacked(next(values), np.int64).reshape(-1, 2)
    offsets, credits_ = _grouped(pairs[:, 0], pairs[:, 1], len(track_ids))
    return CatalogueColumns(
        track_ids=track_ids,
        albums=albums,
        offsets=offsets,
        credits=credits_,
        explicit=explicit,
        playable=playable,
        features=of_tracks,
        available=available,
        artist_ids=artist_ids,
        artist_names=artist_names,
        album_ids=album_ids,
        album_names=album_names,
        album_labels=labels,
        album_tags=tuple(tuple(each.split()) for each in tags),
        album_years=years,
        album_added=added,
        album_popularity=popularity,
    )


# ── the tables, each numbered from 0 in the sequence of its ids ──────────────────────────────────────────────


def _artists() -> CTE:
    credited = exists().where(TrackArtist.artist_id == Artist.id)
    return _materialized(select(_number(Artist.id), Artist.id, Artist.name).where(credited), "artist")


def _albums() -> CTE:
    added = select(AlbumSource.album_id, AlbumSource.added_at, AlbumSource.tags).subquery()
    return _materialized(
        select(
            _number(Album.id),
            Album.id,
            Album.name,
            Album.label,
            Album.markets,
            func.coalesce(func.array_to_string(added.c.tags, " "), "").label("tags"),
            _small(func.coalesce(func.extract("year", Album.release_date), 0)).label("year"),
            _double(func.extract("epoch", added.c.added_at)).label("added"),
            _small(func.coalesce(Album.popularity, -1)).label("popularity"),
        )
        .outerjoin(added, added.c.album_id == Album.id)
        .where(exists().where(Track.album_id == Album.id)),
        "album",
    )


def _tracks(album: CTE, features: Collection[str], markets: Collection[str]) -> CTE:
    countries = func.coalesce(Track.markets, album.c.markets)
    nowhere = func.cardinality(countries) == 0
    somewhere = func.cardinality(countries) > 0
    return _materialized(
        select(
            _number(Track.id),
            Track.id,
            album.c.n.label("album"),
            _small(cast(Track.explicit, Integer)).label("explicit"),
            _small(
                case(
                    (Track.playable.is_(False) | nowhere, NO),
                    (Track.playable | somewhere, YES),
                    else_=UNKNOWN,
                )
            ).label("playable"),
            *(_feature(name).label(f"feature_{name}") for name in features),
            *(
                _small(
                    case((countries.is_(None), UNKNOWN), (literal(name) == any_(countries), YES), else_=NO)
                ).label(f"market_{name}")
                for name in markets
            ),
        ).join(album, album.c.id == Track.album_id),
        "track",
    )


def _credits(track: CTE, artist: CTE) -> Select[Any]:
    """Pairs of track and artist, in any sequence."""
    pair = func.int4send(track.c.n).op("||")(func.int4send(artist.c.n))
    return (
        select(func.string_agg(pair, _NO_BYTES, type_=LargeBinary).label("pairs"))
        .select_from(TrackArtist)
        .join(track, track.c.id == TrackArtist.track_id)
        .join(artist, artist.c.id == TrackArtist.artist_id)
    )


def _materialized(query: Any, name: str) -> CTE:
    # Each is used several times, and must be computed once.
    found: CTE = query.cte(name).prefix_with("MATERIALIZED")
    return found


def _number(key: InstrumentedAttribute[str]) -> ColumnElement[int]:
    place = func.row_number().over(order_by=key.collate("C")) - 1
    return cast(place, Integer).label("n")


def _feature(name: str) -> ColumnElement[float]:
    value = Track.audio_features[name]
    # A feature that is no number is none: one odd row must not end the run for all.
    number = case((func.jsonb_typeof(value) == "number", cast(value.as_string(), Double)))
    return _double(number)


def _small(value: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(value, SmallInteger)


def _double(value: ColumnElement[Any]) -> ColumnElement[float]:
    return func.coalesce(cast(value, Double), cast(literal("NaN", Text), Double))


# ── columns on their way ─────────────────────────────────────────────────────────────────────────────────────

_WORK_MEMORY: Final = "128MB"
_SEND: Final = {SmallInteger: func.int2send, Integer: func.int4send, Double: func.float8send}
_SENT_AS: Final = {"b": ">i2", "i": ">i2", "f": ">f8"}
_NO_BYTES: Final = cast(literal("", Text), LargeBinary)


def _texts(table: CTE, column: str) -> ColumnElement[Any]:
    return func.array_agg(aggregate_order_by(table.c[column], table.c.n)).label(column)


def _packed(table: CTE, column: str) -> ColumnElement[Any]:
    """A column of numbers as bytes, in PostgreSQL's own big-endian form."""
    value = table.c[column]
    send = _SEND[type(value.type)]
    packed = func.string_agg(send(value), aggregate_order_by(_NO_BYTES, table.c.n), type_=LargeBinary)
    return packed.label(column)


def _unpacked(packed: bytes | None, of: DTypeLike) -> Any:
    wanted = np.dtype(of)
    sent = ">i4" if wanted == np.int64 else _SENT_AS[wanted.kind]
    return np.frombuffer(packed or b"", dtype=sent).astype(wanted)


def _grouped(tracks: Numbers, artists: Numbers, length: int) -> tuple[Numbers, Numbers]:
    """Credits in any sequence as (offsets, artists), ascending within each track."""
    sequence = np.lexsort((artists, tracks))
    offsets = np.concatenate(([0], np.cumsum(np.bincount(tracks, minlength=length)))).astype(np.int64)
    return offsets, artists[sequence]

"""The catalogue as columns: everything that a draw needs, read in one go as arrays.

What belongs here: the one query that walks all playable tracks. What does not: which of them a policy takes
(``eligibility``), rows as objects. 100,000 tracks are one row of a dozen arrays.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Double, cast, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Album, Artist, Track, TrackArtist

__all__ = ["CatalogueColumns", "read_catalogue"]


@dataclass(frozen=True, slots=True)
class CatalogueColumns:
    """All tracks that can be played, sorted by id; the columns have one entry for each.

    Attributes:
        credits: ids of the credited artists, in order.
        years: year of the album's release; None where unknown.
        features: the asked-for audio features by name; NaN where a track has none.
        artist_names: names by id.
    """

    track_ids: list[str]
    album_ids: list[str]
    years: list[int | None]
    explicit: list[bool]
    credits: list[list[str]]
    features: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    artist_names: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.track_ids)


def read_catalogue(session: Session, features: Collection[str] = ()) -> CatalogueColumns:
    """Playable tracks (and those of which it is not known) with the audio features named in ``features``."""
    credits_ = (
        select(func.string_agg(TrackArtist.artist_id, aggregate_order_by(literal(" "), TrackArtist.position)))
        .where(TrackArtist.track_id == Track.id)
        .scalar_subquery()
    )
    named = sorted(features)
    columns = [
        Track.id,
        Track.album_id,
        func.extract("year", Album.release_date),
        Track.explicit,
        func.coalesce(credits_, ""),
        *(cast(Track.audio_features[name].as_string(), Double) for name in named),
    ]
    query = (
        select(*(func.array_agg(aggregate_order_by(column, Track.id)) for column in columns))
        .select_from(Track)
        .join(Album, Album.id == Track.album_id)
        .where(Track.playable.is_distinct_from(False))
    )
    ids, albums, years, explicit, credited, *values = (
        column or [] for column in session.execute(query).one()
    )
    return CatalogueColumns(
        track_ids=ids,
        album_ids=albums,
        years=[None if year is None else int(year) for year in years],
        explicit=explicit,
        credits=[names.split() for names in credited],
        features={
            name: np.array(column, dtype=np.float64) for name, column in zip(named, values, strict=True)
        },
        artist_names=_artist_names(session),
    )


def _artist_names(session: Session) -> dict[str, str]:
    ids, names = session.execute(select(func.array_agg(Artist.id), func.array_agg(Artist.name))).one()
    return dict(zip(ids or (), names or (), strict=True))

"""Read queries that several rooms share: how much there is of what.

What belongs here: counts and look-ups without a home of their own. What does not: the queue, leases, due
work, anything that writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from spotify_pipelines.store.database import Database
from spotify_pipelines.store.tables import Album, Artist, Base, Track

__all__ = ["CatalogueCounts", "catalogue_counts", "count_rows"]


@dataclass(frozen=True, slots=True)
class CatalogueCounts:
    """What the catalogue holds.

    Attributes:
        unread_albums: albums whose tracks are not all stored yet.
        features: tracks with audio features, by source.
        missing: tracks without, by the reason remembered (``not asked yet`` where there is none).
    """

    albums: int
    unread_albums: int
    tracks: int
    artists: int
    features: dict[str, int]
    missing: dict[str, int]


def count_rows(database: Database, model: type[Base], *conditions: ColumnElement[bool]) -> int:
    """Number of rows of a table for which all ``conditions`` hold."""
    with database.transaction() as session:
        return _count(session, model, conditions)


def catalogue_counts(session: Session) -> CatalogueCounts:
    """Figures of albums, tracks, artists and audio features; largest counts first."""
    source = func.coalesce(Track.features_source, "unknown")
    reason = func.coalesce(Track.features_missing_reason, "not asked yet")
    return CatalogueCounts(
        albums=_count(session, Album),
        unread_albums=_count(session, Album, [Album.tracks_read_at.is_(None)]),
        tracks=_count(session, Track),
        artists=_count(session, Artist),
        features=_count_by(session, source, Track.audio_features.is_not(None)),
        missing=_count_by(session, reason, Track.audio_features.is_(None)),
    )


def _count(session: Session, model: type[Base], conditions: Sequence[ColumnElement[bool]] = ()) -> int:
    return session.scalars(select(func.count()).select_from(model).where(*conditions)).one()


def _count_by(session: Session, name: ColumnElement[str], condition: ColumnElement[bool]) -> dict[str, int]:
    query = select(name, func.count()).where(condition).group_by(name).order_by(func.count().desc(), name)
    return dict(session.execute(query).tuples().all())

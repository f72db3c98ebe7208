"""Tags of albums: words of the curators' own, by which policies choose and weigh.

What belongs here: giving tags to albums of the queue and taking them away. What does not: how a tag is spelled
(the command line and ``playlists.policies`` refuse what is none), reading them for a draw (``columns``).

A tag stands beside the request for the album, so it can be given before the album was ever read, and reading the
album again can't lose it.
"""

from collections.abc import Collection
from typing import Any, cast

from sqlalchemy import CursorResult, func, select, text
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import AlbumSource

__all__ = ["tag", "tag_counts", "unknown", "untag"]


def tag(session: Session, album_ids: Collection[str], tags: Collection[str]) -> int:
    """Give each of the albums each of the tags; answers how many albums lacked one."""
    return _set(
        session,
        "UPDATE album_sources SET tags = ARRAY("
        'SELECT tag FROM unnest(tags || CAST(:tags AS text[])) AS tag GROUP BY tag ORDER BY tag COLLATE "C") '
        "WHERE album_id = ANY(:albums) AND NOT tags @> CAST(:tags AS text[])",
        album_ids,
        tags,
    )


def untag(session: Session, album_ids: Collection[str], tags: Collection[str]) -> int:
    """Take the tags from the albums; answers how many albums had one."""
    return _set(
        session,
        "UPDATE album_sources SET tags = ARRAY("
        'SELECT tag FROM unnest(tags) AS tag WHERE tag <> ALL(CAST(:tags AS text[])) ORDER BY tag COLLATE "C") '
        "WHERE album_id = ANY(:albums) AND tags && CAST(:tags AS text[])",
        album_ids,
        tags,
    )


def unknown(session: Session, album_ids: Collection[str]) -> list[str]:
    """Those of the albums that the queue does not know, in the sequence given."""
    known = set(session.scalars(select(AlbumSource.album_id).where(AlbumSource.album_id.in_(album_ids))))
    return [album_id for album_id in dict.fromkeys(album_ids) if album_id not in known]


def tag_counts(session: Session) -> dict[str, int]:
    """How many albums bear each tag."""
    each = select(func.unnest(AlbumSource.tags).label("tag")).subquery()
    query = select(each.c.tag, func.count()).group_by(each.c.tag).order_by(each.c.tag.collate("C"))
    return dict(session.execute(query).tuples().all())


def _set(session: Session, statement: str, album_ids: Collection[str], tags: Collection[str]) -> int:
    result = session.execute(text(statement), {"albums": sorted(album_ids), "tags": sorted(set(tags))})
    return cast("CursorResult[Any]", result).rowcount

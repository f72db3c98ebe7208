"""Pictures that policies give to their playlists, as rows.

What belongs here: SQL. What does not: what may be a cover (``playlists.covers``), and uploading one.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Cover

__all__ = ["COVER_SCOPE", "add_covers", "cover_of", "known_covers"]

COVER_SCOPE = "ugc-image-upload"
"""What an account's owner has to agree to before covers can be uploaded."""


def cover_of(session: Session, digest: str) -> bytes:
    """The JPEG with this digest; a policy that names one is stored together with it."""
    return session.execute(select(Cover.jpeg).where(Cover.digest == digest)).scalar_one()


def known_covers(session: Session, digests: Collection[str]) -> set[str]:
    """Those of ``digests`` that are stored."""
    return set(session.scalars(select(Cover.digest).where(Cover.digest.in_(digests))))


def add_covers(session: Session, covers: Mapping[str, bytes]) -> None:
    """Store JPEGs by their digests; those that are there already stay."""
    if covers:
        rows = [{"digest": digest, "jpeg": jpeg} for digest, jpeg in covers.items()]
        session.execute(insert(Cover).on_conflict_do_nothing(), rows)

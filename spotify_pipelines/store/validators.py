"""Validators of catalogue reads: the ETag of each answer that is stored, by the app that was given it.

What belongs here: keeping and finding them, in the caller's transaction. What does not: when a read may
carry one (``spotify.client``), which answers are worth one (the use case).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import ReadValidator
from spotify_pipelines.store.upserts import upsert

__all__ = ["confirm_validators", "replace_validators", "validators"]


def validators(session: Session, app_id: int, urls: Collection[str]) -> dict[str, str]:
    """ETags by URL, as this app was given them."""
    query = select(ReadValidator.url, ReadValidator.etag).where(
        ReadValidator.app_id == app_id, ReadValidator.url.in_(urls)
    )
    return dict(session.execute(query).tuples().all())


def replace_validators(
    session: Session,
    app_id: int,
    entity_ids: Collection[str],
    given: Sequence[Mapping[str, str]],
    *,
    at: datetime,
) -> None:
    """These entities were just stored: forget every validator of theirs, of any app, and keep the ones given now.

    Args:
        given: rows of ``url``, ``etag`` and ``entity_id``.
    """
    # What another app was told is of an answer that is no longer the stored one.
    session.execute(delete(ReadValidator).where(ReadValidator.entity_id.in_(entity_ids)))
    upsert(
        session,
        ReadValidator,
        ({"app_id": app_id, **row, "seen_at": at} for row in given),
        key=["app_id", "url"],
    )


def confirm_validators(session: Session, app_id: int, urls: Collection[str], *, at: datetime) -> None:
    """Spotify has just said that these still hold."""
    session.execute(
        update(ReadValidator)
        .where(ReadValidator.app_id == app_id, ReadValidator.url.in_(urls))
        .values(seen_at=at)
        .execution_options(synchronize_session=False)
    )

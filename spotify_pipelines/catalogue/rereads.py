"""Reading albums again: which are asked for only in case that they changed, and what is kept for the next time.

What belongs here: the validators of a run's albums, found and kept. What does not: SQL (``store``), whether the app
has conditional reads (the client), which albums are read (``ingest``), forgetting old ones (the weekly cleaning).

Only an album whose one answer shows all its tracks gets a validator: a 304 would say nothing of further pages.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from spotify_pipelines.spotify.client import CatalogueApi
from spotify_pipelines.spotify.models import AlbumItem
from spotify_pipelines.store.catalogue import confirm_albums
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.validators import (
    confirm_validators,
    replace_validators,
    validators,
)

__all__ = ["confirm_unchanged", "keep_validators", "known_validators"]


def known_validators(
    database: Database, catalogue: CatalogueApi, album_ids: Collection[str]
) -> dict[str, str]:
    """ETags by album id, where the catalogue's app was given one of the stored album."""
    urls = _urls(catalogue, album_ids)
    with database.transaction() as session:
        found = validators(session, catalogue.app_id, urls.values())
    return {album_id: found[url] for album_id, url in urls.items() if url in found}


def keep_validators(
    session: Session, catalogue: CatalogueApi, albums: Mapping[str, AlbumItem], *, at: datetime
) -> None:
    """Albums are stored in this very transaction: their validators from now on are those that they came with."""
    given = [
        {"url": catalogue.album_url(album_id), "etag": album.etag, "entity_id": album_id}
        for album_id, album in albums.items()
        if album.etag and album.tracks.next is None
    ]
    replace_validators(session, catalogue.app_id, albums.keys(), given, at=at)


def confirm_unchanged(
    session: Session, catalogue: CatalogueApi, album_ids: Collection[str], *, at: datetime
) -> None:
    """These albums are as they were: they count as read, their tracks too, and nothing else is written."""
    confirm_albums(session, album_ids, at=at)
    confirm_validators(session, catalogue.app_id, _urls(catalogue, album_ids).values(), at=at)


def _urls(catalogue: CatalogueApi, album_ids: Collection[str]) -> dict[str, str]:
    return {album_id: catalogue.album_url(album_id) for album_id in album_ids}

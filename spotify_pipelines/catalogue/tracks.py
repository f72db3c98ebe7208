"""From albums to tracks: unfolds what came with each album, and reads the pages beyond it.

What belongs here: which albums' tracks are read now, page by page, and storing an album's tracks at once or not
at all. What does not: SQL (``store``), calls (``spotify``), albums themselves (``ingest``).

**Minimum of calls**: an album of n tracks takes ⌈n/50⌉ − 1 calls beyond the one that read it, which brought the
first fifty along.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from math import ceil

import structlog

from spotify_pipelines.accounts.budget import budgets
from spotify_pipelines.catalogue.costs import batches_minimum, store_calls
from spotify_pipelines.catalogue.lanes import chunks, in_lanes
from spotify_pipelines.catalogue.outcomes import album_failure, leave_open
from spotify_pipelines.catalogue.rows import artist_rows, credit_rows, track_row
from spotify_pipelines.catalogue.stops import Stop, concerns_all, outage, stop_for
from spotify_pipelines.report import Deferral, Report
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.client import TRACKS_PER_PAGE, CatalogueApi
from spotify_pipelines.spotify.errors import SpotifyError, Unavailable, is_transient
from spotify_pipelines.spotify.models import TrackItem
from spotify_pipelines.store import queue
from spotify_pipelines.store.catalogue import UnreadAlbum, first_pages, save_tracks, unread_albums
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.upserts import RowsRefused, UpsertCounts

__all__ = ["read_tracks"]

log = structlog.get_logger(__name__)

_ALBUMS_AT_ONCE = 200
"""Albums unfolded per transaction: a few thousand tracks, enough for the upsert's speed."""
_PAGES = "GET /albums/{id}/tracks"

AlbumTracks = Mapping[str, Sequence[TrackItem]]


async def read_tracks(
    database: Database,
    catalogue: CatalogueApi,
    calls: CallLog,
    *,
    run_id: str,
    now: Callable[[], datetime],
    album_ids: Collection[str] = (),
    limit: int | None = None,
    max_attempts: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Store the tracks of all albums that have been read, with their artists, and mark those albums complete.

    Albums of up to fifty tracks need no call. A longer album is stored when its last page is there; if a page
    can't be had, the album is held back in the queue with the reason, as ``ingest_albums`` does. Pages that go beyond
    the app's budget for the day are put off before anything is read. The report counts albums; tracks are among its
    ``counts``.

    Args:
        album_ids: only the tracks of these albums; empty: of all.
        limit: the tracks of at most so many albums.
        progress: called with (albums settled, albums in all).
    """
    with database.transaction() as session:
        plan = unread_albums(session, now=now(), limit=limit, only=album_ids or None)
    short = [album.album_id for album in plan if not _pages_to_read(album)]
    long, put_off = _within_budget(database, catalogue, plan, now())
    with calls.child() as mine:
        reading = _Reading(database, catalogue, run_id, now, max_attempts, len(plan), progress)
        try:
            for some in chunks(short, _ALBUMS_AT_ONCE):
                reading.unfold(some)
            await in_lanes(reading.read_pages, long)
        finally:
            minimum = batches_minimum(mine, _PAGES, reading.least_calls)
            store_calls(database, mine, run_id=run_id, use_case="read_tracks", minimum=minimum)
    report = reading.report
    report.requested = len(plan)
    report.deferred += put_off
    report.calls, report.minimum_calls = mine.total, sum(minimum.values())
    report.counts |= {
        "tracks_new": reading.tracks.inserted,
        "tracks_changed": reading.tracks.updated,
        "tracks_unchanged": reading.tracks.unchanged,
    }
    return report


def _within_budget(
    database: Database, catalogue: CatalogueApi, plan: Sequence[UnreadAlbum], now: datetime
) -> tuple[list[UnreadAlbum], list[Deferral]]:
    """The albums with further pages that the app's budget for today allows to read, and the others as put off."""
    long = [album for album in plan if _pages_to_read(album)]
    with database.transaction() as session:
        budget = budgets(session, now).get(catalogue.app_id)
    if budget is None:
        return long, []
    # What comes later does not overtake, or a very long album would wait for ever.
    costs = accumulate(map(_pages_to_read, long))
    affordable = sum(cost <= budget.left for cost in costs)
    if affordable < len(long):
        log.warning("tracks.budget_spent", app=budget.app, put_off=len(long) - affordable)
    put_off = [
        Deferral(f"album {album.album_id}", budget.until, budget.reason) for album in long[affordable:]
    ]
    return long[:affordable], put_off


def _pages_to_read(album: UnreadAlbum) -> int:
    pages = ceil(album.total_tracks / TRACKS_PER_PAGE)
    return pages - 1 if album.has_first_page else max(pages, 1)


@dataclass(slots=True)
class _Reading:
    """One run over its plan: what it works with, and how it stands."""

    database: Database
    catalogue: CatalogueApi
    run_id: str
    now: Callable[[], datetime]
    max_attempts: int
    total: int
    progress: Callable[[int, int], None] | None
    report: Report = field(default_factory=lambda: Report("albums"))
    tracks: UpsertCounts = field(default_factory=UpsertCounts)
    stop: Stop | None = None
    least_calls: int = 0
    settled: int = 0
    failures_in_a_row: list[Unavailable] = field(default_factory=list)

    def unfold(self, album_ids: Sequence[str]) -> None:
        """Store the tracks that came with these albums; no call."""
        self._store(self._first_pages(album_ids))
        self._progress(len(album_ids))

    async def read_pages(self, album: UnreadAlbum) -> None:
        """Read the further pages of one album and store all its tracks; after a stop, report it as open."""
        if self.stop is None:
            try:
                tracks = await self._all_tracks(album)
            except SpotifyError as error:
                self._failed(album.album_id, error)
            else:
                self.failures_in_a_row.clear()
                self.least_calls += _pages_to_read(album)
                self._store({album.album_id: tracks})
        else:
            leave_open(self.report, [f"album {album.album_id}"], self.stop)
        self._progress(1)

    async def _all_tracks(self, album: UnreadAlbum) -> list[TrackItem]:
        tracks = list(self._first_pages([album.album_id]).get(album.album_id, ()))
        # Pages are counted by place: entries that are null in an answer take up a place, too.
        offset, more = (TRACKS_PER_PAGE if album.has_first_page else 0), True
        while more:
            page = await self.catalogue.album_tracks(album.album_id, offset=offset)
            tracks += page.items
            offset += TRACKS_PER_PAGE
            more = bool(page.items) and page.next is not None and offset < page.total
        return tracks

    def _first_pages(self, album_ids: Sequence[str]) -> dict[str, list[TrackItem]]:
        with self.database.transaction() as session:
            pages = first_pages(session, album_ids)
        return {
            album_id: [TrackItem.model_validate(entry) for entry in entries]
            for album_id, entries in pages.items()
        }

    def _store(self, albums: AlbumTracks) -> None:
        """Store the albums' tracks together; where one album can't be stored, each by itself."""
        if not albums:
            return
        tracks = [track for items in albums.values() for track in items]
        try:
            with self.database.transaction() as session:
                counts = save_tracks(
                    session,
                    list(albums),
                    artists=artist_rows(artist for track in tracks for artist in track.artists),
                    tracks=[
                        track_row(album_id, track) for album_id, items in albums.items() for track in items
                    ],
                    track_artists=[row for track in tracks for row in credit_rows(track)],
                    at=self.now(),
                )
                queue.done(session, list(albums), now=self.now())
        except RowsRefused as error:
            if len(albums) == 1:
                for album_id in albums:
                    self._hold_back(album_id, str(error), "RowsRefused", transient=True)
                return
            for album_id, items in albums.items():
                self._store({album_id: items})
            return
        self.tracks += counts
        self.report.changed += len(albums)
        log.info("tracks.stored", albums=len(albums), tracks=counts.total, run_id=self.run_id)

    def _failed(self, album_id: str, error: SpotifyError) -> None:
        if isinstance(error, Unavailable):
            self.failures_in_a_row.append(error)
        else:
            self.failures_in_a_row.clear()
        if concerns_all(error):
            self.stop = self.stop or stop_for(error, now=self.now())
        self.stop = self.stop or outage(self.failures_in_a_row, now=self.now())
        if self.stop:
            log.warning("tracks.reading_stopped", kind=self.stop.kind, reason=self.stop.reason)
            leave_open(self.report, [f"album {album_id}"], self.stop)
            return
        self.least_calls += 1
        self._hold_back(album_id, error.message, type(error).__name__, transient=is_transient(error))

    def _hold_back(self, album_id: str, reason: str, kind: str, *, transient: bool) -> None:
        with self.database.transaction() as session:
            attempt = queue.failed(
                session,
                album_id,
                kind=kind,
                reason=reason,
                now=self.now(),
                max_attempts=self.max_attempts,
                transient=transient,
            )
        self.report.failed.append(album_failure(album_id, reason, kind, attempt))
        log.warning("tracks.failed", album=album_id, kind=kind, run_id=self.run_id)

    def _progress(self, albums: int) -> None:
        self.settled += albums
        if self.progress:
            self.progress(self.settled, self.total)

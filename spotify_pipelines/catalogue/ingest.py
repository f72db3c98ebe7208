"""From album URLs to albums: reads what is queued, and nothing twice.

What belongs here: which albums are read now, and what becomes of each: stored, held back, put off. What does
not: SQL (``store``), calls (``spotify``), tracks: those that came with an album wait in its row for ``tracks``.

**Minimum of calls**: n albums take ⌈n/20⌉ calls where the app may read twenty at once, else n. Counted are
albums that got a verdict: those known already need no call, and those put off have not been asked for yet.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.accounts.budget import budgets
from spotify_pipelines.catalogue.costs import albums_minimum, store_calls
from spotify_pipelines.catalogue.lanes import chunks, in_lanes
from spotify_pipelines.catalogue.outcomes import album_failure, leave_open
from spotify_pipelines.catalogue.rereads import (
    confirm_unchanged,
    keep_validators,
    known_validators,
)
from spotify_pipelines.catalogue.rows import album_row, artist_rows
from spotify_pipelines.catalogue.stops import Stop, outage, stop_for
from spotify_pipelines.catalogue.urls import AlbumUrlError, parse_album_url
from spotify_pipelines.report import Deferral, Failure, Report
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.client import ALBUMS_PER_CALL, AlbumResult, CatalogueApi
from spotify_pipelines.spotify.conditional import NotModified
from spotify_pipelines.spotify.errors import SpotifyError, Unavailable, is_transient
from spotify_pipelines.spotify.models import AlbumItem
from spotify_pipelines.store import queue
from spotify_pipelines.store.catalogue import save_albums
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.upserts import RowsRefused

__all__ = ["ingest_albums"]

log = structlog.get_logger(__name__)

Result = AlbumItem | NotModified | SpotifyError

_CLAIM = timedelta(minutes=5)
"""How long a killed run holds back what it was reading: about twice what twenty albums ever take."""


async def ingest_albums(
    database: Database,
    catalogue: CatalogueApi,
    calls: CallLog,
    *,
    run_id: str,
    now: Callable[[], datetime],
    urls: Sequence[str] = (),
    album_ids: Collection[str] = (),
    limit: int | None = None,
    force: bool = False,
    stale_days: int | None = None,
    max_attempts: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read queued albums and store them, twenty by twenty, each twenty committed by itself.

    Albums that can't be read stay in the queue with the reason: until a later try or, where no try can help or
    ``max_attempts`` are used up, as dead letters. When nothing more may be asked (a ban, a lost authorization,
    a service that is down) the rest is given back untouched and reported as deferred or failed. What goes beyond
    the app's budget for the day is put off before anything is read, the end of the queue first. An album that is read
    again and has not changed, as far as Spotify says so without sending it (304), counts as unchanged.

    Args:
        urls: references in any of Spotify's shapes, to be queued first; refused ones count as failed.
        album_ids: only these albums of the queue; empty: all.
        limit: at most so many albums.
        force: read albums again that are known, and those that were given up.
        stale_days: albums that were read so many days ago are queued again, behind those that wait; None: never.
        progress: called with (albums settled, albums in all).
    """
    report = Report("albums")
    _enqueue(database, urls, report, now())
    read_before = now() - timedelta(days=stale_days) if stale_days else None
    plan = _plan(
        database,
        report,
        now=now(),
        album_ids=album_ids,
        limit=limit,
        force=force,
        read_before=read_before,
    )
    plan = _within_budget(database, catalogue, report, plan, now())
    with calls.child() as mine:
        reading = _Reading(database, catalogue, run_id, now, force, max_attempts, report, len(plan), progress)
        try:
            await in_lanes(reading.read, chunks(plan, ALBUMS_PER_CALL))
        finally:
            minimum = albums_minimum(mine, reading.verdicts)
            store_calls(database, mine, run_id=run_id, use_case="ingest_albums", minimum=minimum)
    report.calls, report.minimum_calls = mine.total, sum(minimum.values())
    return report


def _enqueue(database: Database, urls: Sequence[str], report: Report, now: datetime) -> None:
    accepted: dict[str, str] = {}
    for url in urls:
        try:
            accepted.setdefault(parse_album_url(url), url.strip())
        except AlbumUrlError as error:
            report.requested += 1
            shown = url if len(url) <= 80 else f"{url[:79]}…"
            report.failed.append(
                Failure(f"URL {shown!r}", f"Not queued: {error}.", "AlbumUrlError", final=True)
            )
    if accepted:
        with database.transaction() as session:
            counts = queue.enqueue(session, [(url, album) for album, url in accepted.items()], now=now)
        report.counts |= {"queued": counts.added}
        log.info("album.queued", added=counts.added, known=counts.known)


def _plan(
    database: Database,
    report: Report,
    *,
    now: datetime,
    album_ids: Collection[str],
    limit: int | None,
    force: bool,
    read_before: datetime | None,
) -> list[str]:
    """The albums to be read; those that are known already, and not stale, are settled on the way."""
    only = album_ids or None
    with database.transaction() as session:
        if read_before is not None and (stale := queue.requeue(session, read_before, now=now, only=only)):
            report.counts |= {"stale": stale}
            log.info("album.stale", albums=stale)
        known = 0 if force else queue.mark_known(session, now=now, read_before=read_before)
        plan = queue.due(session, now=now, limit=limit, only=only, force=force, read_before=read_before)
    report.requested += known + len(plan)
    report.unchanged += known
    return plan


def _within_budget(
    database: Database, catalogue: CatalogueApi, report: Report, plan: list[str], now: datetime
) -> list[str]:
    """The albums that the app's budget for today allows to read; the others are reported as put off."""
    with database.transaction() as session:
        budget = budgets(session, now).get(catalogue.app_id)
    if budget is None:
        return plan
    affordable = budget.left * catalogue.albums_per_call
    if len(plan) > affordable:
        log.warning("album.budget_spent", app=budget.app, put_off=len(plan) - affordable)
    report.deferred += [Deferral(_item(id_), budget.until, budget.reason) for id_ in plan[affordable:]]
    return plan[:affordable]


@dataclass(slots=True)
class _Reading:
    """One run over its plan: what it works with, and how it stands."""

    database: Database
    catalogue: CatalogueApi
    run_id: str
    now: Callable[[], datetime]
    force: bool
    max_attempts: int
    report: Report
    total: int
    progress: Callable[[int, int], None] | None
    stop: Stop | None = None
    verdicts: int = 0
    settled: int = 0
    failures_in_a_row: list[Unavailable] = field(default_factory=list)

    async def read(self, album_ids: Sequence[str]) -> None:
        """Claim, read and store a chunk of the plan; after a stop, only report it as open."""
        if self.stop is None:
            mine = self._claim(album_ids)
            results: dict[str, Result] = {}
            try:
                await self._ask(mine, results)
            except SpotifyError as error:
                self.stop = self.stop or stop_for(error, now=self.now())
                log.warning("album.ingest_stopped", kind=self.stop.kind, reason=self.stop.reason)
            finally:
                # What was paid for is kept, whatever ended the reading: also when the run is cancelled.
                self._settle(mine, results)
        else:
            leave_open(self.report, map(_item, album_ids), self.stop)
        self.settled += len(album_ids)
        if self.progress:
            self.progress(self.settled, self.total)

    def _claim(self, album_ids: Sequence[str]) -> list[str]:
        now = self.now()
        with self.database.transaction() as session:
            claims = queue.claim(
                session,
                limit=len(album_ids),
                run_id=self.run_id,
                now=now,
                lease=_CLAIM,
                only=album_ids,
                force=self.force,
            )
            mine = [claim.album_id for claim in claims]
            elsewhere = queue.listing(session, only=set(album_ids) - set(mine))
        for album in elsewhere:
            if album.claimed_until and album.claimed_until > now:
                reason = f"run {album.claimed_by} is reading it"
                self.report.deferred.append(Deferral(_item(album.album_id), album.claimed_until, reason))
            else:
                self.report.unchanged += 1
        return mine

    async def _ask(self, album_ids: Sequence[str], results: dict[str, Result]) -> None:
        known = known_validators(self.database, self.catalogue, album_ids)
        answers = cast("AsyncGenerator[AlbumResult, None]", self.catalogue.albums(album_ids, known=known))
        async with aclosing(answers):
            async for album_id, result in answers:
                results[album_id] = result
                if isinstance(result, Unavailable):
                    self.failures_in_a_row.append(result)
                else:
                    self.failures_in_a_row.clear()
                if stop := outage(self.failures_in_a_row, now=self.now()):
                    self.stop = self.stop or stop
                if self.stop:
                    return

    def _settle(self, album_ids: Sequence[str], results: Mapping[str, Result]) -> None:
        """Store what was read, hold back what failed, give back what was not asked for, and report it all."""
        albums = {key: item for key, item in results.items() if isinstance(item, AlbumItem)}
        unchanged = [key for key, item in results.items() if isinstance(item, NotModified)]
        errors = {key: item for key, item in results.items() if isinstance(item, SpotifyError)}
        if self.stop and self.stop.kind == "Outage":
            # A service that is down is no album's fault: these are asked for again without losing an attempt.
            errors = {key: error for key, error in errors.items() if error not in self.failures_in_a_row}
        self.verdicts += len(albums) + len(unchanged) + len(errors)
        unstorable = self._store(albums)
        with self.database.transaction() as session:
            confirm_unchanged(session, self.catalogue, unchanged, at=self.now())
            queue.done(session, unchanged, now=self.now())
            for album_id, error in errors.items():
                self._hold_back(session, album_id, error.message, type(error).__name__, is_transient(error))
            for album_id, reason in unstorable.items():
                self._hold_back(session, album_id, reason, "RowsRefused", transient=True)
            settled = {*albums, *unchanged, *errors}
            open_ids = [key for key in album_ids if key not in settled]
            queue.release(session, open_ids, run_id=self.run_id)
        self.report.changed += len(albums) - len(unstorable)
        self.report.unchanged += len(unchanged)
        if stored := len(albums) - len(unstorable):
            log.info("album.ingested", albums=stored, run_id=self.run_id)
        if kinds := {key: type(error).__name__ for key, error in errors.items()}:
            log.warning("album.failed", albums=kinds, run_id=self.run_id)
        if self.stop:
            leave_open(self.report, map(_item, open_ids), self.stop)

    def _store(self, albums: Mapping[str, AlbumItem]) -> dict[str, str]:
        """Store the albums; where one can't be stored, the others alone. Answers which, and why."""
        if not albums:
            return {}
        now = self.now()
        try:
            with self.database.transaction() as session:
                save_albums(
                    session,
                    [album_row(album_id, album, read_at=now) for album_id, album in albums.items()],
                    artist_rows(artist for album in albums.values() for artist in album.artists),
                )
                keep_validators(session, self.catalogue, albums, at=now)
                queue.done(session, list(albums), now=now)
        except RowsRefused as error:
            if len(albums) == 1:
                return {album_id: str(error) for album_id in albums}
            return {
                refused: reason
                for album_id, album in albums.items()
                for refused, reason in self._store({album_id: album}).items()
            }
        return {}

    def _hold_back(self, session: Session, album_id: str, reason: str, kind: str, transient: bool) -> None:
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


def _item(album_id: str) -> str:
    return f"album {album_id}"

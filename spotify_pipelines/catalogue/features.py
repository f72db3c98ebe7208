"""Audio features for tracks that lack them: from the first source that knows each, in full batches.

What belongs here: which tracks are asked for, in which batches of which source, and what is remembered of a
miss. What does not: SQL (``store``), the sources themselves (``spotify.features``).

**Minimum of calls**: n tracks that reach a source take ⌈n/batch⌉ of its calls; misses of one source are the
next one's tracks. They are collected across albums until a batch is full, so only a source's last batch may be
smaller. A source that is switched off takes no call beyond the one that found that out.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil, isfinite

import structlog

from spotify_pipelines.accounts.budget import Budget, budgets
from spotify_pipelines.catalogue.costs import batches_minimum, store_calls
from spotify_pipelines.catalogue.lanes import LANES
from spotify_pipelines.catalogue.outcomes import leave_open
from spotify_pipelines.catalogue.stops import Stop, concerns_all, stop_for
from spotify_pipelines.report import Failure, Report
from spotify_pipelines.spotify.accounting import CallLog, Service
from spotify_pipelines.spotify.errors import SpotifyError
from spotify_pipelines.spotify.features import FeatureAnswer, FeatureSource, SourceUnavailable
from spotify_pipelines.spotify.models import FeatureSet
from spotify_pipelines.store.calls import CallTarget
from spotify_pipelines.store.catalogue import save_features, save_missing_features, tracks_to_ask_for
from spotify_pipelines.store.database import Database

__all__ = ["fetch_features"]

log = structlog.get_logger(__name__)

_AFTER_ERROR = timedelta(hours=1)
_GIVE_UP_AFTER = 3
"""Batches of one source that fail in a row until it is left alone for this run."""
_BUDGET = "Budget"
_ENDPOINT = "GET /audio-features"
_SERVICES = {"spotify": Service.WEB_API, "reccobeats": Service.RECCOBEATS}


async def fetch_features(
    database: Database,
    sources: Sequence[FeatureSource],
    calls: CallLog,
    *,
    run_id: str,
    now: Callable[[], datetime],
    limit: int | None = None,
    album_ids: Collection[str] = (),
    force: bool = False,
    dry_run: bool = False,
    retry_after_days: int = 14,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Ask the sources in order for the features of tracks that have none, and store them batch by batch.

    A track that no source knows keeps the reasons and is asked for again after ``retry_after_days``; in the
    report it counts as unchanged, and as ``missing``. A batch that fails is not handed on to the next source:
    its tracks are asked for again an hour later. A ban defers what is left of that source, and so does a budget that
    is spent. Without any source nothing is asked and nothing remembered.

    Args:
        album_ids: only tracks of these albums; empty: of all.
        limit: at most so many tracks.
        force: ask for all tracks, whatever is known or was missing; what is known stays if nobody knows better.
        dry_run: only tell how many would be asked for; no call, nothing written.
        progress: called with (tracks settled, tracks in all).
    """
    with database.transaction() as session:
        wanted = tracks_to_ask_for(session, now=now(), limit=limit, album_ids=album_ids or None, force=force)
    if dry_run or not sources:
        return _only_told(wanted, sources)
    with calls.child() as mine:
        fetching = _Fetching(
            database,
            sources,
            run_id=run_id,
            now=now,
            retry_after=now() + timedelta(days=retry_after_days),
            progress=progress,
        )
        try:
            await fetching.run(wanted)
        finally:
            minimum = fetching.minimum(mine)
            store_calls(database, mine, run_id=run_id, use_case="fetch_features", minimum=minimum)
    report = fetching.report
    report.calls = mine.total
    report.minimum_calls = sum(fetching.minimum(mine, only=Service.WEB_API).values())
    return report


def _only_told(wanted: Sequence[str], sources: Sequence[FeatureSource]) -> Report:
    if sources:
        where = ", then at ".join(source.name for source in sources)
        note = f"{len(wanted)} tracks would be asked for at {where}."
    else:
        note = f"{len(wanted)} tracks were not asked for: there is no source of audio features to ask."
    return Report("tracks", requested=len(wanted), unchanged=len(wanted), notes=[note])


@dataclass(slots=True)
class _Stage:
    """One source: the tracks that wait for it, and how it has done so far.

    ``asked`` counts the tracks it gave a verdict on. ``off``: it is of no use at all. ``stop``: not now.
    ``batches_left``: that its app's budget for today allows; None: no budget.
    """

    source: FeatureSource
    waiting: deque[str] = field(default_factory=deque)
    asked: int = 0
    failures: int = 0
    off: bool = False
    stop: Stop | None = None
    batches_left: int | None = None

    def take(self, batches: int, *, only_full: bool) -> list[list[str]]:
        """Up to so many batches of waiting tracks."""
        size = self.source.batch_size
        count = min(batches, len(self.waiting) // size if only_full else ceil(len(self.waiting) / size))
        if self.batches_left is not None:
            count = min(count, self.batches_left)
            self.batches_left -= count
        return [[self.waiting.popleft() for _ in range(min(size, len(self.waiting)))] for _ in range(count)]


class _Fetching:
    """One run: tracks pass from source to source until one knows them."""

    def __init__(
        self,
        database: Database,
        sources: Sequence[FeatureSource],
        *,
        run_id: str,
        now: Callable[[], datetime],
        retry_after: datetime,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._database = database
        self._stages = [_Stage(source) for source in sources]
        self._run_id = run_id
        self._now = now
        self._retry_after = retry_after
        self._progress = progress
        self._reasons: dict[str, list[str]] = {}
        self._missing: Counter[str] = Counter()
        self._found: Counter[str] = Counter()
        self._budgets: dict[int, Budget] = {}
        self.report = Report("tracks")

    async def run(self, wanted: Sequence[str]) -> None:
        """Ask for all ``wanted`` tracks, several batches at once."""
        self.report.requested = len(wanted)
        self._look_at_budgets()
        self._pass_on(0, dict.fromkeys(wanted, ""))
        while (place := self._next_place()) is not None:
            stage = self._stages[place]
            # The first batch goes alone: it finds out whether the source is of any use.
            batches = stage.take(LANES if stage.asked else 1, only_full=self._more_may_come(place))
            outcomes = await asyncio.gather(
                *(self._ask(place, batch) for batch in batches), return_exceptions=True
            )
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome
            self._keep_to_budget(stage)
            self._settle_waiting(place)
            if self._progress:
                self._progress(len(wanted) - sum(len(stage.waiting) for stage in self._stages), len(wanted))
        self._finish()

    def minimum(self, calls: CallLog, only: Service | None = None) -> dict[CallTarget, int]:
        """The least calls for the tracks that each source gave a verdict on."""
        least: dict[CallTarget, int] = {}
        for stage in self._stages:
            service = _SERVICES.get(stage.source.name)
            if service is not None and only in (None, service):
                batches = ceil(stage.asked / stage.source.batch_size)
                least |= batches_minimum(calls, _ENDPOINT, batches, service)
        return least

    def _look_at_budgets(self) -> None:
        with self._database.transaction() as session:
            self._budgets = budgets(session, self._now())
        for stage in self._stages:
            if (budget := self._budget(stage)) is not None:
                stage.batches_left = budget.left
                self._keep_to_budget(stage)

    def _budget(self, stage: _Stage) -> Budget | None:
        spender = stage.source.spender
        return None if spender is None else self._budgets.get(spender)

    def _keep_to_budget(self, stage: _Stage) -> None:
        """Put off what waits for a source whose app has no calls left today."""
        budget = self._budget(stage)
        if budget is not None and stage.batches_left == 0 and not stage.off and stage.stop is None:
            stage.stop = Stop(_BUDGET, budget.reason, budget.until)
            log.warning("features.budget_spent", app=budget.app, source=stage.source.name)

    def _more_may_come(self, place: int) -> bool:
        return any(stage.waiting for stage in self._stages[:place])

    def _next_place(self) -> int | None:
        """The last source that can have a full batch, so that little is in the air if the run is killed."""
        for place in reversed(range(len(self._stages))):
            stage = self._stages[place]
            if stage.waiting and (
                len(stage.waiting) >= stage.source.batch_size or not self._more_may_come(place)
            ):
                return place
        return None

    async def _ask(self, place: int, batch: Sequence[str]) -> None:
        stage = self._stages[place]
        try:
            answer = await stage.source.fetch(batch)
        except SourceUnavailable as error:
            self._switch_off(place, batch, error)
        except SpotifyError as error:
            self._failed(stage, batch, error)
        else:
            stage.failures = 0
            stage.asked += len(batch)
            self._keep(place, answer)

    def _keep(self, place: int, answer: FeatureAnswer) -> None:
        source = self._stages[place].source.name
        values = {track: _finite(features) for track, features in answer.found.items()}
        with self._database.transaction() as session:
            save_features(session, values, source=source, at=self._now())
        self._found[source] += len(values)
        log.info(
            "features.fetched",
            source=source,
            found=len(values),
            missing=len(answer.missing),
            run_id=self._run_id,
        )
        self._pass_on(place + 1, answer.missing)

    def _pass_on(self, place: int, tracks: Mapping[str, str]) -> None:
        """Hand tracks, each with why it comes, to the source at ``place``; after the last, remember the miss."""
        for track, reason in tracks.items():
            if reason:
                self._reasons.setdefault(track, []).append(reason)
        if place < len(self._stages):
            self._stages[place].waiting.extend(tracks)
            self._settle_waiting(place)
            return
        missing = {track: "; ".join(self._reasons.pop(track)) for track in tracks}
        with self._database.transaction() as session:
            save_missing_features(session, missing, retry_after=self._retry_after)
        self._missing.update(missing.values())

    def _settle_waiting(self, place: int) -> None:
        """Take the tracks away that wait for a source which isn't asked any more."""
        stage = self._stages[place]
        if not stage.waiting or not (stage.off or stage.stop):
            return
        tracks = list(stage.waiting)
        stage.waiting.clear()
        if stage.stop:
            leave_open(self.report, (f"track {track}" for track in tracks), stage.stop)
            if stage.stop.kind == _BUDGET and stage.stop.until is not None:
                # A ban holds back every run by itself; of a budget only the tracks can tell that they wait.
                with self._database.transaction() as session:
                    reasons = dict.fromkeys(tracks, "the app's budget for the day was spent")
                    save_missing_features(session, reasons, retry_after=stage.stop.until)
        else:
            self._pass_on(place + 1, dict.fromkeys(tracks, f"{stage.source.name} is switched off"))

    def _switch_off(self, place: int, batch: Sequence[str], error: SourceUnavailable) -> None:
        stage = self._stages[place]
        if not stage.off:
            stage.off = True
            self.report.notes.append(f"A{str(error)[1:]}")
            log.warning("features.source_off", source=error.source, reason=error.reason)
        stage.waiting.extend(batch)

    def _failed(self, stage: _Stage, batch: Sequence[str], error: SpotifyError) -> None:
        name, kind = stage.source.name, type(error).__name__
        log.warning("features.batch_failed", source=name, kind=kind, tracks=len(batch), run_id=self._run_id)
        if concerns_all(error):
            stage.stop = stage.stop or stop_for(error, now=self._now())
            stage.waiting.extend(batch)
            return
        stage.asked += len(batch)
        stage.failures += 1
        if stage.failures >= _GIVE_UP_AFTER:
            stage.stop = stop_for(error, now=self._now())
        with self._database.transaction() as session:
            # Not left as they are: the same hundred would be the next run's first batch, and fail again.
            save_missing_features(
                session, dict.fromkeys(batch, f"{name}: {kind}"), retry_after=self._now() + _AFTER_ERROR
            )
        self.report.failed += [Failure(f"track {track}", error.message, kind) for track in batch]

    def _finish(self) -> None:
        report = self.report
        report.changed = self._found.total()
        report.unchanged = self._missing.total()
        report.counts = {f"found_{source}": count for source, count in self._found.items()}
        report.counts["missing"] = report.unchanged
        report.rows = [
            {"missing because": why, "tracks": count} for why, count in self._missing.most_common()
        ]


def _finite(features: FeatureSet) -> dict[str, float | int]:
    # JSON as Python reads it may hold NaN, JSON as PostgreSQL stores it may not.
    return {name: value for name, value in features.values().items() if isfinite(value)}

"""Bring Spotify's playlists to their desired state, in the fewest calls: the asset ``spotify_playlists``.

What belongs here: which playlists are due, in which waves and lanes their accounts are worked, and the report.
What does not: what happens within one account (``lane``) and what calls that needs (``call_plan``).

An account in trouble costs the others nothing but its place in a wave. Where nothing is due, nothing is called
and nothing is written.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog

from spotify_pipelines.accounts.budget import budgets
from spotify_pipelines.accounts.health import ADVICE, Health, HealthState, Outcome, Wave, waves
from spotify_pipelines.accounts.outcomes import outcome_of
from spotify_pipelines.accounts.registry import health_of, record_health
from spotify_pipelines.playlists.account_lease import TTL, AccountLease, hold_account
from spotify_pipelines.playlists.app_watch import AppWatch
from spotify_pipelines.playlists.call_plan import (
    SyncNeeds,
    Write,
    appends_for,
    minimum_by_endpoint,
    minimum_calls,
)
from spotify_pipelines.playlists.desired import Target, targets_from
from spotify_pipelines.playlists.foresight import foresee
from spotify_pipelines.playlists.history import Action, record
from spotify_pipelines.playlists.lane import AccountLane, LaneResult
from spotify_pipelines.playlists.lanes import PATIENCE, Lane, Lanes, open_lanes
from spotify_pipelines.playlists.policies import policy_from_json
from spotify_pipelines.playlists.read_back import ReadBack, ReadBackResult
from spotify_pipelines.playlists.records import Records
from spotify_pipelines.report import Deferral, Failure, Report
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.spotify.errors import SpotifyError
from spotify_pipelines.spotify.turns import Priority
from spotify_pipelines.store import accounts as account_store
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.calls import CallTarget, record_calls
from spotify_pipelines.store.covers import COVER_SCOPE
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.policies import policy_definitions

__all__ = ["Progress", "foresee_sync", "sync_playlists"]

_log = structlog.get_logger(__name__)

USE_CASE = "sync_playlists"
PROBES = "probe"
QUOTA_SPENT = "the quota of the account's app is spent"


class Progress(Protocol):
    """Told how far the work is; further figures by name."""

    def __call__(self, done: int, total: int, **more: object) -> None: ...


@dataclass(frozen=True, slots=True)
class _Selection:
    """Which playlists were asked for, and those of them that are due."""

    selected: int
    due: list[Target]
    beyond_limit: int


async def sync_playlists(
    database: Database,
    client: SpotifyClient,
    calls: CallLog,
    *,
    run_id: str,
    now: Callable[[], datetime],
    playlist_ids: Sequence[int] = (),
    account_ids: Sequence[int] = (),
    policy: str | None = None,
    limit: int | None = None,
    force: bool = False,
    dry_run: bool = False,
    max_parallel_accounts: int = 16,
    read_back_share: float = 0.0,
    patience: float = PATIENCE,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    progress: Progress | None = None,
) -> Report:
    """Create, fill, rename and rewrite every due playlist; report one row for each that was not right already.

    What goes beyond an app's budget for the day is put off before anything is called, the latest drawn first.

    Args:
        database: the truth.
        client: an open client.
        calls: the log that ``client`` counts in.
        run_id: the run that does this; stands in history, leases and call figures.
        now: the clock (aware UTC).
        playlist_ids: only these; empty: all.
        account_ids: only playlists of these accounts; empty: all.
        policy: only playlists of this policy.
        limit: at most so many due playlists.
        force: look at playlists on Spotify even where nothing is due, to find what was changed by hand.
        dry_run: only say what would be done and what it costs; nothing is called or written.
        max_parallel_accounts: accounts worked on at once.
        read_back_share: part of the written playlists (0 to 1) that is read back, of apps whose budget is not spent.
            Its calls stand apart from those that the report counts.
        patience: seconds without an answer after which an account no longer holds up others.
        sleep: takes the pauses before playlists are read back.
        progress: called after each playlist.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed; the run ends, the next one goes on.
    """
    targets = _load(database, now(), playlist_ids=playlist_ids, account_ids=account_ids, policy=policy)
    chosen = _choose(targets, limit, force)
    watch = AppWatch(database, client, run_id, now)
    run = _Run(database, client, run_id, now, progress, len(chosen.due), force, watch, read_back_share)
    run.report.requested = chosen.selected - chosen.beyond_limit
    run.report.unchanged = chosen.selected - chosen.beyond_limit - len(chosen.due)
    if chosen.beyond_limit:
        run.report.notes.append(f"{chosen.beyond_limit} more are due, beyond the limit of {limit}")
    if held_back := sum(target.held_back is not None for target in targets):
        run.report.notes.append(f"{held_back} locked or paused and left alone; 'playlists list' says why")
    run.report.notes += _without_covers(targets)
    if not chosen.due:
        return run.report
    by_account = _by_account(chosen.due)
    health = _health(database, list(by_account))
    planned = waves(health, now())
    libraries = _libraries(database, list(by_account))
    worked = [id_ for wave in planned for id_ in wave.account_ids]
    by_account = run.within_budget(by_account, set(worked), libraries)
    if dry_run:
        _describe(run.report, by_account, health, libraries, now())
        _tell_tracks(database, run.report, by_account)
        return run.report
    run.leave_alone(by_account, health, set(worked))
    with calls.child() as mine:
        await run.look_at_apps(by_account, worked, max_parallel_accounts)
        async with open_lanes(max_parallel_accounts, patience) as lanes:
            for wave in planned:
                await run.work(wave, by_account, lanes)
    run.record_troubles()
    run.report.calls = mine.total
    await run.read_back(sleep)
    run.report.rows.sort(key=lambda row: (row["state"] != "failed", str(row["playlist"])))
    _log.info("playlists.synced", run_id=run_id, summary=run.report.sentence())
    return run.report


def foresee_sync(
    database: Database,
    client: SpotifyClient,
    targets: Sequence[Target],
    *,
    run_id: str,
    now: Callable[[], datetime],
) -> Report:
    """What a sync of these due playlists would do and cost, stored draws or not; nothing is called."""
    run = _Run(
        database=database,
        client=client,
        run_id=run_id,
        now=now,
        progress=None,
        total=len(targets),
        force=False,
        watch=AppWatch(database, client, run_id, now),
    )
    run.report.requested = len(targets)
    by_account = _by_account(targets)
    health = _health(database, list(by_account)) if by_account else {}
    libraries = _libraries(database, list(by_account))
    worked = {id_ for wave in waves(health, now()) for id_ in wave.account_ids}
    _describe(run.report, run.within_budget(by_account, worked, libraries), health, libraries, now())
    return run.report


def _without_covers(targets: Sequence[Target]) -> list[str]:
    """Which accounts' playlists go without the covers of their policies, and what to do about it."""
    lacking = Counter(target.row.account_name for target in targets if target.cover_refused)
    return [
        f"{number} of {account} without the cover of their policy: its owner has not agreed to {COVER_SCOPE}; "
        f"'accounts reauthorize {account} --covers' asks for it"
        for account, number in sorted(lacking.items())
    ]


def _choose(targets: list[Target], limit: int | None, force: bool) -> _Selection:
    due = [target for target in targets if _is_due(target, force)]
    chosen = due if limit is None else due[:limit]
    return _Selection(len(targets), chosen, len(due) - len(chosen))


def _by_account(targets: Sequence[Target]) -> dict[int, list[Target]]:
    found = defaultdict(list)
    for target in targets:
        found[target.row.account_id].append(target)
    return dict(found)


def _needs(targets: Sequence[Target], library: int) -> SyncNeeds:
    """What the sync of one account needs as far as the database knows: if nothing was changed by hand."""
    writes = [target.writes() for target in targets]
    return SyncNeeds(
        existing_due=sum(target.row.spotify_id is not None for target in targets),
        library=library,
        unresolved=any(target.unresolved or target.read_back_due for target in targets),
        read_backs=sum(target.read_back_due for target in targets),
        creations=sum(Write.CREATE in each for each in writes),
        details=sum(Write.DETAILS in each for each in writes),
        covers=sum(Write.COVER in each for each in writes),
        items=sum(Write.ITEMS in each or Write.FILL in each for each in writes),
        appends=sum(
            appends_for(target.row.tracks)
            for target, each in zip(targets, writes, strict=True)
            if Write.ITEMS in each or Write.FILL in each
        ),
    )


def _load(
    database: Database,
    now: datetime,
    *,
    playlist_ids: Sequence[int],
    account_ids: Sequence[int] = (),
    policy: str | None = None,
) -> list[Target]:
    with database.transaction() as session:
        rows = store.sync_rows(session, playlist_ids=playlist_ids, account_ids=account_ids, policy=policy)
        definitions = policy_definitions(session, {row.policy_id for row in rows})
    policies = {id_: policy_from_json(definition) for id_, definition in definitions.items()}
    return targets_from(rows, policies, now)


def _is_due(target: Target, force: bool) -> bool:
    if target.held_back is not None:
        return False
    return bool(target.writes()) or target.read_back_due or (force and target.row.spotify_id is not None)


def _health(database: Database, account_ids: Sequence[int]) -> dict[int, Health]:
    with database.transaction() as session:
        return {account.id: health_of(account) for account in account_store.accounts(session, account_ids)}


def _libraries(database: Database, account_ids: Sequence[int]) -> dict[int, int]:
    with database.transaction() as session:
        return store.library_sizes(session, account_ids)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A failure that may pass, of an account or of its app."""

    app_id: int
    account_id: int
    detail: str
    calls: int


@dataclass(slots=True)
class _Run:
    """One sync over all accounts: its lanes, the apps that are blocked meanwhile, and the report."""

    database: Database
    client: SpotifyClient
    run_id: str
    now: Callable[[], datetime]
    progress: Progress | None
    total: int
    force: bool
    watch: AppWatch
    read_back_share: float = 0.0
    report: Report = field(default_factory=lambda: Report("playlists"))
    troubles: list[_Trouble] = field(default_factory=list)
    short_of_budget: set[int] = field(default_factory=set)
    to_read_back: dict[int, list[int]] = field(default_factory=dict)
    answers: dict[int, CallLog] = field(default_factory=dict)
    done: int = 0

    async def look_at_apps(
        self, by_account: Mapping[int, list[Target]], account_ids: Sequence[int], at_once: int
    ) -> None:
        """Try the apps that are in trouble, through one account each; those still in it are waited for."""
        accounts = defaultdict(list)
        for account_id in account_ids:
            if targets := by_account[account_id]:
                accounts[targets[0].row.app_id].append(account_id)
        self.watch.accounts, self.watch.at_once = dict(accounts), at_once
        with self.client.calls.child() as mine:
            await self.watch.try_those_in_trouble()
        if mine.total:
            self._record_probes(mine)

    async def work(self, wave: Wave, by_account: Mapping[int, list[Target]], lanes: Lanes) -> None:
        """All lanes of a wave, in their order."""
        await lanes.wave(
            [self._as_lane(wave, by_account[id_]) for id_ in wave.account_ids if by_account[id_]],
            wave.concurrency,
        )

    def _as_lane(self, wave: Wave, targets: list[Target]) -> Lane:
        row = targets[0].row
        priority = Priority.HEALTHY if wave.state is HealthState.OK else Priority.DEGRADED

        async def work() -> None:
            with self.client.calls.child() as mine:
                self.answers[row.account_id] = mine
                await self._work_on(targets, priority, probe=wave.probe)

        return Lane(work, lambda: self._answers(row.account_id), lambda: self.watch.place(row.app_id))

    async def _work_on(self, targets: list[Target], priority: Priority, *, probe: bool) -> None:
        """One account's lane, under its lease, on rows read anew: somebody may have been faster."""
        ready = self._without_deferred(targets)
        if not ready:
            return
        row = ready[0].row
        async with hold_account(self.database, row.account_id, self.run_id) as lease:
            if lease is None:
                until = self.now() + TTL
                self._defer(ready, until, f"another run is working on account {row.account_name}")
                return
            if lease.taken_from is not None:
                self._distrust(lease, row)
            fresh = _load(self.database, self.now(), playlist_ids=[target.row.id for target in ready])
            due = [target for target in fresh if _is_due(target, self.force)]
            self._count_unchanged(len(ready) - len(due))
            if due and (not probe or await self._is_back(due)):
                await self._lane(due, lease, priority)

    async def _is_back(self, targets: list[Target]) -> bool:
        """Whether one cheap call shows that a quarantined account works again; else its playlists wait on."""
        row, error = targets[0].row, None
        with self.client.calls.child() as mine:
            try:
                await self.client.as_account(row.account_id, priority=Priority.DEGRADED).probe()
            except SpotifyError as met:
                error = met
        self._record_probes(mine)
        if error is None:
            self._record_outcomes(row.account_id, {Outcome.SUCCESS: None}, mine.total)
        else:
            await self.watch.failed(row.app_id, row.account_id, error)
            if (outcome := outcome_of(error)) is not None and row.app_id not in self.watch.in_trouble:
                self._record_outcomes(row.account_id, {outcome: str(error)}, mine.total)
        health = _health(self.database, [row.account_id])[row.account_id]
        if error is None and health.state is not HealthState.QUARANTINED:
            return True
        if blocked := self.watch.blocked(row.app_id):
            self._defer(targets, blocked.until, blocked.reason)
        else:
            self.leave_alone({row.account_id: targets}, {row.account_id: health}, set())
        return False

    def _record_probes(self, mine: CallLog) -> None:
        """Store calls that only found something out: they are neither above nor below the minimum."""
        least = {(key.app_id, key.account_id, key.endpoint): n.calls for key, n in mine.snapshot().items()}
        with self.database.transaction() as session:
            record_calls(session, run_id=self.run_id, use_case=PROBES, rows=mine.rows(), minimum=least)
        self.report.minimum_calls += mine.total

    def _answers(self, account_id: int) -> int:
        log = self.answers.get(account_id)
        return sum(count.ok for count in log.snapshot().values()) if log else 0

    def _distrust(self, lease: AccountLease, row: store.SyncRow) -> None:
        """Whoever let the lease run out may have a call in flight, for any playlist that was due then.

        What was due then is due still: a playlist is done when that is recorded, under the lease.
        """
        in_work = [
            target
            for target in _load(self.database, self.now(), playlist_ids=(), account_ids=[row.account_id])
            if _is_due(target, force=False)
        ]
        Records(lease, run_id=self.run_id, now=self.now).mark_for_read_back(in_work)
        _log.warning(
            "account.taken_over",
            account=row.account_name,
            taken_from=lease.taken_from,
            playlists=len(in_work),
            run_id=self.run_id,
        )

    async def _lane(self, targets: list[Target], lease: AccountLease, priority: Priority) -> None:
        row = targets[0].row
        library = _libraries(self.database, [row.account_id]).get(row.account_id, 0)
        lane = AccountLane(
            self.client.as_account(row.account_id, priority=priority),
            self.client.as_app(row.app_id),
            lease,
            targets,
            library=library,
            run_id=self.run_id,
            now=self.now,
            blocked=lambda: self.watch.blocked(row.app_id),
            met=lambda error: self.watch.failed(row.app_id, row.account_id, error),
            worked=lambda: self.watch.worked(row.app_id),
            progress=self._one_more,
            read_back_share=0.0 if row.app_id in self.short_of_budget else self.read_back_share,
        )
        with self.client.calls.child() as mine:
            try:
                result = await lane.work()
            finally:
                self._record_calls(row, mine, lane.result.needs)
        self._take_over(row, result, mine.total)

    async def read_back(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Make sure of a sample of what was written, all accounts side by side."""
        if not self.to_read_back:
            return

        async def account(account_id: int, playlist_ids: list[int]) -> ReadBackResult:
            api = self.client.as_account(account_id, priority=Priority.DEGRADED)
            reading = ReadBack(
                self.database,
                api,
                lambda ids: _load(self.database, self.now(), playlist_ids=ids),
                self.run_id,
                self.now,
                sleep,
            )
            return await reading.account(account_id, playlist_ids)

        with self.client.calls.child() as mine:
            results = await asyncio.gather(*(account(*each) for each in self.to_read_back.items()))
        rows = mine.rows()
        # Apart from the minimum: they are neither above nor below it.
        least = {(key.app_id, key.account_id, key.endpoint): n.calls for key, n in mine.snapshot().items()}
        with self.database.transaction() as session:
            record_calls(session, run_id=self.run_id, use_case="read_back", rows=rows, minimum=least)
        right, late = sum(each.right for each in results), sum(each.late for each in results)
        self.report.counts["read_back"] = right + late
        if late:
            self.report.notes.append(
                f"{late} of {right + late} playlists that were read back don't show what was written yet; the next "
                "sync looks at them again"
            )

    def _record_calls(self, row: store.SyncRow, mine: CallLog, needs: SyncNeeds) -> None:
        minimum: dict[CallTarget, int] = {
            (row.app_id, row.account_id, endpoint): number
            for endpoint, number in minimum_by_endpoint(needs).items()
        }
        with self.database.transaction() as session:
            record_calls(session, run_id=self.run_id, use_case=USE_CASE, rows=mine.rows(), minimum=minimum)

    def _take_over(self, row: store.SyncRow, result: LaneResult, calls: int) -> None:
        if result.blocked_until is not None:
            self.watch.block(row.app_id, result.blocked_until, QUOTA_SPENT)
        self._record_health(row, result, calls)
        if result.to_read_back:
            self.to_read_back[row.account_id] = result.to_read_back
        report = self.report
        report.minimum_calls += minimum_calls(result.needs)
        report.changed += len(result.changed)
        report.unchanged += len(result.unchanged)
        report.failed += result.failed
        report.rows += [
            {"playlist": each.item, "account": row.account_name, "state": "failed", "what": each.reason}
            for each in result.failed
        ]
        report.deferred += result.deferred
        for done in result.changed:
            for action in done.actions:
                name = action.value.replace(" ", "_")
                report.counts[name] = report.counts.get(name, 0) + 1
            report.rows.append(_row(done.target, "done", ", ".join(done.actions)))
        if result.twins_removed:
            report.counts["twins_removed"] = report.counts.get("twins_removed", 0) + result.twins_removed
        if result.unchanged:
            _log.info("playlist.unchanged", account=row.account_name, playlists=len(result.unchanged))

    def _record_health(self, row: store.SyncRow, result: LaneResult, calls: int) -> None:
        """Take down what an account met; what may yet turn out to be its app's, at the end of the run."""
        details = {
            outcome: str(error) for error in result.errors if (outcome := outcome_of(error)) is not None
        }
        if (detail := details.pop(Outcome.TRANSIENT_FAILURE, None)) is not None:
            self.troubles.append(_Trouble(row.app_id, row.account_id, detail, calls))
        outcomes: dict[Outcome, str | None] = dict(details)
        if calls and not result.errors and not result.deferred:
            outcomes = {Outcome.SUCCESS: None}
        self._record_outcomes(row.account_id, outcomes, calls)

    def record_troubles(self) -> None:
        """Take down the failures of accounts whose apps were well."""
        for each in self.troubles:
            if each.app_id not in self.watch.in_trouble:
                self._record_outcomes(each.account_id, {Outcome.TRANSIENT_FAILURE: each.detail}, each.calls)

    def _record_outcomes(self, account_id: int, outcomes: Mapping[Outcome, str | None], calls: int) -> None:
        with self.database.transaction() as session:
            for outcome, detail in outcomes.items():
                record_health(
                    session, account_id, outcome, self.now(), self.run_id, detail=detail, calls=calls
                )

    def within_budget(
        self, by_account: Mapping[int, list[Target]], worked: set[int], libraries: Mapping[int, int]
    ) -> dict[int, list[Target]]:
        """The playlists that the budgets of their apps allow to work on, longest drawn first; others are put off."""
        with self.database.transaction() as session:
            left = {id_: (budget, budget.left) for id_, budget in budgets(session, self.now()).items()}
        targets = [target for some in by_account.values() for target in some]
        if not left:
            return dict(by_account)
        kept: dict[int, list[Target]] = defaultdict(list)
        planned: dict[int, SyncNeeds] = defaultdict(SyncNeeds)
        spent: set[int] = set()
        for target in sorted(targets, key=lambda target: (target.row.drawn_at, target.row.id)):
            row = target.row
            if row.app_id not in left or row.account_id not in worked or self._must_wait(target):
                kept[row.account_id].append(target)
                continue
            budget, calls = left[row.app_id]
            with_it = planned[row.account_id] + _needs([target], libraries.get(row.account_id, 0))
            more = minimum_calls(with_it) - minimum_calls(planned[row.account_id])
            # What comes later does not overtake, or a playlist that costs much would wait for ever.
            if row.app_id in spent or more > calls:
                spent.add(row.app_id)
                self._defer([target], budget.until, budget.reason)
                continue
            kept[row.account_id].append(target)
            planned[row.account_id] = with_it
            left[row.app_id] = budget, calls - more
        self.short_of_budget = spent
        for app_id in sorted(spent):
            _log.warning("playlists.budget_spent", app=left[app_id][0].app, run_id=self.run_id)
        return {id_: sorted(kept[id_], key=lambda target: target.row.id) for id_ in by_account}

    def _must_wait(self, target: Target) -> bool:
        """Whether it is put off anyway, and costs nothing today."""
        until = (target.row.cooldown_until, target.row.sync_not_before)
        return any(_later(each, self.now()) for each in until)

    def leave_alone(
        self, by_account: Mapping[int, list[Target]], health: Mapping[int, Health], worked: set[int]
    ) -> None:
        """Report the playlists of accounts that no wave works on; noted in their history once."""
        for account_id in sorted(by_account.keys() - worked):
            targets, state = by_account[account_id], health[account_id]
            reason = _why_left_alone(targets[0].row.account_name, state)
            self._note_skipped(targets, reason)
            if state.next_probe_at is not None:
                self._defer(targets, state.next_probe_at, reason)
            else:
                self._fail(targets, reason, "AccountQuarantined")

    def _note_skipped(self, targets: Sequence[Target], reason: str) -> None:
        news = [target for target in targets if target.row.sync_error != reason]
        if not news:
            return
        with self.database.transaction() as session:
            for target in news:
                store.set_playlist(session, target.row.id, sync_error=reason)
                record(
                    session,
                    target.row.id,
                    Action.SKIPPED,
                    label=target.row.label,
                    at=self.now(),
                    run_id=self.run_id,
                    reason=reason,
                )

    def _without_deferred(self, targets: list[Target]) -> list[Target]:
        """The playlists that may be worked on now; the others are reported."""
        ready = []
        for target in targets:
            blocked = self.watch.blocked(target.row.app_id)
            if blocked is not None:
                self._defer([target], blocked.until, blocked.reason)
            elif (until := _later(target.row.cooldown_until, self.now())) is not None:
                self._defer([target], until, QUOTA_SPENT)
            elif (until := _later(target.row.sync_not_before, self.now())) is not None:
                self._defer([target], until, target.row.sync_error or "it was put off until then")
            else:
                ready.append(target)
        return ready

    def _defer(self, targets: Sequence[Target], until: datetime, reason: str) -> None:
        self.report.deferred += [Deferral(f"playlist {t.row.label}", until, reason) for t in targets]
        self._one_more(len(targets))

    def _fail(self, targets: Sequence[Target], reason: str, kind: str) -> None:
        self.report.failed += [Failure(f"playlist {t.row.label}", reason, kind) for t in targets]
        self._one_more(len(targets))

    def _count_unchanged(self, number: int) -> None:
        self.report.unchanged += number
        self._one_more(number)

    def _one_more(self, number: int = 1) -> None:
        self.done += number
        if self.progress is not None and number:
            self.progress(self.done, self.total, deferred=len(self.report.deferred))


def _later(until: datetime | None, now: datetime) -> datetime | None:
    return until if until is not None and until > now else None


def _why_left_alone(account: str, health: Health) -> str:
    advice = ADVICE[health.reason] if health.reason else "'spotify-pipelines accounts list' says more."
    return f"account {account} is {health.state.value}: {advice}"


def _describe(
    report: Report,
    by_account: Mapping[int, list[Target]],
    health: Mapping[int, Health],
    libraries: Mapping[int, int],
    now: datetime,
) -> None:
    """What a sync would do, and what that costs if nothing was changed by hand."""
    for account_id, targets in by_account.items():
        for target in targets:
            writes = target.writes()
            name = target.desired(target.marker).name
            would = ", ".join(writes) or "look for changes by hand"
            report.rows.append(_row(target, "planned", would) | {"name": name, "calls": len(writes)})
        if health[account_id].state is HealthState.QUARANTINED and not health[account_id].probe_due(now):
            report.notes.append(_why_left_alone(targets[0].row.account_name, health[account_id]))
            continue
        report.minimum_calls += minimum_calls(_needs(targets, libraries.get(account_id, 0)))
    report.changed = sum(map(len, by_account.values()))


def _tell_tracks(database: Database, report: Report, by_account: Mapping[int, list[Target]]) -> None:
    """Beside each playlist that would be written: what it is called, and how many tracks would come and go."""
    rows = {str(row["playlist"]): row for row in report.rows}
    with database.transaction() as session:
        for target in (target for targets in by_account.values() for target in targets):
            seen = foresee(session, target)
            rows[target.row.label] |= {
                "was": seen.was,
                "tracks": seen.tracks,
                "in": len(seen.tracks_in),
                "out": len(seen.tracks_out),
            }


def _row(target: Target, state: str, what: str) -> dict[str, str | int | float | None]:
    return {
        "playlist": target.row.label,
        "account": target.row.account_name,
        "state": state,
        "what": what,
    }

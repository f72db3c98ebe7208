"""Take retired playlists out of their accounts' libraries, where their policy or a person said so.

What belongs here: which ones, and what became of each. What does not: retiring (``plan``, ``control``). Spotify knows
no other delete; the playlist and its link live on, and its owner can bring it back for 90 days.

One call each, without a look before: unfollowing changes nothing in the playlist, so there is nothing to save.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from spotify_pipelines.accounts.health import ADVICE, HealthState
from spotify_pipelines.accounts.outcomes import outcome_of
from spotify_pipelines.accounts.registry import health_of, record_health
from spotify_pipelines.playlists.account_lease import TTL, AccountLease, hold_account
from spotify_pipelines.playlists.history import Action, record
from spotify_pipelines.report import Deferral, Failure, Report
from spotify_pipelines.spotify.accounting import CallLog
from spotify_pipelines.spotify.client import PlaylistApi, SpotifyClient
from spotify_pipelines.spotify.errors import NotFound, QuotaExceeded, RateLimited, SpotifyError
from spotify_pipelines.store import accounts as account_store
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.calls import CallTarget, record_calls
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.leases import LeaseLost
from spotify_pipelines.store.playlists import LeavingRow

__all__ = ["unfollow_retired"]

USE_CASE = "unfollow_retired"
_ENDPOINT = "DELETE /me/library"


async def unfollow_retired(
    database: Database,
    client: SpotifyClient,
    calls: CallLog,
    *,
    run_id: str,
    now: Callable[[], datetime],
    playlist_ids: Sequence[int] = (),
    account_ids: Sequence[int] = (),
    policy: str | None = None,
    dry_run: bool = False,
) -> Report:
    """Unfollow every retired playlist that is to be; an account in trouble keeps its own until the next run.

    Args:
        database: the truth.
        client: an open client.
        calls: the log that ``client`` counts in.
        run_id: stands in history, leases and call figures.
        now: the clock (aware UTC).
        playlist_ids: only these; empty: all.
        account_ids: only playlists of these accounts; empty: all.
        policy: only playlists of this policy.
        dry_run: only say which; nothing is called or written.
    """
    report = Report("playlists")
    with database.transaction() as session:
        rows = store.leaving_rows(session, playlist_ids=playlist_ids, account_ids=account_ids, policy=policy)
    report.requested = len(rows)
    if dry_run:
        report.minimum_calls = report.changed = len(rows)
        report.rows = [_row(row, "planned", "unfollow") | {"calls": 1} for row in rows]
        return report
    run = _Run(database, run_id, now, report)
    for account_id, group in groupby(rows, key=lambda row: row.account_id):
        leaving = list(group)
        if run.put_off(leaving):
            continue
        async with hold_account(database, account_id, run_id) as lease:
            if lease is None:
                reason = f"another run is working on account {leaving[0].account_name}"
                run.defer(leaving, now() + TTL, reason)
                continue
            with calls.child() as mine:
                await run.work_off(client.as_account(account_id), lease, leaving, mine)
    if report.changed:
        report.counts["unfollowed"] = report.changed
    return report


@dataclass(frozen=True, slots=True)
class _Run:
    """One run over the accounts that playlists leave."""

    database: Database
    run_id: str
    now: Callable[[], datetime]
    report: Report

    def put_off(self, leaving: Sequence[LeavingRow]) -> bool:
        """Whether the account can't be worked on now; that is reported."""
        row, now = leaving[0], self.now()
        if row.cooldown_until is not None and row.cooldown_until > now:
            self.defer(leaving, row.cooldown_until, "the quota of the account's app is spent")
            return True
        with self.database.transaction() as session:
            health = health_of(account_store.accounts(session, [row.account_id])[0])
        if health.state is not HealthState.QUARANTINED or health.probe_due(now):
            return False
        advice = ADVICE[health.reason] if health.reason else "'spotify-pipelines accounts list' says more."
        reason = f"account {row.account_name} is quarantined: {advice}"
        if health.next_probe_at is not None:
            self.defer(leaving, health.next_probe_at, reason)
        else:
            self.fail(leaving, reason, "AccountQuarantined")
        return True

    async def work_off(
        self, api: PlaylistApi, lease: AccountLease, leaving: list[LeavingRow], mine: CallLog
    ) -> None:
        """Unfollow an account's playlists until one meets trouble."""
        left, minimum = list(leaving), 0
        try:
            while left:
                minimum += 1
                await self._unfollow(api, lease, left[0])
                left.pop(0)
        except LeaseLost as lost:
            self.fail(left, str(lost), type(lost).__name__)
        except QuotaExceeded as error:
            self.defer(left, error.until, str(error))
        except RateLimited as error:
            self.defer(left, self.now() + TTL, str(error))
        except SpotifyError as error:
            self.fail(left, str(error), type(error).__name__)
            self._note_trouble(lease, leaving[0].account_id, error)
        self.report.calls += mine.total
        self.report.minimum_calls += minimum
        target: CallTarget = (leaving[0].app_id, leaving[0].account_id, _ENDPOINT)
        with self.database.transaction() as session:
            record_calls(
                session,
                run_id=self.run_id,
                use_case=USE_CASE,
                rows=mine.rows(),
                minimum={target: minimum},
            )

    async def _unfollow(self, api: PlaylistApi, lease: AccountLease, row: LeavingRow) -> None:
        # Not found: its owner was faster.
        with suppress(NotFound):
            await api.unfollow(row.spotify_id, before_send=lease.check)
        with lease.transaction() as session:
            store.set_playlist(session, row.id, unfollowed_at=self.now())
            record(
                session,
                row.id,
                Action.UNFOLLOWED,
                label=row.label,
                at=self.now(),
                run_id=self.run_id,
                reason="retired",
                before={"spotify_id": row.spotify_id},
                calls=1,
            )
        self.report.changed += 1
        self.report.rows.append(_row(row, "done", Action.UNFOLLOWED.value))

    def _note_trouble(self, lease: AccountLease, account_id: int, error: SpotifyError) -> None:
        outcome = outcome_of(error)
        if outcome is None:
            return
        with lease.transaction() as session:
            record_health(session, account_id, outcome, self.now(), self.run_id, detail=str(error))

    def defer(self, leaving: Sequence[LeavingRow], until: datetime, reason: str) -> None:
        """They wait."""
        self.report.deferred += [Deferral(f"playlist {row.label}", until, reason) for row in leaving]

    def fail(self, leaving: Sequence[LeavingRow], reason: str, kind: str) -> None:
        """They failed; the next run tries again."""
        self.report.failed += [Failure(f"playlist {row.label}", reason, kind) for row in leaving]


def _row(row: LeavingRow, state: str, what: str) -> dict[str, str | int | float | None]:
    return {"playlist": row.label, "account": row.account_name, "state": state, "what": what}

"""What each playlist should hold in its current cycle: the asset ``playlist_snapshots``.

What belongs here: which playlists are due for a draw, the draw itself out of the pure parts, and its record. What
does not: the rules (``selection``, ``order``), anything on Spotify (a draw costs no call, so it is done for
accounts in quarantine as well).

Each draw is committed on its own. Where nothing is due, nothing is written and the catalogue is not read.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from spotify_pipelines.playlists.call_plan import items_hash
from spotify_pipelines.playlists.catching_up import is_left_out, leave_out
from spotify_pipelines.playlists.cycles import Cycle
from spotify_pipelines.playlists.draw import ALGORITHM, Draw
from spotify_pipelines.playlists.drawing import EARLIER, Drawing, cycle_of
from spotify_pipelines.playlists.policies import Policy, policy_from_json
from spotify_pipelines.report import Failure, Report
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.playlists import DrawRow
from spotify_pipelines.store.policies import active_policies

__all__ = ["build_snapshots", "why_due"]

_log = structlog.get_logger(__name__)

_RETRY_AFTER: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Due:
    """One playlist that is drawn now, and why."""

    row: DrawRow
    policy: Policy
    cycle: Cycle
    reason: str


def why_due(row: DrawRow, cycle: Cycle, *, force: bool, left_out: bool = False) -> str | None:
    """Why a playlist has to be drawn now; None if it need not be.

    ``left_out``: it is too late for the draw of this cycle (see ``catching_up``).
    """
    if row.snapshot_id is None or row.cycle is None:
        return "first draw"
    if row.snapshot_policy_id != row.policy_id:
        return "policy changed"
    if row.cycle < cycle.number and (force or not left_out):
        return "new cycle"
    if row.holds_unplayable:
        return "track unplayable"
    return "forced" if force else None


def build_snapshots(
    database: Database,
    *,
    run_id: str,
    now: Callable[[], datetime],
    playlist_ids: Sequence[int] = (),
    account_ids: Sequence[int] = (),
    policy: str | None = None,
    limit: int | None = None,
    only_due: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Callable[..., None] | None = None,
    also: Sequence[DrawRow] = (),
    drawn: Callable[[DrawRow, Cycle, Draw], None] | None = None,
) -> Report:
    """Draw every playlist that lacks a snapshot for its cycle and policy version, in order of their ids.

    Args:
        database: the truth.
        run_id: stands in the snapshots.
        now: the clock (aware UTC); one moment holds for the whole run.
        playlist_ids: only these; empty: all.
        account_ids: only playlists of these accounts; empty: all.
        policy: only playlists of this policy.
        limit: at most so many draws.
        only_due: only playlists whose next reshuffle has come.
        force: draw anew also where nothing asks for it.
        dry_run: draw and report, store nothing.
        progress: called with (done, total) after each draw.
        also: playlists that are only planned, to be drawn as well; for a dry run.
        drawn: told of each draw.
    """
    moment = now()
    with database.transaction() as session:
        rows = store.draw_rows(
            session,
            playlist_ids=playlist_ids,
            account_ids=account_ids,
            policy=policy,
            due_at=moment if only_due else None,
        )
        definitions = {row.id: policy_from_json(row.definition) for row in active_policies(session)}
    rows += also
    due, missed = _due(rows, definitions, moment, force=force)
    report = Report("playlists", requested=len(rows), unchanged=len(rows) - len(due))
    if not dry_run and (number := leave_out(database, missed, run_id=run_id, now=moment)):
        report.notes.append(f"{number} missed reshuffles are left out, as their policies say")
    if limit is not None and len(due) > limit:
        report.notes.append(f"{len(due) - limit} more are due, beyond the limit of {limit}")
        report.requested -= len(due) - limit
        due = due[:limit]
    run = _Run(
        database=database,
        run_id=run_id,
        now=moment,
        drawing=Drawing(database, definitions.values(), {each.row.id for each in due}, moment),
        dry_run=dry_run,
        report=report,
        drawn=drawn,
    )
    for done, each in enumerate(due, start=1):
        run.draw(each)
        if progress is not None:
            progress(done, len(due))
    report.rows.sort(key=lambda row: -int(row["relaxed"] or 0))
    report.notes.extend(run.drawing.notes)
    if due:
        _log.info("snapshots.built", run_id=run_id, summary=report.sentence(), dry_run=dry_run)
    return report


def _due(
    rows: Sequence[DrawRow], policies: dict[int, Policy], now: datetime, *, force: bool
) -> tuple[list[_Due], list[tuple[DrawRow, Cycle]]]:
    """What is drawn now, and what is not because it is too late for it."""
    due: list[_Due] = []
    missed: list[tuple[DrawRow, Cycle]] = []
    for row in rows:
        policy = policies[row.policy_id]
        cycle = cycle_of(row, policy, now)
        left_out = is_left_out(policy, cycle, now)
        reason = why_due(row, cycle, force=force, left_out=left_out)
        if reason is not None:
            due.append(_Due(row, policy, cycle, reason))
        elif row.cycle is not None and row.cycle < cycle.number:
            missed.append((row, cycle))
    return due, missed


@dataclass(frozen=True, slots=True)
class _Run:
    """One run over the due playlists: what its draws share."""

    database: Database
    run_id: str
    now: datetime
    drawing: Drawing
    dry_run: bool
    report: Report
    drawn: Callable[[DrawRow, Cycle, Draw], None] | None

    def draw(self, due: _Due) -> None:
        """Draw one playlist and store the draw, or take down why there is none."""
        row, policy, cycle = due.row, due.policy, due.cycle
        with self.database.transaction() as session:
            number = store.next_draw(session, row.id, cycle.number)
            earlier = store.newest_draws(session, row.id, EARLIER)
            # After the number: a draw that another run stores from here on has the same one, and stands.
            if store.newest_snapshot(session, row.id) != row.snapshot_id:
                self._leave_to_other_run(due)
                return
        seed = self.drawing.seed_of(row, cycle, number)
        found = self.drawing.draw(row, policy, cycle, seed=seed, earlier=earlier)
        if not found.track_ids:
            self._fail(due)
            return
        self.drawing.count(row, found, cycle)
        if not self.dry_run and not self._store(due, number, found):
            self._leave_to_other_run(due)
            return
        self.report.changed += 1
        self.report.rows.append(_row(due, found, earlier[0] if earlier else ()))
        if self.drawn is not None:
            self.drawn(row, cycle, found)

    def _leave_to_other_run(self, due: _Due) -> None:
        self.report.unchanged += 1
        self.report.notes.append(f"another run drew playlist {due.row.label} meanwhile; its draw stands")

    def _fail(self, due: _Due) -> None:
        reason = self.drawing.why_nothing(due.policy)
        self.report.failed.append(Failure(f"playlist {due.row.label}", reason, "EmptyPool"))
        _log.warning("playlist.not_drawn", playlist=due.row.label, reason=reason, run_id=self.run_id)
        if not self.dry_run:
            with self.database.transaction() as session:
                # Else it would be due at every look until somebody mends the pool.
                store.set_playlist(
                    session, due.row.id, next_reshuffle_at=min(due.cycle.next_at, self.now + _RETRY_AFTER)
                )

    def _store(self, due: _Due, number: int, found: Draw) -> bool:
        """Whether the draw was stored; not, if another run had stored the same one."""
        row = due.row
        with self.database.transaction() as session:
            stored = store.store_snapshot(
                session,
                {
                    "playlist_id": row.id,
                    "policy_id": row.policy_id,
                    "cycle": due.cycle.number,
                    "draw": number,
                    "reason": due.reason,
                    "seed": found.seed.hex(),
                    "algorithm": ALGORITHM,
                    "input_digest": found.input_digest,
                    "items_hash": items_hash([f"spotify:track:{track_id}" for track_id in found.track_ids]),
                    "figures": found.figures,
                    "created_at": self.now,
                    "run_id": self.run_id,
                },
                [_track(position, track_id, found) for position, track_id in enumerate(found.track_ids)],
            )
            if stored is not None and row.next_reshuffle_at != due.cycle.next_at:
                store.set_playlist(session, row.id, next_reshuffle_at=due.cycle.next_at)
        return stored is not None


def _track(position: int, track_id: str, found: Draw) -> dict[str, Any]:
    pick = found.picks[track_id]
    return {
        "position": position,
        "track_id": track_id,
        "why": pick.why,
        "rank": pick.rank,
        "weight": pick.weight,
        "age": found.ages.get(track_id),
        "relaxation": asdict(pick.relaxation) if pick.relaxation else None,
    }


def _row(due: _Due, found: Draw, before: Sequence[str]) -> dict[str, str | int | float | None]:
    figures = found.figures
    return {
        "playlist": due.row.label,
        "account": due.row.account_name,
        "reason": due.reason,
        "cycle": due.cycle.number,
        "tracks": figures["tracks"],
        "new": len(set(found.track_ids) - set(before)),
        "out": len(set(before) - set(found.track_ids)),
        "artists": figures["artists"],
        "largest_share": round(figures["largest_share"], 3),
        "smallest_gap": figures["smallest_gap"],
        "relaxed": figures["relaxed"],
        "shortfall": figures["shortfall"],
        "sustained": round(figures["capacity"]["sustained"], 1),
    }

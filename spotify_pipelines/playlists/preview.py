"""The whole chain without doing it: which playlists would be planned, drawn, written and retired, and at what cost.

What belongs here: asking each use case what it would do, and handing what one would have made to the next. What does
not: any rule of theirs. Nothing is written and nothing is sent.

What a draw would hold is what it will hold: a draw follows from its inputs. Only if the catalogue, other playlists of
a shared cooldown, or a policy change in between does it come out otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.orm import Session

from spotify_pipelines.accounts.budget import budgets
from spotify_pipelines.playlists.call_plan import items_hash
from spotify_pipelines.playlists.cycles import Cycle
from spotify_pipelines.playlists.desired import Target
from spotify_pipelines.playlists.draw import Draw
from spotify_pipelines.playlists.foresight import foresee
from spotify_pipelines.playlists.plan import Place, first_cycle, narrowed, unfollowing, wanted_changes
from spotify_pipelines.playlists.policies import Policy, policy_from_json
from spotify_pipelines.playlists.snapshot import build_snapshots
from spotify_pipelines.playlists.sync import foresee_sync
from spotify_pipelines.playlists.uris import uri_of
from spotify_pipelines.report import Report
from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.store import accounts as account_store
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.covers import COVER_SCOPE
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.playlists import DrawRow, PlaceRow, SyncRow
from spotify_pipelines.store.policies import active_policies, policy_definitions

__all__ = ["AppCost", "PlannedPlaylist", "Preview", "preview"]

RUN_ID = "preview"


@dataclass(frozen=True, slots=True)
class PlannedPlaylist:
    """What would become of one playlist.

    Attributes:
        id: ours; None where it would be planned first.
        what: ``create``, ``rewrite``, ``rename``, ``retire``, ``unfollow``; ``wait`` and ``leave alone`` with a
            reason in ``why``.
        why: why it would wait, fail or be left alone.
        was: its name on Spotify; ``name`` is what it would be.
        calls: writing calls; what an account has to be looked at comes on top.
    """

    playlist: str
    id: int | None
    account: str
    what: tuple[str, ...]
    why: str | None = None
    was: str | None = None
    name: str | None = None
    tracks: int = 0
    tracks_in: tuple[str, ...] = ()
    tracks_out: tuple[str, ...] = ()
    calls: int = 0


@dataclass(frozen=True, slots=True)
class AppCost:
    """A budget, and whether all of what was asked about fits into what is left of it."""

    app: str
    calls_per_day: int
    left: int
    allows_all: bool


@dataclass(slots=True)
class Preview:
    """What would be done to every playlist that would not stay as it is; ``calls`` are all that it takes."""

    playlists: list[PlannedPlaylist] = field(default_factory=list)
    unchanged: int = 0
    calls: int = 0
    budgets: list[AppCost] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which playlists were asked about; empty: all."""

    playlist_ids: Sequence[int]
    account_ids: Sequence[int]
    policy: str | None


@dataclass(frozen=True, slots=True)
class _Drawn:
    row: DrawRow
    cycle: Cycle
    draw: Draw


def preview(
    database: Database,
    client: SpotifyClient,
    *,
    now: Callable[[], datetime],
    playlist_ids: Sequence[int] = (),
    account_ids: Sequence[int] = (),
    policy: str | None = None,
) -> Preview:
    """What the nightly chain would do to playlists now.

    Args:
        database: the truth, which is only read.
        client: for what is known about apps; nothing is sent.
        now: the clock (aware UTC).
        playlist_ids: only these; then nothing is planned or retired.
        account_ids: only playlists of these accounts.
        policy: only playlists of this policy.
    """
    moment, found = now(), Preview()
    asked = _Asked(playlist_ids, account_ids, policy)
    with database.transaction() as session:
        policies = {row.id: policy_from_json(row.definition) for row in active_policies(session)}
        new: list[DrawRow] = []
        if not playlist_ids:
            changes = wanted_changes(session, list(policies.values()), store.accounts(session))
            creations, retirements = narrowed(changes, account_ids, policy, None)
            new = _not_planned_yet(session, creations, policies, moment)
            _retire(session, found, retirements)
            found.notes += changes.notes
    drawn: dict[int, _Drawn] = {}
    drawing = build_snapshots(
        database,
        run_id=RUN_ID,
        now=lambda: moment,
        playlist_ids=playlist_ids,
        account_ids=account_ids,
        policy=policy,
        dry_run=True,
        also=new,
        drawn=lambda row, cycle, draw: drawn.update({row.id: _Drawn(row, cycle, draw)}),
    )
    found.playlists += [
        PlannedPlaylist(failure.item.removeprefix("playlist "), None, "", ("leave alone",), failure.reason)
        for failure in drawing.failed
    ]
    found.notes += drawing.notes
    retired = {each.id for each in found.playlists if "retire" in each.what}
    with database.transaction() as session:
        targets = [
            target
            for target in _targets(session, drawn, policies, moment, asked)
            if target.row.id not in retired
        ]
    due = [target for target in targets if target.writes()]
    report = foresee_sync(database, client, due, run_id=RUN_ID, now=now)
    _describe(database, found, targets, drawn, report)
    _leave(database, found, asked)
    found.calls += report.minimum_calls
    _count_budgets(database, found, report, moment)
    return found


def _not_planned_yet(
    session: Session, creations: Sequence[Place], policies: dict[int, Policy], now: datetime
) -> list[DrawRow]:
    """Playlists as they would be planned; ids below zero stand for those that they would get."""
    accounts = {account.id: account.name for account in store.accounts(session)}
    versions = {policy.name: id_ for id_, policy in policies.items()}
    rows = []
    for number, place in enumerate(creations, start=1):
        anchor, cycle = first_cycle(policies[versions[place.policy_name]], now)
        rows.append(
            DrawRow(
                id=-number,
                account_id=place.account_id,
                account_name=accounts[place.account_id],
                policy_name=place.policy_name,
                sequence=place.sequence,
                anchor=anchor,
                next_reshuffle_at=cycle.next_at,
                policy_id=versions[place.policy_name],
                snapshot_id=None,
                snapshot_policy_id=None,
                cycle=None,
                holds_unplayable=False,
            )
        )
    return rows


def _retire(session: Session, found: Preview, retirements: Sequence[PlaceRow]) -> None:
    if not retirements:
        return
    leaving = unfollowing(session)
    on_spotify = {
        row.id: row.confirmed_name
        for row in store.sync_rows(session, playlist_ids=[row.id for row in retirements])
        if row.spotify_id is not None
    }
    for row in retirements:
        goes = row.policy_name in leaving and row.id in on_spotify
        found.calls += goes
        found.playlists.append(
            PlannedPlaylist(
                row.label,
                row.id,
                row.account_name,
                ("retire", "unfollow") if goes else ("retire",),
                "no policy in force asks for it",
                was=on_spotify.get(row.id),
                calls=int(goes),
            )
        )


def _leave(database: Database, found: Preview, asked: _Asked) -> None:
    """Playlists that were retired before and are still to be unfollowed."""
    with database.transaction() as session:
        rows = store.leaving_rows(
            session, playlist_ids=asked.playlist_ids, account_ids=asked.account_ids, policy=asked.policy
        )
    found.calls += len(rows)
    found.playlists += [
        PlannedPlaylist(row.label, row.id, row.account_name, ("unfollow",), "retired", calls=1)
        for row in rows
    ]


def _targets(
    session: Session,
    drawn: dict[int, _Drawn],
    policies: dict[int, Policy],
    now: datetime,
    asked: _Asked,
) -> list[Target]:
    """Playlists as they would stand after the draws."""
    rows = store.sync_rows(
        session, playlist_ids=asked.playlist_ids, account_ids=asked.account_ids, policy=asked.policy
    )
    stored = policy_definitions(session, {row.policy_id for row in rows} - policies.keys())
    rules = policies | {id_: policy_from_json(definition) for id_, definition in stored.items()}
    known = {row.id for row in rows}
    first = [_first_row(session, each) for id_, each in drawn.items() if id_ not in known]
    after = [_after(row, drawn[row.id], now) if row.id in drawn else row for row in [*rows, *first]]
    return [Target(row, rules[row.policy_id], now) for row in after]


def _after(row: SyncRow, each: _Drawn, now: datetime) -> SyncRow:
    draw = each.draw
    return replace(
        row,
        snapshot_row=0,
        policy_id=each.row.policy_id,
        cycle=each.cycle.number,
        drawn_at=now,
        items_hash=items_hash([uri_of(track_id) for track_id in draw.track_ids]),
        tracks=len(draw.track_ids),
        top_artists=draw.figures["top_artists"],
        origin="drawn",
        details=None,
    )


def _first_row(session: Session, each: _Drawn) -> SyncRow:
    """A playlist that was never drawn, as ``store.sync_rows`` would show it."""
    account = account_store.accounts(session, [each.row.account_id])[0]
    apps = {app.id: app for app in account_store.apps(session)}
    return SyncRow(
        id=each.row.id,
        account_id=account.id,
        account_name=account.name,
        account_display_name=account.display_name,
        spotify_user_id=account.spotify_user_id,
        app_id=account.app_id,
        may_upload_covers=COVER_SCOPE in account.scopes,
        cooldown_until=apps[account.app_id].cooldown_until,
        policy_name=each.row.policy_name,
        sequence=each.row.sequence,
        status="planned",
        anchor=each.row.anchor,
        spotify_id=None,
        confirmed_snapshot_row=None,
        confirmed_items_hash=None,
        confirmed_name=None,
        confirmed_description=None,
        confirmed_public=None,
        confirmed_cover=None,
        confirmed_snapshot_id=None,
        confirmed_at=None,
        read_back_at=None,
        sync_not_before=None,
        sync_error=None,
        sync_failures=0,
        snapshot_row=0,
        policy_id=each.row.policy_id,
        cycle=each.cycle.number,
        drawn_at=each.cycle.starts_at,
        items_hash="",
        tracks=0,
        top_artists=[],
        origin="drawn",
        details=None,
        locked_at=None,
        paused_at=None,
        pause_reason=None,
        kept_snapshot_row=None,
        intent=None,
    )


_VERBS = {"create": "create", "items": "rewrite", "details": "rename"}


def _describe(
    database: Database,
    found: Preview,
    targets: Sequence[Target],
    drawn: dict[int, _Drawn],
    report: Report,
) -> None:
    waiting = {each.item.removeprefix("playlist "): each.reason for each in report.deferred}
    found.notes += report.notes
    with database.transaction() as session:
        for target in targets:
            row = target.row
            id_ = row.id if row.id > 0 else None
            if target.held_back is not None:
                found.playlists.append(
                    PlannedPlaylist(row.label, id_, row.account_name, ("leave alone",), target.held_back)
                )
                continue
            if not target.writes():
                found.unchanged += 1
                continue
            seen = foresee(session, target, drawn[row.id].draw.track_ids if row.id in drawn else None)
            why = waiting.get(row.label)
            verbs = tuple(verb for write in seen.writes if (verb := _VERBS.get(write.value)))
            found.playlists.append(
                PlannedPlaylist(
                    row.label,
                    id_,
                    row.account_name,
                    ("wait", *verbs) if why else verbs,
                    why,
                    was=seen.was,
                    name=seen.name,
                    tracks=seen.tracks,
                    tracks_in=seen.tracks_in,
                    tracks_out=seen.tracks_out,
                    calls=seen.calls,
                )
            )


def _count_budgets(database: Database, found: Preview, report: Report, now: datetime) -> None:
    with database.transaction() as session:
        kept = budgets(session, now)
    for budget in kept.values():
        refused = any(budget.reason == each.reason for each in report.deferred)
        found.budgets.append(AppCost(budget.app, budget.calls_per_day, budget.left, not refused))

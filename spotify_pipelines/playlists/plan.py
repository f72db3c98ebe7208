"""Which playlists there should be: the asset ``playlist_plan``.

What belongs here: the places that policies in force ask for, held against the playlists that exist, and the rows
that follow. What does not: anything on Spotify; a playlist that is planned here is created by ``sync``.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.playlists.cycles import Cycle, current_cycle, zone
from spotify_pipelines.playlists.history import Action, record
from spotify_pipelines.playlists.policies import Policy, policy_from_json
from spotify_pipelines.report import Report
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.playlists import AccountRow, PlaceRow
from spotify_pipelines.store.policies import active_policies, newest_versions

__all__ = [
    "Changes",
    "Place",
    "changes",
    "desired_places",
    "first_cycle",
    "narrowed",
    "plan_playlists",
    "unfollowing",
    "wanted_changes",
]

_log = structlog.get_logger(__name__)


class Place(NamedTuple):
    """Where a playlist belongs: the first, second … of a policy on an account."""

    account_id: int
    policy_name: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What leads from the playlists that exist to those that should."""

    create: list[Place] = field(default_factory=list)
    retire: list[PlaceRow] = field(default_factory=list)
    kept: int = 0
    notes: list[str] = field(default_factory=list)


def desired_places(policies: Sequence[Policy], accounts: Sequence[AccountRow]) -> list[Place]:
    """The places that ``policies`` ask for on ``accounts``: policy by policy, account by account."""
    return [
        Place(account.id, policy.name, sequence)
        for policy in policies
        for account in accounts
        if _serves(policy, account)
        for sequence in range(1, policy.playlists_per_account + 1)
    ]


def changes(
    desired: Sequence[Place],
    existing: Sequence[PlaceRow],
    accounts: Sequence[AccountRow],
    left_deleted: Collection[tuple[int, str, int]] = (),
) -> Changes:
    """What to create and what to retire.

    Nothing is created on a quarantined account or beyond what an account may hold; what exists there stays.

    Args:
        desired: the places that should be taken.
        existing: playlists that are not retired.
        accounts: all accounts.
        left_deleted: places that stay empty: their playlist was retired by a person, or deleted by its owner
            under a policy that leaves it so.
    """
    wanted = set(desired)
    taken = {Place(row.account_id, row.policy_name, row.sequence): row for row in existing}
    found = Changes(
        retire=[row for place, row in taken.items() if place not in wanted and not row.locked],
        kept=sum(place in wanted or row.locked for place, row in taken.items()),
    )
    found.notes.extend(
        f"{row.label} is locked and stays, although no policy in force asks for it"
        for place, row in taken.items()
        if place not in wanted and row.locked
    )
    by_id = {account.id: account for account in accounts}
    held = dict.fromkeys(by_id, 0)
    for place in taken.keys() & wanted:
        held[place.account_id] += 1
    refused: dict[str, int] = {}
    for place in desired:
        if place in taken or place in left_deleted:
            continue
        account = by_id[place.account_id]
        if account.health == "quarantined":
            why = f"account {account.name} is quarantined ({account.health_reason or 'reason unknown'})"
        elif account.max_playlists is not None and held[account.id] >= account.max_playlists:
            why = f"account {account.name} holds {account.max_playlists} playlists, as many as it may"
        else:
            held[account.id] += 1
            found.create.append(place)
            continue
        refused[why] = refused.get(why, 0) + 1
    found.notes.extend(f"{why}: {count} not planned there" for why, count in refused.items())
    return found


def wanted_changes(session: Session, policies: Sequence[Policy], accounts: Sequence[AccountRow]) -> Changes:
    """What the policies in force ask for, held against the playlists that there are."""
    wanted = desired_places(policies, accounts)
    return changes(wanted, store.places(session), accounts, _left_deleted(session, policies))


def first_cycle(policy: Policy, now: datetime) -> tuple[date, Cycle]:
    """The anchor of a playlist that is planned ``now``, and its cycle."""
    rule = policy.reshuffle
    today = now.astimezone(zone(rule.timezone)).date()
    # The first cycle has begun already: before today's boundary, it began with yesterday's.
    day = current_cycle(every_days=1, at=rule.at, timezone=rule.timezone, anchor=today, now=now)
    anchor = day.starts_at.astimezone(zone(rule.timezone)).date()
    return anchor, current_cycle(
        every_days=rule.every_days, at=rule.at, timezone=rule.timezone, anchor=anchor, now=now
    )


def plan_playlists(
    database: Database,
    *,
    run_id: str,
    now: Callable[[], datetime],
    account_ids: Sequence[int] = (),
    policy: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
) -> Report:
    """Plan the playlists that policies ask for and retire those that none asks for any more.

    Args:
        database: the truth.
        run_id: stands in the history.
        now: the clock (aware UTC).
        account_ids: only for these accounts; empty: all.
        policy: only for this policy.
        limit: at most so many changes.
        dry_run: only say what would be done.
    """
    report = Report("playlists")
    moment = now()
    with database.transaction() as session:
        policies = [policy_from_json(row.definition) for row in active_policies(session)]
        accounts = store.accounts(session)
        found = wanted_changes(session, policies, accounts)
        creations, retirements = narrowed(found, account_ids, policy, limit)
        report.requested = found.kept + len(creations) + len(retirements)
        report.unchanged = found.kept
        report.changed = len(creations) + len(retirements)
        report.counts |= {"planned": len(creations), "retired": len(retirements)}
        report.notes = [*found.notes, *_unknown_accounts(policies, accounts)]
        if not accounts:
            report.notes.append("No account is connected yet: nothing to plan.")
        names = {account.id: account.name for account in accounts}
        for place in creations:
            label = store.playlist_label(place.policy_name, place.sequence, names[place.account_id])
            report.rows.append({"playlist": label, "account": names[place.account_id], "what": "planned"})
            if not dry_run:
                rule = next(each for each in policies if each.name == place.policy_name)
                row_id = _create(session, place, rule, moment)
                if row_id is not None:
                    record(session, row_id, Action.PLANNED, label=label, at=moment, run_id=run_id)
        leaving = unfollowing(session) if retirements else set()
        for row in retirements:
            report.rows.append({"playlist": row.label, "account": row.account_name, "what": "retired"})
            if not dry_run:
                store.retire(session, row.id, moment, unfollow=row.policy_name in leaving)
                record(
                    session,
                    row.id,
                    Action.RETIRED,
                    label=row.label,
                    at=moment,
                    run_id=run_id,
                    reason="no policy in force asks for it",
                )
    return report


def _serves(policy: Policy, account: AccountRow) -> bool:
    return policy.accounts == "all" or account.name in policy.accounts or str(account.id) in policy.accounts


def _left_deleted(session: Session, policies: Sequence[Policy]) -> set[tuple[int, str, int]]:
    leaving = {policy.name for policy in policies if policy.on_missing == "leave"}
    left = {place for place in store.deleted_places(session) if place[1] in leaving} if leaving else set()
    return left | store.places_given_up(session)


def unfollowing(session: Session) -> set[str]:
    """Policies, in force or not any more, that leave no retired playlist behind."""
    rows = newest_versions(session)
    return {row.name for row in rows if policy_from_json(row.definition).retire == "unfollow"}


def narrowed(
    found: Changes, account_ids: Sequence[int], policy: str | None, limit: int | None
) -> tuple[list[Place], list[PlaceRow]]:
    """Creations and retirements of these accounts and this policy, at most ``limit`` in all."""

    def asked(account_id: int, policy_name: str) -> bool:
        return (not account_ids or account_id in account_ids) and policy in (None, policy_name)

    creations = [place for place in found.create if asked(place.account_id, place.policy_name)]
    retirements = [row for row in found.retire if asked(row.account_id, row.policy_name)]
    if limit is None:
        return creations, retirements
    return creations[:limit], retirements[: max(0, limit - len(creations))]


def _unknown_accounts(policies: Sequence[Policy], accounts: Sequence[AccountRow]) -> list[str]:
    known = {account.name for account in accounts} | {str(account.id) for account in accounts}
    return [
        f"policy '{policy.name}' names the account '{name}', which is not connected"
        for policy in policies
        if policy.accounts != "all"
        for name in policy.accounts
        if name not in known
    ]


def _create(session: Session, place: Place, policy: Policy, now: datetime) -> int | None:
    anchor, first = first_cycle(policy, now)
    return store.add_playlist(
        session,
        account_id=place.account_id,
        policy_name=place.policy_name,
        sequence=place.sequence,
        anchor=anchor,
        next_reshuffle_at=first.next_at,
        created_at=now,
    )

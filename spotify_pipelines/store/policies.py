"""Policies as versioned rows.

What belongs here: reading versions and changing which are in force. What does not: what a policy says
(``playlists.policies``) and when it is a new version (``playlists.apply``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, insert, select, text, update
from sqlalchemy.orm import Session

from spotify_pipelines.store.playlists import playlist_label
from spotify_pipelines.store.tables import Account, Playlist, Policy

__all__ = [
    "PolicyRow",
    "activate",
    "active_policies",
    "add_version",
    "deactivate",
    "lock_and_read",
    "newest_versions",
    "playlist_counts",
    "playlists_of",
    "policy_definitions",
    "versions",
]


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One stored version of a policy."""

    id: int
    name: str
    version: int
    digest: str
    definition: dict[str, Any]
    active: bool
    created_at: datetime


def active_policies(session: Session, name: str | None = None) -> list[PolicyRow]:
    """The policies in force, by name; only the one called ``name`` if given."""
    query = select(Policy).where(Policy.active).order_by(Policy.name)
    return _rows(session, query if name is None else query.where(Policy.name == name))


def newest_versions(session: Session) -> list[PolicyRow]:
    """The newest version of every policy, in force or not, by name."""
    return _rows(session, select(Policy).distinct(Policy.name).order_by(Policy.name, Policy.version.desc()))


def versions(session: Session, name: str) -> list[PolicyRow]:
    """All versions of one policy, newest first."""
    return _rows(session, select(Policy).where(Policy.name == name).order_by(Policy.version.desc()))


def lock_and_read(session: Session) -> dict[str, PolicyRow]:
    """The newest version of every policy by name; other writers wait for the transaction's end."""
    session.execute(text(f"LOCK TABLE {Policy.__tablename__} IN SHARE ROW EXCLUSIVE MODE"))
    return {row.name: row for row in newest_versions(session)}


def policy_definitions(session: Session, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Stored definitions by the id of their version."""
    wanted = set(ids)
    if not wanted:
        return {}
    rows = session.execute(select(Policy.id, Policy.definition).where(Policy.id.in_(wanted)))
    return {row.id: row.definition for row in rows}


def playlist_counts(session: Session) -> dict[str, int]:
    """How many playlists that are not retired each policy has."""
    query = (
        select(Playlist.policy_name, func.count())
        .where(Playlist.status != "retired")
        .group_by(Playlist.policy_name)
    )
    return dict(session.execute(query).tuples().all())


def playlists_of(session: Session, names: Iterable[str]) -> dict[str, list[str]]:
    """Labels of the playlists that are not retired, by policy."""
    query = (
        select(Playlist.policy_name, Playlist.sequence, Account.name)
        .join(Account, Account.id == Playlist.account_id)
        .where(Playlist.status != "retired", Playlist.policy_name.in_(set(names)))
        .order_by(Playlist.id)
    )
    found: dict[str, list[str]] = {}
    for name, sequence, account in session.execute(query):
        found.setdefault(name, []).append(playlist_label(name, sequence, account))
    return found


def add_version(session: Session, policy: Mapping[str, Any]) -> None:
    """A new version (columns of the table), in force from now on; the one before is deactivated first."""
    session.execute(insert(Policy).values(**policy, active=True))


def activate(session: Session, policy_id: int) -> None:
    """The version is in force."""
    session.execute(update(Policy).where(Policy.id == policy_id).values(active=True))


def deactivate(session: Session, policy_id: int) -> None:
    """The version is in force no more."""
    session.execute(update(Policy).where(Policy.id == policy_id).values(active=False))


def _rows(session: Session, query: Select[tuple[Policy]]) -> list[PolicyRow]:
    return [
        PolicyRow(row.id, row.name, row.version, row.digest, row.definition, row.active, row.created_at)
        for row in session.scalars(query)
    ]

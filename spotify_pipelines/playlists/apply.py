"""Put a policy file in force: new versions for what changed, nothing for what did not.

What belongs here: what a file would change, key by key, and the versions of policies as rows. What does not: the
file's form and its refusals (``policies``), what a new version leads to (``plan``, ``snapshot``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.playlists.policies import (
    Policy,
    PolicyError,
    PolicyFile,
    policy_digest,
    policy_from_json,
    policy_to_json,
)
from spotify_pipelines.report import Report
from spotify_pipelines.store import policies as store

__all__ = ["KeyChange", "PolicyChange", "apply_policies", "policy_changes"]

_log = structlog.get_logger(__name__)

_UNCHANGED: Final = "unchanged"
_AGAIN: Final = "in force again"
_STAYS: Final = "not in the file"
_ENDED: Final = "deactivated"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key that says something else: its path, and both values as plain JSON; None: nothing is said."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What a file means for one policy.

    Attributes:
        what: ``version 3`` (a new one), ``unchanged``, ``in force again``, ``not in the file``, ``deactivated``.
        policy: what the file says; None where it says nothing.
        known: the newest stored version; None for a new policy.
        keys: what is said differently from ``known``.
    """

    name: str
    what: str
    policy: Policy | None
    known: store.PolicyRow | None
    keys: tuple[KeyChange, ...] = ()

    @property
    def is_new_version(self) -> bool:
        """Whether applying stores a version, by which all playlists of the policy are drawn anew."""
        return self.what not in (_UNCHANGED, _AGAIN, _STAYS, _ENDED)

    @property
    def is_change(self) -> bool:
        """Whether applying changes anything."""
        return self.what not in (_UNCHANGED, _STAYS)


def policy_changes(
    file: PolicyFile, known: Mapping[str, store.PolicyRow], *, prune: bool = False
) -> list[PolicyChange]:
    """What applying ``file`` to the newest versions that are stored would do, policy by policy."""
    found = [_change(policy, known.get(policy.name)) for policy in file.policies]
    named = {policy.name for policy in file.policies}
    return found + [
        PolicyChange(name, _ENDED if prune else _STAYS, None, row)
        for name, row in known.items()
        if name not in named and row.active
    ]


def apply_policies(session: Session, file: PolicyFile, now: datetime, *, prune: bool = False) -> Report:
    """Make the file's policies those in force, within the caller's transaction.

    Args:
        session: the transaction; other runs of this wait for its end.
        file: checked policies.
        now: when (aware UTC).
        prune: deactivate policies that are not in the file, which retires their playlists with the next plan.
            Otherwise they stay in force, with a note.
    """
    report = Report("policies")
    for change in policy_changes(file, store.lock_and_read(session), prune=prune):
        if change.what == _STAYS:
            report.notes.append(
                f"policy '{change.name}' is not in the file and stays in force; --prune ends it"
            )
            continue
        _write(session, change, now)
        report.requested += 1
        report.changed += change.is_change
        report.unchanged += not change.is_change
        report.rows.append({"policy": change.name, "what": change.what})
        if change.is_change:
            _log.info("policy.applied", policy=change.name, what=change.what)
    return report


def _change(policy: Policy, known: store.PolicyRow | None) -> PolicyChange:
    if known is None:
        return PolicyChange(policy.name, "version 1", policy, None)
    if known.digest == policy_digest(policy):
        return PolicyChange(policy.name, _UNCHANGED if known.active else _AGAIN, policy, known)
    return PolicyChange(
        policy.name, f"version {known.version + 1}", policy, known, tuple(_keys(known.definition, policy))
    )


def _keys(stored: Mapping[str, Any], policy: Policy) -> Iterator[KeyChange]:
    try:
        # Keys that came with a later release have their defaults, which is no change.
        stored = policy_to_json(policy_from_json(stored))
    except PolicyError:
        _log.warning("policy.stored_version_unreadable", policy=policy.name)
    before, after = dict(_leaves(stored)), dict(_leaves(policy_to_json(policy)))
    for key in dict.fromkeys([*after, *before]):
        if before.get(key) != after.get(key):
            yield KeyChange(key, before.get(key), after.get(key))


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{path}{key}.")
        else:
            yield f"{path}{key}", inner


def _write(session: Session, change: PolicyChange, now: datetime) -> None:
    if change.known is not None and (change.is_new_version or change.what == _ENDED):
        store.deactivate(session, change.known.id)
    if change.known is not None and change.what == _AGAIN:
        store.activate(session, change.known.id)
    if change.policy is not None and change.is_new_version:
        store.add_version(
            session,
            {
                "name": change.name,
                "version": change.known.version + 1 if change.known else 1,
                "digest": policy_digest(change.policy),
                "definition": policy_to_json(change.policy),
                "created_at": now,
            },
        )

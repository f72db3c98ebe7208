"""Put a policy file in force: new versions for what changed, nothing for what did not.

What belongs here: versions of policies as rows. What does not: the file's form and its refusals (``policies``),
what a new version leads to (``plan``, ``snapshot``).
"""

from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.playlists.policies import Policy, PolicyFile, policy_digest, policy_to_json
from spotify_pipelines.report import Report
from spotify_pipelines.store import policies as store

__all__ = ["apply_policies"]

_log = structlog.get_logger(__name__)


def apply_policies(session: Session, file: PolicyFile, now: datetime, *, prune: bool = False) -> Report:
    """Make the file's policies those in force, within the caller's transaction.

    Args:
        session: the transaction; other runs of this wait for its end.
        file: checked policies.
        now: when (aware UTC).
        prune: deactivate policies that are not in the file, which retires their playlists with the next plan.
            Otherwise they stay in force, with a note.
    """
    report = Report("policies", requested=len(file.policies))
    known = store.lock_and_read(session)
    for policy in file.policies:
        what = _apply(session, policy, known.get(policy.name), now)
        report.changed += what != "unchanged"
        report.unchanged += what == "unchanged"
        report.rows.append({"policy": policy.name, "what": what})
    named = {policy.name for policy in file.policies}
    for name, row in known.items():
        if name in named or not row.active:
            continue
        if prune:
            store.deactivate(session, row.id)
            report.requested += 1
            report.changed += 1
            report.rows.append({"policy": name, "what": "deactivated"})
            _log.info("policy.deactivated", policy=name, version=row.version)
        else:
            report.notes.append(f"policy '{name}' is not in the file and stays in force; --prune ends it")
    return report


def _apply(session: Session, policy: Policy, known: store.PolicyRow | None, now: datetime) -> str:
    digest = policy_digest(policy)
    if known is not None and known.digest == digest:
        if known.active:
            return "unchanged"
        store.activate(session, known.id)
        what = "in force again"
    else:
        if known is not None:
            store.deactivate(session, known.id)
        version = known.version + 1 if known else 1
        store.add_version(
            session,
            {
                "name": policy.name,
                "version": version,
                "digest": digest,
                "definition": policy_to_json(policy),
                "created_at": now,
            },
        )
        what = f"version {version}"
    _log.info("policy.applied", policy=policy.name, what=what)
    return what

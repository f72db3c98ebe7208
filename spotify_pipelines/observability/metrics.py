"""What there is at one moment, as flat figures under stable names: they become plots over time.

What belongs here: the names, and that a figure is there even when it is zero. What does not: counting
(``store.metrics``), when to count, showing.

Names: ``accounts_<health>``, ``playlists_<status>``, ``queue_<status>``, ``features_<source>``,
``features_missing_<reason>``, ``history_24h_<action>``; the rest is in ``_ALWAYS``.
"""

import re
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.store.metrics import Figure, count_everything, save_metrics

__all__ = ["capture", "flatten"]

_log = structlog.get_logger(__name__)

_LONGEST_NAME = 60
_ALWAYS = (
    *("accounts_ok", "accounts_degraded", "accounts_quarantined", "apps", "apps_in_cooldown"),
    *("playlists_planned", "playlists_active", "playlists_retired", "playlists_due"),
    *("albums", "artists", "tracks", "tracks_unplayable"),
    *("features_spotify", "features_reccobeats", "features_missing"),
    *("snapshots", "snapshots_24h"),
    *("history_24h_created", "history_24h_reshuffled", "history_24h_synced"),
    *("calls_24h", "calls_ok_24h", "calls_limited_24h", "calls_failed_24h", "calls_waited_seconds_24h"),
    *("calls_minimum_24h", "calls_ratio_24h"),
    *("queue_queued", "queue_ingested", "queue_failed", "queue_dead"),
    *("deferred_playlists", "deferred_albums"),
)
"""Figures that are there even when they are zero, so that their plots have no gaps."""


def capture(session: Session, now: datetime, run_id: str) -> dict[str, int | float]:
    """Count everything at ``now`` (aware UTC) and store it as that moment's snapshot, within the transaction."""
    metrics = flatten(count_everything(session, now))
    save_metrics(session, now, metrics)
    _log.info("metrics.captured", captured_at=now.isoformat(), figures=len(metrics), run_id=run_id)
    return metrics


def flatten(figures: list[Figure]) -> dict[str, int | float]:
    """Figures by name, sorted; groups become part of the name, and missing features are summed up, too.

    >>> found = flatten([("features_missing", "Spotify: unknown", 2), ("features_missing", "not asked yet", 1)])
    >>> {name: number for name, number in found.items() if number}
    {'features_missing': 3, 'features_missing_not_asked_yet': 1, 'features_missing_spotify_unknown': 2}
    """
    metrics: dict[str, int | float] = dict.fromkeys(_ALWAYS, 0)
    for what, group, number in figures:
        name = what if group is None else f"{what}_{_slug(group)}"
        metrics[name] = metrics.get(name, 0) + number
        if what == "features_missing":
            metrics[what] += number
    metrics["calls_ratio_24h"] = round(metrics["calls_24h"] / max(metrics["calls_minimum_24h"], 1), 3)
    return dict(sorted(metrics.items()))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:_LONGEST_NAME] or "unnamed"

"""What there is at one moment, as flat figures under stable names: they become plots over time.

What belongs here: the names, and that a figure is there even when it is zero. What does not: counting
(``store.metrics``), when to count, showing.

Names: ``accounts_<health>``, ``playlists_<status>``, ``queue_<status>``, ``features_<source>``,
``features_missing_<reason>``, ``history_24h_<action>``, ``runs_24h_<status>``; the rest is in ``_ALWAYS``.
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
    *("features_spotify", "features_reccobeats", "features_missing", "features_coverage"),
    *("snapshots", "snapshots_24h"),
    *("history_24h_created", "history_24h_reshuffled", "history_24h_synced"),
    *("calls_24h", "calls_ok_24h", "calls_limited_24h", "calls_failed_24h", "calls_waited_seconds_24h"),
    *("calls_minimum_24h", "calls_ratio_24h"),
    *("queue_queued", "queue_ingested", "queue_failed", "queue_dead", "queue_depth"),
    *("deferred_playlists", "deferred_albums", "deferred_features"),
    *("runs_24h_success", "runs_24h_failure", "runs_24h_canceled"),
)
"""Figures that are there even when they are zero, so that their plots have no gaps."""


def capture(session: Session, now: datetime, run_id: str) -> dict[str, int | float]:
    """Count everything at ``now`` (aware UTC) and store it as that moment's snapshot, within the transaction."""
    metrics = flatten(count_everything(session, now))
    save_metrics(session, now, metrics)
    _log.info("metrics.captured", captured_at=now.isoformat(), figures=len(metrics), run_id=run_id)
    return metrics


def flatten(figures: list[Figure]) -> dict[str, int | float]:
    """Figures by name, sorted; groups become part of the name, and what follows from several is worked out.

    ``features_coverage`` is the part of the tracks that have audio features, 0 to 1; ``queue_depth`` are the albums
    that are still to be read; ``calls_ratio_24h`` are calls for each one that had to be.

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
    metrics["queue_depth"] = metrics["queue_queued"] + metrics["queue_failed"]
    tracks = metrics["tracks"]
    metrics["features_coverage"] = round((tracks - metrics["features_missing"]) / tracks, 4) if tracks else 0
    metrics["calls_ratio_24h"] = round(metrics["calls_24h"] / max(metrics["calls_minimum_24h"], 1), 3)
    return dict(sorted(metrics.items()))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:_LONGEST_NAME] or "unnamed"

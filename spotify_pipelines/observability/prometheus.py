"""The figures in Prometheus' text format, for whoever scrapes ``/metrics``.

What belongs here: names, units and help texts of the exposed metrics, and the format. Pure. What does not: where
the figures come from (``scrape``).

Labels hold states, reasons and names of jobs: nobody's name, no playlist, no account. Everything is a gauge: what
is counted are the rows of the last day, which also become fewer.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["CONTENT_TYPE", "Sample", "exposition", "from_snapshot"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "spotify_pipelines_"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric; ``name`` without the prefix that all of ours have."""

    name: str
    value: int | float
    labels: Mapping[str, str] = field(default_factory=dict)


_GROUPS: Final = (
    # In this order: the first prefix that fits is taken.
    ("features_missing_", "features_missing", "reason"),
    ("accounts_", "accounts", "health"),
    ("playlists_", "playlists", "status"),
    ("features_", "features", "source"),
    ("history_24h_", "history_24h", "action"),
    ("queue_", "queue", "status"),
    ("runs_24h_", "runs_24h", "status"),
)
"""Prefix of a figure's name, and the metric and label that the rest becomes."""

_SINGLE: Final = {
    "playlists_due": ("playlists_due", "Playlists whose cycle is over."),
    "features_coverage": ("features_coverage_ratio", "Part of the tracks that have audio features, 0 to 1."),
    # The sum over all reasons, which the metric by reason has anyway.
    "features_missing": ("tracks_without_features", "Tracks without audio features."),
    "queue_depth": ("queue_depth", "Albums that are still to be read: queued, or failed and tried again."),
    "calls_ratio_24h": ("calls_24h_ratio", "Calls of a day for each one that had to be."),
    "calls_waited_seconds_24h": ("calls_24h_waited_seconds", "Time that a day's calls waited for a turn."),
}
"""Figures that are no group's although their prefix says so, or that are called otherwise here."""

_HELP: Final = {
    "accounts": "Accounts by health.",
    "albums": "Albums of the catalogue.",
    "albums_due": "Albums that could be read now, counted up to 1,000.",
    "apps": "Apps of Spotify's developer dashboard.",
    "apps_in_cooldown": "Apps that may not call: a ban is waited out.",
    "artists": "Artists of the catalogue.",
    "calls_24h": "Calls to Spotify's Web API in a day.",
    "calls_failed_24h": "Calls of a day that failed, other than by 429.",
    "calls_limited_24h": "Calls of a day that were answered with 429.",
    "calls_minimum_24h": "The fewest calls that could have done a day's work.",
    "calls_ok_24h": "Calls of a day that succeeded.",
    "deferred_albums": "Albums whose next try is later.",
    "deferred_features": "Tracks whose missing features are asked for again later.",
    "deferred_playlists": "Playlists whose writing was put off.",
    "features": "Tracks with audio features, by source.",
    "features_due": "Tracks whose features could be asked for now, counted up to 1,000.",
    "features_missing": "Tracks without audio features, by reason.",
    "history_24h": "What happened to playlists in a day, by action.",
    "info": "The installation's world and version.",
    "job_last_success_timestamp_seconds": "When a job last ended in success.",
    "metrics_captured_timestamp_seconds": "When the figures that are no live ones were counted.",
    "playlists": "Playlists by status.",
    "playlists_due_now": "Playlists that could be drawn now, counted up to 1,000.",
    "queue": "Albums of the queue, by status.",
    "runs_24h": "Runs of jobs that ended in a day, by status.",
    "snapshots": "Draws that are kept.",
    "snapshots_24h": "Draws of a day.",
    "tokens_expired": "Accounts in use whose access token has expired.",
    "tracks": "Tracks of the catalogue.",
    "tracks_unplayable": "Tracks that Spotify no longer plays.",
} | dict(_SINGLE.values())


def from_snapshot(figures: Mapping[str, int | float]) -> list[Sample]:
    """The figures of a snapshot (``observability.metrics``), groups as labels."""
    return [_sample(name, value) for name, value in figures.items()]


def _sample(name: str, value: int | float) -> Sample:
    if name in _SINGLE:
        return Sample(_SINGLE[name][0], value)
    for prefix, metric, label in _GROUPS:
        if name.startswith(prefix):
            return Sample(metric, value, {label: name.removeprefix(prefix)})
    return Sample(name, value)


def exposition(samples: Iterable[Sample]) -> str:
    """All samples as text: by metric, each with its help and type, sorted.

    Raises:
        ValueError: a name that Prometheus does not take, or the same metric twice with the same labels.
    """
    metrics: dict[str, dict[str, str]] = {}
    for sample in samples:
        name = _PREFIX + _valid(sample.name)
        lines = metrics.setdefault(name, {})
        labels = ",".join(f'{_valid(key)}="{_escaped(text)}"' for key, text in sorted(sample.labels.items()))
        if labels in lines:
            raise ValueError(f"the metric {name} is there twice with the labels {{{labels}}}")
        lines[labels] = (
            f"{name}{{{labels}}} {_number(sample.value)}" if labels else f"{name} {_number(sample.value)}"
        )
    parts = []
    for name, lines in sorted(metrics.items()):
        about = _HELP.get(name.removeprefix(_PREFIX), "A figure of the hourly snapshot.")
        parts += [f"# HELP {name} {about}", f"# TYPE {name} gauge", *(lines[key] for key in sorted(lines))]
    return "".join(f"{line}\n" for line in parts)


def _valid(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{name!r} can't be a name in Prometheus' format")
    return name


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: int | float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return repr(value)

"""How figures went over time, to be seen at a glance: a line of blocks in a terminal, small charts in a picture.

What belongs here: which figures make a trend worth a look, and drawing them. Pure. What does not: reading them
(``store.metrics``).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from spotify_pipelines.observability.drawing import GRID, PLAIN, label, path, sheet

__all__ = ["HEADLINES", "Moment", "series", "sparkline", "thinned", "trends_picture"]

Moment = tuple[datetime, Mapping[str, int | float]]
"""The figures of one moment (aware UTC), by name."""

HEADLINES: Final = (
    *("accounts_ok", "accounts_degraded", "accounts_quarantined"),
    *("playlists_active", "playlists_due", "deferred_playlists"),
    *("tracks", "albums", "artists", "features_coverage"),
    *("snapshots_24h", "history_24h_reshuffled", "history_24h_synced"),
    *("calls_24h", "calls_ratio_24h", "calls_limited_24h"),
    *("queue_depth", "queue_dead", "deferred_albums", "runs_24h_failure"),
)
"""The figures that are shown unless others are asked for."""

_PANELS: Final = (
    ("accounts by health", ("accounts_ok", "accounts_degraded", "accounts_quarantined")),
    ("playlists", ("playlists_active", "playlists_planned", "playlists_due")),
    ("catalogue", ("tracks", "albums", "artists")),
    ("tracks by source of features", ("features_spotify", "features_reccobeats", "features_missing")),
    ("draws and writes in 24 h", ("snapshots_24h", "history_24h_reshuffled", "history_24h_synced")),
    ("calls in 24 h", ("calls_24h", "calls_minimum_24h", "calls_limited_24h")),
    ("albums in the queue", ("queue_depth", "queue_dead", "deferred_albums")),
    ("put off", ("deferred_playlists", "deferred_features", "apps_in_cooldown")),
)
_COLOURS: Final = ("#1f5fa8", "#c2571a", "#7b1f7a")
_WIDTH, _PANEL_WIDTH, _PANEL_HEIGHT = 720, 360, 132
_LEFT, _PLOT_WIDTH, _PLOT_TOP, _PLOT_HEIGHT = 12, 330, 34, 56
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_MOMENTS: Final = 120


def series(moments: Sequence[Moment], name: str) -> list[float | None]:
    """One figure through all moments; None where a moment lacks it."""
    return [figures.get(name) for _, figures in moments]


def thinned(moments: Sequence[Moment], most: int) -> list[Moment]:
    """At most so many moments, evenly chosen; the last one is always among them."""
    if len(moments) <= most:
        return list(moments)
    last = len(moments) - 1
    return [moments[last - (most - 1 - place) * last // (most - 1)] for place in range(most)]


def sparkline(values: Sequence[float | None]) -> str:
    """One block for each value, the lowest to the highest; a space where one is missing.

    >>> sparkline([0, 1, None, 7]), sparkline([3, 3])
    ('▁▂ █', '▄▄')
    """
    known = [value for value in values if value is not None]
    if not known:
        return " " * len(values)
    low, high = min(known), max(known)
    if low == high:
        return "".join(" " if value is None else _BLOCKS[3] for value in values)
    top = len(_BLOCKS) - 1
    return "".join(
        " " if value is None else _BLOCKS[round((value - low) / (high - low) * top)] for value in values
    )


def trends_picture(moments: Sequence[Moment]) -> str | None:
    """Small charts of the headlines side by side, each from zero to its own maximum; None below two moments.

    Time runs evenly along each chart, so that hours that nobody counted show as a slant, not as a jump.
    """
    shown = thinned(moments, _MOMENTS)
    if len(shown) < 2 or shown[0][0] >= shown[-1][0]:
        return None
    begin, end = shown[0][0], shown[-1][0]
    places = [(at - begin) / (end - begin) for at, _ in shown]
    parts: list[str] = []
    for number, (title, names) in enumerate(_PANELS):
        left, top = _PANEL_WIDTH * (number % 2), 20 + _PANEL_HEIGHT * (number // 2)
        parts += _panel(left, top, title, {name: series(shown, name) for name in names}, places)
    rows = -(-len(_PANELS) // 2)
    title = f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    return sheet(title, parts, _WIDTH, 20 + _PANEL_HEIGHT * rows)


def _panel(
    left: float,
    top: float,
    title: str,
    lines: Mapping[str, Sequence[float | None]],
    places: Sequence[float],
) -> list[str]:
    known = [value for values in lines.values() for value in values if value is not None]
    highest = max([*known, 1])
    floor = top + _PLOT_TOP + _PLOT_HEIGHT
    x = left + _LEFT
    parts = [
        label(x, top + 26, title, "#111", "start"),
        label(x + _PLOT_WIDTH, top + 26, _short(highest), PLAIN, "end"),
        path([f"M{x},{floor}h{_PLOT_WIDTH}M{x},{top + _PLOT_TOP}h{_PLOT_WIDTH}"], GRID, 1),
    ]
    for (name, values), colour, row in zip(lines.items(), _COLOURS, range(3), strict=True):
        points = [
            None
            if value is None
            else f"{x + _PLOT_WIDTH * place:.0f},{floor - _PLOT_HEIGHT * max(value, 0) / highest:.0f}"
            for value, place in zip(values, places, strict=True)
        ]
        if steps := _steps(points):
            parts.append(path(steps, colour, 1.5))
        newest = "–" if values[-1] is None else _short(values[-1])
        parts.append(label(x + row * 112, floor + 16, f"{_plainly(name)} {newest}", colour, "start"))
    return parts


def _steps(points: Sequence[str | None]) -> list[str]:
    """A line that breaks off where a point is missing; of a level stretch its two ends are enough."""
    steps = []
    for known, stretch in groupby(points, key=lambda point: point is not None):
        if known:
            corners: list[str] = []
            for _, level in groupby(map(str, stretch), key=lambda point: point.partition(",")[2]):
                first, *others = level
                corners += [first, *others[-1:]]
            # A line from a point to itself, where there is but one.
            steps.append("M" + "L".join(corners if len(corners) > 1 else corners * 2))
    return steps


def _plainly(name: str) -> str:
    for prefix in ("history_24h_", "accounts_", "playlists_", "features_", "queue_"):
        name = name.removeprefix(prefix)
    return name.removesuffix("_24h").replace("_", " ")


def _short(value: float) -> str:
    """At most four digits or so: 12,345,678 → 12.3M.

    >>> _short(12_345_678), _short(9_999), _short(0.25)
    ('12.3M', '9,999', '0.25')
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"

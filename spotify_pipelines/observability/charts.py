"""Charts that tell how things are at one moment, and how they came to be so many: bars, and a line that only grows.

What belongs here: drawing them from plain values. Pure. What does not: figures over time (``trends``), playlists
(``playlists.pictures``), reading what is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, pairwise
from typing import Final

from spotify_pipelines.observability.drawing import GRID, PLAIN, label, path, sheet, shortened

__all__ = ["AMISS", "FINE", "WAITING", "Bar", "bars_picture", "growth_picture"]

FINE, WAITING, AMISS = "#2e7d32", "#c2571a", "#c62828"
_LINE: Final = "#1f5fa8"
_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _PLOT = 680, 230, 110, 30, 22, 130
_MOST_BARS: Final = 12
_LONGEST_NAME: Final = 36


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: what was counted, how many, and whether that is fine, waiting or amiss (a colour)."""

    name: str
    number: int
    colour: str = FINE


def bars_picture(title: str, bars: Sequence[Bar]) -> str | None:
    """A bar for each, with its number and its part of all; beyond a dozen the rest is one. None where all are 0."""
    all_of_them = sum(bar.number for bar in bars)
    if not all_of_them:
        return None
    shown = [bar for bar in bars if bar.number]
    if len(shown) > _MOST_BARS:
        rest = sum(bar.number for bar in shown[_MOST_BARS - 1 :])
        shown = [*shown[: _MOST_BARS - 1], Bar("others", rest, PLAIN)]
    most = max(bar.number for bar in shown)
    parts = []
    for row, bar in enumerate(shown):
        y = _TOP + _ROW * row + _ROW / 2
        length = (_WIDTH - _LEFT - _RIGHT) * bar.number / most
        parts += [
            label(_LEFT - 8, y + 4, shortened(bar.name, _LONGEST_NAME), PLAIN, "end"),
            path([f"M{_LEFT},{y:g}h{max(length, 1):.0f}"], bar.colour, 14),
            label(
                _LEFT + length + 8, y + 4, f"{bar.number:,} ({bar.number / all_of_them:.0%})", PLAIN, "start"
            ),
        ]
    return sheet(title, parts, _WIDTH, _TOP + _ROW * len(shown) + 12)


def growth_picture(title: str, added: Sequence[tuple[date, int]]) -> str | None:
    """All that had come by each day, as steps, from what came on each day (days rising); None where nothing came."""
    if not added:
        return None
    first, last = added[0][0], added[-1][0]
    days = max((last - first).days, 1)
    totals = list(accumulate(number for _, number in added))
    width, floor = _WIDTH - 60 - _RIGHT, _TOP + _PLOT
    points = [
        (60 + width * (day - first).days / days, floor - _PLOT * total / totals[-1])
        for (day, _), total in zip(added, totals, strict=True)
    ]
    steps = [f"M{points[0][0]:.0f},{floor}V{points[0][1]:.0f}"]
    # A step where something came: between two days nothing did.
    steps += [f"H{x:.0f}V{y:.0f}" for (_, before), (x, y) in pairwise(points) if round(before) != round(y)]
    steps.append(f"H{60 + width}")
    parts = [
        path([f"M60,{_TOP}h{width}M60,{floor}h{width}"], GRID, 1),
        label(52, _TOP + 8, f"{totals[-1]:,}", PLAIN, "end"),
        label(52, floor, "0", PLAIN, "end"),
        label(60, floor + 16, first.isoformat(), PLAIN, "start"),
        label(60 + width, floor + 16, last.isoformat(), PLAIN, "end"),
        path(steps, _LINE, 1.5),
    ]
    return sheet(title, parts, _WIDTH, floor + 26)

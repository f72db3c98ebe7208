"""Pictures of a playlist for a curator: how tempo and energy go along it, and how far apart artists stand.

What belongs here: drawing them as small SVG, from plain values. What does not: choosing the playlist, reading its
tracks, showing the picture, and the strokes that all pictures share (``observability.drawing``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from spotify_pipelines.observability.drawing import GRID, PLAIN, dots, label, path, sheet, shortened

__all__ = ["PlayedTrack", "sound_picture", "spacing_picture"]

_WIDTH: Final = 680
_LEFT, _RIGHT, _TOP, _BOTTOM = 150, 20, 30, 22
_PLOT: Final = 130
_ROW: Final = 15
_ARTISTS: Final = 12
_LONGEST_NAME: Final = 22
_TEMPO, _ENERGY, _CLOSEST = "#1f5fa8", "#c2571a", "#c62828"


@dataclass(frozen=True, slots=True)
class PlayedTrack:
    """A track in playing order: names of its artists by id, and what is known of its sound."""

    artists: Mapping[str, str] = field(default_factory=dict)
    tempo: float | None = None
    energy: float | None = None


def sound_picture(title: str, tracks: Sequence[PlayedTrack]) -> str | None:
    """Tempo (left scale) and energy (0 to 1) by position; None where neither is known of any track."""
    tempos, energies = [track.tempo for track in tracks], [track.energy for track in tracks]
    known = [tempo for tempo in tempos if tempo is not None]
    if not known and all(energy is None for energy in energies):
        return None
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    parts = _frame(len(tracks), _PLOT)
    if known:
        parts += [
            label(_LEFT - 8, _TOP + 10, f"{high:.0f} BPM", _TEMPO, "end"),
            label(_LEFT - 8, _TOP + _PLOT, f"{low:.0f} BPM", _TEMPO, "end"),
            label(_LEFT - 8, _TOP + _PLOT / 2, "tempo", _TEMPO, "end"),
        ]
        # Of one tempo all along there is no height to tell.
        parts += _lines([None if t is None else (t - low) / ((high - low) or 1) for t in tempos], _TEMPO)
    if any(energy is not None for energy in energies):
        parts.append(label(_LEFT - 8, _TOP + _PLOT / 2 + 18, "energy, 0 to 1", _ENERGY, "end"))
        parts += _lines(energies, _ENERGY)
    return _svg(title, parts, _PLOT)


def spacing_picture(title: str, tracks: Sequence[PlayedTrack]) -> str | None:
    """Where each artist with several tracks stands, the closest pairs in red; None where no artist repeats.

    Shown are the artists with most tracks, and in any case one of those that stand closest.
    """
    places: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for position, track in enumerate(tracks):
        for artist, name in track.artists.items():
            places.setdefault(artist, []).append(position)
            names[artist] = name
    gaps = {artist: _gap(slots) for artist, slots in places.items() if len(slots) > 1}
    if not gaps:
        return None
    smallest = min(gaps.values())
    shown = sorted(gaps, key=lambda artist: (-len(places[artist]), gaps[artist], names[artist], artist))[
        :_ARTISTS
    ]
    closest = min(gaps, key=lambda artist: (gaps[artist], -len(places[artist]), names[artist], artist))
    if all(gaps[artist] > smallest for artist in shown):
        shown[-1] = closest
    height = _ROW * len(shown)
    parts = _frame(len(tracks), height)
    for row, artist in enumerate(shown):
        parts += _artist(names[artist], places[artist], smallest, _TOP + _ROW * row + _ROW / 2, len(tracks))
    more = len(gaps) - len(shown)
    note = f", {more} more artists repeat" if more > 0 else ""
    return _svg(f"{title}: smallest gap {smallest}{note}", parts, height)


def _artist(name: str, slots: Sequence[int], smallest: int, y: float, tracks: int) -> list[str]:
    """One artist's row: a dot for each track, a line between neighbours, red where they stand closest."""
    lines: dict[str, list[str]] = {GRID: [], _CLOSEST: []}
    for one, other in pairwise(slots):
        colour = _CLOSEST if other - one == smallest else GRID
        lines[colour].append(f"M{_x(one, tracks)},{y:g}H{_x(other, tracks)}")
    return [
        label(_LEFT - 8, y + 4, shortened(name, _LONGEST_NAME), PLAIN, "end"),
        *(path(steps, colour, 2) for colour, steps in lines.items() if steps),
        dots([(_x(slot, tracks), f"{y:g}") for slot in slots], _TEMPO, 7),
    ]


def _gap(slots: Sequence[int]) -> int:
    return min(other - one for one, other in pairwise(slots))


def _lines(values: Sequence[float | None], colour: str) -> list[str]:
    """A line through the known values (0 to 1), with a dot at each; it breaks off where one is missing."""
    steps, points = [], []
    for slot, value in enumerate(values):
        if value is not None:
            point = _x(slot, len(values)), f"{_TOP + _PLOT * (1 - value):.0f}"
            steps.append(f"{'L' if slot and values[slot - 1] is not None else 'M'}{','.join(point)}")
            points.append(point)
    return [path(steps, colour, 1.5), dots(points, colour, 4)]


def _frame(tracks: int, height: float) -> list[str]:
    """A vertical line and a number at every tenth position, and at the first one."""
    marks = sorted({0, *range(9, tracks, 10)})
    grid = [f"M{_x(slot, tracks)},{_TOP}v{height:g}" for slot in marks]
    numbers = [
        label(float(_x(slot, tracks)), _TOP + height + 15, str(slot + 1), PLAIN, "middle") for slot in marks
    ]
    return [path(grid, GRID, 1), *numbers]


def _x(slot: int, tracks: int) -> str:
    return f"{_LEFT + (_WIDTH - _LEFT - _RIGHT) * slot / max(1, tracks - 1):.0f}"


def _svg(title: str, parts: Sequence[str], height: float) -> str:
    return sheet(title, parts, _WIDTH, _TOP + height + _BOTTOM)

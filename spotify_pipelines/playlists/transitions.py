"""What it costs the ear to go from one track to the next: tempo, key and energy, in whole millionths.

What belongs here: how tracks sound, the cost of each transition, and how far a track is from where a flow wants
it. What does not: searching for a good order (``flow``), bounds and figures (``transition_bound``,
``order_figures``).

Keys are compared on the Camelot wheel, as DJs do (Mark Davis, "harmonic mixing"). Costs are integers made by
IEEE division and rounding to even only, so that every machine gets the same ones.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FLOWS",
    "PLACE_SCALE",
    "SCALE",
    "UNKNOWN",
    "Flow",
    "Sound",
    "camelot",
    "place_costs",
    "transition_costs",
]

Flow = Literal["none", "smooth", "rise", "fall", "wave"]
FLOWS: Final[tuple[Flow, ...]] = ("none", "smooth", "rise", "fall", "wave")

SCALE: Final = 1_000_000
"""The cost of the worst transition."""

PLACE_SCALE: Final = 2_000_000
"""The cost of the worst place: with twice the weight a shape is plain to see, and steps stay small."""

_TEMPO, _KEY, _ENERGY = 450_000, 300_000, 250_000
_TEMPO_LIMIT: Final = 0.20
_TEMPOS: Final = (1, 1_000)
_KEY_LIMIT: Final = 3
_MISSING: Final = 0.5
_CRESTS: Final = 2

Costs = NDArray[np.int64]
_Column = NDArray[np.float64]


class Sound(NamedTuple):
    """How a track sounds; what is not known is NaN, and so counts whatever is no sensible value.

    ``tempo`` in beats per minute; ``key`` a pitch class from 0 (C) to 11 (B); ``mode`` 1 for major, 0 for minor;
    ``energy`` from 0 to 1.
    """

    tempo: float = np.nan
    key: float = np.nan
    mode: float = np.nan
    energy: float = np.nan

    @classmethod
    def of(cls, features: Mapping[str, float | None]) -> Self:
        """From audio features by name; others are ignored, and None is not known."""
        return cls(*(np.nan if (value := features.get(name)) is None else value for name in cls._fields))


UNKNOWN: Final = Sound()


def camelot(key: int, mode: int) -> str:
    """A key's place on the Camelot wheel: 1 to 12 by fifths, A for minor and B for major.

    >>> camelot(0, 1), camelot(9, 0), camelot(7, 1)
    ('8B', '8A', '9B')
    """
    return f"{int(_wheel(np.float64(key), np.float64(mode))) + 1}{'AB'[mode]}"


def transition_costs(sounds: Sequence[Sound]) -> Costs:
    """The cost of every transition: symmetric, 0 to :data:`SCALE`, zeros on the diagonal.

    0.45·min(1, tempo ÷ 0.20) + 0.30·min(1, key ÷ 3) + 0.25·|Δenergy|. Tempo is the least difference over
    (a, b), (2a, b) and (a, 2b), relative to the slower one; key the steps around the Camelot wheel and one more
    for a change of letter. A part that either track lacks counts as half of its worst.
    """
    if not sounds:
        return np.zeros((0, 0), dtype=np.int64)
    tempo, key, mode, energy = _columns(sounds)
    costs = (
        _weighed(_TEMPO, _tempo_parts(tempo))
        + _weighed(_KEY, _key_parts(key, mode))
        + _weighed(_ENERGY, np.abs(energy[:, None] - energy[None, :]))
    )
    np.fill_diagonal(costs, 0)
    return costs


def place_costs(flow: Flow, sounds: Sequence[Sound]) -> Costs | None:
    """What each track (row) costs at each position (column) under a flow; None for flows without a shape.

    The track's rank by energy among the list's, 0 to 1 and ties in their middle, against the shape at the
    position: ``rise`` goes up, ``fall`` down, ``wave`` up and down twice. Ranks instead of values, since then
    every list can follow every shape. A track of unknown energy costs half of
    :data:`PLACE_SCALE` everywhere.
    """
    if flow in ("none", "smooth"):
        return None
    energy = _columns(sounds)[3] if sounds else np.zeros(0)
    known = energy[~np.isnan(energy)]
    below = (known[None, :] < energy[:, None]).sum(axis=1)
    equal = (known[None, :] == energy[:, None]).sum(axis=1)
    rank = (
        (2 * below + equal - 1) / max(1, 2 * (len(known) - 1))
        if len(known) > 1
        else np.full(len(energy), 0.5)
    )
    rank = np.where(np.isnan(energy), np.nan, rank)
    return _weighed(PLACE_SCALE, np.abs(rank[:, None] - _shape(flow, len(sounds))[None, :]))


def _shape(flow: Flow, n: int) -> _Column:
    """The rank that a flow wants at each of ``n`` positions."""
    up = np.arange(n) / max(1, n - 1)
    if flow == "rise":
        return up
    if flow == "fall":
        return 1 - up
    turns = np.arange(n) * (2 * _CRESTS) % (2 * max(1, n - 1)) / max(1, n - 1)
    return 1 - np.abs(1 - turns)


def _columns(sounds: Sequence[Sound]) -> tuple[_Column, _Column, _Column, _Column]:
    """Tempo, key, mode and energy, with NaN for all that can't be."""
    table = np.array(sounds, dtype=np.float64).reshape(len(sounds), 4)
    tempo, key, mode, energy = (table[:, column] for column in range(4))
    return (
        np.where((tempo >= _TEMPOS[0]) & (tempo <= _TEMPOS[1]), tempo, np.nan),
        np.where(np.isin(key, np.arange(12)), key, np.nan),
        np.where(np.isin(mode, (0, 1)), mode, np.nan),
        np.where((energy >= 0) & (energy <= 1), energy, np.nan),
    )


def _tempo_parts(tempo: _Column) -> _Column:
    a, b = tempo[:, None], tempo[None, :]
    least = np.full((len(tempo), len(tempo)), np.inf)
    for one, other in ((a, b), (2 * a, b), (a, 2 * b)):
        least = np.minimum(least, np.abs(one - other) / np.minimum(one, other))
    return np.minimum(1, least / _TEMPO_LIMIT)


def _key_parts(key: _Column, mode: _Column) -> _Column:
    place = _wheel(key, mode)
    around = np.abs(place[:, None] - place[None, :])
    letter = np.abs(mode[:, None] - mode[None, :])
    steps: _Column = np.minimum(around, 12 - around) + letter
    return np.minimum(1, steps / _KEY_LIMIT)


def _wheel(key: _Column | np.float64, mode: _Column | np.float64) -> _Column:
    """Numbers 0 to 11 on the Camelot wheel (written 1 to 12): a minor key stands at its relative major's."""
    return np.asarray((7 * (key + 3 * (1 - mode)) + 7) % 12)


def _weighed(weight: int, parts: _Column) -> Costs:
    costs: Costs = np.rint(weight * np.where(np.isnan(parts), _MISSING, parts)).astype(np.int64)
    return costs

"""The widest gap of a list, exactly, by integer programming: for comparison only, since it takes seconds to minutes.

With several credits per track the problem is NP-hard (antibandwidth; Leung, Vornberger & Witthoff 1984).
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

__all__ = ["has_gap", "widest_gap"]

Credits = Sequence[tuple[str, ...]]


def widest_gap(credits_: Credits, *, at_least: int, at_most: int, seconds: float) -> tuple[int, bool]:
    """The widest gap between two bounds that hold, and whether every wider one was proved impossible.

    ``seconds`` is the time for each gap that is tried; where it runs out, the answer is what was reached.
    """
    proved = True
    for gap in range(at_most, at_least, -1):
        answer = has_gap(credits_, gap, seconds=seconds)
        if answer:
            return gap, proved
        proved = proved and answer is not None
    return at_least, proved


def has_gap(credits_: Credits, gap: int, *, seconds: float) -> bool | None:
    """Whether some order has this gap; None if ``seconds`` were too few to tell."""
    n = len(credits_)
    members: dict[str, list[int]] = {}
    for track, names in enumerate(credits_):
        for artist in names:
            members.setdefault(artist, []).append(track)
    each_track = [[track * n + slot for slot in range(n)] for track in range(n)]
    each_slot = [[track * n + slot for track in range(n)] for slot in range(n)]
    windows = [
        [track * n + slot for track in tracks for slot in range(first, first + gap)]
        for tracks in members.values()
        if len(tracks) > 1
        for first in range(n - gap + 1)
    ]
    result = milp(
        np.zeros(n * n),
        integrality=np.ones(n * n),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(_rows(each_track + each_slot, n * n), 1, 1),
            LinearConstraint(_rows(windows, n * n), 0, 1),
        ],
        options={"time_limit": seconds},
    )
    return {0: True, 2: False}.get(result.status)


def _rows(sets: list[list[int]], width: int) -> coo_array:
    """A 0/1 matrix with one row for each set of columns."""
    rows = np.repeat(np.arange(len(sets)), [len(columns) for columns in sets])
    columns = np.concatenate([np.asarray(each) for each in sets])
    return coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(sets), width))

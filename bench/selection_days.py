"""Selection day after day: the reference pools for 200 days, against what they sustain and the linear programme.

``python -m bench selection_days``: a minute or two, hence only by name. 50 tracks, 2 of an artist, 6 days of rest.
"""

import time
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, hstack

from bench.figures import Figure
from spotify_pipelines.playlists.bounds import capacity
from spotify_pipelines.playlists.randomness import derive_seed
from spotify_pipelines.playlists.rules import Limits
from spotify_pipelines.playlists.selection import select
from spotify_pipelines.playlists.track_pool import Pool, PoolTrack
from spotify_pipelines_tests.support.pools import reference_tracks

_SIZE, _CAP, _REST = 50, 2, 6
_DAYS, _SETTLED = 200, 30
_EASY = 0.97
_POOLS = (240, 320, 420, 5_000)


def figures() -> Iterator[Figure]:
    """Shortfall a day and least reuse, once settled."""
    for guests in (False, True):
        for count in _POOLS:
            yield from _run(reference_tracks(count, guests=guests), guests=guests)
    for count in _POOLS[:3]:
        yield _below_capacity(reference_tracks(count, guests=True))


def _run(tracks: Sequence[PoolTrack], *, guests: bool) -> Iterator[Figure]:
    pool = Pool.build(tracks)
    found = capacity(pool, Limits(_CAP), size=_SIZE, rounds=_REST)
    started = time.perf_counter()
    shortfall, reuse = _days(pool, _SIZE)
    each = (time.perf_counter() - started) / _DAYS * 1e3
    if guests:
        bound, allowed = _programme(tracks), 1.10
    else:
        bound, allowed = _REST * max(0.0, _SIZE - found.sustained), 1.0
    goal = 0.0 if guests and found.sustained * _EASY >= _SIZE else allowed * bound
    name = f"{len(tracks):,} tracks{' with guests' if guests else ''}"
    yield Figure(
        f"{name}: days of cooldown lacking a day",
        round(shortfall, 6),
        at_most=round(goal, 6),
        detail=f"bound {bound:.3f}, C* {found.sustained:.2f}, {each:.1f} ms a draw",
    )
    yield Figure(
        f"{name}: least reuse in days",
        reuse,
        at_least=None if guests else min(_REST, int(found.longest_reuse + 1e-9)),
        detail=f"W* {found.longest_reuse:.2f}",
    )


def _below_capacity(tracks: Sequence[PoolTrack]) -> Figure:
    """As many tracks as 97 % of what is sustained: nothing may lack."""
    pool = Pool.build(tracks)
    sustained = capacity(pool, Limits(_CAP), size=_SIZE, rounds=_REST).sustained
    size = int(_EASY * sustained)
    shortfall, _ = _days(pool, size)
    return Figure(
        f"{len(tracks):,} tracks with guests, {size} a day: days of cooldown lacking a day",
        shortfall,
        at_most=0.0,
        detail=f"C* {sustained:.2f}",
    )


def _days(pool: Pool, size: int) -> tuple[float, int]:
    """Mean shortfall a day and the least reuse of the settled days."""
    last: dict[str, int] = {}
    lacking: list[int] = []
    least = _DAYS
    for day in range(_DAYS):
        ages = {track: day - used for track, used in last.items()}
        made = select(
            pool,
            size=size,
            seed=derive_seed("day", day),
            limits=Limits(_CAP, cooldown=_REST),
            resting={track: age for track, age in ages.items() if age < _REST},
        )
        reused = [ages[track] for track in made.track_ids if track in ages]
        if day >= _SETTLED:
            lacking.append(sum(max(0, _REST - age) for age in reused))
            least = min([least, *reused])
        last |= dict.fromkeys(made.track_ids, day)
    return sum(lacking) / len(lacking), least


def _programme(tracks: Sequence[PoolTrack]) -> float:
    """W · min Σ (ρ − 1/W)⁺ over rates ρ that fill the playlist under the caps: no policy lacks less."""
    names = {name: row for row, name in enumerate(sorted({a for track in tracks for a in track.artists}))}
    pairs = [(names[artist], place) for place, track in enumerate(tracks) for artist in track.artists]
    rows, columns = np.array(pairs).T
    credited = csr_matrix((np.ones(len(pairs)), (rows, columns)), shape=(len(names), len(tracks)))
    count = len(tracks)
    solved = linprog(
        np.r_[np.zeros(count), np.full(count, float(_REST))],
        A_ub=hstack([credited, credited]).tocsr(),
        b_ub=np.full(len(names), float(_CAP)),
        A_eq=np.ones((1, 2 * count)),
        b_eq=[_SIZE],
        bounds=[(0, 1 / _REST)] * count + [(0, 1 - 1 / _REST)] * count,
        method="highs",
    )
    return float(solved.fun)

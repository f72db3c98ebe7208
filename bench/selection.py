"""Selection: its cost against one numpy pass, playlists a second, and how exact its chances are.

``python -m bench selection``. Times are one core's (of CPU, not of the clock: others may want it as well).
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from bench.figures import Figure
from spotify_pipelines.playlists.randomness import derive_seed
from spotify_pipelines.playlists.rules import Limits
from spotify_pipelines.playlists.selection import select
from spotify_pipelines.playlists.track_pool import Pool, PoolTrack
from spotify_pipelines_tests.support.pools import large_columns, large_weights

_SIZE = 50
_RUNS = 15
_PLAYLISTS = 10_000
_MILLION = 1_000_000
_RESTING = 3_000
_SEEDS = 100_000
_DRAWN = 3
_ENUMERABLE = {
    "uniform": [1.0] * 6,
    "one heavy": [1.0, 1.0, 1.0, 1.0, 12.0],
    "doubling": [1.0, 2.0, 4.0, 8.0, 16.0],
}


def figures() -> Iterator[Figure]:
    """Speed and chances."""
    yield from _fleet()
    yield from _cold(200_000)
    yield from _cold(_MILLION)
    for name, weights in _ENUMERABLE.items():
        yield from _chances(name, weights)


def main() -> None:
    """Draw the fleet's playlists; print the seconds of CPU that selecting took, and the peak memory in MiB."""
    pool = Pool.of(large_columns(_MILLION), large_weights(_MILLION))
    seconds = 0.0
    for number in range(_PLAYLISTS):
        first = number * 97 % (_MILLION - _RESTING)
        resting = {track: place % 60 for place, track in enumerate(pool.track_ids[first : first + _RESTING])}
        started = time.process_time()
        limits = Limits(2, cooldown=60)
        made = select(pool, size=_SIZE, seed=derive_seed(number), limits=limits, resting=resting)
        seconds += time.process_time() - started
        if len(made.picks) != _SIZE or made.relaxed:
            raise RuntimeError(f"playlist {number} came out as {len(made.picks)} tracks")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([seconds, peak / (1024 if sys.platform != "darwin" else 1024 * 1024)]))


def _fleet() -> Iterator[Figure]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.selection"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    seconds, peak = json.loads(done.stdout)
    yield Figure(
        "playlists selected from 1,000,000 tracks, 3,000 in cooldown each",
        _PLAYLISTS / seconds,
        "a second",
        at_least=800,
        detail=f"{_PLAYLISTS:,} playlists of {_SIZE}, 2 of an artist, in {seconds:.1f} s of one core; {_load()}",
    )
    yield Figure(
        "peak memory of that process",
        peak,
        "MiB",
        at_most=500,
        detail="columns are made from generated rows, which the catalogue's own query does in less",
    )


def _cold(tracks: int) -> Iterator[Figure]:
    """Weights, running sum and one draw, against random keys and argpartition, in turn."""
    columns, weights = large_columns(tracks), large_weights(tracks)
    generator = np.random.default_rng(1)  # noqa: TID251  (the baseline's own; nothing is stored)

    def ours(number: int) -> None:
        select(Pool.of(columns, weights), size=_SIZE, seed=derive_seed(number), limits=Limits(2))

    def numpy_pass(_: int) -> None:
        keys = np.log(generator.random(tracks)) / weights
        np.argpartition(keys, tracks - _SIZE)[tracks - _SIZE :]

    times = [(_seconds(ours, number), _seconds(numpy_pass, number)) for number in range(_RUNS + 1)][1:]
    mine, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    yield Figure(
        f"cold selection of {_SIZE} from {tracks:,} ÷ one numpy pass",
        statistics.median(one / other for one, other in times),
        at_most=1.0,
        detail=f"{mine * 1e3:.1f} ms, numpy {theirs * 1e3:.1f} ms; {_load()}",
    )


def _chances(name: str, weights: list[float]) -> Iterator[Figure]:
    """Total variation of inclusion, and χ² on ordered outcomes, on a pool whose outcomes can be listed."""
    pool = Pool.build(PoolTrack(str(place), (), None, weight) for place, weight in enumerate(weights))
    exact = _ordered_chances(weights)
    draws = (select(pool, size=_DRAWN, seed=derive_seed(name, number)) for number in range(_SEEDS))
    seen = Counter(tuple(map(int, drawn.track_ids)) for drawn in draws)
    gap = np.zeros(len(weights))
    for outcome, chance in exact.items():
        gap[list(outcome)] += seen[outcome] / _SEEDS - chance
    statistic = sum((seen[outcome] - _SEEDS * p) ** 2 / (_SEEDS * p) for outcome, p in exact.items())
    yield Figure(
        f"total variation of inclusion × 1000: {name}",
        float(np.abs(gap).sum()) / 2 / _DRAWN * 1000,
        at_most=4.0,
        detail=f"{_SEEDS:,} seeds, {_DRAWN} of {len(weights)}",
    )
    yield Figure(
        f"χ² of ordered outcomes: {name}, p",
        float(chi2.sf(statistic, len(exact) - 1)),
        at_least=0.001,
        detail=f"χ² = {statistic:.1f} over {len(exact)} outcomes",
    )


def _ordered_chances(weights: list[float]) -> dict[tuple[int, ...], float]:
    chances = {}
    for outcome in permutations(range(len(weights)), _DRAWN):
        left, chance = sum(weights), 1.0
        for place in outcome:
            chance *= weights[place] / left
            left -= weights[place]
        chances[outcome] = chance
    return chances


def _seconds(work: Callable[[int], None], number: int) -> float:
    started = time.process_time()
    work(number)
    return time.process_time() - started


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


if __name__ == "__main__":
    main()

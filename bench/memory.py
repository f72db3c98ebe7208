"""Peak memory of the job ``nightly`` ÷ that of a run of nine empty assets. Goal ≤ 2.5.

Same instance, same executor, a process each. Every measured night has full work to do: sixty albums nobody has
read yet, with their tracks and features, and six playlists that are drawn anew and written to Spotify.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from bench.pairs import in_pairs
from spotify_pipelines_tests.support.playground import Playground, playground

_RUNS = 3
_ALBUMS = 60
_PLAYLISTS = 6
_NIGHTLY = [
    *(sys.executable, "-m", "spotify_pipelines.defs.launch", "nightly"),
    *("--config-json", '{"ops": {"playlist_snapshots": {"config": {"force": true}}}}'),
]
_EMPTY = [sys.executable, "-m", "bench.nine_empty_assets"]


def figures() -> Iterator[Figure]:
    """Fill a sandbox by the demo, then measure nights on it."""
    with tempfile.TemporaryDirectory() as folder, playground(Path(folder) / "nights") as here:
        here.run("spotify-pipelines", "demo")
        here.run("spotify-pipelines", "up", "--albums", str(_ALBUMS * (_RUNS + 2)), "--seed", "2026")
        with here.simulator as spotify:
            fresh = iter([album["id"] for album in spotify.albums()][_ALBUMS:])
        writes_before = len(here.writes_on_spotify())

        def queue() -> None:
            albums = "\n".join(next(fresh) for _ in range(_ALBUMS))
            here.run("spotify-pipelines", "albums", "add", "-", input=albums)

        pair = in_pairs(
            _NIGHTLY, _EMPTY, runs=_RUNS, env=_environment(here), cwd=str(here.root), before_a=queue
        )
        writes = len(here.writes_on_spotify()) - writes_before
    if writes < _PLAYLISTS * (_RUNS + 1):
        raise RuntimeError(f"The nights had too little to do: {writes} writes to Spotify.")
    yield Figure(
        "peak memory of nightly ÷ nine empty assets",
        pair.peak_ratio,
        at_most=2.5,
        detail=f"{pair}; CPU {pair.cpu_ratio:.2f}",
    )


def _environment(here: Playground) -> dict[str, str]:
    from_file = {name: value for name, value in here.dotenv.items() if value is not None}
    return {**os.environ, **here.env, **from_file, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}

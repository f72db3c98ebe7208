"""Spotify calls of the demo ÷ the fewest that could have done it, both from outside the product. Goal: 1.00.

The calls are those in the simulator's ledger. The minimum is computed here, from the simulator's catalogue and
playlists, by the formula of ``docs/calls.md``; the product's own count is not looked at. Token endpoint, ReccoBeats
and sampled read-backs are apart.
"""

import tempfile
from collections.abc import Iterator
from itertools import islice
from math import ceil
from pathlib import Path

from bench.figures import Figure
from spotify_pipelines_tests.support.playground import Playground, playground

_QUEUED = 60
"""Albums that the demo queues: the first ones of the catalogue."""


def figures() -> Iterator[Figure]:
    """Run the demo twice in a folder of its own, on services of its own."""
    with tempfile.TemporaryDirectory() as folder, playground(Path(folder) / "demo") as here:
        here.run("spotify-pipelines", "demo")
        calls, position = _calls(here), here.simulator.ledger_position()
        minimum, terms = _minimum(here)
        here.run("spotify-pipelines", "demo")
        second = len(_calls(here, after=position))
    # New playlists need no look: whatever is read of one is a sample.
    read_back = sum(call.startswith("GET /v1/playlists/") for call in calls)
    first = len(calls) - read_back
    yield Figure(
        "Spotify calls of the demo ÷ minimum",
        first / minimum,
        at_most=1.0,
        at_least=1.0,
        detail=f"{first} calls; {terms} = {minimum}; {read_back} playlists were read back",
    )
    yield Figure(
        "Spotify calls of the demo's second run",
        second,
        unit="calls",
        at_most=0,
        at_least=0,
        detail="nothing is due: the minimum is 0",
    )


def _calls(here: Playground, *, after: int = 0) -> list[str]:
    with here.simulator as spotify:
        ledger = spotify.ledger(after=after)
    return [f"{each['method']} {each['path']}" for each in ledger if each["path"].startswith("/v1/")]


def _minimum(here: Playground) -> tuple[int, str]:
    """The fewest calls, and the sum that they are."""
    with here.simulator as spotify:
        albums = [album["tracks"] for album in islice(spotify.albums(), _QUEUED)]
        playlists = spotify.playlists()
    terms = {
        "accounts": len({playlist["owner"] for playlist in playlists}),
        "albums": ceil(len(albums) / 20),
        "further pages of tracks": sum(ceil(tracks / 50) - 1 for tracks in albums),
        "audio features": ceil(sum(albums) / 100),
        "playlists": 2 * len(playlists),
    }
    return sum(terms.values()), " + ".join(f"{calls} {name}" for name, calls in terms.items())

"""``python -m spotify_pipelines.simulator``: the process that a supervisor starts."""

import argparse
import sys
from pathlib import Path

from spotify_pipelines.simulator.catalogue import CatalogueError
from spotify_pipelines.simulator.database import StateInUseError
from spotify_pipelines.simulator.server import DEFAULT_ALBUMS, serve


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m spotify_pipelines.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="folder of the durable state")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--catalogue", type=Path, help="CSV file with real albums")
    source.add_argument(
        "--albums", type=int, default=DEFAULT_ALBUMS, help="invent so many (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the invented albums (default: %(default)s)")
    parser.add_argument("--log-level", default="warning", choices=["debug", "info", "warning", "error"])
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run the simulator; the exit status."""
    options = _arguments(argv)
    try:
        serve(
            options.host,
            options.port,
            state_path=options.state,
            catalogue_csv=options.catalogue,
            albums=options.albums,
            seed=options.seed,
            log_level=options.log_level,
        )
    except (CatalogueError, StateInUseError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

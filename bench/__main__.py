"""``python -m bench [NAME…]``: measure everything (``make bench``), or what is named, and print one table.

What belongs here: which measurements there are, and running them in turn: side by side they would disturb each
other. What does not: measuring.
"""

import argparse
import sys
import traceback
from importlib import import_module

from bench.figures import Figure, Measurement, table

_BY_DEFAULT = (
    *("load_time", "upserts", "demo_calls", "calls", "memory"),
    *("limiter_cost", "limiter_pause", "limiter_fairness"),
    *("selection", "order"),
)
_BY_NAME = (
    *("limiter_known", "limiter_hidden", "limiter_model"),
    *("selection_days", "crash", "sync", "one_bad_account", "first_demo"),
)
"""Each takes minutes; the last one downloads the dependencies and needs a gigabyte of disk."""


def main() -> int:
    """Measure; the exit status is 1 where something could not be measured. A missed goal is told, not punished."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    choice = f"{', '.join(_BY_DEFAULT)} (without names: all of these), {', '.join(_BY_NAME)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=choice)
    names = parser.parse_args().names or _BY_DEFAULT
    if unknown := [name for name in names if name not in (*_BY_DEFAULT, *_BY_NAME)]:
        parser.error(f"there is no measurement {', '.join(unknown)}; there are {choice}")
    rows: list[tuple[Figure, str]] = []
    failed = []
    for name in names:
        print(f"bench: measuring {name} …", file=sys.stderr, flush=True)
        figures: Measurement = import_module(f"bench.{name}").figures
        try:
            rows += [(figure, f"python -m bench {name}") for figure in figures()]
        except Exception:  # the other figures are wanted all the same
            traceback.print_exc()
            failed.append(name)
    print(table(rows))
    if failed:
        print(f"bench: not measured: {', '.join(failed)} (see above)", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

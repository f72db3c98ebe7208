"""Loading the code location ÷ loading an empty one that imports the same third parties. Goal ≤ 1.2.

Judged by seconds of CPU, which other processes on the machine disturb least; the clock's ratio is in the detail.
Loading takes neither pandas nor a client of any server, and is not measured where it does.
"""

import json
import subprocess
import sys
from collections.abc import Iterator

from bench.figures import Figure
from bench.pairs import in_pairs

_LOAD = (
    "from spotify_pipelines.definitions import definitions; definitions().get_repository_def().get_all_jobs()"
)
_LIST = (
    "import sys\n" + _LOAD + "\n"
    "import json\n"
    "print(json.dumps([m for m in sys.modules if not m.startswith(('spotify_pipelines', '__'))]))"
)
_EMPTY = """
import importlib
for module in {modules!r}:
    try:
        importlib.import_module(module)
    except ImportError:  # made by its package at run time (six.moves): nothing to import
        pass
import dagster as dg
@dg.asset
def empty() -> None: ...
dg.Definitions(assets=[empty], jobs=[dg.define_asset_job("job")]).get_repository_def().get_all_jobs()
"""
_NEEDLESS = {"pandas", "numpy", "httpx", "redis", "psycopg", "playwright", "spotipy"}


def figures() -> Iterator[Figure]:
    """Measure in pairs.

    Raises:
        RuntimeError: a package was loaded that loading has no need of.
    """
    listed = subprocess.run([sys.executable, "-c", _LIST], capture_output=True, text=True, check=True)
    modules: list[str] = json.loads(listed.stdout.splitlines()[-1])
    if needless := sorted(_NEEDLESS & set(modules)):
        raise RuntimeError(f"Loading the definitions also loads {', '.join(needless)}.")
    pair = in_pairs(
        [sys.executable, "-c", _LOAD], [sys.executable, "-c", _EMPTY.format(modules=modules)], runs=7
    )
    yield Figure(
        "load time of the code location ÷ empty one",
        pair.cpu_ratio,
        at_most=1.2,
        detail=f"{pair}; on the clock {pair.wall_ratio:.2f}; {len(modules)} modules of others, nothing networked",
    )

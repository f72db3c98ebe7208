"""Loading the code location ÷ loading an empty one that imports the same third parties. Goal ≤ 1.2.

Run: ``.venv/bin/python -m bench.load_time``
"""

import json
import subprocess
import sys

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
import importlib, sys
for module in {modules!r}:
    try:
        importlib.import_module(module)
    except Exception:
        pass
import dagster as dg
@dg.asset
def empty() -> None: ...
dg.Definitions(assets=[empty], jobs=[dg.define_asset_job("job")]).get_repository_def().get_all_jobs()
"""


def main() -> None:
    """Print the ratio, and refuse to compare where pandas or a network client was loaded needlessly."""
    modules: list[str] = json.loads(
        subprocess.run([sys.executable, "-c", _LIST], capture_output=True, text=True, check=True).stdout
    )
    unwanted = sorted({"pandas", "playwright", "spotipy"} & set(modules))
    print(f"loaded needlessly: {', '.join(unwanted) or 'nothing'}; {len(modules)} modules of others")
    empty = _EMPTY.format(modules=modules)
    print(in_pairs([sys.executable, "-c", _LOAD], [sys.executable, "-c", empty]))


if __name__ == "__main__":
    main()

"""Run one job in this process on the persistent Dagster instance: ``python -m spotify_pipelines.defs.launch JOB``.

What belongs here: what ``dagster job execute`` does, plus the trigger's tag and the job history written at the
end, for commands that start a run of their own. What does not: showing anything; the run is in the UI.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

import dagster as dg

from spotify_pipelines.definitions import definitions
from spotify_pipelines.defs.history import reconcile_job_history
from spotify_pipelines.defs.jobs import JOB_NAMES
from spotify_pipelines.defs.names import TRIGGER_TAG
from spotify_pipelines.settings import load_settings
from spotify_pipelines.store.database import Database

__all__ = ["launch"]


def launch(
    job: str, *, run_config: Mapping[str, Any] | None = None, run_id: str | None = None
) -> dg.DagsterRunStatus:
    """Execute ``job`` to its end; a failed run is a status, not an exception. DAGSTER_HOME names the instance."""
    with dg.DagsterInstance.get() as instance:
        result = (
            definitions()
            .get_job_def(job)
            .execute_in_process(
                instance=instance,
                run_config=run_config,
                run_id=run_id,
                tags={TRIGGER_TAG: "cli"},
                raise_on_error=False,
            )
        )
        database = Database.open(load_settings())
        try:
            reconcile_job_history(instance, database)
        finally:
            database.close()
        return result.dagster_run.status


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m spotify_pipelines.defs.launch", description=__doc__)
    parser.add_argument("job", choices=JOB_NAMES)
    parser.add_argument(
        "--config-json", type=json.loads, default=None, help="run config, as in the launchpad"
    )
    parser.add_argument("--run-id", default=None, help="the run's id, where the caller wants to choose it")
    options = parser.parse_args()
    status = launch(options.job, run_config=options.config_json, run_id=options.run_id)
    return 0 if status is dg.DagsterRunStatus.SUCCESS else 1


if __name__ == "__main__":
    sys.exit(_main())

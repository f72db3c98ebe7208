"""Run one job in this process on the persistent Dagster instance: ``python -m spotify_pipelines.defs.launch JOB``.

What belongs here: what ``dagster job execute`` does, plus config made of the fields that narrow a job, the trigger's
tag, the job history written at the end, and cancelling. What does not: showing anything; the run is in the UI, and
``--outcome`` prints what came of it as JSON.
"""

import argparse
import json
import os
import signal
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from spotify_pipelines.definitions import definitions
from spotify_pipelines.defs.history import reconcile_job_history
from spotify_pipelines.defs.instance import open_instance
from spotify_pipelines.defs.jobs import JOB_NAMES
from spotify_pipelines.defs.names import TRIGGER_TAG
from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.settings import load_settings
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.job_history import RunRecord, find_run

__all__ = ["LaunchError", "launch", "narrowed_config"]

_REFUSED = 2
_STDIN = 0


class LaunchError(ExplainedError):
    """A job can't be run as asked; the text names the field."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is printed: the run as the history keeps it, or why there is none."""

    run: RunRecord | None = None
    refused: str | None = None


def launch(
    job: str,
    *,
    run_config: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    attached: bool = False,
) -> dg.DagsterRunStatus:
    """Execute ``job`` to its end; a failed run is a status, not an exception. DAGSTER_HOME names the instance.

    Args:
        attached: the run is cancelled at the end of standard input: it ends as CANCELED, after its assets have
            cleaned up.

    Raises:
        LaunchError: the config does not fit the job.
        InstanceError: there is no instance.
    """
    run_id = run_id or str(uuid.uuid4())
    with open_instance() as instance:
        if attached:
            _cancel_when_left(instance, run_id)
        definition = definitions().resolve_job_def(job)
        try:
            result = definition.execute_in_process(
                instance=instance,
                run_config=run_config,
                run_id=run_id,
                tags={TRIGGER_TAG: "cli"},
                raise_on_error=False,
            )
        except dg.DagsterInvalidConfigError as error:
            raise LaunchError(_first_reason(error)) from error
        database = Database.open(load_settings())
        try:
            reconcile_job_history(instance, database)
        finally:
            database.close()
        return result.dagster_run.status


def narrowed_config(
    job: dg.JobDefinition, run_config: Mapping[str, Any], narrow: Mapping[str, Any]
) -> dict[str, Any]:
    """``run_config`` with the fields of ``narrow`` set on every asset of the job that knows them.

    Raises:
        LaunchError: no asset of the job knows a field, or a dry run is asked of several assets.
    """
    fields = _config_fields(job)
    if narrow.get("dry_run") and len(fields) > 1:
        raise LaunchError(
            f"'{job.name}' is a run of several assets, and what one of them only pretends would mislead the "
            "others: a dry run is for jobs with one asset."
        )
    ops = {name: dict(given) for name, given in dict(run_config.get("ops") or {}).items()}
    for field, value in narrow.items():
        takers = [op for op, known in fields.items() if field in known]
        if not takers:
            known = sorted({name for names in fields.values() for name in names})
            raise LaunchError(
                f"The job '{job.name}' has no '{field}' to be narrowed by. It knows: {', '.join(known) or 'nothing'}."
            )
        for op in takers:
            ops.setdefault(op, {})
            ops[op]["config"] = {**(ops[op].get("config") or {}), field: value}
    return {**run_config, "ops": ops} if ops else dict(run_config)


def _config_fields(job: dg.JobDefinition) -> dict[str, set[str]]:
    """The config fields of each op of the job, as the launchpad shows them."""
    ops: Any = job.run_config_schema.config_type.fields["ops"].config_type  # type: ignore[attr-defined]
    found = {}
    for name, op in ops.fields.items():
        config = op.config_type.fields.get("config")
        found[name] = set(getattr(config.config_type, "fields", None) or ()) if config else set()
    return found


def _cancel_when_left(instance: dg.DagsterInstance, run_id: str) -> None:
    """End the run as "Terminate" in the UI does, when whoever started it closes our standard input, or is gone.

    Marked as being cancelled, then interrupted: without the mark Dagster takes an interrupt for a crash. It can't
    be a signal: Dagster turns SIGTERM into SIGINT while a run lasts.
    """

    def wait() -> None:
        while os.read(_STDIN, 1):
            continue
        run = instance.get_run_by_id(run_id)
        if run is not None:
            if run.is_finished:
                return
            instance.report_run_canceling(run)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, name="cancel when left", daemon=True).start()


def _first_reason(error: dg.DagsterInvalidConfigError) -> str:
    first = error.errors[0]
    path = ".".join(part.field_name for part in first.stack.entries if hasattr(part, "field_name"))
    return f"The config does not fit, at '{path or 'root'}': {first.message}"


def _run(options: argparse.Namespace, run_id: str) -> _Outcome:
    if options.job not in JOB_NAMES:
        return _Outcome(refused=f"There is no job '{options.job}'. There are: {', '.join(JOB_NAMES)}.")
    given = options.config_json or {}
    if not isinstance(given, dict):
        return _Outcome(refused="The config has to be a mapping, as in the launchpad: {ops: {…}}.")
    try:
        config = narrowed_config(definitions().resolve_job_def(options.job), given, options.narrow_json or {})
        launch(options.job, run_config=config, run_id=run_id, attached=options.attached)
    except LaunchError as error:
        return _Outcome(refused=str(error))
    database = Database.open(load_settings())
    try:
        with database.transaction() as session:
            return _Outcome(run=find_run(session, run_id))
    finally:
        database.close()


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m spotify_pipelines.defs.launch", description=__doc__)
    parser.add_argument("job", help=", ".join(JOB_NAMES))
    parser.add_argument(
        "--config-json", type=json.loads, default=None, help="run config, as in the launchpad"
    )
    parser.add_argument(
        "--narrow-json", type=json.loads, default=None, help="config fields for every asset that knows them"
    )
    parser.add_argument("--run-id", default=None, help="the run's id, where the caller wants to choose it")
    parser.add_argument("--outcome", action="store_true", help="print what came of it, as JSON")
    parser.add_argument("--attached", action="store_true", help="cancel the run at the end of standard input")
    options = parser.parse_args()
    outcome = _run(options, options.run_id or str(uuid.uuid4()))
    if options.outcome:
        sys.stdout.write(json.dumps(asdict(outcome), default=str) + "\n")
    elif outcome.refused:
        sys.stderr.write(outcome.refused + "\n")
    if outcome.run is None:
        return _REFUSED
    return 0 if outcome.run.status == "success" else 1


if __name__ == "__main__":
    sys.exit(_main())

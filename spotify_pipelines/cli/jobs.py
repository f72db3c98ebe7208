"""``jobs list | history | start | stop | run``: what the UI's pages Automation and Runs show and do, in a terminal.

What belongs here: arguments, the process that a run gets, what is printed. What does not: schedules and sensors
(``defs.automation``), running a job (``defs.launch``), the history (``store.job_history``).

A run is executed on this machine, in a process of its own that this command waits for; Ctrl-C cancels it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import yaml

from spotify_pipelines.cli.opening import configured_database
from spotify_pipelines.cli.output import Exit, console, plain, print_json, print_table
from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.settings import export_dotenv, find_root

if TYPE_CHECKING:
    pass

__all__ = ["register"]

_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="A schedule or sensor, as 'jobs list' shows it.")]
_INTERRUPTED = 130
_TAIL = 15


class JobsError(ExplainedError):
    """A run could not be started or ended without a word; the text says where to look."""


class _Trigger(StrEnum):
    SCHEDULE = "schedule"
    SENSOR = "sensor"
    MANUAL = "manual"
    CLI = "cli"


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    jobs = typer.Typer(help="Schedules, sensors, jobs and what came of them.", no_args_is_help=True)
    jobs.command("list")(list_)
    for command in (history, start, stop, run):
        jobs.command()(command)
    app.add_typer(jobs, name="jobs")


def list_(as_json: _Json = False) -> None:
    """Show what runs by itself: schedules and sensors, whether they are on, when they are next, their last run.

    Example: spotify-pipelines jobs list --json
    """
    from spotify_pipelines.defs.automation import open_automations

    with open_automations() as automations:
        found = automations.list()
    if as_json:
        print_json({"jobs": [asdict(each) for each in found]})
        return
    print_table(
        ("Name", "Starts", "When (UTC)", "On", "Next (UTC)", "Last run", "Took"),
        [
            (
                each.name,
                each.job,
                each.cron or f"every {each.every_seconds} s",
                "yes" if each.running else "no",
                _time(each.next_tick),
                f"{each.last_runs[0].status} {_time(each.last_runs[0].started_at)}"
                if each.last_runs
                else None,
                _took(each.last_runs[0].duration_seconds) if each.last_runs else None,
            )
            for each in found
        ],
    )


def history(
    *,
    job: Annotated[str | None, typer.Option(help="Only runs of this job.")] = None,
    status: Annotated[str | None, typer.Option(help="success, failure, canceled, started …")] = None,
    trigger: Annotated[_Trigger | None, typer.Option(help="Only runs that were started so.")] = None,
    days: Annotated[int | None, typer.Option(help="Only runs of the last days.", min=1)] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    as_json: _Json = False,
) -> None:
    """Show past runs, newest first: who started them, how they ended, what they did. First brings them up to date.

    Example: spotify-pipelines jobs history --status failure --days 7
    """
    from spotify_pipelines.defs.history import reconcile_job_history
    from spotify_pipelines.defs.instance import open_instance
    from spotify_pipelines.store.job_history import find_runs

    since = datetime.now(UTC) - timedelta(days=days) if days else None
    with configured_database() as database:
        with open_instance() as instance:
            reconcile_job_history(instance, database)
        with database.transaction() as session:
            found = find_runs(
                session,
                job=job,
                status=status and status.lower(),
                trigger=trigger and trigger.value,
                since=since,
                limit=limit,
            )
    if as_json:
        print_json({"runs": [{**asdict(each), "duration_seconds": each.duration_seconds} for each in found]})
        return
    print_table(
        ("Started (UTC)", "Job", "Trigger", "Status", "Took", "Changed", "Failed", "Error", "Run"),
        [
            (
                _time(each.started_at or each.queued_at),
                each.job_name,
                each.trigger,
                each.status,
                _took(each.duration_seconds),
                _sum(each.counts, "changed"),
                _sum(each.counts, "failed"),
                each.error,
                each.run_id,
            )
            for each in found
        ],
    )


def start(name: _Name, as_json: _Json = False) -> None:
    """Switch a schedule or sensor on; a running daemon obeys at its next look.

    Example: spotify-pipelines jobs start refresh_tokens_schedule
    """
    _switch(name, running=True, as_json=as_json)


def stop(name: _Name, as_json: _Json = False) -> None:
    """Switch a schedule or sensor off. Runs that it has started go on.

    Example: spotify-pipelines jobs stop refresh_tokens_schedule
    """
    _switch(name, running=False, as_json=as_json)


def _switch(name: str, *, running: bool, as_json: bool) -> None:
    from spotify_pipelines.defs.automation import UnknownAutomationError, open_automations

    with open_automations() as automations:
        try:
            done = automations.switch(name, running=running, by="cli")
        except UnknownAutomationError as error:
            _refuse(plain(str(error)))
    if as_json:
        print_json(asdict(done))
        return
    state = "on" if done.running else "off"
    typer.echo(
        f"The {done.kind} {done.name} is {state}." if done.changed else f"{done.name} is {state} already."
    )


def run(
    *,
    name: Annotated[str, typer.Argument(metavar="JOB", help="The job, as 'nightly' or 'refresh_tokens'.")],
    config: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON, as in the launchpad; - for standard input.", metavar="FILE"),
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option(help="Only this account, by name or id; repeat.")
    ] = None,
    playlist: Annotated[
        list[str] | None, typer.Option(help="Only this playlist, as policy@account or id; repeat.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Only playlists of this policy.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many items.", min=1)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; nothing is.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also where nothing is due.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Dagster's log on standard error.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Run a job here and now, and wait for it; Ctrl-C cancels it, and what was committed stays.

    Exit code 0: all done, 1: some items failed or were put off, 3: the run failed.

    Example: spotify-pipelines jobs run build_playlist_snapshot --playlist fresh-finds@studio-1 --force
    """
    narrow: dict[str, Any] = _ids(account or [], playlist or [])
    given = {"policy": policy, "limit": limit, "dry_run": dry_run or None, "force": force or None}
    narrow |= {field: value for field, value in given.items() if value is not None}
    outcome = _execute(name, _read_config(config), narrow, verbose=verbose)
    if refused := outcome.get("refused"):
        _refuse(plain(refused))
    found = outcome["run"]
    if as_json:
        print_json({"run": found})
    else:
        _print_run(found)
    raise typer.Exit(_exit_code(found))


def _execute(
    name: str, config: Mapping[str, Any], narrow: Mapping[str, Any], *, verbose: bool
) -> dict[str, Any]:
    """What ``defs.launch`` printed at the end of its process."""
    export_dotenv()
    run_id = str(uuid.uuid4())
    command = [sys.executable, "-m", "spotify_pipelines.defs.launch", name, "--run-id", run_id, "--outcome"]
    command += ["--attached"]  # Ctrl-C closes its standard input, and so does our end, whatever it is
    command += ["--config-json", json.dumps(config), "--narrow-json", json.dumps(narrow)]
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C reaches us alone, and the run is cancelled instead of interrupted.
        process = subprocess.Popen(
            command,
            cwd=find_root(),
            env=dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if verbose else log,
            start_new_session=True,
        )
        with _watched(name, run_id, quiet=verbose):
            said, cancelled = _wait(process)
        if cancelled and not said:
            raise typer.Exit(_INTERRUPTED)
        if not said:
            raise JobsError(_silent_end(name, process.returncode, log))
    return dict(json.loads(said.splitlines()[-1]))


def _wait(process: "subprocess.Popen[bytes]") -> tuple[bytes, bool]:
    """What the process printed, and whether it was cancelled meanwhile; a second Ctrl-C does not wait for it."""
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        try:
            return process.stdout.read(), False
        except KeyboardInterrupt:
            typer.echo("Cancelling the run …", err=True)
            process.stdin.close()
            return process.stdout.read(), True
    except KeyboardInterrupt:
        process.kill()
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
        process.wait()
        process.stdin.close()
        process.stdout.close()


@contextmanager
def _watched(name: str, run_id: str, *, quiet: bool) -> Iterator[None]:
    if quiet or not sys.stderr.isatty():
        yield
        return
    with console(err=True).status(f"Running {name} ({run_id}); Ctrl-C cancels it"):
        yield


def _silent_end(name: str, code: int, log: IO[bytes]) -> str:
    log.seek(0)
    tail = log.read().decode(errors="replace").strip().splitlines()[-_TAIL:]
    why = "\n".join(map(plain, tail)) or "It said nothing."
    return f"The process that ran '{name}' ended with {code} before the run did:\n{why}"


def _print_run(found: Mapping[str, Any]) -> None:
    counts: dict[str, dict[str, float]] = found["counts"] or {}
    if counts:
        columns = ("requested", "changed", "unchanged", "deferred", "failed", "spotify_calls")
        print_table(
            ("Asset", "Requested", "Changed", "Unchanged", "Deferred", "Failed", "Calls"),
            [(asset, *(figures.get(name) for name in columns)) for asset, figures in counts.items()],
        )
    if found["error"]:
        typer.echo(plain(found["error"]), err=True)
    typer.echo(f"Run {found['run_id']} of {found['job_name']}: {found['status']}")


def _exit_code(found: Mapping[str, Any]) -> int:
    if found["status"] == "canceled":
        return _INTERRUPTED
    if found["status"] != "success":
        return Exit.NOTHING_DONE
    counts: dict[str, dict[str, float]] = found["counts"] or {}
    return Exit.PARTLY if _sum(counts, "failed") or _sum(counts, "deferred") else Exit.DONE


def _read_config(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except OSError as error:
        _refuse(f"--config: {file} can't be read: {error.strerror}.")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        _refuse(f"--config: {file} is no YAML: {plain(str(error))}")
    if not isinstance(found, dict):
        _refuse(f"--config: {file} has to hold a mapping, as in the launchpad: {{ops: {{…}}}}.")
    return dict(found)


def _ids(accounts: Sequence[str], playlists: Sequence[str]) -> dict[str, Any]:
    """The ids behind what people call accounts and playlists; nothing is asked where none is named."""
    if not accounts and not playlists:
        return {}
    from spotify_pipelines.store.accounts import accounts as all_accounts
    from spotify_pipelines.store.playlist_views import playlist_views

    found: dict[str, Any] = {}
    with configured_database() as database, database.transaction() as session:
        if accounts:
            names = {each.id: each.name for each in all_accounts(session)}
            found["account_ids"] = [_one(name, names, "account") for name in accounts]
        if playlists:
            labels = {view.id: view.label for view in playlist_views(session)}
            found["playlist_ids"] = [_one(name, labels, "playlist") for name in playlists]
    return found


def _one(name: str, known: Mapping[int, str], what: str) -> int:
    ids = [key for key, label in known.items() if name == label] or [key for key in known if name == str(key)]
    if len(ids) != 1:
        count = "no" if not ids else "more than one"
        _refuse(f"There is {count} {what} '{plain(name)}'. 'spotify-pipelines {what}s list' shows all.")
    return ids[0]


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(Exit.WRONG_CALL)


def _sum(counts: Mapping[str, Mapping[str, float]] | None, figure: str) -> int | None:
    return None if counts is None else int(sum(figures.get(figure, 0) for figures in counts.values()))


def _time(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else None


def _took(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.1f} s"

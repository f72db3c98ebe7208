"""``policies check | diff | apply | list | show | schema``: policy files and what is in force, from the command line.

What belongs here: reading the file, and what is printed. What does not: what a policy may say
(``playlists.policies``), versions (``playlists.apply``).
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from spotify_pipelines.cli.opening import configured_database
from spotify_pipelines.cli.output import Exit, plain, print_json, print_table

if TYPE_CHECKING:
    from spotify_pipelines.playlists.apply import KeyChange, PolicyChange
    from spotify_pipelines.playlists.covers import PolicyBundle
    from spotify_pipelines.playlists.policies import PolicyFile
    from spotify_pipelines.store.database import Database
    from spotify_pipelines.store.policies import PolicyRow

__all__ = ["read_policy_file", "register"]

_LARGEST_FILE = 1_000_000
_File = Annotated[Path, typer.Argument(metavar="FILE", help="YAML file with the key 'policies'.")]
_LABELS_SHOWN = 5
_Prune = Annotated[
    bool, typer.Option("--prune", help="End policies that are not in the file; the next plan retires theirs.")
]
_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    policies = typer.Typer(help="What playlists should be, from a reviewed YAML file.", no_args_is_help=True)
    for command in (check, diff, apply, show, schema):
        policies.command()(command)
    policies.command("list")(list_)
    app.add_typer(policies, name="policies")


def check(file: _File, as_json: _Json = False) -> None:
    """Check a policy file and say what it asks for; nothing is stored, and no database is needed.

    Exit code 2: the file can't be taken; each problem is named with its line and the path of its key.

    Example: spotify-pipelines policies check examples/policies.yaml
    """
    from spotify_pipelines.playlists.policies import policy_digest, policy_to_json

    found = read_policy_file(file)
    if as_json:
        policies = [
            {"name": policy.name, "digest": policy_digest(policy), "definition": policy_to_json(policy)}
            for policy in found.policies
        ]
        print_json({"policies": policies})
        return
    for policy in found.policies:
        typer.echo(f"{policy.name}: {policy.size} tracks every {policy.reshuffle.every_days} days")
        typer.echo(f"  digest {policy_digest(policy)[:12]}", err=True)


def diff(file: _File, prune: _Prune = False, as_json: _Json = False) -> None:
    """Show what 'apply' would change, key by key, and which playlists it would draw anew. Nothing is stored.

    Example: spotify-pipelines policies diff examples/policies.yaml
    """
    found = read_policy_file(file)
    with configured_database() as database:
        changes, playlists = _changes(database, found, prune=prune)
    if as_json:
        print_json({"policies": [_change_json(change, playlists) for change in changes]})
        return
    for line in _diff_lines(changes, playlists):
        typer.echo(line)


def apply(
    file: _File,
    prune: _Prune = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Put a policy file in force. What changed gets a new version and new draws; the rest stays as it is.

    In a terminal it shows what would change and asks first; elsewhere, and with --yes or --json, it does not ask.

    Example: spotify-pipelines policies apply examples/policies.yaml
    """
    from spotify_pipelines.playlists.apply import apply_policies
    from spotify_pipelines.playlists.covers import store_covers
    from spotify_pipelines.playlists.policies import PolicyError

    bundle = _read_bundle(file)
    with configured_database() as database:
        if _has_terminal() and not (yes or as_json):
            _ask(*_changes(database, bundle.policies, prune=prune))
        # Not the transaction of the look: nobody's answer holds a lock.
        try:
            with database.transaction() as session:
                store_covers(session, bundle)
                report = apply_policies(session, bundle.policies, datetime.now(UTC), prune=prune)
        except PolicyError as error:
            _refuse(plain(str(error)))
    if as_json:
        print_json({"policies": report.rows, "notes": report.notes})
        return
    for row in report.rows:
        typer.echo(f"{row['policy']}: {row['what']}")
    for note in report.notes:
        typer.echo(note, err=True)


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")],
    version: Annotated[
        int | None, typer.Option("--version", help="This version; otherwise the newest.", min=1)
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Also the keys that are as they are by default.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Show one version of a policy, as a policy file that could be applied again.

    Example: spotify-pipelines policies show fresh-finds --version 2
    """
    from spotify_pipelines.store import policies as store

    with configured_database() as database, database.transaction() as session:
        versions = store.versions(session, name)
        playlists = store.playlists_of(session, [name]).get(name, [])
        if not versions:
            names = [row.name for row in store.newest_versions(session)]
            _refuse(f"There is no policy '{plain(name)}'; known are: {', '.join(names) or 'none'}.")
    row = next((row for row in versions if version in (None, row.version)), None)
    if row is None:
        _refuse(f"Policy '{name}' has the versions 1 to {versions[0].version}, and no version {version}.")
    if as_json:
        print_json(
            {
                "policy": {
                    **_row_json(row),
                    "digest": row.digest,
                    "playlists": playlists,
                    "versions": [
                        {"version": each.version, "since": each.created_at, "in_force": each.active}
                        for each in versions
                    ],
                }
            }
        )
        return
    typer.echo(_as_file(row, len(versions), playlists, defaults=defaults), nl=False)


def schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A table of all keys instead, as in docs/policies.md.")
    ] = False,
) -> None:
    """Print the JSON Schema of a policy file, for editors that check and complete YAML.

    Example: spotify-pipelines policies schema > docs/policies.schema.json
    """
    from spotify_pipelines.playlists.policies import policies_json_schema
    from spotify_pipelines.playlists.policy_reference import reference_table

    if markdown:
        typer.echo(reference_table())
    else:
        typer.echo(json.dumps(policies_json_schema(), indent=2, ensure_ascii=False))


def list_(as_json: _Json = False) -> None:
    """Show the newest version of every policy, and how many playlists it has.

    Example: spotify-pipelines policies list
    """
    from spotify_pipelines.store import policies as store

    with configured_database() as database, database.transaction() as session:
        rows = store.newest_versions(session)
        playlists = store.playlist_counts(session)
    if as_json:
        print_json(
            {"policies": [{**_row_json(row), "playlists": playlists.get(row.name, 0)} for row in rows]}
        )
        return
    if not rows:
        typer.echo("No policy is in force yet. 'spotify-pipelines policies apply FILE' puts some in force.")
        return
    print_table(
        ("Policy", "Version", "In force", "Since (UTC)", "Tracks", "Every (days)", "Playlists"),
        [
            (
                row.name,
                row.version,
                "yes" if row.active else "no",
                f"{row.created_at:%Y-%m-%d %H:%M}",
                row.definition.get("size"),
                row.definition.get("reshuffle", {}).get("every_days"),
                playlists.get(row.name, 0),
            )
            for row in rows
        ],
    )


# ── what would change ────────────────────────────────────────────────────────────────────────────────────────

_Playlists = Mapping[str, Sequence[str]]


def _changes(
    database: "Database", file: "PolicyFile", *, prune: bool
) -> tuple[list["PolicyChange"], _Playlists]:
    """What applying would do, and the playlists of each policy that it would do something to."""
    from spotify_pipelines.playlists.apply import policy_changes
    from spotify_pipelines.store import policies as store

    with database.transaction() as session:
        known = {row.name: row for row in store.newest_versions(session)}
        changes = policy_changes(file, known, prune=prune)
        return changes, store.playlists_of(session, [change.name for change in changes if change.is_change])


def _has_terminal() -> bool:
    return sys.stdin.isatty()


def _ask(changes: Sequence["PolicyChange"], playlists: _Playlists) -> None:
    if not any(change.is_change for change in changes):
        return
    for line in _diff_lines(changes, playlists):
        typer.echo(line, err=True)
    if not typer.confirm("Apply this?", err=True):
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(Exit.NOTHING_DONE)


def _diff_lines(changes: Sequence["PolicyChange"], playlists: _Playlists) -> Iterator[str]:
    for change in changes:
        yield f"{change.name}: {change.what}"
        yield from (f"  {_told(key)}" for key in change.keys)
        mine = playlists.get(change.name, ())
        if change.is_new_version and change.policy is not None and not mine:
            yield "  no playlist yet: the next plan makes them"
        elif change.is_change and mine:
            what = "drawn anew" if change.policy is not None else "retired with the next plan"
            more = f" and {len(mine) - _LABELS_SHOWN} more" if len(mine) > _LABELS_SHOWN else ""
            yield f"  {what}: {', '.join(mine[:_LABELS_SHOWN])}{more}"


def _told(change: "KeyChange") -> str:
    """A key and how it changes; of lists only what comes and goes."""
    before, after = change.before, change.after
    if isinstance(before, list) and isinstance(after, list) and set(before) != set(after):
        gone = [f"- {_value(each)}" for each in before if each not in after]
        come = [f"+ {_value(each)}" for each in after if each not in before]
        return f"{change.key}: {', '.join([*gone, *come])}"
    return f"{change.key}: {_value(before)} → {_value(after)}"


def _value(value: object) -> str:
    if value is None:
        return "(none)"
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _change_json(change: "PolicyChange", playlists: _Playlists) -> dict[str, Any]:
    return {
        "policy": change.name,
        "what": change.what,
        "changes": [{"key": key.key, "before": key.before, "after": key.after} for key in change.keys],
        "drawn_anew": list(playlists.get(change.name, ())) if change.is_new_version else [],
        "retired": list(playlists.get(change.name, ())) if change.is_change and not change.policy else [],
    }


# ── what is stored ───────────────────────────────────────────────────────────────────────────────────────────


def _row_json(row: "PolicyRow") -> dict[str, Any]:
    return {
        "name": row.name,
        "version": row.version,
        "in_force": row.active,
        "since": row.created_at,
        "definition": row.definition,
    }


def _as_file(row: "PolicyRow", versions: int, playlists: Sequence[str], *, defaults: bool) -> str:
    """A stored version as YAML that says the same."""
    import yaml

    from spotify_pipelines.playlists.policies import PolicyError, policy_as_said, policy_from_json

    said = row.definition
    try:
        said = policy_from_json(row.definition).model_dump(mode="json")
        if not defaults:
            said = policy_as_said(policy_from_json(row.definition))
    except PolicyError as error:
        typer.echo(f"This release could not apply that version again: {plain(str(error))}", err=True)
    force = "in force" if row.active else "not in force"
    return (
        f"# {row.name}, version {row.version} of {versions}, {force}, stored {row.created_at:%Y-%m-%d %H:%M} UTC, "
        f"{len(playlists)} playlists\n"
        + yaml.safe_dump({"policies": [said]}, sort_keys=False, allow_unicode=True, width=100)
    )


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────


def read_policy_file(file: Path) -> "PolicyFile":
    """The policies of a file; one that can't be taken ends the command with all that is wrong with it."""
    return _read_bundle(file).policies


def _read_bundle(file: Path) -> "PolicyBundle":
    from spotify_pipelines.playlists.covers import with_covers
    from spotify_pipelines.playlists.policies import PolicyError, parse_policies

    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)  # a pipe or a device doesn't tell its size
        if len(content) > _LARGEST_FILE:
            _refuse(f"{file} is larger than a megabyte; a policy file is a few pages of YAML.")
        return with_covers(parse_policies(content, str(file)), file.parent, str(file))
    except OSError as error:
        _refuse(f"{file} can't be read: {error.strerror}.")
    except PolicyError as error:
        _refuse("\n".join(plain(line) for line in str(error).splitlines()))


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(Exit.WRONG_CALL)

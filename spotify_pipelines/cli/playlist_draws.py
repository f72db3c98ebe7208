"""``playlists explain | preview``: why a draw came out as it did, and what one would come out as now.

What belongs here: choosing what is explained or tried, and what is printed. What does not: the sentences
(``playlists.explain``) and tables (``cli.draw_report``), the queries (``store.draw_views``), drawing
(``playlists.trial_draw``).
"""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from spotify_pipelines.cli.draw_report import DrawReport
from spotify_pipelines.cli.opening import configured_database
from spotify_pipelines.cli.output import Exit, plain, print_json
from spotify_pipelines.cli.playlist_access import choose, utc_now

if TYPE_CHECKING:
    from spotify_pipelines.playlists.policies import Policy
    from spotify_pipelines.playlists.trial_draw import Trial
    from spotify_pipelines.store.database import Database
    from spotify_pipelines.store.draw_views import DrawView

__all__ = ["register"]

_NAME_HELP = "policy@account, our id, Spotify's id, or its name there."
_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(playlists: typer.Typer) -> None:
    """Add this module's commands to the group ``playlists``."""
    playlists.command()(explain)
    playlists.command()(preview)


def explain(
    name: Annotated[str, typer.Argument(metavar="NAME", help=_NAME_HELP)], as_json: _Json = False
) -> None:
    """Explain a playlist's newest draw: why each track is there, why others are not, and how good it could be.

    All of it was stored with the draw; nothing is drawn anew.

    Example: spotify-pipelines playlists explain fresh-finds@studio-1
    """
    from spotify_pipelines.store.draw_views import newest_draw
    from spotify_pipelines.store.playlist_views import playlist_views

    with configured_database() as database, database.transaction() as session:
        view = choose(playlist_views(session, retired=True), name)
        found = newest_draw(session, view.id)
    if found is None:
        if as_json:
            print_json({"playlist": view.label, "draw": None})
        else:
            typer.echo("It was not drawn yet. The job 'build_playlist_snapshot' draws it.")
        return
    with configured_database() as database:
        told = DrawReport.of_stored(database, found)
    if as_json:
        print_json({"playlist": view.label, "draw": _draw_json(found), **told.json()})
        return
    _echo_facts(view.label, _facts(found))
    told.print()
    typer.echo(
        f"\nAgain with the same seed, on what there is now: "
        f"spotify-pipelines playlists preview {quote(plain(view.label))} --seed {found.seed}"
    )


def preview(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help=_NAME_HELP)] = None,
    *,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Instead of NAME: a policy, with --account.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Instead of NAME: an account, by name or id.")
    ] = None,
    policy_file: Annotated[
        Path | None, typer.Option("--policy-file", help="Take the policy from this file; it is not applied.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", help="A seed as 'explain' shows it, or any text of your own.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Draw without storing, and show what would change against the newest draw.

    Without --policy-file and --seed it is the draw that would be stored if it were forced now.

    Example: spotify-pipelines playlists preview fresh-finds@studio-1 --policy-file policies.yaml
    """
    with configured_database() as database:
        trial = _trial(database, name=name, policy=policy, account=account, file=policy_file, seed=seed)
        told = DrawReport.of_trial(database, trial)
    if as_json:
        print_json(
            {"playlist": trial.label, "draw": _trial_json(trial), **told.json(), **told.changes_json()}
        )
        return
    _echo_facts(trial.label, _trial_facts(trial))
    told.print()
    told.print_changes()
    for note in trial.notes:
        typer.echo(plain(note), err=True)
    typer.echo("Nothing was stored.", err=True)


# ── what is tried ────────────────────────────────────────────────────────────────────────────────────────────


def _trial(
    database: "Database",
    *,
    name: str | None,
    policy: str | None,
    account: str | None,
    file: Path | None,
    seed: str | None,
) -> "Trial":
    from spotify_pipelines.playlists.trial_draw import draw_for_place, draw_for_playlist, seed_from
    from spotify_pipelines.store.playlist_views import playlist_views

    chosen = None if seed is None else seed_from(seed)
    if name is not None:
        if policy is not None or account is not None:
            _refuse("Give either a playlist's NAME, or --account with --policy or --policy-file.")
        with database.transaction() as session:
            view = choose(playlist_views(session, retired=True), name)
        other = None if file is None else _from_file(file, view.policy)
        return draw_for_playlist(database, view.id, now=utc_now(), policy=other, seed=chosen)
    if account is None or (policy is None and file is None):
        _refuse("What to draw for? Give a playlist's NAME, or --account with --policy or --policy-file.")
    rule = _from_file(file, policy) if file is not None else policy or ""
    return draw_for_place(database, rule, account, now=utc_now(), seed=chosen)


def _from_file(file: Path, name: str | None) -> "Policy":
    """The policy called ``name``, or the only one of the file."""
    from spotify_pipelines.cli.policies import read_policy_file

    policies = read_policy_file(file).policies
    found = [policy for policy in policies if name in (None, policy.name)]
    names = ", ".join(policy.name for policy in policies)
    if not found:
        _refuse(f"{file} holds no policy '{plain(str(name))}'; it holds: {names}.")
    if len(found) > 1:
        _refuse(f"{file} holds several policies: {names}. Choose one with --policy.")
    return found[0]


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(Exit.WRONG_CALL)


# ── facts ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _facts(found: "DrawView") -> dict[str, object]:
    return {
        "Policy": f"{found.policy}, version {found.policy_version}"
        + ("" if found.policy_in_force else " (no longer in force)"),
        "Drawn": f"{found.drawn_at:%Y-%m-%d %H:%M} UTC for cycle {found.cycle}, draw {found.draw} ({found.reason})",
        "Published": f"{found.published_at:%Y-%m-%d %H:%M} UTC" if found.published_at else "not yet",
        "Seed": found.seed,
        "Inputs": found.input_digest,
        "Algorithm": found.algorithm,
        "Pool": f"{found.figures.get('pool')} tracks",
    }


def _trial_facts(trial: "Trial") -> dict[str, object]:
    from spotify_pipelines.playlists.draw import ALGORITHM

    return {
        "Policy": trial.policy.name,
        "Would be": f"for cycle {trial.cycle.number}, draw {trial.number}",
        "Seed": trial.found.seed.hex(),
        "Inputs": trial.found.input_digest,
        "Algorithm": ALGORITHM,
        "Pool": f"{trial.found.figures.get('pool')} tracks",
    }


def _draw_json(found: "DrawView") -> dict[str, Any]:
    shown = (
        "cycle",
        "draw",
        "reason",
        "drawn_at",
        "published_at",
        "policy",
        "policy_version",
        "policy_in_force",
    )
    return {name: getattr(found, name) for name in (*shown, "seed", "input_digest", "algorithm")}


def _trial_json(trial: "Trial") -> dict[str, Any]:
    from spotify_pipelines.playlists.draw import ALGORITHM

    return {
        "cycle": trial.cycle.number,
        "draw": trial.number,
        "policy": trial.policy.name,
        "seed": trial.found.seed.hex(),
        "input_digest": trial.found.input_digest,
        "algorithm": ALGORITHM,
        "notes": trial.notes,
    }


def _echo_facts(label: str, facts: Mapping[str, object]) -> None:
    typer.echo(plain(label))
    for name, value in facts.items():
        typer.echo(f"{name + ':':<11}{plain(str(value))}")
    typer.echo()

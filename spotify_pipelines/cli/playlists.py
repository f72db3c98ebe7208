"""``playlists list | show``: the playlists that are kept, from the command line.

What belongs here: choosing one and what is printed. What does not: queries (``store.playlist_views``).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_pipelines.cli.output import Exit, plain, print_json, print_table
from spotify_pipelines.settings import load_settings

if TYPE_CHECKING:
    from spotify_pipelines.store.database import Database
    from spotify_pipelines.store.playlist_views import PlaylistView, SnapshotView

__all__ = ["register"]

_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    playlists = typer.Typer(help="The playlists that are kept on Spotify.", no_args_is_help=True)
    playlists.command("list")(list_)
    playlists.command()(show)
    app.add_typer(playlists, name="playlists")


def list_(
    retired: Annotated[bool, typer.Option("--retired", help="Retired playlists as well.")] = False,
    as_json: _Json = False,
) -> None:
    """Show all playlists: what they are called, whether Spotify holds their newest draw, and what is next.

    Example: spotify-pipelines playlists list --json
    """
    from spotify_pipelines.store.playlist_views import playlist_views

    with _open_database() as database, database.transaction() as session:
        views = playlist_views(session, retired=retired)
    if as_json:
        print_json({"playlists": [asdict(view) for view in views]})
        return
    if not views:
        typer.echo(
            "There are no playlists yet. Apply policies, then run the job 'scale_playlists_daily' or 'nightly'."
        )
        return
    print_table(
        (
            "Playlist",
            "Account",
            "Status",
            "On Spotify as",
            "Tracks",
            "Synced (UTC)",
            "Reshuffle (UTC)",
            "Trouble",
        ),
        [
            (
                view.label,
                view.account,
                _state(view),
                view.name,
                view.tracks,
                _time(view.synced_at),
                _time(view.next_reshuffle_at),
                view.trouble,
            )
            for view in views
        ],
    )


def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="policy@account, our id, Spotify's id, or its name there.")
    ],
    as_json: _Json = False,
) -> None:
    """Show one playlist: its tracks in order, why each is there, and the draw's figures.

    Example: spotify-pipelines playlists show fresh-finds@studio-1
    """
    from spotify_pipelines.store.playlist_views import newest_snapshot_view, playlist_views

    with _open_database() as database, database.transaction() as session:
        view = _choose(playlist_views(session, retired=True), name)
        snapshot = newest_snapshot_view(session, view.id)
    if as_json:
        print_json({"playlist": asdict(view), "snapshot": asdict(snapshot) if snapshot else None})
        return
    typer.echo(f"{view.label}: {_state(view)}" + (f", '{plain(view.name)}'" if view.name else ""))
    if view.trouble:
        typer.echo(f"Trouble: {plain(view.trouble)}")
    if snapshot is None:
        typer.echo("It was not drawn yet. The job 'build_playlist_snapshot' draws it.")
        return
    _print_snapshot(snapshot)


def _choose(views: Sequence["PlaylistView"], name: str) -> "PlaylistView":
    found = [view for view in views if name in (view.label, str(view.id), view.spotify_id)]
    found = found or [view for view in views if view.name == name]
    living = [view for view in found if view.status != "retired"] or found
    if len(living) == 1:
        return living[0]
    if not living:
        message = f"There is no playlist '{plain(name)}'. 'spotify-pipelines playlists list' shows all."
    else:
        labels = ", ".join(f"{view.label} (id {view.id})" for view in living)
        message = f"Several playlists are called '{plain(name)}': {labels}. Give one of these ids."
    typer.echo(message, err=True)
    raise typer.Exit(Exit.WRONG_CALL)


def _print_snapshot(snapshot: "SnapshotView") -> None:
    print_table(
        ("#", "Track", "Artists", "Why"),
        [
            (
                track.position + 1,
                track.name or track.track_id,
                ", ".join(track.artists),
                _why(track.why, track.relaxation),
            )
            for track in snapshot.tracks
        ],
    )
    figures = snapshot.figures
    typer.echo(f"Drawn {_time(snapshot.drawn_at)} UTC for cycle {snapshot.cycle} ({snapshot.reason})")
    typer.echo(
        f"{figures.get('tracks')} of {figures.get('size_asked')} tracks from {figures.get('pool')}, "
        f"{figures.get('artists')} artists, largest share {figures.get('largest_share', 0):.0%}, "
        f"smallest gap {_or_none(figures.get('smallest_gap'))} (bound {_or_none(figures.get('gap_bound'))}), "
        f"{figures.get('relaxed')} by a relaxed rule"
    )


def _state(view: "PlaylistView") -> str:
    if view.status != "active":
        return view.status
    return "as drawn" if view.in_sync else "due"


def _why(why: str, relaxation: dict[str, Any] | None) -> str:
    if relaxation is None:
        return why
    breaches = ", ".join(f"{each['rule']} by {each['amount']}" for each in relaxation.get("breaches", ()))
    return f"{why}: {breaches}"


def _or_none(value: object) -> object:
    return "none" if value is None else value


def _time(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else None


@contextmanager
def _open_database() -> Iterator["Database"]:
    from spotify_pipelines.store.database import Database

    database = Database.open(load_settings())
    try:
        yield database
    finally:
        database.close()

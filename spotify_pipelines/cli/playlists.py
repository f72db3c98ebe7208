"""``playlists list | show | plan``: the playlists that are kept, and what would be done to them.

What belongs here: choosing one and what is printed. What does not: queries (``store.playlist_views``), what people
decide about one playlist (``cli.playlist_control``).
"""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_pipelines.cli import playlist_control, playlist_draws
from spotify_pipelines.cli.opening import configured_database
from spotify_pipelines.cli.output import Exit, plain, print_json, print_table
from spotify_pipelines.cli.playlist_access import choose, in_session, utc_now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from spotify_pipelines.playlists.preview import Preview
    from spotify_pipelines.session import SpotifySession
    from spotify_pipelines.store.playlist_views import PlaylistView, SnapshotView

__all__ = ["register"]

_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    playlists = typer.Typer(help="The playlists that are kept on Spotify.", no_args_is_help=True)
    playlists.command("list")(list_)
    playlists.command()(show)
    playlists.command()(plan)
    playlist_control.register(playlists)
    playlist_draws.register(playlists)
    app.add_typer(playlists, name="playlists")


def list_(
    retired: Annotated[bool, typer.Option("--retired", help="Retired playlists as well.")] = False,
    as_json: _Json = False,
) -> None:
    """Show all playlists: what they are called, whether Spotify holds their newest draw, and what is next.

    Example: spotify-pipelines playlists list --json
    """
    from spotify_pipelines.store.playlist_views import playlist_views

    with configured_database() as database, database.transaction() as session:
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
            "Health",
            "Id",
            "Status",
            "On Spotify as",
            "Tracks",
            "Synced (UTC)",
            "Reshuffle (UTC)",
            "Changed by hand",
            "Trouble",
        ),
        [
            (
                view.label,
                view.account,
                view.account_health,
                view.id,
                _state(view),
                view.name,
                view.tracks,
                _time(view.synced_at),
                _time(view.next_reshuffle_at),
                f"{_time(view.drift_at)} {view.drift}" if view.drift else None,
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

    with configured_database() as database, database.transaction() as session:
        view = choose(playlist_views(session, retired=True), name)
        snapshot = newest_snapshot_view(session, view.id)
    if as_json:
        print_json({"playlist": asdict(view), "snapshot": asdict(snapshot) if snapshot else None})
        return
    typer.echo(
        f"{view.label} (id {view.id}, Spotify's {view.spotify_id or 'none yet'}): {_state(view)}"
        + (f", '{plain(view.name)}'" if view.name else "")
    )
    if view.drift:
        typer.echo(f"Changed by hand, found {_time(view.drift_at)} UTC: {plain(view.drift)}")
    if view.trouble:
        typer.echo(f"Trouble: {plain(view.trouble)}")
    if snapshot is None:
        typer.echo("It was not drawn yet. The job 'build_playlist_snapshot' draws it.")
        return
    _print_snapshot(snapshot)


def plan(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these playlists; then none is planned or retired."),
    ] = None,
    *,
    account: Annotated[
        str | None, typer.Option(help="Only playlists of this account.", metavar="NAME")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Only playlists of this policy.", metavar="NAME")] = None,
    tracks: Annotated[bool, typer.Option("--tracks", help="Each track that would come or go.")] = False,
    as_json: _Json = False,
) -> None:
    """Say what the nightly chain would do to playlists now, and what it costs. Nothing is written, nothing is sent.

    Example: spotify-pipelines playlists plan --account studio-1
    """
    from spotify_pipelines.playlists.preview import preview
    from spotify_pipelines.store.playlist_views import playlist_views, track_names

    async def ask(spotify: "SpotifySession") -> "tuple[Preview, dict[str, str]]":
        database = spotify.database
        with database.transaction() as session:
            views = playlist_views(session)
            chosen = [choose(views, name).id for name in names or ()]
            accounts = [_account_id(session, account)] if account is not None else []
        found = preview(
            database,
            spotify.client,
            now=utc_now,
            playlist_ids=chosen,
            account_ids=accounts,
            policy=policy,
        )
        ids = {id_ for each in found.playlists for id_ in (*each.tracks_in, *each.tracks_out)}
        with database.transaction() as session:
            return found, track_names(session, ids)

    found, titles = in_session(ask)
    if as_json:
        print_json(
            {
                "playlists": [
                    asdict(each)
                    | {
                        "tracks_in": [{"id": id_, "name": titles.get(id_)} for id_ in each.tracks_in],
                        "tracks_out": [{"id": id_, "name": titles.get(id_)} for id_ in each.tracks_out],
                    }
                    for each in found.playlists
                ],
                "unchanged": found.unchanged,
                "calls": found.calls,
                "budgets": [asdict(each) for each in found.budgets],
                "notes": found.notes,
            }
        )
        return
    _print_plan(found, titles, tracks=tracks)


def _print_plan(found: "Preview", titles: dict[str, str], *, tracks: bool) -> None:
    if found.playlists:
        print_table(
            ("Playlist", "Id", "Would", "Name", "Tracks", "In", "Out", "Calls", "Why"),
            [
                (
                    each.playlist,
                    each.id,
                    ", ".join(each.what),
                    each.name
                    if each.was in (None, each.name) or not each.name
                    else f"{each.was} → {each.name}",
                    each.tracks or None,
                    len(each.tracks_in) or None,
                    len(each.tracks_out) or None,
                    each.calls or None,
                    each.why,
                )
                for each in found.playlists
            ],
        )
    for each in found.playlists if tracks else ():
        typer.echo(f"\n{each.playlist}")
        for sign, ids in (("+", each.tracks_in), ("-", each.tracks_out)):
            for id_ in ids:
                typer.echo(f"  {sign} {plain(titles.get(id_, id_))}")
    typer.echo(
        f"{len(found.playlists)} to do, {found.unchanged} stay as they are; {found.calls} calls to Spotify"
    )
    for budget in found.budgets:
        verdict = "enough" if budget.allows_all else "not enough: what goes beyond it waits for midnight UTC"
        typer.echo(
            f"Budget of {plain(budget.app)}: {budget.left} of {budget.calls_per_day} calls left, {verdict}"
        )
    for note in found.notes:
        typer.echo(plain(note))


def _account_id(session: "Session", name: str) -> int:
    from spotify_pipelines.store.playlists import accounts

    known = accounts(session)
    for account in known:
        if name in (account.name, str(account.id)):
            return account.id
    listed = ", ".join(account.name for account in known) or "none yet"
    typer.echo(f"There is no account '{plain(name)}'. There are: {listed}.", err=True)
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
    typer.echo(
        f"Snapshot {snapshot.id}, {snapshot.origin} {_time(snapshot.drawn_at)} UTC for cycle {snapshot.cycle} "
        f"({plain(snapshot.reason)})"
    )
    if snapshot.origin != "drawn":
        return
    typer.echo(
        f"{figures.get('tracks')} of {figures.get('size_asked')} tracks from {figures.get('pool')}, "
        f"{figures.get('artists')} artists, largest share {figures.get('largest_share', 0):.0%}, "
        f"smallest gap {_or_none(figures.get('smallest_gap'))} (bound {_or_none(figures.get('gap_bound'))}), "
        f"{figures.get('relaxed')} by a relaxed rule"
    )


def _state(view: "PlaylistView") -> str:
    if view.status == "retired":
        return view.status
    if view.held_back:
        return view.held_back
    if view.status != "active":
        return view.status
    if view.edit_kept:
        return "as its owner left it, until the next draw"
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

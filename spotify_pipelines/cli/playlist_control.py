"""``playlists history | diff | rollback | lock | unlock | pause | resume | retire``: one playlist, by hand.

What belongs here: asking before anything is overwritten or taken away, and what is printed. What does not: what a
decision means (``playlists.control``), versions (``playlists.versions``).
"""

import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_pipelines.cli.opening import configured_database
from spotify_pipelines.cli.output import Exit, plain, print_json, print_table
from spotify_pipelines.cli.playlist_access import choose, in_session, utc_now

if TYPE_CHECKING:
    from spotify_pipelines.playlists.control import Control
    from spotify_pipelines.report import Report
    from spotify_pipelines.session import SpotifySession
    from spotify_pipelines.store.database import Database

__all__ = ["register"]

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="policy@account, our id, Spotify's id, or its name there.")
]
_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
_Reason = Annotated[str | None, typer.Option(help="Why; stands in the history.", metavar="TEXT")]
_Sync = Annotated[
    bool, typer.Option("--sync/--no-sync", help="Write it to Spotify at once, or leave it to the next run.")
]


def register(playlists: typer.Typer) -> None:
    """Add this module's commands to the group ``playlists``."""
    for command in (history, diff, rollback, lock, unlock, pause, resume, retire):
        playlists.command()(command)


def history(
    name: _Name,
    limit: Annotated[int, typer.Option(help="At most so many entries.", min=1)] = 50,
    as_json: _Json = False,
) -> None:
    """Show what happened to a playlist, newest first, and which of its versions can be brought back.

    Example: spotify-pipelines playlists history fresh-finds@studio-1
    """
    from spotify_pipelines.store import versions

    with configured_database() as database:
        playlist_id, label = _find(database, name)
        with database.transaction() as session:
            entries = versions.history(session, playlist_id, limit=limit)
            snapshots = versions.snapshots(session, playlist_id)[:limit]
    if as_json:
        print_json(
            {
                "playlist": label,
                "history": [asdict(entry) for entry in entries],
                "snapshots": [asdict(snapshot) for snapshot in snapshots],
            }
        )
        return
    print_table(
        ("Version", "At (UTC)", "What", "Why", "Before", "After", "Calls", "Run"),
        [
            (
                f"e{entry.id}" if entry.after and "items" in entry.after else None,
                f"{entry.at:%Y-%m-%d %H:%M}",
                entry.action,
                entry.reason,
                _told(entry.before),
                _told(entry.after),
                entry.calls or None,
                entry.run_id,
            )
            for entry in entries
        ],
    )
    typer.echo()
    print_table(
        ("Version", "Made (UTC)", "How", "Why", "Cycle", "Tracks", "Written (UTC)"),
        [
            (
                each.id,
                f"{each.created_at:%Y-%m-%d %H:%M}",
                each.origin,
                each.reason,
                each.cycle,
                each.figures.get("tracks"),
                f"{each.published_at:%Y-%m-%d %H:%M}" if each.published_at else None,
            )
            for each in snapshots
        ],
    )


def diff(
    name: _Name,
    a: Annotated[str, typer.Argument(metavar="A", help="A version: 57, e812, now or next.")] = "now",
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")] = "next",
    as_json: _Json = False,
) -> None:
    """Show what differs between two versions of a playlist: from A to B, by default from now to next.

    Example: spotify-pipelines playlists diff fresh-finds@studio-1 57 now
    """
    from spotify_pipelines.playlists.uris import id_of
    from spotify_pipelines.playlists.versions import NoVersion, difference, version
    from spotify_pipelines.store.playlist_views import track_names
    from spotify_pipelines.store.versions import lock_playlist

    with configured_database() as database:
        playlist_id, label = _find(database, name)
        with database.transaction() as session:
            playlist = lock_playlist(session, playlist_id)
            try:
                one, other = (version(session, playlist, each, utc_now()) for each in (a, b))
            except NoVersion as missing:
                typer.echo(plain(str(missing)), err=True)
                raise typer.Exit(Exit.WRONG_CALL) from None
            found = difference(one.uris, other.uris)
            titles = track_names(session, [id_of(uri) for uri in (*found.added, *found.removed)])
    words = {
        field: [getattr(one, field), getattr(other, field)]
        for field in ("title", "description")
        if getattr(one, field) != getattr(other, field)
    }
    if as_json:
        listed = {
            key: [{"uri": uri, "name": titles.get(id_of(uri))} for uri in uris]
            for key, uris in (("added", found.added), ("removed", found.removed))
        }
        print_json(
            {"playlist": label, "from": one.name, "to": other.name, "words": words, **listed}
            | {"moved": found.moved, "same": found.same}
        )
        return
    typer.echo(f"From {one.name}, {plain(one.what)}\n  to {other.name}, {plain(other.what)}")
    for field, (before, after) in words.items():
        typer.echo(f"{field}: '{plain(before)}' → '{plain(after)}'")
    for sign, uris in (("-", found.removed), ("+", found.added)):
        for uri in uris:
            typer.echo(f"  {sign} {plain(titles.get(id_of(uri)) or uri)}")
    typer.echo(
        f"{len(found.added)} come, {len(found.removed)} go, {found.moved} move, {found.same} stay where they are"
    )


def rollback(
    name: _Name,
    to: Annotated[
        str | None, typer.Option(help="Which version; else the one before the last write.", metavar="VERSION")
    ] = None,
    *,
    sync: _Sync = True,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Bring back an old version: tracks, name and description, until the playlist's next cycle.

    What is there now becomes a version itself, so that this can be undone in the same way.

    Example: spotify-pipelines playlists rollback fresh-finds@studio-1 --to 57
    """
    _decide(
        name,
        lambda control, playlist_id: control.roll_back(playlist_id, to),
        ask=None
        if yes
        else f"Replace what '{plain(name)}' holds by version {to or 'before the last write'}?",
        sync=sync,
        as_json=as_json,
    )


def lock(name: _Name, reason: _Reason = None, as_json: _Json = False) -> None:
    """Leave a playlist as it is: neither drawn anew nor written, until it is unlocked."""
    _decide(name, lambda control, playlist_id: control.lock(playlist_id, reason), as_json=as_json)


def unlock(name: _Name, as_json: _Json = False) -> None:
    """Draw and write a locked playlist again when that is due."""
    _decide(name, lambda control, playlist_id: control.unlock(playlist_id), as_json=as_json)


def pause(name: _Name, reason: _Reason = None, as_json: _Json = False) -> None:
    """Write nothing to a playlist until it is resumed; it is still drawn anew when due."""
    _decide(name, lambda control, playlist_id: control.pause(playlist_id, reason), as_json=as_json)


def resume(
    name: _Name,
    *,
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Take what Spotify holds for what it should be, until the next cycle."),
    ] = False,
    as_json: _Json = False,
) -> None:
    """Write a paused playlist again, or keep a retired one again; the next run does it."""
    _decide(name, lambda control, playlist_id: control.resume(playlist_id, adopt=adopt), as_json=as_json)


def retire(
    name: _Name,
    *,
    unfollow: Annotated[
        bool | None,
        typer.Option(
            "--unfollow/--keep", help="Take it out of the library, or not; else as its policy says."
        ),
    ] = None,
    sync: _Sync = True,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Keep a playlist no more; its place stays empty until it is resumed."""
    _decide(
        name,
        lambda control, playlist_id: control.retire(playlist_id, unfollow=unfollow),
        ask=None if yes else f"Retire '{plain(name)}'?",
        sync=sync,
        as_json=as_json,
    )


def _decide(
    name: str,
    decision: "Callable[[Control, int], Report]",
    *,
    ask: str | None = None,
    sync: bool = False,
    as_json: bool = False,
) -> None:
    """Carry a decision out, and where asked for, write to Spotify what follows from it."""
    from spotify_pipelines.playlists.control import Control

    run_id = f"cli-{uuid.uuid4()}"
    with configured_database() as database:
        playlist_id, label = _find(database, name)
        if ask is not None and not typer.confirm(ask, err=True):
            typer.echo("Nothing was done.", err=True)
            raise typer.Exit(Exit.NOTHING_DONE)
        report = decision(Control(database, run_id, utc_now), playlist_id)
    what = str(report.rows[0]["what"])
    synced = _sync(playlist_id, run_id) if sync and report.changed else None
    if as_json:
        print_json(
            {"playlist": label, "id": playlist_id, "what": what, "changed": bool(report.changed)}
            | {"notes": report.notes}
            | ({"sync": _synced(synced)} if synced is not None else {})
        )
    else:
        typer.echo(f"{label}: {plain(what)}")
        for note in report.notes:
            typer.echo(plain(note))
        if synced is not None:
            typer.echo(synced.sentence())
            for each in synced.failed:
                typer.echo(plain(each.reason), err=True)
    if synced is not None and (synced.failed or synced.deferred):
        raise typer.Exit(Exit.PARTLY)


def _sync(playlist_id: int, run_id: str) -> "Report":
    from spotify_pipelines.playlists.sync import sync_playlists
    from spotify_pipelines.playlists.unfollow import unfollow_retired

    async def work(spotify: "SpotifySession") -> "Report":
        report = await sync_playlists(
            spotify.database,
            spotify.client,
            spotify.calls,
            run_id=run_id,
            now=utc_now,
            playlist_ids=[playlist_id],
        )
        report.absorb(
            await unfollow_retired(
                spotify.database,
                spotify.client,
                spotify.calls,
                run_id=run_id,
                now=utc_now,
                playlist_ids=[playlist_id],
            )
        )
        return report

    return in_session(work)


def _synced(report: "Report") -> dict[str, object]:
    return {
        "changed": report.changed,
        "calls": report.calls,
        "failed": [each.reason for each in report.failed],
        "deferred": [asdict(each) for each in report.deferred],
        "notes": report.notes,
    }


def _find(database: "Database", name: str) -> tuple[int, str]:
    from spotify_pipelines.store.playlist_views import playlist_views

    with database.transaction() as session:
        view = choose(playlist_views(session, retired=True), name)
    return view.id, view.label


def _told(values: dict[str, object] | None) -> str | None:
    """What a row of history holds, short enough for a table."""
    if not values:
        return None
    hidden = {"items_hash", "snapshot_id", "public", "items"}
    parts = [f"{key} {value}" for key, value in values.items() if key not in hidden and value is not None]
    items = values.get("items")
    if isinstance(items, list):
        parts.append(f"{len(items)} items")
    return ", ".join(parts)

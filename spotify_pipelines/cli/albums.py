"""``albums add | list | retry | tag | untag``: the queue of album URLs from the command line.

What belongs here: where the texts come from, and what is printed. What does not: what an album reference looks
like (``catalogue.urls``), the queue (``store.queue``), what tags do (``playlists.eligibility``).
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from spotify_pipelines.catalogue.urls import (
    LONGEST_REFERENCE,
    AlbumLines,
    AlbumUrlError,
    RefusedLine,
    parse_album_lines,
    parse_album_url,
)
from spotify_pipelines.cli.opening import configured_database
from spotify_pipelines.cli.output import Exit, console, plain, print_json, print_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


__all__ = ["register"]

_ARGUMENT = "argument"
_Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def _tag_name(text: str) -> str:
    from spotify_pipelines.playlists.references import LONGEST_SLUG, is_slug

    if not is_slug(text):
        raise typer.BadParameter(
            f"{plain(text[:80])!r} is no tag: it is spelled with small letters, digits and single dashes between "
            f"them, at most {LONGEST_SLUG} signs."
        )
    return text


_Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE|URL…|-",
        help="Album URLs, URIs or ids; files with one of them a line; '-' reads standard input.",
        show_default=False,
    ),
]
_TagName = Annotated[
    str, typer.Argument(metavar="TAG", help="A word of yours, by which policies choose.", parser=_tag_name)
]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""
    albums = typer.Typer(help="The queue of albums that are to be read from Spotify.", no_args_is_help=True)
    for command in (add, retry, tag, untag):
        albums.command()(command)
    albums.command("list")(list_)
    app.add_typer(albums, name="albums")


def add(
    sources: _Sources,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag", help="Tag all of them, also those known already; may be repeated.", parser=_tag_name
        ),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Queue albums, in any shape that Spotify gives their addresses; nothing is fetched yet.

    What is no album is refused with its line and the reason, and the rest is taken. Exit code 0: all taken;
    1: some refused; 2: nothing that could be taken.

    Example: spotify-pipelines albums add albums.txt https://open.spotify.com/album/4aawyAB9vmqN3uQ7FjRGTy
    """
    from spotify_pipelines.store import queue
    from spotify_pipelines.store import tags as tagging

    read = [_read(number, source) for number, source in enumerate(sources, start=1)]
    gathered = _Gathered.of(read)
    if gathered.albums:
        with configured_database() as database, database.transaction() as session:
            counts = queue.enqueue(
                session, [(url, album) for album, url in gathered.albums.items()], now=datetime.now(UTC)
            )
            gathered.added, gathered.known = counts.added, counts.known
            if tags:
                tagging.tag(session, gathered.albums, tags)
    if as_json:
        print_json(gathered.as_json())
    else:
        _complain(gathered)
        typer.echo(gathered.sentence())
    if not gathered.albums:
        raise typer.Exit(Exit.WRONG_CALL)
    if gathered.refused_count:
        raise typer.Exit(Exit.PARTLY)


def list_(
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what was held back: failed and dead.")
    ] = False,
    limit: Annotated[int, typer.Option(help="At most so many rows.", min=1, max=1_000_000)] = 50,
    as_json: _Json = False,
) -> None:
    """Show the queue: what failed first, then what waits, then what was read.

    Example: spotify-pipelines albums list --failed --json
    """
    from spotify_pipelines.store import queue

    with configured_database() as database, database.transaction() as session:
        counts = queue.status_counts(session)
        rows = queue.listing(session, statuses=("failed", "dead") if failed else None, limit=limit)
    if as_json:
        print_json({"counts": counts, "albums": [asdict(row) for row in rows]})
        return
    if not counts:
        typer.echo("The queue is empty. 'spotify-pipelines albums add URL' puts an album into it.")
        return
    if rows:
        print_table(
            ("Album", "Status", "Tries", "Next try (UTC)", "What is wrong", "Tags", "As given"),
            [
                (
                    row.album_id,
                    row.status,
                    row.attempts,
                    f"{row.next_attempt_at:%Y-%m-%d %H:%M}" if row.status in ("queued", "failed") else None,
                    row.error,
                    ", ".join(row.tags),
                    row.url,
                )
                for row in rows
            ],
        )
    shown = sum(counts.get(status, 0) for status in (("failed", "dead") if failed else counts))
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    more = f" (the first {len(rows)} are shown)" if shown > len(rows) else ""
    typer.echo(f"{summary}{more}", err=True)


def retry(
    album_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID…", help="Albums to try again.", show_default=False)
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that failed, dead letters included.")] = False,
    as_json: _Json = False,
) -> None:
    """Queue albums anew that failed or were given up. Exit code 1: some of the named ones are not among them.

    Example: spotify-pipelines albums retry 4aawyAB9vmqN3uQ7FjRGTy
    """
    from spotify_pipelines.store import queue

    if bool(album_ids) == all_:
        raise typer.BadParameter("Name the albums to try again, or give --all (not both).")
    wanted = None if all_ else [_album_id(text) for text in album_ids or ()]
    with configured_database() as database, database.transaction() as session:
        queued = queue.retry(session, wanted, now=datetime.now(UTC))
    others = [album for album in dict.fromkeys(wanted or ()) if album not in set(queued)]
    if as_json:
        print_json({"queued": queued, "not_failed": others})
    else:
        for album in others:
            typer.echo(f"{album}: not among the failed albums; 'albums list --failed' shows them.", err=True)
        typer.echo(f"{len(queued)} albums are queued again.")
    if others:
        raise typer.Exit(Exit.PARTLY)


def tag(name: _TagName, sources: _Sources, as_json: _Json = False) -> None:
    """Tag albums of the queue, read or not: policies take and weigh their tracks by it from the next draw on.

    Exit code 1: some were refused, or the queue does not know them.

    Example: spotify-pipelines albums tag calm albums.txt
    """
    from spotify_pipelines.store import tags

    _change_tags(name, sources, tags.tag, done="tagged", as_json=as_json)


def untag(name: _TagName, sources: _Sources, as_json: _Json = False) -> None:
    """Take a tag from albums. Exit code 1: some were refused, or the queue does not know them.

    Example: spotify-pipelines albums untag calm https://open.spotify.com/album/4aawyAB9vmqN3uQ7FjRGTy
    """
    from spotify_pipelines.store import tags

    _change_tags(name, sources, tags.untag, done="untagged", as_json=as_json)


def _change_tags(
    name: str,
    sources: list[str],
    change: "Callable[[Session, Collection[str], Collection[str]], int]",
    *,
    done: str,
    as_json: bool,
) -> None:
    from spotify_pipelines.store import tags

    gathered = _Gathered.of([_read(number, source) for number, source in enumerate(sources, start=1)])
    changed, strangers = 0, list[str]()
    if gathered.albums:
        with configured_database() as database, database.transaction() as session:
            changed = change(session, gathered.albums, [name])
            strangers = tags.unknown(session, gathered.albums)
    if as_json:
        print_json(
            {"tag": name, done: changed, "not_in_queue": strangers, "refused": gathered.refused_json()}
        )
    else:
        _complain(gathered)
        for album in strangers:
            typer.echo(f"{album}: not in the queue; 'albums add --tag {name}' queues and tags it.", err=True)
        typer.echo(f"{changed} albums {done}.")
    if not gathered.albums:
        raise typer.Exit(Exit.WRONG_CALL)
    if strangers or gathered.refused_count:
        raise typer.Exit(Exit.PARTLY)


@dataclass(slots=True)
class _Gathered:
    """What all sources hold together: album id → text as given."""

    albums: dict[str, str] = field(default_factory=dict)
    sources: list[AlbumLines] = field(default_factory=list)
    repeated_count: int = 0
    added: int = 0
    known: int = 0

    @classmethod
    def of(cls, sources: list[AlbumLines]) -> "_Gathered":
        gathered = cls(sources=sources)
        for source in sources:
            gathered.repeated_count += source.repeated_count
            for line in source.accepted:
                if line.album_id in gathered.albums:
                    gathered.repeated_count += 1
                gathered.albums.setdefault(line.album_id, line.url)
        return gathered

    @property
    def refused_count(self) -> int:
        return sum(source.refused_count for source in self.sources)

    def sentence(self) -> str:
        parts = [f"{self.added} albums queued", f"{self.known} known already"]
        if self.repeated_count:
            parts.append(f"{self.repeated_count} given more than once")
        if self.refused_count:
            parts.append(f"{self.refused_count} refused")
        return f"{', '.join(parts)}."

    def as_json(self) -> dict[str, object]:
        return {
            "added": self.added,
            "known": self.known,
            "repeated": self.repeated_count,
            "refused_count": self.refused_count,
            "refused": self.refused_json(),
        }

    def refused_json(self) -> list[dict[str, object]]:
        return [
            {"source": source.source, **asdict(line)} for source in self.sources for line in source.refused
        ]


def _complain(gathered: _Gathered) -> None:
    """Every refused and repeated line on stderr, with where it stands."""
    err = console(err=True)
    for source in gathered.sources:
        for refused in source.refused:
            place = _place(source, refused.line)
            err.print(f"{place}: {refused.text!r} is not taken: {refused.reason}.")
        if unseen := source.refused_count - len(source.refused):
            err.print(f"{source.source}: {unseen} more lines are not taken.")
        for repeated in source.repeated:
            err.print(f"{_place(source, repeated.line)}: the same album as in line {repeated.first_line}.")
        if unseen := source.repeated_count - len(source.repeated):
            err.print(f"{source.source}: {unseen} more lines name an album again.")


def _place(source: AlbumLines, line: int) -> str:
    return source.source if source.source.startswith(_ARGUMENT) else f"{source.source}, line {line}"


def _read(number: int, source: str) -> AlbumLines:
    """The albums in one argument: standard input, a file, or a reference itself."""
    if source == "-":
        stdin = typer.get_text_stream("stdin", encoding="utf-8", errors="replace")
        return parse_album_lines(_bounded_lines(stdin), "standard input")
    lines = parse_album_lines([source], f"{_ARGUMENT} {number}")
    if lines.accepted:
        return lines
    path = Path(source)
    try:
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                return parse_album_lines(_bounded_lines(file), source)
    except (OSError, ValueError) as error:  # not ours to read, a name that is too long, or with a NUL sign
        return _refused(lines, source, f"it can't be read as a file ({error})")
    if path.suffix and "/" not in path.suffix and "://" not in source:
        return _refused(lines, source, "there is no such file, and it is no album either")
    return lines


def _refused(lines: AlbumLines, text: str, reason: str) -> AlbumLines:
    return AlbumLines(lines.source, refused=[RefusedLine(1, plain(text[:80]), reason)], refused_count=1)


def _bounded_lines(file: TextIO) -> Iterator[str]:
    """The file's lines, each cut off where it is too long for any reference: a line may be a gigabyte long."""
    while line := file.readline(LONGEST_REFERENCE * 2):
        complete = line
        while complete and not complete.endswith("\n"):
            complete = file.readline(LONGEST_REFERENCE * 2)
        yield line


def _album_id(text: str) -> str:
    try:
        return parse_album_url(text)
    except AlbumUrlError as error:
        raise typer.BadParameter(f"{plain(text[:80])!r} is no album: {error}.") from None

"""What all commands share: where results and complaints go, tables, JSON, and exit codes.

What belongs here: rendering, and refusing names that can't be rendered. What does not: what a command has to say.
Results go to stdout, everything else to stderr, so that a pipe gets results alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Exit", "checked_name", "console", "minute", "plain", "print_json", "print_table"]

_JSON_VERSION = 1
_WIDTH_WITHOUT_TERMINAL = 200
_LONGEST_NAME = 100


class Exit(IntEnum):
    """How a command ends."""

    DONE = 0
    PARTLY = 1
    WRONG_CALL = 2
    NOTHING_DONE = 3


def console(*, err: bool = False) -> Console:
    """A console on stdout, or stderr; wide and without colours where no terminal is there to wrap lines."""
    found = Console(stderr=err, highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found.width = _WIDTH_WITHOUT_TERMINAL
    return found


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> None:
    """A table on stdout. Cells may hold anything that came from outside: it is shown as it is, defused."""
    table = Table(*columns, title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text("" if cell is None else plain(str(cell)), overflow="fold") for cell in row))
    console().print(table)


def print_json(data: Mapping[str, Any]) -> None:
    """``data`` on stdout as one JSON document, marked with the version of its form."""
    typer.echo(json.dumps({"version": _JSON_VERSION, **data}, ensure_ascii=False, indent=2, default=_as_text))


def plain(text: str) -> str:
    """``text`` on one line and without signs that steer a terminal."""
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "�" for sign in text)


def checked_name(text: str | None) -> str | None:
    """``text``, if it can be stored and shown as a name; a callback for typer.

    Raises:
        typer.BadParameter: it can't.
    """
    if text is not None and not (text.strip() and text.isprintable() and len(text) <= _LONGEST_NAME):
        raise typer.BadParameter(
            f"a name has 1 to {_LONGEST_NAME} printable signs, and {plain(text[:40])!r} is none."
        )
    return text


def minute(time: datetime | None) -> str | None:
    """A time to the minute, as tables show it."""
    return f"{time:%Y-%m-%d %H:%M}" if time else None


def _as_text(value: object) -> str:
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat else str(value)

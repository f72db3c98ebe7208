"""``calls``: what was asked of Spotify, beside the fewest calls that could have done the work.

What belongs here: which days, and what is printed. What does not: counting (the client), minima (each use case
states its own, ``docs/calls.md``), sums (``store.calls``).
"""

from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_pipelines.cli.opening import configured_database
from spotify_pipelines.cli.output import print_json, print_table
from spotify_pipelines.store.calls import CallTotal, GroupBy

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["register"]

_NAMELESS = {GroupBy.ACCOUNT: "(the apps' own)", GroupBy.APP: "(removed)"}


def register(app: typer.Typer) -> None:
    """Add this module's command to the root app."""
    app.command("calls")(calls)


def calls(
    days: Annotated[int, typer.Option(help="So many days (UTC), today included.", min=1, max=3650)] = 7,
    by: Annotated[GroupBy, typer.Option(help="What to sum up by.")] = GroupBy.DAY,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Show the calls to Spotify beside the fewest that could have done it, 429s, and the time spent waiting.

    Every attempt counts. The token endpoint and ReccoBeats have limits of their own: they are shown by endpoint
    and never part of the sum.

    Example: spotify-pipelines calls --days 30 --by account
    """
    from spotify_pipelines.store.calls import midnight, totals

    since = midnight(datetime.now(UTC), days=1 - days)
    with configured_database() as database, database.transaction() as session:
        found = totals(session, by, since=since)
        whole = _sum(totals(session, GroupBy.DAY, since=since))
    if as_json:
        rows = [_as_json(total) for total in found]
        print_json({"by": by, "since": since, "rows": rows, "total": _as_json(whole)})
        return
    if not found:
        typer.echo(f"No calls since {since:%Y-%m-%d} (UTC).")
        return
    print_table(
        (by.capitalize(), "Calls", "Minimum", "Ratio", "429s", "Failed", "Waited (s)", "In flight (s)"),
        [_row(total, _NAMELESS.get(by, "")) for total in found] + [_row(whole, "all of the Web API")],
    )


def _sum(parts: "Sequence[CallTotal]") -> CallTotal:
    figures = [field.name for field in fields(CallTotal)][1:]
    return CallTotal(None, **{name: sum(getattr(part, name) for part in parts) for name in figures})


def _as_json(total: CallTotal) -> dict[str, Any]:
    return {**asdict(total), "ratio": total.ratio}


def _row(total: CallTotal, nameless: str) -> tuple[object, ...]:
    return (
        total.name or nameless,
        total.calls,
        total.minimum,
        f"{total.ratio:.2f}" if total.ratio is not None else None,
        total.limited,
        total.failed,
        f"{total.waited_seconds:.1f}",
        f"{total.call_seconds:.1f}",
    )

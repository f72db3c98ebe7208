"""``metrics``: how the installation stands and how it went, from the hourly snapshots.

What belongs here: which figures and days, and what is printed. What does not: counting (``store.metrics``), what
figures are called (``observability.metrics``), Prometheus' format (``observability.prometheus``).
"""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_pipelines.cli.opening import open_database
from spotify_pipelines.cli.output import Exit, console, plain, print_json, print_table
from spotify_pipelines.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spotify_pipelines.observability.trends import Moment

__all__ = ["register"]

_BLOCKS = 48


def register(app: typer.Typer) -> None:
    """Add this module's command to the root app."""
    app.command("metrics")(metrics)


def metrics(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Only these figures, in full or their beginnings.", metavar="NAME"),
    ] = None,
    days: Annotated[int, typer.Option(help="So many days back.", min=1, max=3650)] = 7,
    everything: Annotated[bool, typer.Option("--all", help="All figures, not just the headlines.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable output, with all figures.")
    ] = False,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="The newest figures in Prometheus' text format.")
    ] = False,
) -> None:
    """Show the figures that are captured every hour: how they stand, and their way there.

    Example: spotify-pipelines metrics --days 30 calls queue
    """
    from spotify_pipelines.observability.scrape import prometheus_text
    from spotify_pipelines.store.metrics import metrics_since

    settings, now = load_settings(), datetime.now(UTC)
    since = now - timedelta(days=days)
    with closing(open_database(settings)) as database:
        if prometheus:
            typer.echo(prometheus_text(database, settings.world, now), nl=False)
            return
        with database.transaction() as session:
            moments = metrics_since(session, since)
    chosen = _chosen(moments, names or [], everything=everything or as_json)
    if as_json:
        shown = [
            {"captured_at": at, "metrics": {name: figures[name] for name in chosen if name in figures}}
            for at, figures in moments
        ]
        print_json({"since": since, "snapshots": shown})
    elif not moments:
        typer.echo(
            f"No snapshot since {since:%Y-%m-%d %H:%M} (UTC). The job metrics_snapshot captures one an hour."
        )
    else:
        _print_trends(moments, chosen)
    if moments and not chosen:
        console(err=True).print(f"No figure begins with {', '.join(plain(name) for name in names or [])}.")
        raise typer.Exit(Exit.WRONG_CALL)


def _chosen(moments: "Sequence[Moment]", names: "Sequence[str]", *, everything: bool) -> list[str]:
    from spotify_pipelines.observability.trends import HEADLINES

    known = sorted({name for _, figures in moments for name in figures})
    if names:
        return [name for name in known if name.startswith(tuple(names))]
    return known if everything else [name for name in HEADLINES if name in known]


def _print_trends(moments: "Sequence[Moment]", names: "Sequence[str]") -> None:
    from spotify_pipelines.observability.trends import series, sparkline, thinned

    rows = []
    for name in names:
        values = series(moments, name)
        known = [value for value in values if value is not None]
        line = sparkline(series(thinned(moments, _BLOCKS), name))
        rows.append((name, _number(values[-1]), _number(min(known)), _number(max(known)), line))
    first, last = moments[0][0], moments[-1][0]
    print_table(
        ("Figure", "Now", "Lowest", "Highest", "Trend"),
        rows,
        title=f"{len(moments)} snapshots, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} (UTC)",
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"

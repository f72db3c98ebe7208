"""What every asset body shares: a report becomes a result, work can be interrupted, a dry run stays dry.

What belongs here: the translation between use cases and Dagster. What does not: what one asset alone needs.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from sqlalchemy import ColumnElement

from spotify_pipelines.defs.assets.declaration import EVERY_ITEM, Results
from spotify_pipelines.defs.column_lineage import column_lineage
from spotify_pipelines.defs.resources import PostgresResource, SpotifyResource
from spotify_pipelines.report import Deferral, Report
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.queries import count_rows
from spotify_pipelines.store.tables import Base

if TYPE_CHECKING:
    from spotify_pipelines.session import SpotifySession

__all__ = ["Rows", "on_postgres", "on_spotify", "progress_lines", "utc_now"]

T = TypeVar("T")
_WORST = 20
_LONGEST_TEXT = 200
"""An event is read as a whole, whatever Spotify or a person called a thing."""
_SECONDS_BETWEEN_LINES = 60.0


@dataclass(frozen=True, slots=True)
class Rows:
    """Whose number is an asset's row count: a table's rows for which all ``conditions`` hold."""

    model: type[Base]
    conditions: tuple[ColumnElement[bool], ...] = ()


def utc_now() -> datetime:
    """The clock that use cases are given."""
    return datetime.now(UTC)


def on_spotify(
    context: dg.AssetExecutionContext,
    spotify: SpotifyResource,
    work: Callable[["SpotifySession"], Awaitable[Report]],
    *,
    rows: Rows,
    dry_run: bool = False,
    more: Callable[[Database], Mapping[str, Any]] | None = None,
    alone: bool = False,
) -> Results:
    """Open a session, do the ``work`` in an event loop of its own, and yield what its report says.

    ``more`` reads further metadata. ``alone``: for work that is not claimed item by item; of two runs one puts it
    off, or they would do it twice.

    Raises:
        dagster.Failure: a dry run was asked of one asset among several, or the check without the asset.
        dagster.DagsterExecutionInterruptedError: the run was cancelled; the work has cleaned up.
    """
    _refuse_odd_selections(context, dry_run=dry_run)

    async def in_session() -> tuple[Report, int, Mapping[str, Any]]:
        async with spotify.open(context.run_id) as session:
            report = await (_alone(context, session, work) if alone and not dry_run else work(session))
            metadata = more(session.database) if more is not None and not dry_run else {}
            return report, session.count(rows.model, *rows.conditions), metadata

    report, row_count, metadata = asyncio.run(_interruptible(in_session()))
    yield from _published(context, report, row_count, dry_run=dry_run, more=metadata)


def on_postgres(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    work: Callable[[Database], Report],
    *,
    rows: Rows,
    dry_run: bool = False,
    more: Callable[[Database], Mapping[str, Any]] | None = None,
) -> Results:
    """Open the database, do the ``work``, and yield what its report says; ``more`` reads further metadata.

    Raises:
        dagster.Failure: a dry run was asked of one asset among several, or the check without the asset.
    """
    _refuse_odd_selections(context, dry_run=dry_run)
    with postgres.open() as database:
        report = work(database)
        row_count = count_rows(database, rows.model, *rows.conditions)
        metadata = more(database) if more is not None and not dry_run else {}
    yield from _published(context, report, row_count, dry_run=dry_run, more=metadata)


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``; cancelling the run cancels it, awaits its cleaning up, and ends the run as cancelled.

    Dagster's own handler would raise in the middle of the event loop, after which nothing can be awaited.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    previous = signal.getsignal(signal.SIGINT)
    try:
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    except (RuntimeError, ValueError):  # not in the main thread: signals don't arrive here anyway
        return await task
    try:
        return await task
    except asyncio.CancelledError:
        raise dg.DagsterExecutionInterruptedError from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, previous)


async def _alone(
    context: dg.AssetExecutionContext,
    session: "SpotifySession",
    work: Callable[["SpotifySession"], Awaitable[Report]],
) -> Report:
    """What the ``work`` reports, or that another run is at it."""
    from spotify_pipelines.playlists.account_lease import TTL, hold_lease

    asset = context.asset_key.to_user_string()
    async with hold_lease(session.database, f"asset {asset}", context.run_id) as lease:
        if lease is not None:
            return await work(session)
    reason = "another run is at it, and does all that is due"
    return Report("runs", requested=1, deferred=[Deferral(asset, utc_now() + TTL, reason)])


def progress_lines(context: dg.AssetExecutionContext, what: str) -> Callable[..., None]:
    """A progress callback ``(done, total)`` that writes at most one line a minute into the run's log.

    A line is a row in the event log, so it is not written for each item.
    """
    last = time.monotonic()

    def report(done: int, total: int, **more: object) -> None:
        nonlocal last
        if time.monotonic() - last < _SECONDS_BETWEEN_LINES:
            return
        last = time.monotonic()
        details = "".join(f", {value} {name}" for name, value in more.items() if value)
        context.log.info(f"{done} of {total} {what}{details}")

    return report


def _refuse_odd_selections(context: dg.AssetExecutionContext, *, dry_run: bool) -> None:
    """A check without its asset has nothing to report on; a dry run among others would mislead them."""
    name = context.asset_key.to_user_string()
    if not context.selected_asset_keys:
        raise dg.Failure(
            f"The check of {name} reports on the asset's own run. Materialize {name} instead.",
            allow_retries=False,
        )
    selected = context.run.asset_selection or context.job_def.asset_layer.executable_asset_keys
    if dry_run and len(list(selected)) > 1:
        raise dg.Failure(
            f"dry_run was asked of {name} in a run of several assets. Run it alone: a job with one asset, or "
            "select just this asset.",
            allow_retries=False,
        )


def _published(
    context: dg.AssetExecutionContext,
    report: Report,
    row_count: int,
    *,
    dry_run: bool,
    more: Mapping[str, Any] | None = None,
) -> Results:
    """A materialization with figures and check; of a dry run an observation, since it would fake freshness."""
    said = "\n".join([report.sentence(), *report.notes[:_WORST]])
    metadata = {**_metadata(report), **(more or {})}
    if dry_run:
        context.log.info(f"Dry run, nothing was written: {said}")
        context.log_event(
            dg.AssetObservation(
                asset_key=context.asset_key, description="dry run", metadata={"dry_run": True, **metadata}
            )
        )
        return
    context.log.info(said)
    metadata |= column_lineage(context.asset_key.to_user_string())
    metadata["dagster/row_count"] = dg.MetadataValue.int(row_count)
    yield dg.MaterializeResult(metadata=metadata, check_results=[_check(report)])


def _metadata(report: Report) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "requested": report.requested,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "failed": len(report.failed),
        "deferred": len(report.deferred),
        **report.counts,
        # Also where none was made: that nothing was asked is what a quiet night is about.
        "spotify_calls": report.calls,
        "spotify_calls_minimum": report.minimum_calls,
    }
    if report.deferred_until:
        metadata["deferred_until"] = dg.MetadataValue.timestamp(report.deferred_until)
    if report.notes:
        metadata["notes"] = dg.MetadataValue.text(
            "\n".join(note[:_LONGEST_TEXT] for note in report.notes[:_WORST])
        )
    if troubles := _troubles(report):
        metadata["troubles"] = dg.MetadataValue.table(troubles)
    if report.rows:
        metadata["items"] = dg.MetadataValue.table([_record(row) for row in report.rows[:_WORST]])
    return metadata


def _check(report: Report) -> dg.AssetCheckResult:
    metadata: Mapping[str, Any] = (
        {"troubles": dg.MetadataValue.table(troubles)} if (troubles := _troubles(report)) else {}
    )
    return dg.AssetCheckResult(
        check_name=EVERY_ITEM,
        passed=not report.failed and not report.deferred,
        severity=dg.AssetCheckSeverity.WARN,
        description=report.sentence(),
        metadata=metadata,
    )


def _troubles(report: Report) -> list[dg.TableRecord]:
    rows: list[dict[str, str | int | float | None]] = [
        {"item": f.item, "state": "dead" if f.final else "failed", "kind": f.kind, "reason": f.reason}
        for f in report.failed
    ]
    rows += [
        {
            "item": d.item,
            "state": f"deferred until {d.until:%Y-%m-%d %H:%M} UTC",
            "kind": "",
            "reason": d.reason,
        }
        for d in report.deferred
    ]
    return [_record(row) for row in rows[:_WORST]]


def _record(row: Mapping[str, str | int | float | None]) -> dg.TableRecord:
    values = {name: "" if value is None else value for name, value in row.items()}
    return dg.TableRecord(
        {name: value[:_LONGEST_TEXT] if isinstance(value, str) else value for name, value in values.items()}
    )

"""What every asset body shares: a report becomes a result, work can be interrupted, a dry run stays dry.

What belongs here: the translation between use cases and Dagster. What does not: what one asset alone needs.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import dagster as dg

from spotify_pipelines.report import Report

__all__ = [
    "EVERY_ITEM",
    "dry_run_result",
    "interruptible",
    "materialized",
    "progress_lines",
    "refuse_dry_run",
    "utc_now",
]

EVERY_ITEM = "every_item_was_done"
T = TypeVar("T")
_WORST = 20
_SECONDS_BETWEEN_LINES = 60.0


def utc_now() -> datetime:
    """The clock that use cases are given."""
    return datetime.now(UTC)


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``; cancelling the run cancels it, lets it clean up, and ends the run as cancelled.

    Dagster would otherwise throw GeneratorExit into the asset, after which nothing can be awaited.

    Raises:
        dagster.DagsterExecutionInterruptedError: the run was cancelled; the work has cleaned up.
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


def refuse_dry_run(context: dg.AssetExecutionContext) -> None:
    """A dry run belongs to a single-asset job: downstream assets would be skipped or work on nothing.

    Raises:
        dagster.Failure: other assets are selected too.
    """
    selected = context.run.asset_selection or context.job_def.asset_layer.executable_asset_keys
    if len(list(selected)) > 1:
        raise dg.Failure(
            f"dry_run was asked of {context.asset_key.to_user_string()} in a run of several assets. Run it "
            "alone: a job with one asset, or select just this asset.",
            allow_retries=False,
        )


def materialized(
    context: dg.AssetExecutionContext, report: Report, *, row_count: int | None = None
) -> dg.MaterializeResult[None]:
    """The result of a run that really worked: figures, the worst items, and whether every item was done."""
    context.log.info("\n".join([report.sentence(), *report.notes[:_WORST]]))
    metadata = _metadata(report)
    if row_count is not None:
        metadata["dagster/row_count"] = dg.MetadataValue.int(row_count)
    return dg.MaterializeResult(metadata=metadata, check_results=[_check(report)])


def dry_run_result(context: dg.AssetExecutionContext, report: Report) -> None:
    """Record what would be done as an observation: a materialization would fake freshness."""
    context.log.info(f"Dry run, nothing was written: {report.sentence()}")
    context.log_event(
        dg.AssetObservation(
            asset_key=context.asset_key,
            description="dry run",
            metadata={"dry_run": True, **_metadata(report)},
        )
    )


def _metadata(report: Report) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "requested": report.requested,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "failed": len(report.failed),
        "deferred": len(report.deferred),
        **report.counts,
    }
    if report.calls or report.minimum_calls:
        metadata |= {"spotify_calls": report.calls, "spotify_calls_minimum": report.minimum_calls}
    if report.deferred_until:
        metadata["deferred_until"] = dg.MetadataValue.timestamp(report.deferred_until)
    if report.notes:
        metadata["notes"] = dg.MetadataValue.text("\n".join(report.notes[:_WORST]))
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
        {"item": f.item, "state": "dead" if f.final else "failed", "kind": f.kind, "reason": f.reason[:300]}
        for f in report.failed
    ]
    rows += [
        {
            "item": d.item,
            "state": f"deferred until {d.until:%Y-%m-%d %H:%M} UTC",
            "kind": "",
            "reason": d.reason[:300],
        }
        for d in report.deferred
    ]
    return [_record(row) for row in rows[:_WORST]]


def _record(row: Mapping[str, str | int | float | None]) -> dg.TableRecord:
    return dg.TableRecord({name: "" if value is None else value for name, value in row.items()})

"""Checks as promises: a true statement, and what finds whatever contradicts it.

What belongs here: the one way in which a check of ours is declared, run and shown. What does not: which promises
there are (``checks``, ``draw_checks``) and what an asset says about its own run (``assets.declaration``).

All promises of an asset are looked at in one step: a step costs more than a query. They warn; where a promise may
block, only a broken one that says that the whole fleet is spoilt does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg
from sqlalchemy.orm import Session

from spotify_pipelines.defs.assets.results import utc_now
from spotify_pipelines.defs.resources import PostgresResource

__all__ = ["Breach", "Promise", "Scene", "promises_of"]

Row = Mapping[str, str | int | float | None]

_SHOWN = 20
_LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class Scene:
    """What a promise is looked at with: the database, the clock (aware UTC) and Dagster's instance."""

    session: Session
    now: datetime
    instance: dg.DagsterInstance


@dataclass(frozen=True, slots=True)
class Breach:
    """What was found; nothing contradicts the promise where ``number`` is 0.

    Attributes:
        number: how many items contradict it.
        says: what is wrong and what to do, in a sentence.
        rows: the first of them.
        severe: whether somebody has to look soon (ERROR); else it is a warning.
        metadata: further figures, also where all is well.
    """

    number: int
    says: str = ""
    rows: Sequence[Row] = ()
    severe: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Promise:
    """A true statement about an asset, and how to look whether it is one.

    Attributes:
        blocks: a severe breach keeps everything downstream from running.
    """

    statement: str
    look: Callable[[Scene], Breach]
    blocks: bool = False


def promises_of(asset: str, name: str, promises: Mapping[str, Promise]) -> dg.AssetChecksDefinition:
    """The checks of one asset, by their names, as one step called ``name``."""

    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(each, asset=asset, description=promise.statement, blocking=promise.blocks)
            for each, promise in promises.items()
        ],
        can_subset=True,
    )
    def look(
        context: dg.AssetCheckExecutionContext, postgres: PostgresResource
    ) -> Iterator[dg.AssetCheckResult]:
        asked = {key.name for key in context.selected_asset_check_keys}
        with postgres.open() as database:
            for each, promise in promises.items():
                if each in asked:
                    with database.transaction() as session:
                        found = promise.look(Scene(session, utc_now(), context.instance))
                    yield _result(asset, each, promise, found)

    return look


def _result(asset: str, name: str, promise: Promise, found: Breach) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"faults": found.number, **found.metadata}
    if found.rows:
        metadata["first"] = dg.MetadataValue.table([_record(row) for row in found.rows[:_SHOWN]])
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=not found.number,
        severity=dg.AssetCheckSeverity.ERROR if found.severe else dg.AssetCheckSeverity.WARN,
        description=found.says if found.number else f"{promise.statement}.",
        metadata=metadata,
    )


def _record(row: Row) -> dg.TableRecord:
    values = {name: "" if value is None else value for name, value in row.items()}
    return dg.TableRecord(
        {name: value[:_LONGEST_TEXT] if isinstance(value, str) else value for name, value in values.items()}
    )

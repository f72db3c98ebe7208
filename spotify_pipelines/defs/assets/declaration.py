"""How an asset of ours is declared: one table, one owner, one check about its own run.

What belongs here: the declaration that all assets share. What does not: what happens in a body (``results``).
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from spotify_pipelines.defs.freshness import fresh_for
from spotify_pipelines.defs.names import GROUP_OWNERS
from spotify_pipelines.defs.tables import code_reference, table_metadata
from spotify_pipelines.store.tables import Base

__all__ = ["EVERY_ITEM", "Results", "table_asset"]

EVERY_ITEM = "every_item_was_done"
"""The check that every asset reports about its own run: nothing failed, nothing was put off."""

Results = Iterator[dg.MaterializeResult[None]]


def table_asset(
    *,
    group: str,
    kinds: set[str],
    model: type[Base],
    check: str,
    every: timedelta,
    columns: Collection[str] | None = None,
    deps: Sequence[str] = (),
) -> Callable[[Callable[..., Results]], dg.AssetsDefinition]:
    """Declare a function as the asset of its name, kept in ``model``'s table; its docstring describes it.

    Output and check are optional for Dagster (a plain ``dg.asset`` insists on its checks), so that a dry run
    can end without either.

    Args:
        check: what the check ``every_item_was_done`` states, as a true statement.
        every: how often its schedule makes it anew, at least.
        columns: the asset's columns, where another asset writes the rest of the table.
    """

    def declare(body: Callable[..., Results]) -> dg.AssetsDefinition:
        name = body.__name__
        spec = dg.AssetSpec(
            name,
            deps=deps,
            description=inspect.getdoc(body),
            group_name=group,
            owners=GROUP_OWNERS[group],
            kinds=kinds,
            metadata=table_metadata(model, only=columns)
            | code_reference(body.__code__.co_filename, body.__code__.co_firstlineno),
            freshness_policy=fresh_for(every),
            skippable=True,
        )
        check_spec = dg.AssetCheckSpec(EVERY_ITEM, asset=name, description=check)
        declaration: Any = dg.multi_asset(name=name, specs=[spec], check_specs=[check_spec], can_subset=True)
        declared: dg.AssetsDefinition = declaration(body)
        return declared

    return declare

"""Asset metadata that is read off the code: table name and column schema, and where the asset is made.

The tables are the one description of the data; a column that is added there appears in the UI by itself.
"""

import warnings
from collections.abc import Collection
from typing import Any, cast

import dagster as dg
from sqlalchemy import Column, Table

from spotify_pipelines.store.tables import Base

__all__ = ["code_reference", "table_metadata"]


def table_metadata(model: type[Base], *, only: Collection[str] | None = None) -> dict[str, Any]:
    """Definition metadata of an asset that is kept in ``model``'s table.

    Args:
        model: the table's class.
        only: column names, where an asset is some columns of a table that another asset also writes.
    """
    table = cast(Table, model.__table__)
    columns = [column for column in table.columns if only is None or column.name in only]
    return {
        "dagster/table_name": f"public.{table.name}",
        "dagster/column_schema": dg.TableSchema(columns=[_describe(column) for column in columns]),
    }


def code_reference(path: str, line: int = 1) -> dict[str, Any]:
    """Definition metadata that leads from an asset to the place in the code where it is made."""
    with warnings.catch_warnings():
        # In beta for years; pinned with all of Dagster, and no reason to warn at each load.
        warnings.simplefilter("ignore", dg.BetaWarning)
        reference = dg.LocalFileCodeReference(file_path=path, line_number=line)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}


def _describe(column: Column[Any]) -> dg.TableColumn:
    other = ["primary key"] if column.primary_key else []
    other += [f"references {key.target_fullname}" for key in column.foreign_keys]
    return dg.TableColumn(
        name=column.name,
        type=str(column.type).lower(),
        description=column.comment,
        constraints=dg.TableColumnConstraints(
            nullable=bool(column.nullable), unique=bool(column.unique), other=other
        ),
    )

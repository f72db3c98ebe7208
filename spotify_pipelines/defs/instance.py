"""Dagster's instance for processes of our own: found as Dagster's tools find it, with ``.env`` in force.

What belongs here: opening it, and what to say where there is none. What does not: what is done with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import DagsterHomeNotSetError
from sqlalchemy.exc import OperationalError

from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.settings import export_dotenv

__all__ = ["InstanceError", "open_instance"]


class InstanceError(ExplainedError):
    """Dagster's instance can't be opened; the text says what to do."""


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The persistent instance that DAGSTER_HOME names; the variables in ``.env`` are exported first.

    Raises:
        InstanceError: none is configured, or its database can't be reached.
    """
    export_dotenv()
    try:
        instance = dg.DagsterInstance.get()
    except (DagsterHomeNotSetError, dg.DagsterInvalidConfigError) as error:
        raise InstanceError(
            "Dagster's instance is not configured (DAGSTER_HOME, DAGSTER_POSTGRES_…). Run "
            "'spotify-pipelines up', which writes both into .env, or export them."
        ) from error
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise InstanceError(
            f"Dagster's database can't be reached: {reason}. Is it running? 'spotify-pipelines status' tells."
        ) from None
    with instance:
        yield instance

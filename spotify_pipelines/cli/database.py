"""``db backup | restore | upgrade``: the database as a whole.

What belongs here: arguments and what is printed. What does not: what is done (``store.backup``, ``store.migrate``),
where PostgreSQL's programs are (``services``).
"""

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the root app."""

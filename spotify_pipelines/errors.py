"""The base of every error that is meant for a person.

What belongs here: the mark by which the doors (command line, web, Dagster) know that an error's text explains
itself and needs no traceback. What does not: the errors themselves, which live in their rooms.
"""

__all__ = ["ExplainedError"]


class ExplainedError(Exception):
    """An error whose text says what happened, to what, why, and what to do next."""

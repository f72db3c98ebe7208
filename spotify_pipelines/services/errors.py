"""The one error of this room: something about a service that the person at the terminal can act on.

What belongs here: the type. What does not: how a service is started or found (``supervisor``, ``binaries``).
"""

__all__ = ["ServiceError"]


class ServiceError(Exception):
    """A service can't be started, stopped or configured; the text says which, why and what to do next."""

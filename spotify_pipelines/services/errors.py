"""The one error of this room: something about a service that the person at the terminal can act on.

What belongs here: the type. What does not: how a service is started or found (``supervisor``, ``binaries``).
"""

from spotify_pipelines.errors import ExplainedError

__all__ = ["ServiceError"]


class ServiceError(ExplainedError):
    """A service can't be started, stopped or configured."""

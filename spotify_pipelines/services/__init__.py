"""Embedded PostgreSQL, Valkey and the Spotify simulator: real servers for a machine that has none.

``embedded`` decides what is needed and starts it, ``supervisor`` keeps one server, ``postgres``, ``valkey``
and ``simulator`` say what is special to each, ``dotenv`` tells all other tools where they are. Nothing here
knows tables or clients; where real servers are configured, nothing here starts.
"""

from spotify_pipelines.services.embedded import (
    Endpoints,
    PostgresEndpoint,
    down,
    purge,
    settings_for,
    start,
    status,
    up,
)
from spotify_pipelines.services.errors import ServiceError
from spotify_pipelines.services.supervisor import ServiceStatus

__all__ = [
    "Endpoints",
    "PostgresEndpoint",
    "ServiceError",
    "ServiceStatus",
    "down",
    "purge",
    "settings_for",
    "start",
    "status",
    "up",
]

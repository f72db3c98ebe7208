"""Which endpoints have a limit of their own, beside the app's.

What belongs here: the table, by endpoint as calls name it, and the families' names as settings name them. What does
not: the limits themselves (``settings``), which Spotify doesn't publish, and keeping to them (``limiter``).
"""

from collections.abc import Mapping

__all__ = ["FAMILIES"]

FAMILIES: Mapping[str, str] = {"PUT /playlists/{id}/images": "cover"}
"""Endpoint → family. An endpoint that isn't here counts against its app's limit alone."""

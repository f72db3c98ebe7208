"""Which endpoints have a limit of their own, beside the app's.

What belongs here: the table, by endpoint as calls name it, and the families' names as settings name them; what a
family takes at most in one call. What does not: the limits themselves (``settings``), which Spotify doesn't publish,
and keeping to them (``limiter``).
"""

from collections.abc import Mapping

__all__ = ["COVER_BYTES", "FAMILIES"]

FAMILIES: Mapping[str, str] = {"PUT /playlists/{id}/images": "cover"}
"""Endpoint → family. An endpoint that isn't here counts against its app's limit alone."""

COVER_BYTES = 192 * 1024
"""The largest JPEG that a cover may be: Spotify takes 256 KiB of base64."""

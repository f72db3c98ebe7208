"""How an item of a playlist is written down: tracks by their id, anything else by its URI.

What belongs here: the two directions, and what Spotify lets nobody add. What does not: playlists themselves.
"""

from collections.abc import Iterable
from typing import Final

__all__ = ["id_of", "uri_of", "writable"]

_TRACK: Final = "spotify:track:"
_LOCAL: Final = "spotify:local:"


def uri_of(item: str) -> str:
    """The URI of what is stored as ``item``.

    >>> uri_of("4uLU6hMCjMI75M1A2tKUQC"), uri_of("spotify:episode:512ojhOuo1ktJprKbVcKyQ")
    ('spotify:track:4uLU6hMCjMI75M1A2tKUQC', 'spotify:episode:512ojhOuo1ktJprKbVcKyQ')
    """
    return item if ":" in item else f"{_TRACK}{item}"


def id_of(uri: str) -> str:
    """What a URI is stored as.

    >>> id_of("spotify:track:4uLU6hMCjMI75M1A2tKUQC")
    '4uLU6hMCjMI75M1A2tKUQC'
    """
    return uri.removeprefix(_TRACK)


def writable(uris: Iterable[str | None]) -> list[str]:
    """Those of the URIs that the Web API can put into a playlist: no empty places, no files of the owner's.

    >>> writable(["spotify:track:a", None, "spotify:local:x:y:z:1"])
    ['spotify:track:a']
    """
    return [uri for uri in uris if uri and not uri.startswith(_LOCAL)]

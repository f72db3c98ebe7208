"""Asking again only for what has changed: validators (ETags), and what answers to them show.

What belongs here: reading a validator from an answer, and what an answer tells of the app; pure. What does not:
sending (``client``), keeping validators (``store.validators``).

That an app answers 304 can be seen; whether a 304 spares its rate limit can't, not from one answer, and Spotify
does not say. So a conditional read is a call like any other, and what a 304 is known to save is the body, its
reading and the writing of what has not changed.
"""

import re
from collections.abc import Mapping

__all__ = ["CONDITIONAL_READS", "NotModified", "etag_of", "finding_of"]

CONDITIONAL_READS = "conditional_reads"
"""Capability: catalogue reads carry an ETag for this client id, and one that names it is answered with 304."""

# RFC 9110, 8.8.3, but for signs beyond ASCII, which have no one encoding in a header.
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')


class NotModified:
    """In place of something that was read before: it is still as it was then."""


def etag_of(headers: Mapping[str, str]) -> str | None:
    """The answer's validator as it is to be sent back; None where it has none, or none that can be sent.

    >>> etag_of({"etag": 'W/"a1"'}), etag_of({"etag": "a1"}), etag_of({})
    ('W/"a1"', None, None)
    """
    etag = headers.get("etag", "").strip()
    return etag if _ENTITY_TAG.fullmatch(etag) else None


def finding_of(endpoint: str, sent: str | None, status: int, received: str | None) -> tuple[bool, str] | None:
    """Whether an app has conditional reads, with the evidence, as far as one answer shows it.

    Args:
        sent: the validator that the read carried, if any.
        received: the validator of the answer, if any.

    >>> finding_of("GET /x", '"a"', 200, 'W/"a"')
    (False, 'GET /x sent all of it again under the very ETag that was named')
    >>> finding_of("GET /x", '"a"', 200, '"b"') is None  # it has changed
    True
    """
    if status == 304:
        return (True, f"{endpoint} answered 304 to If-None-Match") if sent else None
    if received is None:
        return False, f"{endpoint} answered without an ETag"
    if sent and sent.removeprefix("W/") == received.removeprefix("W/"):
        return False, f"{endpoint} sent all of it again under the very ETag that was named"
    return None

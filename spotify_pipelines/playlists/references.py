"""Artists, albums and tracks as people write them into a policy: links, URIs, ids or names, each in one form.

What belongs here: reading one such text, and the form in which names are compared. What does not: looking
anything up (``pool``), the queue's albums (``catalogue.urls``), which has no names and explains more.
"""

import re
import unicodedata
from typing import Final, Literal

__all__ = ["LONGEST_SLUG", "SLUG", "Kind", "ReferenceRefused", "cleaned", "comparable", "is_id", "is_slug"]

Kind = Literal["artist", "album", "track"]

SLUG: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"
LONGEST_SLUG: Final = 60
"""How policies and tags are spelled: small letters and digits, with single dashes between them."""

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_ID = re.compile(r"[0-9A-Za-z]{22}", re.ASCII)
_URI = re.compile(r"spotify:(?P<kind>[a-z]+):(?P<id>\S+)", re.IGNORECASE)
_LINK = re.compile(
    r"(?:https?://)?open\.spotify\.com/(?:intl-[a-z]{2,3}(?:-[a-z]{2,4})?/)?(?:embed/)?"
    r"(?P<kind>[a-z]+)/(?P<id>[^/?#\s]+)/?(?:[?#]\S*)?",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"spotify:|\w+://|(?:www\.|open\.)?spotify\.(?:com|link)/", re.IGNORECASE)
_NAMED: Final = {"artist": True, "album": True, "track": False}


class ReferenceRefused(ValueError):
    """A text that names nothing of the wanted kind; the message says why and what to write."""


def cleaned(text: str, kind: Kind) -> str:
    """The id that a link, URI or id holds; any other text is a name and stays, which tracks don't have.

    >>> cleaned("https://open.spotify.com/intl-de/artist/0gxyHStUsqpMadRV0Di1Qt?si=x", "artist")
    '0gxyHStUsqpMadRV0Di1Qt'
    >>> cleaned("Rick Astley", "artist")
    'Rick Astley'

    Raises:
        ReferenceRefused: an address of something else, an id that can't be one, a name for a track.
    """
    if _ADDRESS.match(text):
        return _id_of_address(text, kind)
    if is_id(text):
        return text
    if not _NAMED[kind]:
        raise ReferenceRefused(
            f"should be the link, URI or id of a {kind} (22 letters and digits); its name could mean several"
        )
    return text


def is_id(text: str) -> bool:
    """Whether a text has the form of Spotify's ids: 22 base62 digits that stand for at most 128 bits."""
    if not _ID.fullmatch(text):
        return False
    number = 0
    for digit in text:
        number = number * 62 + _VALUES[digit]
    return number < 1 << 128


def is_slug(text: str) -> bool:
    """Whether a text is spelled as a policy's name or a tag has to be."""
    return len(text) <= LONGEST_SLUG and re.fullmatch(SLUG, text, re.ASCII) is not None


def comparable(name: str) -> str:
    """The form in which names are compared: case, width, composition and spacing don't matter.

    >>> comparable("  BJÖRK ") == comparable("Björk")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _id_of_address(text: str, kind: Kind) -> str:
    article = "an" if kind[0] in "aeiou" else "a"
    found = _URI.fullmatch(text) or _LINK.fullmatch(text)
    if found is None:
        raise ReferenceRefused(
            f"is no address of {article} {kind}: write https://open.spotify.com/{kind}/ID, "
            f"spotify:{kind}:ID or the id"
        )
    if found["kind"].lower() != kind:
        raise ReferenceRefused(
            f"is the address of another kind ({found['kind'].lower()}), not of {article} {kind}"
        )
    if not is_id(found["id"]):
        raise ReferenceRefused(f"holds no id: {article} {kind}'s id has 22 letters and digits")
    return found["id"]

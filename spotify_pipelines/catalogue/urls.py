"""Album references as people paste them: taken in every shape that Spotify has, or refused with a reason.

What belongs here: reading texts. Nothing is fetched, so a short link, which only Spotify's server can resolve,
is refused. What does not: files and the queue. Time and memory are bounded by the size of the text, and
complaints by ``SHOWN``, since junk can be long.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import StringIO
from urllib.parse import urlsplit

__all__ = [
    "LONGEST_REFERENCE",
    "SHOWN",
    "AlbumLine",
    "AlbumLines",
    "AlbumUrlError",
    "RefusedLine",
    "RepeatedLine",
    "parse_album_lines",
    "parse_album_url",
]

LONGEST_REFERENCE = 2048
"""Characters; longer texts are no links that a browser would copy."""
SHOWN = 1000
"""So many refused and repeated lines are kept in full; all are counted."""

_ID_LENGTH = 22
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_BASE62 = re.compile(r"[0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_ALBUM = re.compile(
    r"(?:spotify:album:"
    r"|(?:https?://)?open\.spotify\.com/(?:intl-[a-z]{2,3}(?:-[a-z]{2,4})?/)?(?:embed/)?album/"
    r")?(?P<id>[0-9A-Za-z]{22})(?P<tail>/?(?:[?#][^\x00-\x20]*)?)",
    re.IGNORECASE | re.ASCII,
)
_SHORT_HOSTS = ("spotify.link", "spoti.fi", "spotify.app.link", "link.tospotify.com")
_KINDS = (
    "album",
    "track",
    "playlist",
    "artist",
    "episode",
    "show",
    "user",
    "audiobook",
    "prerelease",
    "concert",
)


class AlbumUrlError(ValueError):
    """A text that names no album; the message says why, without repeating the text."""


@dataclass(frozen=True, slots=True)
class AlbumLine:
    """An album in line ``line`` (from 1), as it was written and as its id."""

    line: int
    url: str
    album_id: str


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that names no album: its text, shortened and printable, and the reason."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class RepeatedLine:
    """A line whose album stands in ``first_line`` already."""

    line: int
    album_id: str
    first_line: int


@dataclass(slots=True)
class AlbumLines:
    """What a text of one reference a line holds.

    ``refused`` and ``repeated`` keep the first ``SHOWN`` each; ``refused_count`` and ``repeated_count`` count
    them all.
    """

    source: str
    accepted: list[AlbumLine] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)
    repeated: list[RepeatedLine] = field(default_factory=list)
    refused_count: int = 0
    repeated_count: int = 0


def parse_album_url(text: str) -> str:
    """The album id in ``text``; white space around it doesn't matter.

    Taken: ``https://open.spotify.com/[intl-xx/]album/ID[?si=…]``, the same with ``http``, without a scheme or
    with ``embed/``, ``spotify:album:ID``, and the id alone: 22 base62 signs that stand for at most 128 bits.

    >>> parse_album_url("https://open.spotify.com/intl-de/album/4aawyAB9vmqN3uQ7FjRGTy?si=x")
    '4aawyAB9vmqN3uQ7FjRGTy'

    Raises:
        AlbumUrlError: anything else; says what it is instead, or what is wrong with it.
    """
    album_id = _find(text)
    if album_id is None:
        raise AlbumUrlError(_why_not(text))
    return album_id


def parse_album_lines(text: str | Iterable[str], source: str = "the text") -> AlbumLines:
    """The albums in ``text``, one a line; blank lines and those that begin with ``#`` are skipped.

    Args:
        text: whole, or as lines (an open file). Any line ending, with or without a byte order mark.
        source: what to call it in messages.
    """
    result = AlbumLines(source)
    first_lines: dict[str, int] = {}
    # Only a file's own notion of a line counts: str.splitlines() also breaks at form feeds and the like.
    lines = StringIO(text, newline=None) if isinstance(text, str) else text
    for number, raw in enumerate(lines, start=1):
        line = (raw.removeprefix("\ufeff") if number == 1 else raw).strip()
        if line and not line.startswith("#"):
            _take(result, first_lines, number, line)
    return result


def _take(result: AlbumLines, first_lines: dict[str, int], number: int, line: str) -> None:
    album_id = _find(line)
    if album_id is None:
        result.refused_count += 1
        if len(result.refused) < SHOWN:
            result.refused.append(RefusedLine(number, _shortened(line), _why_not(line)))
    elif (first := first_lines.setdefault(album_id, number)) != number:
        result.repeated_count += 1
        if len(result.repeated) < SHOWN:
            result.repeated.append(RepeatedLine(number, album_id, first))
    else:
        result.accepted.append(AlbumLine(number, line, album_id))


def _find(text: str) -> str | None:
    """The quick way: the id, or None without a reason."""
    if len(text) > LONGEST_REFERENCE:
        return None
    match = _ALBUM.fullmatch(text.strip())
    if match is None or not _fits_128_bits(match["id"]):
        return None
    # The id alone has no tail; only links do.
    if match["tail"] and match.start("id") == 0:
        return None
    return match["id"] if not _CONTROL.search(match["tail"]) else None


def _fits_128_bits(album_id: str) -> bool:
    # 62**22 is eight times 2**128: seven of eight random texts of this length are no ids.
    number = 0
    for digit in album_id:
        number = number * 62 + _VALUES[digit]
    return number < 1 << 128


def _why_not(text: str) -> str:
    """The slow way, for what ``_find`` refused: the sentence that says why."""
    if len(text) > LONGEST_REFERENCE:
        return f"it is longer than {LONGEST_REFERENCE} characters, which no album link is"
    text = text.strip()
    if not text:
        return "it is empty"
    if _CONTROL.search(text):
        return "it holds control characters, which no link has (is it a text file in UTF-8?)"
    if text.lower().startswith("spotify:"):
        return _why_not_uri(text)
    if "://" in text or "/" in text or "." in text:
        return _why_not_link(text)
    return _why_not_id(text)


def _why_not_uri(uri: str) -> str:
    parts = uri.split(":")
    # spotify:user:NAME:playlist:ID is how playlists used to be written.
    kind = (parts[3] if len(parts) == 5 and parts[1].lower() == "user" else parts[1]).lower()
    if kind != "album":
        return _other_kind(kind)
    return _why_not_id(parts[2] if len(parts) == 3 else ":".join(parts[2:]))


def _why_not_link(link: str) -> str:
    try:
        parts = urlsplit(link if "://" in link else f"https://{link}")
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "it is not a link that can be read"
    if parts.scheme.lower() not in ("http", "https"):
        return "it is not a web link: album links begin with https://open.spotify.com/album/"
    if host in _SHORT_HOSTS:
        return (
            "it is a short link, which only Spotify can resolve, and nothing is fetched here: open it in a "
            "browser and take the address that it leads to"
        )
    if host != "open.spotify.com" or port is not None or "@" in parts.netloc:
        return "it does not lead to open.spotify.com, where album links do"
    return _why_not_path([part for part in parts.path.split("/") if part])


def _why_not_path(path: list[str]) -> str:
    if path and path[0].lower().startswith("intl-"):
        path = path[1:]
    if path and path[0].lower() == "embed":
        path = path[1:]
    if not path:
        return "it leads to Spotify's start page, not to an album"
    if path[0].lower() != "album":
        return _other_kind("playlist" if "playlist" in path[1:] else path[0].lower())
    if len(path) != 2:
        return "it has no album id" if len(path) == 1 else "it goes on after the album's id"
    return _why_not_id(path[1])


def _why_not_id(text: str) -> str:
    if _BASE62.fullmatch(text):
        if len(text) != _ID_LENGTH:
            return f"an album id has {_ID_LENGTH} signs, this one has {len(text)}"
        if not _fits_128_bits(text):
            return "it looks like an album id, but stands for a number beyond 128 bits, which no id does"
    elif len(text) == _ID_LENGTH:
        return "an album id has only the digits 0-9 and the letters a-z and A-Z"
    return "it is neither an album link, nor spotify:album:…, nor an album id"


def _other_kind(kind: str) -> str:
    if kind not in _KINDS or kind == "album":
        return "it is a Spotify address, but not that of an album"
    article = "an" if kind[0] in "aeiou" else "a"
    return f"it is {article} {kind} link; only albums can be queued"


def _shortened(text: str, most: int = 80) -> str:
    shown = "".join(sign if sign.isprintable() else "�" for sign in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"

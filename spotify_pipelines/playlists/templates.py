"""Names and descriptions of playlists: templates with a fixed set of names, rendered into what Spotify takes.

What belongs here: checking and rendering templates, cleaning text to Spotify's limits, and the marker by which
a playlist is recognized. What does not: deciding when a name is written.

Templates are ``string.Template``: ``$policy`` or ``${policy}``, ``$$`` for a dollar sign, nothing else. Values
are put in once and never looked at again, so an artist called ``${account}`` or ``<script>`` is just text.

Names a template may use:

==============  ==================================================================================
``policy``      the policy's name
``account``     the account's display name
``sequence``    1, 2, …: which of the policy's playlists on this account
``cycle``       the number of the cycle
``date``        the cycle's first day in the policy's time zone, 2026-11-23
``year``        2026
``month``       November
``week``        the ISO week, 48
``day``         the day of the month, 23
``weekday``     Monday
``tracks``      how many tracks the playlist holds
``top_artists`` up to three artists with most tracks, comma separated
==============  ==================================================================================
"""

import base64
import html
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from string import Template
from typing import Final

from spotify_pipelines.playlists.cycles import zone

__all__ = [
    "DESCRIPTION_LIMIT",
    "NAMES",
    "NAME_LIMIT",
    "TemplateContext",
    "TemplateError",
    "find_marker",
    "make_marker",
    "normalize_read_back",
    "render_description",
    "render_name",
    "validate_template",
    "with_marker",
]

NAME_LIMIT: Final = 100
DESCRIPTION_LIMIT: Final = 300
"""Spotify's limits, in code points. A longer description answers 500, for good."""

NAMES: Final = frozenset(
    [
        "policy",
        "account",
        "sequence",
        "cycle",
        "date",
        "year",
        "month",
        "week",
        "day",
        "weekday",
        "tracks",
        "top_artists",
    ]
)

_MARKER_BYTES: Final = 5
_MARKER = re.compile(r"\[([A-Z2-7]{8})\]")
_MARKER_AT_END = re.compile(r"\s*\[[A-Z2-7]{8}\]\s*$")

# strftime's names change with the locale of the process; a playlist's must not.
_MONTHS: Final = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_WEEKDAYS: Final = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

_WITH_SCHEME = re.compile(r"(?:\b[a-z][a-z0-9+.\-]{0,20}:)?//\S*|\bwww\.\S*", re.IGNORECASE)
# The dot of what would be taken for an address. Endings that are words too (will.i.am, Mr.It) need a path.
_BARE_DOMAIN = re.compile(
    r"(?<=[a-z0-9])\.(?=(?:com|net|org|info|biz|io|fm|tv|app|dev|xyz|link|shop|site|online|co\.[a-z]{2}"
    r"|eu|de|fr|uk|nl|ru|cn|jp|br|ca|au)(?![\w-])|[a-z]{2,}/\w)",
    re.IGNORECASE,
)
# Signs that reverse or hide what follows them; marks that letters need (LRM, RLM, ALM, joiners) stay.
_UNWANTED: Final = frozenset(
    [
        *map(chr, range(0x202A, 0x202F)),
        *map(chr, range(0x2066, 0x2070)),
        *"\u00ad\u200b\u2060\u2061\u2062\u2063\u2064\ufeff\ufff9\ufffa\ufffb",
    ]
)
# Letters and symbols by their category that nevertheless show nothing.
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_JOINER: Final = "\u200d"


class TemplateError(ValueError):
    """A template that can't be rendered; the text starts with the field that holds it."""


@dataclass(frozen=True, slots=True)
class TemplateContext:
    """What a template may speak of. ``cycle_starts_at`` is aware; dates are told in ``timezone``."""

    policy: str
    account: str
    cycle_starts_at: datetime
    timezone: str
    sequence: int = 1
    cycle: int = 0
    tracks: int = 0
    top_artists: tuple[str, ...] = ()

    def values(self) -> Mapping[str, str]:
        """The value of each of :data:`NAMES`."""
        local = self.cycle_starts_at.astimezone(zone(self.timezone))
        return {
            "policy": self.policy,
            "account": self.account,
            "sequence": str(self.sequence),
            "cycle": str(self.cycle),
            "date": local.date().isoformat(),
            "year": str(local.year),
            "month": _MONTHS[local.month - 1],
            "week": str(local.isocalendar().week),
            "day": str(local.day),
            "weekday": _WEEKDAYS[local.weekday()],
            "tracks": str(self.tracks),
            "top_artists": ", ".join(self.top_artists[:3]),
        }


def validate_template(text: str, field: str, *, limit: int | None = None, allow_links: bool = False) -> None:
    """Refuse, with ``field`` in the message, what could only fail later.

    That is: an unknown name, a lone ``$``, fixed text that alone is longer than ``limit``, and a link, which
    Spotify refuses in descriptions (400).
    """
    template = Template(text)
    if not template.is_valid():
        raise TemplateError(f"{field}: a lone $ in {_short(text)}; write $$ for a dollar sign")
    for name in template.get_identifiers():
        if name not in NAMES:
            close = get_close_matches(name.lower(), sorted(NAMES), n=1)
            hint = f"did you mean ${close[0]}?" if close else f"known are {', '.join(sorted(NAMES))}"
            raise TemplateError(f"{field}: unknown name ${name}; {hint}")
    fixed = _one_line(template.substitute(dict.fromkeys(NAMES, "")))
    if not allow_links and _without_links(fixed) != fixed:
        raise TemplateError(f"{field}: Spotify refuses links in a description; leave the address out")
    if limit is not None and len(fixed) > limit:
        raise TemplateError(f"{field}: the fixed text alone has {len(fixed)} of at most {limit} characters")


def render_name(template: str, context: TemplateContext) -> str:
    """A playlist's name: one line of 1 to 100 characters that shows something, else the policy's name."""
    for text in (Template(template).substitute(context.values()), context.policy):
        name = _cut(_one_line(text), NAME_LIMIT)
        if _shows_something(name):
            return name
    return "Playlist"


def render_description(template: str, context: TemplateContext, marker: str | None) -> str:
    """A playlist's description: one line of 1 to 300 characters without links, ``[marker]`` at its end.

    Text gives way to the marker where both don't fit. ``None`` leaves the marker out.
    """
    ending = f" [{marker}]" if marker else ""
    for text in (Template(template).substitute(context.values()), context.policy):
        description = _linkless(text, DESCRIPTION_LIMIT - len(ending))
        if _shows_something(description):
            return description + ending
    return f"Playlist{ending}"


def make_marker(random_bytes: bytes) -> str:
    """Eight base32 signs (RFC 4648) from 5 random bytes, by which a playlist is known before its id is."""
    if len(random_bytes) != _MARKER_BYTES:
        raise ValueError(f"a marker takes {_MARKER_BYTES} bytes, got {len(random_bytes)}")
    return base64.b32encode(random_bytes).decode()


def find_marker(description: str | None) -> str | None:
    """The last marker in a description, as sent or as read back; None if there is none."""
    found = _MARKER.findall(description or "")
    return found[-1] if found else None


def with_marker(description: str, marker: str | None) -> str:
    """A finished description with ``[marker]`` in place of the one at its end, if any; ``None`` takes it away."""
    text = _MARKER_AT_END.sub("", description)
    ending = f" [{marker}]" if marker else ""
    return (_cut(text, DESCRIPTION_LIMIT - len(ending)) + ending).strip()


def normalize_read_back(text: str | None) -> str:
    """What two texts must have in common to be the same on Spotify: apply it to both sides of a comparison.

    Spotify reads descriptions back HTML-escaped. Unescaping goes on until nothing changes, so that a text that
    itself contains ``&amp;`` compares equal to its own escaped form.
    """
    previous, current = None, text or ""
    while current != previous:
        previous, current = current, html.unescape(current)
    return " ".join(unicodedata.normalize("NFC", current).split())


def _linkless(text: str, limit: int) -> str:
    line = _one_line(text)
    while True:
        # Cutting can make a link out of what was none ("example.comic"), so look again until nothing changes.
        cleaned = _cut(_one_line(_without_links(line)), limit)
        if cleaned == line:
            return line
        line = cleaned


def _one_line(text: str) -> str:
    """Control signs, lone surrogates and non-characters out; any run of white space is one space."""
    spaced = " ".join(text.split())
    kept = (sign for sign in spaced if sign not in _UNWANTED and not _is_control(sign))
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())


def _is_control(sign: str) -> bool:
    # Unassigned code points stay: they are the emoji that this Python's Unicode tables are too old for.
    return (
        unicodedata.category(sign) in {"Cc", "Cs"}
        or ord(sign) & 0xFFFE == 0xFFFE
        or "\ufdd0" <= sign <= "\ufdef"
    )


def _without_links(text: str) -> str:
    return _BARE_DOMAIN.sub(" ", _WITH_SCHEME.sub(" ", text))


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` code points, the last of them an ellipsis if text was lost, between whole signs."""
    if len(text) <= limit:
        return text
    end = limit - 1
    while end > 0 and _is_inside_a_sign(text, end):
        end -= 1
    # One sign with hundreds of accents leaves nothing: then its beginning has to do.
    return (text[:end] or text[: limit - 1]).rstrip(f" {_JOINER}…") + "…"


def _is_inside_a_sign(text: str, end: int) -> bool:
    """Whether cutting before ``text[end]`` would break what a reader sees as one sign (after UAX #29)."""
    before, after = text[end - 1], text[end]
    if _JOINER in (before, after) or unicodedata.category(after) in {"Mn", "Me", "Mc"}:
        return True
    if 0x1F3FB <= ord(after) <= 0x1F3FF or 0xE0020 <= ord(after) <= 0xE007F:
        return True
    if _is_flag_letter(after):
        letters = len(text[:end]) - len(text[:end].rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))
        return letters % 2 == 1
    return False


def _is_flag_letter(sign: str) -> bool:
    return 0x1F1E6 <= ord(sign) <= 0x1F1FF


def _shows_something(text: str) -> bool:
    return any(
        sign not in _BLANK and (category[0] in "LNPS" or category in {"Cn", "Co"})
        for sign, category in ((sign, unicodedata.category(sign)) for sign in text)
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")

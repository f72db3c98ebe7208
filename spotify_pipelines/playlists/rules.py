"""The rules that a selection keeps, the sequence in which they give way, and the record of each that did.

What belongs here: names and values that policies, the draw and its explanation share. What does not: keeping
the rules (``filling``), letting them give way (``selection``).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["CAPS", "DEFAULT_RELAXATION", "RESTS", "Breach", "Limits", "Relaxation", "Rule"]


class Rule(StrEnum):
    """A rule that may give way; size is what remains when none may."""

    ARTIST_COOLDOWN = "artist_cooldown"
    COOLDOWN = "cooldown"
    ALBUM_CAP = "album_cap"
    ARTIST_CAP = "artist_cap"


RESTS: Final = (Rule.ARTIST_COOLDOWN, Rule.COOLDOWN)
"""Rules about earlier playlists: what a track breaks of them doesn't depend on the others in the draw."""

CAPS: Final = (Rule.ALBUM_CAP, Rule.ARTIST_CAP)
"""Rules about this playlist: how many tracks may share an album or an artist."""

DEFAULT_RELAXATION: Final = (Rule.ARTIST_COOLDOWN, Rule.COOLDOWN, Rule.ALBUM_CAP, Rule.ARTIST_CAP)
"""An artist heard lately is missed the least, then the track itself; too much of one artist is noticed most."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the rules ask. The cooldowns in one unit each, that of the ages they are held against; 0: none.

    ``artist_cap`` and ``album_cap`` count the tracks of one playlist over all credited artists; None: any number.
    """

    artist_cap: int | None = None
    album_cap: int | None = None
    cooldown: int = 0
    artist_cooldown: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("artist_cap", self.artist_cap, 1),
            ("album_cap", self.album_cap, 1),
            ("cooldown", self.cooldown, 0),
            ("artist_cooldown", self.artist_cooldown, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name} is at least {least}, got {value}")

    def of(self, rule: Rule) -> int | None:
        """What one rule asks: a length or a number of tracks."""
        return {
            Rule.ARTIST_COOLDOWN: self.artist_cooldown,
            Rule.COOLDOWN: self.cooldown,
            Rule.ALBUM_CAP: self.album_cap,
            Rule.ARTIST_CAP: self.artist_cap,
        }[rule]


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule that a track breaks: what it ``asked``, and by which ``amount`` it is missed.

    Amounts are units of cooldown that are lacking, or the track's place beyond the cap (1: the first too many).
    ``of`` names the artist or the album; None where the rule is about the track itself.
    """

    rule: Rule
    amount: int
    asked: int
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Why a track is there although it breaks rules: ``rule`` gave way last; ``breaches`` are all it breaks."""

    rule: Rule
    breaches: tuple[Breach, ...]
    reason: str

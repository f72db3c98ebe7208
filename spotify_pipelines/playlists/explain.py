"""What was stored of a draw, in words: why each track is there, why others are not, and figures beside bounds.

What belongs here: sentences and verdicts, made of stored values alone; nothing is drawn again. What does not: reading
them (``store.draw_views``), printing them (``cli.playlist_draws``), the bounds themselves (``bounds``, ``order``).

Whatever an older release did not store yet is left out of the sentences.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spotify_pipelines.playlists.rules import Rule

__all__ = ["Compared", "Units", "because", "compare", "gave_way", "groups_of", "refused", "stands_by"]

Number = int | float

_NONE: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Units:
    """What a policy counts its cooldowns in: ``days`` or ``draws``."""

    tracks: str
    artists: str

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> "Units":
        """From a stored policy."""
        cooldown = definition.get("cooldown") or _NONE
        artist = cooldown.get("artist") or _NONE
        return cls("draws" if cooldown.get("draws") else "days", "draws" if artist.get("draws") else "days")


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure beside its bound.

    ``at_bound``: whether nothing better was possible; None where the two can't be held against each other.
    """

    figure: str
    value: Number | None
    bound: Number | None
    verdict: str
    at_bound: bool | None = None


# ── tracks ───────────────────────────────────────────────────────────────────────────────────────────────────


def because(
    why: str,
    *,
    drawn: int,
    rank: int | None,
    weight: float | None,
    age: int | None,
    relaxation: Mapping[str, Any] | None,
    units: Units,
    names: Mapping[str, str] = _NONE,
) -> str:
    """Why a track is in a playlist, in a sentence.

    Args:
        why: the way it came in.
        drawn: tracks in the draw.
        rank: its place in the draw, from 0.
        weight: its chance against the weightiest track of the pool (0 to 1).
        age: days since it was last used.
        relaxation: the record of what gave way for it.
        units: of the policy's cooldowns.
        names: of artists and albums, by id.
    """
    parts = [why if rank is None or why == "pinned" else f"{why}, {_ordinal(rank + 1)} of {drawn}"]
    if weight is not None:
        parts.append(f"weight {weight:.3g} of the largest")
    if rank is not None:
        parts.append("not used lately" if age is None else f"last used {_counted(age, 'day')} ago")
    parts += gave_way(relaxation, units, names)
    if relaxation and relaxation.get("reason"):
        parts.append(str(relaxation["reason"]))
    return "; ".join(parts)


def gave_way(
    relaxation: Mapping[str, Any] | None, units: Units, names: Mapping[str, str] = _NONE
) -> list[str]:
    """Each rule that gave way for a track, with what was needed and by how much it was missed."""
    return [_breach(breach, units, names) for breach in (relaxation or _NONE).get("breaches", ())]


def groups_of(relaxation: Mapping[str, Any] | None) -> list[str]:
    """Ids of the artists and albums that a record speaks of."""
    return [breach["of"] for breach in (relaxation or _NONE).get("breaches", ()) if breach.get("of")]


def refused(why: str, units: Units, names: Mapping[str, str] = _NONE) -> str:
    """Why a track was refused, with names for ids and the unit of ages."""
    unit = units.artists if " rests: " in why else units.tracks
    told = re.sub(r"(\d+ of \d+) ago", rf"\1 {unit} ago", why)
    return re.sub(
        r"\b(artist|album) (\w+)", lambda match: f"{match[1]} {names.get(match[2], match[2])}", told
    )


def stands_by(replaces: Sequence[int] | None) -> str:
    """For which tracks (positions from 0) a track of the reserve can come in."""
    if replaces is None:
        return "for any track"
    several = "s" if len(replaces) > 1 else ""
    return f"for position{several} {', '.join(str(position + 1) for position in replaces)}"


def _breach(breach: Mapping[str, Any], units: Units, names: Mapping[str, str]) -> str:
    asked, amount = breach.get("asked", 0), breach.get("amount", 0)
    of = names.get(breach.get("of") or "", breach.get("of"))
    match breach.get("rule"):
        case Rule.COOLDOWN:
            return f"cooldown gave way: {asked} {units.tracks} needed, {amount} lacking"
        case Rule.ARTIST_COOLDOWN:
            return f"rest of artist {of} gave way: {asked} {units.artists} needed, {amount} lacking"
        case Rule.ARTIST_CAP:
            return f"artist cap gave way: {_ordinal(asked + amount)} track by {of}, {asked} allowed"
        case Rule.ALBUM_CAP:
            return f"album cap gave way: {_ordinal(asked + amount)} track from {of}, {asked} allowed"
        case rule:
            return f"{rule} gave way by {amount}"


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────


def compare(figures: Mapping[str, Any], definition: Mapping[str, Any]) -> list[Compared]:
    """The figures of a draw beside their bounds, as far as both were stored.

    Args:
        figures: of the snapshot.
        definition: of the policy's version that it was drawn under.
    """
    return [each for each in _all(figures, definition) if each.value is not None or each.bound is not None]


def _all(figures: Mapping[str, Any], definition: Mapping[str, Any]) -> Iterator[Compared]:
    get = figures.get
    units = Units.of(definition)
    yield _at_least("tracks", get("tracks"), get("size_bound"))
    yield _at_least("tracks that obey every rule", get("obeying"), get("obeying_bound"))
    yield _at_most("tracks beyond the artist cap", get("artist_excess"), get("artist_excess_bound"))
    yield _at_most("tracks beyond the album cap", get("album_excess"), get("album_excess_bound"))
    yield _at_most(
        f"{units.tracks} of cooldown lacking", get("cooldown_shortfall"), get("cooldown_shortfall_bound")
    )
    yield _reuse(figures, definition)
    yield _sustained(get("capacity") or _NONE)
    yield _just("smallest gap between an artist's tracks", get("smallest_gap"), get("gap_target"))
    asked = (definition.get("order") or _NONE).get("gap")
    yield Compared(
        "gap aimed at, and the largest possible", get("gap_target"), get("gap_bound"), f"asked: {asked}"
    )
    yield _at_most("neighbours by one artist", get("neighbours"), get("neighbour_bound"))
    yield _transitions(get("transition_cost"), get("transition_bound"))
    yield Compared("distance from the flow's shape", get("shape_deviation"), None, "a random order has 0.33")
    yield Compared("artists ahead of an even spread", get("prefix_deviation"), None, "in tracks, at most")
    yield Compared("likeness to the last draw", get("jaccard_with_last"), None, "Jaccard, 0 to 1")
    yield Compared(
        "likeness to its siblings",
        get("jaccard_with_siblings"),
        None,
        f"Jaccard; likest: {get('likest_sibling')} ({get('jaccard_with_likest')})",
    )


def _at_least(figure: str, value: Number | None, bound: Number | None) -> Compared:
    if value is None or bound is None:
        return Compared(figure, value, bound, "")
    lacking = bound - value
    return Compared(figure, value, bound, "as possible" if lacking <= 0 else f"{lacking} fewer", lacking <= 0)


def _at_most(figure: str, value: Number | None, bound: Number | None) -> Compared:
    if value is None or bound is None:
        return Compared(figure, value, bound, "")
    excess = value - bound
    return Compared(figure, value, bound, "as possible" if excess <= 0 else f"{excess} more", excess <= 0)


def _just(figure: str, value: Number | None, bound: Number | None) -> Compared:
    if value is None or bound is None:
        return Compared(figure, value, bound, "")
    return Compared(
        figure, value, bound, "as aimed at" if value == bound else "not as aimed at", value == bound
    )


def _reuse(figures: Mapping[str, Any], definition: Mapping[str, Any]) -> Compared:
    """The youngest reuse against what was asked or, where the pool can't keep that up, against W*."""
    name = "days since the last use, at least"
    value, longest = figures.get("smallest_reuse"), figures.get("longest_reuse_days")
    asked = (definition.get("cooldown") or _NONE).get("days")
    if value is None:
        return Compared(name, None, longest, "nothing was used lately")
    if not asked:
        return Compared(name, value, longest, "no days asked")
    due = min(asked, math.floor(longest)) if longest is not None else asked
    verdict = f"{asked} asked" + (f", {due} can be kept up" if due < asked else "")
    return Compared(name, value, longest, verdict, value >= due)


def _sustained(capacity: Mapping[str, Any]) -> Compared:
    """What a round of draws asks against C*."""
    asked, most = capacity.get("asked"), capacity.get("sustained")
    lacking = capacity.get("tracks_lacking")
    verdict = "can be kept up for good" if not lacking else f"the pool lacks {_counted(lacking, 'track')}"
    return Compared(
        "tracks a round that the pool is asked for, and sustains", asked, most, verdict if asked else ""
    )


def _transitions(cost: float | None, bound: float | None) -> Compared:
    ratio = f"{cost / bound:.2f} times the bound" if cost is not None and bound else ""
    return Compared("mean cost of a transition", cost, bound, ratio)


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

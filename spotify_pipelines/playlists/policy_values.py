"""The values that a policy may hold: numbers, names, references, times, each refused in plain words.

What belongs here: types of single values for the model in ``policies``, with what JSON Schema says of them.
What does not: keys, and what values mean together.
"""

import re
import zoneinfo
from collections.abc import Mapping
from datetime import date, time
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    Strict,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from spotify_pipelines.playlists.cycles import CycleError, zone
from spotify_pipelines.playlists.references import (
    LONGEST_SLUG,
    SLUG,
    Kind,
    ReferenceRefused,
    cleaned,
    comparable,
)

__all__ = [
    "AddedSince",
    "AlbumFactors",
    "AlbumPool",
    "Albums",
    "ArtistFactors",
    "ArtistPool",
    "Artists",
    "Factor",
    "LabelFactors",
    "LabelPool",
    "LocalTime",
    "Market",
    "Names",
    "Number",
    "Pins",
    "Slug",
    "Switch",
    "TagFactors",
    "TagPool",
    "Tracks",
    "Whole",
    "ZoneName",
    "distinct",
    "one_message",
    "refuse",
]

LARGEST_FACTOR: Final = 1000
_LONGEST_DAYS: Final = 36_500
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def refuse(message: str) -> PydanticCustomError:
    """The error for a value that can't be taken, with exactly this sentence."""
    return PydanticCustomError("policy", "{message}", {"message": message})


def one_message(message: str) -> WrapValidator:
    """One sentence in place of one complaint for each member of a union."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            raise refuse(message) from error

    return WrapValidator(check)


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, or a refusal of one that comes twice."""
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise refuse(f"names {value} twice")
        seen.add(value)
    return values


def _reference(kind: Kind) -> AfterValidator:
    def check(value: str) -> str:
        try:
            return cleaned(value, kind)
        except ReferenceRefused as error:
            raise refuse(f"{error}, got {value[:60]!r}") from error

    return AfterValidator(check)


def _sorted(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(values))


def _spelled_once(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    found: dict[str, float] = handler(value)
    if len(found) < len(value):
        raise refuse("names the same thing twice: a link and its id are one")
    spelling: dict[str, str] = {}
    for name in found:
        if (other := spelling.setdefault(comparable(name), name)) != name:
            raise refuse(f"names {other} and {name}: capitals and spaces make no difference")
    return dict(sorted(found.items()))


def _local_time(value: Any) -> time:
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise refuse('should be a local time such as "04:30"')
    return time.fromisoformat(value)


def _zone_name(value: str) -> str:
    try:
        zone(value)
    except CycleError as error:
        close = get_close_matches(value, sorted(zoneinfo.available_timezones()), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise refuse(f"{error}{hint}") from error
    return value


def _country(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{2}", value):
        raise refuse('should be a country in two capital letters, such as "DE"')
    return value


def _added_since(value: Any) -> Any:
    if isinstance(value, date) or (isinstance(value, int) and not isinstance(value, bool)):
        given = value
    elif isinstance(value, str) and _ISO_DATE.fullmatch(value):
        try:
            given = date.fromisoformat(value)
        except ValueError as error:
            raise refuse(f"{value} is no day of the calendar") from error
    else:
        given = 0
    if isinstance(given, int) and not 1 <= given <= _LONGEST_DAYS:
        raise refuse(f"should be a date such as 2026-01-31, or a number of days from 1 to {_LONGEST_DAYS}")
    return given


def _cover(value: str) -> str:
    if re.fullmatch(r"sha256:[0-9a-f]{64}", value):
        return value
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or path.suffix.lower() not in {".jpg", ".jpeg"}:
        raise refuse(
            "should be a JPEG file beside the policy file, such as covers/morning.jpg, or sha256: and the 64 "
            "digits of one that was applied before"
        )
    return value


def _position(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d{0,2}", value, re.ASCII):
        return int(value)
    raise refuse("should be a position in the playlist, counted from 1")


def _each_track_once(pins: Mapping[int, str]) -> Mapping[int, str]:
    first: dict[str, int] = {}
    for position, track_id in pins.items():
        if track_id in first:
            raise refuse(f"puts the track {track_id} at {first[track_id]} and at {position}")
        first[track_id] = position
    return dict(sorted(pins.items()))


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
ArtistRef = Annotated[Text, _reference("artist")]
AlbumRef = Annotated[Text, _reference("album")]
TrackRef = Annotated[Text, _reference("track")]
Slug = Annotated[str, StringConstraints(pattern=SLUG, max_length=LONGEST_SLUG)]

_NOT_EMPTY: Final = Field(min_length=1)
_DISTINCT: Final = AfterValidator(distinct)
# Where the sequence means nothing, another sequence is no other policy.
_SORTED: Final = AfterValidator(_sorted)
_FACTORS: Final = WrapValidator(_spelled_once)

Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]
Factor = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=LARGEST_FACTOR)]
Names = Annotated[tuple[Text, ...], _NOT_EMPTY, _DISTINCT]
ArtistPool = Annotated[tuple[ArtistRef, ...], _NOT_EMPTY, _DISTINCT]
AlbumPool = Annotated[tuple[AlbumRef, ...], _NOT_EMPTY, _DISTINCT]
LabelPool = Annotated[tuple[Text, ...], _NOT_EMPTY, _DISTINCT, _SORTED]
TagPool = Annotated[tuple[Slug, ...], _NOT_EMPTY, _DISTINCT, _SORTED]
Tracks = Annotated[tuple[TrackRef, ...], _DISTINCT, _SORTED]
Artists = Annotated[tuple[ArtistRef, ...], _DISTINCT, _SORTED]
Albums = Annotated[tuple[AlbumRef, ...], _DISTINCT, _SORTED]
ArtistFactors = Annotated[dict[ArtistRef, Factor], _FACTORS]
AlbumFactors = Annotated[dict[AlbumRef, Factor], _FACTORS]
LabelFactors = Annotated[dict[Text, Factor], _FACTORS]
TagFactors = Annotated[dict[Slug, Factor], _FACTORS]
Market = Annotated[str, AfterValidator(_country), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{2}$"})]
CoverName = Annotated[Text, AfterValidator(_cover)]
ZoneName = Annotated[str, AfterValidator(_zone_name)]
LocalTime = Annotated[
    time,
    BeforeValidator(_local_time),
    PlainSerializer(lambda value: value.strftime("%H:%M"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"}),
]
AddedSince = Annotated[
    date | int,
    BeforeValidator(_added_since),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date"},
                {"type": "integer", "minimum": 1, "maximum": _LONGEST_DAYS},
            ]
        }
    ),
]
Pins = Annotated[
    dict[Annotated[int, BeforeValidator(_position)], TrackRef],
    AfterValidator(_each_track_once),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": r"^[1-9]\d?$|^100$"},
            "additionalProperties": {"type": "string"},
        }
    ),
]

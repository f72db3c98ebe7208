"""Policies: what each kind of playlist should be, from a reviewed YAML file.

What belongs here: the keys of a policy, what they may hold, the refusals that name the key. What does not:
which tracks lie inside a policy's pool (``eligibility``), drawing (``selection``), storing policies.

A policy's meaning is its :func:`policy_digest`: the version in the database rises when that changes.
"""

import hashlib
import json
import re
import zoneinfo
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import time
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from spotify_pipelines.playlists.cycles import CycleError, zone
from spotify_pipelines.playlists.selection import DEFAULT_RELAXATION, Rule
from spotify_pipelines.playlists.strict_yaml import Path, read_yaml
from spotify_pipelines.playlists.templates import (
    DESCRIPTION_LIMIT,
    NAME_LIMIT,
    TemplateError,
    validate_template,
)

__all__ = [
    "Caps",
    "Cooldown",
    "FeatureWindow",
    "FeatureWindows",
    "OrderRule",
    "Policy",
    "PolicyError",
    "PolicyFile",
    "PolicyProblem",
    "PoolRule",
    "Reshuffle",
    "Weights",
    "Years",
    "parse_policies",
    "policies_json_schema",
    "policy_digest",
    "policy_from_json",
    "policy_to_json",
]


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────


def _refuse(message: str) -> PydanticCustomError:
    return PydanticCustomError("policy", "{message}", {"message": message})


def _one_message(message: str) -> WrapValidator:
    """One sentence in place of one complaint for each member of a union."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            raise _refuse(message) from error

    return WrapValidator(check)


def _local_time(value: Any) -> time:
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise _refuse('should be a local time such as "04:30"')
    return time.fromisoformat(value)


def _zone_name(value: str) -> str:
    try:
        zone(value)
    except CycleError as error:
        close = get_close_matches(value, sorted(zoneinfo.available_timezones()), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise _refuse(f"{error}{hint}") from error
    return value


def _template(limit: int, *, allow_links: bool) -> AfterValidator:
    def check(value: str, info: ValidationInfo) -> str:
        name = str(info.field_name)
        try:
            validate_template(value, name, limit=limit, allow_links=allow_links)
        except TemplateError as error:
            raise _refuse(str(error).removeprefix(f"{name}: ")) from error
        return value

    return AfterValidator(check)


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = next((value for place, value in enumerate(values) if value in values[:place]), None)
    if twice is not None:
        raise _refuse(f"names {twice} twice")
    return values


Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]
Names = Annotated[
    tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)], ...],
    Field(min_length=1),
    AfterValidator(_distinct),
]
LocalTime = Annotated[
    time,
    BeforeValidator(_local_time),
    PlainSerializer(lambda value: value.strftime("%H:%M"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"}),
]
ZoneName = Annotated[str, AfterValidator(_zone_name)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]


# ── what a policy says ───────────────────────────────────────────────────────────────────────────────────────


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Years(_Part):
    """A range of release years, both ends included; a track without a year lies outside."""

    first: Annotated[Whole, Field(ge=1000, le=9999)] | None = None
    last: Annotated[Whole, Field(ge=1000, le=9999)] | None = None

    @model_validator(mode="after")
    def _in_sequence(self) -> Self:
        if self.first is None and self.last is None:
            raise _refuse("needs first, last or both")
        if self.first is not None and self.last is not None and self.first > self.last:
            raise _refuse(f"first ({self.first}) is after last ({self.last})")
        return self


class PoolRule(_Part):
    """Which tracks of the catalogue a policy draws from; ``all`` is every one."""

    artists: Names | None = None
    """Spotify ids or names of artists; a track is in the pool if it credits one of them."""
    albums: Names | None = None
    """Spotify ids of albums."""
    years: Years | None = None
    explicit: Literal["allow", "exclude", "only"] = "allow"
    """What is not known to be explicit or clean counts as neither."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"const": "all"}, handler(schema)]}


class FeatureWindow(_Part):
    """Bounds of one audio feature, both ends included."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _in_sequence(self) -> Self:
        if self.min is None and self.max is None:
            raise _refuse("needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise _refuse(f"min ({self.min:g}) is above max ({self.max:g}): no track can pass")
        return self

    def admits(self, value: float) -> bool:
        """Whether the value lies inside."""
        return (self.min is None or self.min <= value) and (self.max is None or value <= self.max)


def _between(least: float, most: float, unit: str = "") -> AfterValidator:
    def check(window: FeatureWindow | None) -> FeatureWindow | None:
        bounds = (window.min, window.max) if window else ()
        if any(bound is not None and not least <= bound <= most for bound in bounds):
            raise _refuse(f"lies between {least:g} and {most:g}{unit}")
        return window

    return AfterValidator(check)


Share = Annotated[FeatureWindow | None, _between(0, 1)]


class FeatureWindows(_Part):
    """Windows of Spotify's audio features; a track has to pass all that are given."""

    danceability: Share = None
    energy: Share = None
    speechiness: Share = None
    acousticness: Share = None
    instrumentalness: Share = None
    liveness: Share = None
    valence: Share = None
    tempo: Annotated[FeatureWindow | None, _between(0, 400, " beats per minute")] = None
    loudness: Annotated[FeatureWindow | None, _between(-80, 20, " dB")] = None

    def given(self) -> dict[str, FeatureWindow]:
        """The windows that are set, by feature."""
        return {
            name: window for name in type(self).model_fields if (window := getattr(self, name)) is not None
        }


class Weights(_Part):
    """How likely each eligible track is; without anything said, all are equally likely."""

    freshness: Annotated[Number, Field(ge=0, le=8, multiple_of=0.5)] = 0.0
    """Dial: a track used age days ago has (age / horizon_days) ^ freshness of its chance; 0 switches it off."""
    horizon_days: Annotated[Whole, Field(ge=1, le=3650)] = 90
    """After so many days a used track is as fresh as a new one."""


class Cooldown(_Part):
    """How long a track rests after it was used: so many days, or the next so many draws of the playlist.

    The age of a use is counted from cycle to cycle: in local days between their starts, or in draws in between
    (so that the last draw's tracks have the age 0). A use in this very cycle has the age 0 as well.
    """

    days: Annotated[Whole, Field(ge=1, le=3650)] | None = None
    draws: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    scope: Literal["playlist", "account", "policy", "fleet"] = "playlist"
    """Whose uses count: this playlist's, all of its account, all of its policy, or all there are."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if (self.days is None) == (self.draws is None):
            raise _refuse("needs either days or draws" + (", not both" if self.days is not None else ""))
        if self.draws is not None and self.scope != "playlist":
            raise _refuse(f"counts draws, which only scope playlist has; give days for scope {self.scope}")
        return self

    @property
    def length(self) -> int:
        """In days or draws, whichever is given."""
        return self.days or self.draws or 0

    def holds_back(self, age: int) -> bool:
        """Whether a track last used so long ago, in the cooldown's own unit, still rests."""
        return age < self.length


class Caps(_Part):
    """How many tracks of one playlist may credit the same artist, or come from the same album; null: any."""

    artist: Annotated[Whole, Field(ge=1, le=100)] | None = 2
    album: Annotated[Whole, Field(ge=1, le=100)] | None = None


class OrderRule(_Part):
    """How the tracks are put in order."""

    gap: Annotated[
        Literal["best", "half"] | Annotated[Whole, Field(ge=1, le=99)],
        _one_message("should be best, half or a number of positions from 1 to 99"),
    ] = "half"
    """Least distance between two tracks of one artist: the largest possible, half of that, or a number."""


class Reshuffle(_Part):
    """When a playlist is drawn anew: every so many days at a local time."""

    every_days: Annotated[Whole, Field(ge=1, le=366)] = 7
    at: LocalTime = time(4, 0)
    timezone: ZoneName = "UTC"


def _pool(value: Any) -> Any:
    return {} if value == "all" else value


class Policy(_Part):
    """One kind of playlist: what it draws from, by what rules, in what order, called what, renewed when."""

    name: Slug
    """Small letters, digits and dashes; what commands, rows and logs call it."""
    size: Annotated[Whole, Field(ge=1, le=100)] = 50
    """Tracks per playlist; Spotify replaces at most 100 at once."""
    pool: Annotated[PoolRule, BeforeValidator(_pool)] = PoolRule()
    features: FeatureWindows = FeatureWindows()
    missing_features: Literal["allow", "exclude"] = "allow"
    """What becomes of a track that lacks a feature that a window asks for."""
    weights: Weights = Weights()
    cooldown: Cooldown | None = None
    caps: Caps = Caps()
    relaxation: Annotated[tuple[Rule, ...], AfterValidator(_distinct)] = DEFAULT_RELAXATION
    """Rules that may give way where not all can hold, first to last. Others stay, and the playlist is shorter."""
    order: OrderRule = OrderRule()
    name_template: Annotated[str, _template(NAME_LIMIT, allow_links=True)] = "$policy"
    description_template: Annotated[str, _template(DESCRIPTION_LIMIT - 11, allow_links=False)] = (
        "$tracks tracks, drawn on $date"
    )
    public: Switch = False
    """Whether Spotify lists it on the account's profile; no access control."""
    reshuffle: Reshuffle = Reshuffle()
    accounts: Annotated[
        Literal["all"] | Names, _one_message("should be all or a list of different account names or ids")
    ] = "all"
    playlists_per_account: Annotated[Whole, Field(ge=1, le=100)] = 1
    on_missing: Literal["recreate", "leave"] = "recreate"
    """What happens after the owner deletes the playlist on Spotify."""


class PolicyFile(_Part):
    """All policies that should be in force."""

    policies: Annotated[tuple[Policy, ...], Field(min_length=1)]


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing that is wrong: the key's path (``policies[0].cooldown.days``), its line if known, and what."""

    path: str
    line: int | None
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.path + ': ' if self.path else ''}{self.message}"


class PolicyError(ValueError):
    """A policy file that can't be taken; the text lists every problem with its place."""

    def __init__(self, source: str, problems: Iterable[PolicyProblem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.line or 0, p.path, p.message)))
        if len(self.problems) == 1:
            super().__init__(f"{source}: {self.problems[0]}")
        else:
            listed = "".join(f"\n  {problem}" for problem in self.problems)
            super().__init__(f"{source}: {len(self.problems)} problems{listed}")


def parse_policies(text: str | bytes, source: str) -> PolicyFile:
    """The policies of a YAML document; ``source`` is what messages call it.

    Raises :class:`PolicyError` that lists every problem with the path of its key, its line, what is wrong and,
    for an unknown key, what was probably meant.
    """
    document = read_yaml(text)
    problems = [PolicyProblem(_written(p.path), p.line, p.message) for p in document.problems]
    if document.value is None:
        raise PolicyError(
            source, problems or [PolicyProblem("", None, "is empty; it needs the key policies")]
        )
    if not isinstance(document.value, dict):
        raise PolicyError(source, [PolicyProblem("", 1, "should be a mapping with the key policies")])
    unreadable = {problem.path for problem in document.problems}
    wrong, file = _validated(PolicyFile, document.value)
    wrong += _named_twice(document.value)
    problems += [
        PolicyProblem(_written(path), _line(document.lines, path), message)
        for path, message in wrong
        if path not in unreadable
    ]
    if problems or file is None:
        raise PolicyError(source, problems)
    return file


def policy_from_json(definition: Mapping[str, Any]) -> Policy:
    """A policy from :func:`policy_to_json`; raises :class:`PolicyError` like a file would."""
    wrong, policy = _validated(Policy, dict(definition))
    if policy is None:
        name = str(definition.get("name", "policy"))
        raise PolicyError(name, [PolicyProblem(_written(path), None, message) for path, message in wrong])
    return policy


def policy_to_json(policy: Policy) -> dict[str, Any]:
    """A policy as plain JSON values, defaults included."""
    return policy.model_dump(mode="json")


def policy_digest(policy: Policy) -> str:
    """SHA-256 of what a policy says, whatever its layout, key sequence and comments.

    Values that equal their default don't count: a key that a later release adds changes no digest.
    """
    said = policy.model_dump(mode="json", exclude_defaults=True)
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def policies_json_schema() -> dict[str, Any]:
    """JSON Schema of a policy file, for editors that complete and check YAML."""
    schema = PolicyFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Playlist policies"}


_Wrong = tuple[Path, str]
# What pydantic says in terms of Python, in terms of YAML.
_PLAINLY: Final = {
    "missing": "is missing",
    "model_type": "should be a mapping",
    "tuple_type": "should be a list",
    "too_short": "should not be empty",
    "string_type": "should be a text",
    "string_pattern_mismatch": "should be small letters and digits with single dashes between them",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
}
_Model = TypeVar("_Model", bound=BaseModel)


def _validated(model: type[_Model], value: dict[str, Any]) -> tuple[list[_Wrong], _Model | None]:
    try:
        return [], model.model_validate(value)
    except ValidationError as error:
        # A list whose members are all wrong also counts as empty, which helps nobody.
        details = (
            detail for detail in error.errors() if detail["type"] != "too_short" or not detail["input"]
        )
        return [_told(model, dict(detail)) for detail in details], None


def _told(model: type[BaseModel], detail: dict[str, Any]) -> _Wrong:
    """Path and sentence for one of pydantic's complaints."""
    path = tuple(detail["loc"])
    if detail["type"] == "extra_forbidden":
        return path, _unknown_key(str(path[-1]), _keys_at(model, path[:-1]))
    if detail["type"] == "policy":
        return path, detail["msg"]
    message = _PLAINLY.get(detail["type"], detail["msg"].replace("Input should", "should"))
    message = message.replace("greater than or equal to", "at least").replace(
        "less than or equal to", "at most"
    )
    if detail["type"] == "missing":
        return path, message
    given = detail["input"]
    if isinstance(given, str | int | float | None):
        message += f", got {json.dumps(given, ensure_ascii=False)[:60]}"
    return path, message


def _unknown_key(key: str, known: Collection[str]) -> str:
    close = get_close_matches(key.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"unknown key; {hint}"


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the model at ``path`` knows."""
    for key in path:
        if isinstance(key, str):
            inner = _model_in(model.model_fields[key].annotation)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _named_twice(value: dict[str, Any]) -> list[_Wrong]:
    """Complaints about policies that bear the name of an earlier one."""
    policies = value.get("policies")
    first: dict[str, int] = {}
    wrong: list[_Wrong] = []
    for place, policy in enumerate(policies if isinstance(policies, list) else []):
        name = policy.get("name") if isinstance(policy, dict) else None
        if isinstance(name, str) and first.setdefault(name, place) != place:
            wrong.append(
                (("policies", place, "name"), f"{name} is the name of policies[{first[name]}] already")
            )
    return wrong


def _written(path: Path) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def _line(lines: Mapping[Path, int], path: Path) -> int | None:
    """The line of a key, or of the nearest thing around a missing one."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)

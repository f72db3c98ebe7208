"""Policies: what each kind of playlist should be, from a reviewed YAML file.

What belongs here: the keys of a policy, what they may hold, the refusals that name the key. What does not:
which tracks lie inside a policy's pool (``eligibility``), drawing (``selection``), storing policies.

A policy's meaning is its :func:`policy_digest`: the version in the database rises when that changes.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import time
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError

from spotify_pipelines.playlists.contradictions import contradictions
from spotify_pipelines.playlists.policy_problems import (
    PolicyError,
    PolicyProblem,
    Wrong,
    line_of,
    validated,
    written,
)
from spotify_pipelines.playlists.policy_values import (
    AddedSince,
    AlbumFactors,
    AlbumPool,
    Albums,
    ArtistFactors,
    ArtistPool,
    Artists,
    CoverName,
    Factor,
    LabelFactors,
    LabelPool,
    LocalTime,
    Market,
    Names,
    Number,
    Pins,
    Slug,
    Switch,
    TagFactors,
    TagPool,
    Tracks,
    Whole,
    ZoneName,
    distinct,
    one_message,
    refuse,
)
from spotify_pipelines.playlists.rules import Rule
from spotify_pipelines.playlists.strict_yaml import read_yaml
from spotify_pipelines.playlists.templates import (
    DESCRIPTION_LIMIT,
    NAME_LIMIT,
    TemplateError,
    validate_template,
)

__all__ = [
    "ArtistCooldown",
    "Caps",
    "Cooldown",
    "Exclusions",
    "FeatureWindow",
    "FeatureWindows",
    "OrderRule",
    "Policy",
    "PolicyError",
    "PolicyFile",
    "PolicyProblem",
    "PoolRule",
    "PopularityWeight",
    "Reshuffle",
    "Weights",
    "Years",
    "parse_policies",
    "policies_json_schema",
    "policy_as_said",
    "policy_digest",
    "policy_from_json",
    "policy_to_json",
]


# No more than this, whatever other rules there are: policies that were stored without saying it mean it.
_RELAXATION: Final = (Rule.COOLDOWN, Rule.ALBUM_CAP, Rule.ARTIST_CAP)


def _template(limit: int, *, allow_links: bool) -> AfterValidator:
    def check(value: str, info: ValidationInfo) -> str:
        name = str(info.field_name)
        try:
            validate_template(value, name, limit=limit, allow_links=allow_links)
        except TemplateError as error:
            raise refuse(str(error).removeprefix(f"{name}: ")) from error
        return value

    return AfterValidator(check)


# ── what a policy says ───────────────────────────────────────────────────────────────────────────────────────


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Years(_Part):
    """A range of release years, both ends included; a track without a year lies outside."""

    first: Annotated[Whole, Field(ge=1000, le=9999)] | None = None
    """The earliest year."""
    last: Annotated[Whole, Field(ge=1000, le=9999)] | None = None
    """The latest year."""

    @model_validator(mode="after")
    def _in_sequence(self) -> Self:
        if self.first is None and self.last is None:
            raise refuse("needs first, last or both")
        if self.first is not None and self.last is not None and self.first > self.last:
            raise refuse(f"first ({self.first}) is after last ({self.last})")
        return self


class PoolRule(_Part):
    """Which tracks of the catalogue a policy draws from; ``all`` is every one. All keys that are given must hold.

    Of several entries in a list one is enough. What the catalogue does not know of a track (its label in Spotify's
    development mode, say) lies outside what a key asks for, but unknown playability passes unless told otherwise.
    """

    artists: ArtistPool | None = None
    """Artists by name, link or id; a track is in the pool if it credits one of them."""
    albums: AlbumPool | None = None
    """Albums by name, link or id."""
    labels: LabelPool | None = None
    """Labels by name. Spotify tells labels to some apps only; an unknown label lies outside."""
    tags: TagPool | None = None
    """Tags that albums got from you (``albums tag``); one of them is enough."""
    years: Years | None = None
    """Years of release."""
    added_since: AddedSince | None = None
    """A date, or a number of days before today: albums queued from then on (days of the policy's time zone)."""
    explicit: Literal["allow", "exclude", "only"] = "allow"
    """Tracks with explicit words: also, none, or only them."""
    playable: Literal["unknown_passes", "known"] = "unknown_passes"
    """A track that Spotify says can't be played is never drawn; ``known``: nor one of which it said nothing."""
    market: Market | None = None
    """A country in two capital letters: tracks that are known not to be available there stay out."""

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
            raise refuse("needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise refuse(f"min ({self.min:g}) is above max ({self.max:g}): no track can pass")
        return self

    def admits(self, value: float) -> bool:
        """Whether the value lies inside."""
        return (self.min is None or self.min <= value) and (self.max is None or value <= self.max)


def _between(least: float, most: float, unit: str = "") -> AfterValidator:
    def check(window: FeatureWindow | None) -> FeatureWindow | None:
        bounds = (window.min, window.max) if window else ()
        if any(bound is not None and not least <= bound <= most for bound in bounds):
            raise refuse(f"lies between {least:g} and {most:g}{unit}")
        return window

    return AfterValidator(check)


Share = Annotated[FeatureWindow | None, _between(0, 1)]


class FeatureWindows(_Part):
    """Windows of Spotify's audio features; a track has to pass all that are given."""

    danceability: Share = None
    """Fit for dancing, 0 to 1."""
    energy: Share = None
    """Intensity, 0 to 1."""
    speechiness: Share = None
    """Spoken words, 0 to 1; music has less than 0.33."""
    acousticness: Share = None
    """Confidence that it is acoustic, 0 to 1."""
    instrumentalness: Share = None
    """Likelihood that nobody sings, 0 to 1."""
    liveness: Share = None
    """Likelihood of an audience, 0 to 1."""
    valence: Share = None
    """From sad (0) to cheerful (1)."""
    tempo: Annotated[FeatureWindow | None, _between(0, 400, " beats per minute")] = None
    """Beats per minute, 0 to 400."""
    loudness: Annotated[FeatureWindow | None, _between(-80, 20, " dB")] = None
    """Average loudness in dB, −80 to 20."""

    def given(self) -> dict[str, FeatureWindow]:
        """The windows that are set, by feature."""
        return {
            name: window for name in type(self).model_fields if (window := getattr(self, name)) is not None
        }


class Exclusions(_Part):
    """What is never drawn, whatever the pool."""

    tracks: Tracks = ()
    """Tracks by link or id."""
    artists: Artists = ()
    """Artists by name, link or id; a track that credits one of them stays out, also as a guest."""
    albums: Albums = ()
    """Albums by name, link or id."""


class PopularityWeight(_Part):
    """A factor by the popularity of the album (0 to 100), in a straight line between two ends."""

    at_0: Factor = 1.0
    """The factor of an album that nobody plays."""
    at_100: Factor = 1.0
    """The factor of the most popular ones."""
    unknown: Factor = 1.0
    """Where Spotify did not tell; in development mode that is everywhere."""


class Weights(_Part):
    """How likely each eligible track is; without anything said, all are equally likely.

    All factors that fit a track are multiplied. A factor of 2 doubles its weight, 0 is never drawn.
    """

    freshness: Annotated[Number, Field(ge=0, le=8, multiple_of=0.5)] = 0.0
    """Dial: a track used age days ago has (age / horizon_days) ^ freshness of its chance; 0 switches it off."""
    horizon_days: Annotated[Whole, Field(ge=1, le=3650)] = 90
    """After so many days a used track is as fresh as a new one."""
    artists: ArtistFactors = Field(default={})
    """Factors by artist (name, link or id). Each credited artist counts; an id goes before a name."""
    albums: AlbumFactors = Field(default={})
    """Factors by album (name, link or id); an id goes before a name."""
    labels: LabelFactors = Field(default={})
    """Factors by label."""
    tags: TagFactors = Field(default={})
    """Factors by tag; of an album with several tags each counts."""
    popularity: PopularityWeight | None = None
    """A factor by the popularity of the album (0 to 100), in a straight line between two ends."""


class _Rest(_Part):
    days: Annotated[Whole, Field(ge=1, le=3650)] | None = None
    """Local days between the starts of the two cycles."""
    draws: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    """Draws of the same playlist."""

    @property
    def length(self) -> int:
        """In days or draws, whichever is given."""
        return self.days or self.draws or 0

    def holds_back(self, age: int) -> bool:
        """Whether what was last used so long ago, in the cooldown's own unit, still rests."""
        return age < self.length


class ArtistCooldown(_Rest):
    """How long an artist rests: tracks that credit someone who was heard so lately are not drawn."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if (self.days is None) == (self.draws is None):
            raise refuse("needs either days or draws" + (", not both" if self.days is not None else ""))
        return self


class Cooldown(_Rest):
    """How long a track rests after it was used: so many days, or the next so many draws of the playlist.

    The age of a use is counted from cycle to cycle: in local days between their starts, or in draws in between
    (so that the last draw's tracks have the age 0). A use in this very cycle has the age 0 as well.
    """

    scope: Literal["playlist", "account", "policy", "fleet"] = "playlist"
    """Whose uses count: this playlist's, all of its account, all of its policy, or all there are."""
    artist: ArtistCooldown | None = None
    """How long artists rest; with the same scope, and with or without a rest of the tracks themselves."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.days is not None and self.draws is not None:
            raise refuse("needs either days or draws, not both")
        if self.days is None and self.draws is None and self.artist is None:
            raise refuse("needs either days or draws")
        counts_draws = self.draws is not None or (self.artist is not None and self.artist.draws is not None)
        if counts_draws and self.scope != "playlist":
            raise refuse(f"counts draws, which only scope playlist has; give days for scope {self.scope}")
        return self


class Caps(_Part):
    """How many tracks of one playlist may credit the same artist, or come from the same album; null: any."""

    artist: Annotated[Whole, Field(ge=1, le=100)] | None = 2
    """Tracks that credit the same artist, guests included; null: any number."""
    album: Annotated[Whole, Field(ge=1, le=100)] | None = None
    """Tracks from the same album."""


class OrderRule(_Part):
    """How the tracks are put in order."""

    gap: Annotated[
        Literal["best", "half"] | Annotated[Whole, Field(ge=1, le=99)],
        one_message("should be best, half or a number of positions from 1 to 99"),
    ] = "half"
    """Least distance between two tracks of one artist: the largest possible, half of that, or a number."""
    flow: Literal["none", "smooth", "rise", "fall", "wave"] = "none"
    """What neighbours have to do with each other, as far as the gap leaves room: nothing, small steps in tempo, key
    and energy, or those along a line that rises, falls or does both."""


class Reshuffle(_Part):
    """When a playlist is drawn anew: every so many days at a local time."""

    every_days: Annotated[Whole, Field(ge=1, le=366)] = 7
    """Days of a cycle."""
    at: Annotated[LocalTime, Field(json_schema_extra={"default": "04:00"})] = time(4, 0)
    """Local time at which a cycle begins; clock changes neither skip nor repeat one."""
    timezone: ZoneName = "UTC"
    """IANA name of a time zone, such as Europe/Berlin; days and dates of the policy are days there."""
    catch_up: Literal["once", "skip"] = "once"
    """Whether a reshuffle that was missed by hours is made up for, or left out until the next one."""


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
    exclude: Exclusions = Exclusions()
    pinned: Pins = Field(default={})
    """Tracks with a fixed position, counted from 1: link or id. One that may not come leaves its position free."""
    weights: Weights = Weights()
    cooldown: Cooldown | None = None
    caps: Caps = Caps()
    relaxation: Annotated[tuple[Rule, ...], AfterValidator(distinct)] = _RELAXATION
    """Rules that may give way where not all can hold, first to last. Others stay, and the playlist is shorter.

    With an artist cooldown, and nothing said here, artist_cooldown comes first.
    """
    order: OrderRule = OrderRule()
    name_template: Annotated[str, _template(NAME_LIMIT, allow_links=True)] = "$policy"
    """The playlist's name; $names are put in when it is written."""
    description_template: Annotated[str, _template(DESCRIPTION_LIMIT - 11, allow_links=False)] = (
        "$tracks tracks, drawn on $date"
    )
    """The playlist's description; no links, which Spotify refuses."""
    public: Switch = False
    """Whether Spotify lists it on the account's profile; no access control."""
    cover: CoverName | None = None
    """The playlist's picture: a JPEG of at most 192 KiB, named relative to the policy file; or the sha256 of one that
    was applied before. null: what Spotify makes of the tracks, or the owner chose."""
    reshuffle: Reshuffle = Reshuffle()
    accounts: Annotated[
        Literal["all"] | Names, one_message("should be all or a list of different account names or ids")
    ] = "all"
    """Accounts that get playlists of this policy, by name or id."""
    playlists_per_account: Annotated[Whole, Field(ge=1, le=100)] = 1
    """How many each of them gets."""
    on_missing: Literal["recreate", "leave"] = "recreate"
    """What happens after the owner deletes the playlist on Spotify."""
    on_drift: Literal["restore", "keep", "adopt", "pause"] = "restore"
    """What happens to an edit by hand, once recorded: overwritten, kept until the next draw, taken for what the
    playlist should be, or the playlist is left alone until a person decides."""
    marker: Literal["keep", "drop_after_settle"] = "keep"
    """Whether the description keeps the sign that finds a lost creation, or loses it with a later change."""
    retire: Literal["keep", "unfollow"] = "keep"
    """Whether a retired playlist stays in its account's library."""

    @model_validator(mode="before")
    @classmethod
    def _artists_rest_gives_way_first(cls, value: Any) -> Any:
        # A value and not the default: it is part of the meaning of policies that have an artist cooldown only.
        if isinstance(value, Mapping) and "relaxation" not in value:
            cooldown = value.get("cooldown")
            if isinstance(cooldown, Mapping) and cooldown.get("artist") is not None:
                return {**value, "relaxation": [Rule.ARTIST_COOLDOWN.value, *_RELAXATION]}
        return value

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if found := list(contradictions(self)):
            message = "; ".join(f"{'.'.join(path)}: {told}" for path, told in found)
            raise PydanticCustomError("contradictions", "{message}", {"message": message, "found": found})
        return self


class PolicyFile(_Part):
    """All policies that should be in force."""

    policies: Annotated[tuple[Policy, ...], Field(min_length=1)]


def parse_policies(text: str | bytes, source: str) -> PolicyFile:
    """The policies of a YAML document; ``source`` is what messages call it.

    Raises :class:`PolicyError` that lists every problem with the path of its key, its line, what is wrong and,
    for an unknown key, what was probably meant.
    """
    document = read_yaml(text)
    problems = [PolicyProblem(written(p.path), p.line, p.message) for p in document.problems]
    if document.value is None:
        raise PolicyError(
            source, problems or [PolicyProblem("", None, "is empty; it needs the key policies")]
        )
    if not isinstance(document.value, dict):
        raise PolicyError(source, [PolicyProblem("", 1, "should be a mapping with the key policies")])
    unreadable = {problem.path for problem in document.problems}
    wrong, file = validated(PolicyFile, document.value)
    wrong += _named_twice(document.value)
    problems += [
        PolicyProblem(written(path), line_of(document.lines, path), message)
        for path, message in wrong
        if path not in unreadable
    ]
    if problems or file is None:
        raise PolicyError(source, problems)
    return file


def policy_from_json(definition: Mapping[str, Any]) -> Policy:
    """A policy from :func:`policy_to_json`; raises :class:`PolicyError` like a file would."""
    wrong, policy = validated(Policy, definition)
    if policy is None:
        name = str(definition.get("name", "policy"))
        raise PolicyError(name, [PolicyProblem(written(path), None, message) for path, message in wrong])
    return policy


def policy_to_json(policy: Policy) -> dict[str, Any]:
    """A policy as plain JSON values, defaults included."""
    return policy.model_dump(mode="json")


def policy_as_said(policy: Policy) -> dict[str, Any]:
    """A policy as plain JSON values, without what is as it is by default."""
    return policy.model_dump(mode="json", exclude_defaults=True)


def policy_digest(policy: Policy) -> str:
    """SHA-256 of what a policy says, whatever its layout, key sequence and comments.

    Values that equal their default don't count: a key that a later release adds changes no digest.
    """
    canonical = json.dumps(policy_as_said(policy), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def policies_json_schema() -> dict[str, Any]:
    """JSON Schema of a policy file, for editors that complete and check YAML."""
    schema = PolicyFile.model_json_schema(schema_generator=_Untitled)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Playlist policies"}


class _Untitled(GenerateJsonSchema):
    """Keys have descriptions; titles that repeat their names would only make editors talk more."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _named_twice(value: Mapping[str, Any]) -> list[Wrong]:
    """Complaints about policies that bear the name of an earlier one."""
    policies = value.get("policies")
    first: dict[str, int] = {}
    wrong: list[Wrong] = []
    for place, policy in enumerate(policies if isinstance(policies, list) else []):
        name = policy.get("name") if isinstance(policy, dict) else None
        if isinstance(name, str) and first.setdefault(name, place) != place:
            wrong.append(
                (("policies", place, "name"), f"{name} is the name of policies[{first[name]}] already")
            )
    return wrong

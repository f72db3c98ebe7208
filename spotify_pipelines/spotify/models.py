"""Spotify's answers as values, tolerant of what one regime has and another lacks.

What belongs here: the fields we use, each optional unless nothing could be done without it; both dialects
(``item`` and ``track``, ``items`` and ``tracks``); ``null`` in any place counts as absent, unknown fields are
ignored. What does not: rows of the database, requests, any judgement of the values.
"""

from datetime import date
from html import unescape
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = [
    "AlbumItem",
    "ArtistRef",
    "FeatureSet",
    "ImageRef",
    "PlaylistDetail",
    "PlaylistEntry",
    "PlaylistItems",
    "PlaylistSummary",
    "Profile",
    "TrackItem",
    "TrackPage",
]


class _Answer(BaseModel):
    """A JSON object in which ``null`` means absent and unknown keys are no concern of ours.

    Attributes:
        WORKED_OUT: fields that we make of others. A key of that name, should Spotify ever send one, is a stranger.
    """

    WORKED_OUT: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = {key: value for key, value in data.items() if value is not None and key not in cls.WORKED_OUT}
        return cls._adapt(known)

    @classmethod
    def _adapt(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Bring the dialects to one shape; ``data`` is a copy without null values."""
        return data


def _without_null(value: Any) -> Any:
    return [each for each in value if each is not None] if isinstance(value, list) else value


Countries = Annotated[list[str], BeforeValidator(_without_null)]


class ArtistRef(_Answer):
    """A credited artist."""

    id: str | None = None
    name: str = ""


class ImageRef(_Answer):
    """One size of a cover; the address is temporary."""

    url: str = ""
    width: int | None = None
    height: int | None = None


class TrackItem(_Answer):
    """A track as albums embed it.

    Attributes:
        id: the id that was asked for, also where Spotify put another recording in its place.
        relinked_id: the id of that other recording; None where the track is itself.
        is_playable: None where the regime or a missing market leaves it open.
        available_markets: countries; None where the regime has none, or a market was given.
    """

    id: str
    name: str = ""
    artists: list[ArtistRef] = Field(default_factory=list)
    disc_number: int = 1
    track_number: int = 0
    duration_ms: int = 0
    explicit: bool = False
    is_playable: bool | None = None
    available_markets: Countries | None = None
    relinked_id: str | None = None

    @classmethod
    def _adapt(cls, data: dict[str, Any]) -> dict[str, Any]:
        # Tracks that came with an album are stored in this form, and come back with it.
        if not isinstance(data.get("relinked_id"), str):
            data.pop("relinked_id", None)
        return _without_nulls(_as_asked_for(data), "artists")


class TrackPage(_Answer):
    """A page of an album's tracks. Entries that are null or have no id are left out.

    ``total`` counts the album's tracks; ``next`` is None on the last page (its address is never followed:
    pages are asked for by offset).
    """

    items: list[TrackItem] = Field(default_factory=list)
    total: int = 0
    next: str | None = None
    offset: int = 0
    limit: int = 50

    @classmethod
    def _adapt(cls, data: dict[str, Any]) -> dict[str, Any]:
        if isinstance(data.get("items"), list):
            data["items"] = [item for item in data["items"] if not isinstance(item, dict) or _id_of(item)]
        return _without_nulls(data, "items")


class AlbumItem(_Answer):
    """An album with its first page of tracks (≤ 50).

    ``release_date`` is as precise as ``release_date_precision`` (``year``, ``month``, ``day``) says. ``etag`` is the
    header that it came with, where it was read alone.
    """

    WORKED_OUT = ("etag",)

    id: str
    name: str = ""
    album_type: str | None = None
    artists: list[ArtistRef] = Field(default_factory=list)
    release_date: str | None = None
    release_date_precision: str | None = None
    total_tracks: int | None = None
    label: str | None = None
    available_markets: Countries | None = None
    popularity: int | None = None
    images: list[ImageRef] = Field(default_factory=list)
    tracks: TrackPage = Field(default_factory=TrackPage)
    etag: str | None = Field(default=None, exclude=True)

    @classmethod
    def _adapt(cls, data: dict[str, Any]) -> dict[str, Any]:
        return _without_nulls(data, "artists", "images")

    @property
    def released_on(self) -> date | None:
        """The first day that ``release_date`` allows; None where it is absent or no date (``0000``).

        >>> AlbumItem(id="x", release_date="1999-11").released_on
        datetime.date(1999, 11, 1)
        """
        parts = (self.release_date or "").split("-")
        try:
            year, month, day = (int(part) for part in (*parts, "1", "1")[:3])
            return date(year, month, day)
        except ValueError:
            return None


class PlaylistEntry(_Answer):
    """One place in a playlist.

    Attributes:
        uri: as it would be written back; None where Spotify shows nothing but the place.
        track_id: the asked-for id; None for local files, episodes and empty places.
    """

    WORKED_OUT = ("uri", "track_id")

    uri: str | None = None
    track_id: str | None = None
    is_local: bool = False

    @classmethod
    def _adapt(cls, data: dict[str, Any]) -> dict[str, Any]:
        if not ({"item", "track"} & data.keys()):
            return data
        content = data.get("item") or data.get("track")
        content = _as_asked_for(content) if isinstance(content, dict) else {}
        local = bool(data.get("is_local") or content.get("is_local"))
        is_track = content.get("type", "track") == "track" and not local
        return {
            "uri": content.get("uri"),
            "track_id": content.get("id") if is_track else None,
            "is_local": local,
        }


class PlaylistItems(_Answer):
    """A page of a playlist's entries; a null entry keeps its place."""

    items: list[PlaylistEntry] = Field(default_factory=list)
    total: int = 0
    offset: int = 0
    limit: int = 50
    next: str | None = None

    @classmethod
    def _adapt(cls, data: dict[str, Any]) -> dict[str, Any]:
        if isinstance(data.get("items"), list):
            data["items"] = [{} if item is None else item for item in data["items"]]
        return data


class PlaylistSummary(_Answer):
    """A playlist as a listing shows it.

    Attributes:
        description: plain text (Spotify sends it HTML-escaped); "" where there is none.
        owner_id: Spotify's user id.
        public: listed on the owner's profile; not access control, and not reliable.
        items_total: number of places; None where the answer does not tell.
    """

    WORKED_OUT: ClassVar[tuple[str, ...]] = ("owner_id", "items_total")

    id: str
    name: str = ""
    description: str = ""
    snapshot_id: str | None = None
    owner_id: str | None = None
    public: bool | None = None
    items_total: int | None = None

    @classmethod
    def _adapt(cls, data: dict[str, Any]) -> dict[str, Any]:
        page = data.get("items") or data.get("tracks")
        if isinstance(page, dict):
            data["items_total"] = page.get("total")
        if isinstance(data.get("owner"), dict):
            data["owner_id"] = data["owner"].get("id")
        if isinstance(data.get("description"), str):
            data["description"] = unescape(data["description"])
        return data


class PlaylistDetail(PlaylistSummary):
    """One playlist; ``entries`` holds all its places in order where they were asked for, else None."""

    WORKED_OUT: ClassVar[tuple[str, ...]] = (*PlaylistSummary.WORKED_OUT, "entries")

    entries: tuple[PlaylistEntry, ...] | None = None

    def with_entries(self, entries: list[PlaylistEntry]) -> Self:
        """The same playlist with all its places."""
        return self.model_copy(update={"entries": tuple(entries)})


class FeatureSet(_Answer):
    """Audio features; each may be missing (ReccoBeats has no ``time_signature``).

    ``loudness`` in dB, ``tempo`` in beats per minute, ``key`` as pitch class (−1: none found), the others
    0…1.
    """

    danceability: float | None = None
    energy: float | None = None
    key: int | None = None
    loudness: float | None = None
    mode: int | None = None
    speechiness: float | None = None
    acousticness: float | None = None
    instrumentalness: float | None = None
    liveness: float | None = None
    valence: float | None = None
    tempo: float | None = None
    time_signature: int | None = None

    def values(self) -> dict[str, float | int]:
        """What is known, by name."""
        return self.model_dump(exclude_none=True)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is known."""
        return not self.values()


class Profile(_Answer):
    """The user behind a token. ``account_id`` never changes; ``id`` may."""

    id: str
    account_id: str | None = None
    display_name: str | None = None
    country: str | None = None
    product: str | None = None


def _as_asked_for(track: dict[str, Any]) -> dict[str, Any]:
    """The track under the id and uri that were asked for, with ``relinked_id`` where Spotify swapped it."""
    asked = track.get("linked_from")
    if not isinstance(asked, dict) or not asked.get("id") or asked["id"] == track.get("id"):
        return dict(track)
    uri = asked.get("uri") or f"spotify:track:{asked['id']}"
    return {**track, "id": asked["id"], "uri": uri, "relinked_id": track.get("id")}


def _id_of(track: dict[str, Any]) -> object:
    return _as_asked_for(track).get("id")


def _without_nulls(data: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        if isinstance(data.get(name), list):
            data[name] = [item for item in data[name] if item is not None]
    return data

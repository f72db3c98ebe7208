"""Where audio features come from: an ordered list of sources behind one small protocol.

What belongs here: sources, their batch sizes and their ways of saying "I don't know this track". What does
not: which tracks lack features, when to ask again, storing (the catalogue's use case).
"""

import asyncio
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog
from pydantic import ValidationError

from spotify_pipelines.settings import SettingsError
from spotify_pipelines.spotify.caller import Request
from spotify_pipelines.spotify.client import FEATURES_PER_CALL, CatalogueApi, SpotifyClient
from spotify_pipelines.spotify.errors import Forbidden, MalformedAnswer, QuotaExceeded
from spotify_pipelines.spotify.models import FeatureSet
from spotify_pipelines.spotify.verdict import Where, parse_json

__all__ = [
    "CsvFeatures",
    "FeatureAnswer",
    "FeatureSource",
    "ReccoBeatsFeatures",
    "SourceUnavailable",
    "SpotifyFeatures",
    "build_sources",
]

log = structlog.get_logger(__name__)

_COLUMNS = tuple(FeatureSet.model_fields)


@dataclass(frozen=True, slots=True)
class FeatureAnswer:
    """What a source says of the tracks it was asked for: each is in exactly one of the two.

    ``missing`` gives the reason, in words that may be stored.
    """

    found: dict[str, FeatureSet] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class SourceUnavailable(Exception):
    """The source is of no use to this app for now: don't ask it again in this run.

    Attributes:
        source, reason: which one and why, in a sentence.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"audio features from {source} are switched off: {reason}")
        self.source = source
        self.reason = reason


class FeatureSource(Protocol):
    """One place that knows features.

    Attributes:
        name: stored beside each value (``spotify``, ``reccobeats``, ``csv``).
        batch_size: most tracks in one ``fetch``.
        spender: the app whose budget a ``fetch`` uses a call of; None: nobody's.
    """

    @property
    def name(self) -> str: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def spender(self) -> int | None: ...

    async def fetch(self, ids: Sequence[str]) -> FeatureAnswer:
        """Features of at most ``batch_size`` tracks.

        Raises:
            SourceUnavailable: switched off, with the reason; found out once, then raised without a call.
            SpotifyError: this batch failed (limits, time-outs); ask again later.
        """
        ...


class SpotifyFeatures:
    """Spotify's own, for apps that may still read them; a hundred tracks a call."""

    name = "spotify"
    batch_size = FEATURES_PER_CALL

    def __init__(self, catalogue: CatalogueApi) -> None:
        self._catalogue = catalogue

    @property
    def spender(self) -> int | None:
        """The app; nobody where it is known to be refused, which takes no call."""
        return self._catalogue.app_id if self._catalogue.may_read_features else None

    async def fetch(self, ids: Sequence[str]) -> FeatureAnswer:
        """See ``FeatureSource``."""
        try:
            features = await self._catalogue.audio_features(ids)
        except Forbidden as error:
            raise SourceUnavailable(self.name, error.message) from error
        return _answer(ids, features, "Spotify has no features of it")


class ReccoBeatsFeatures:
    """ReccoBeats: free, no key, forty tracks a call; covers about 60 %, less of new releases.

    Unknown ids are left out of its answers and the order is free, so rows are joined by the Spotify id that
    ends their ``href``.
    """

    name = "reccobeats"
    batch_size = 40
    spender = None

    def __init__(self, client: SpotifyClient) -> None:
        self._client = client
        self._switched_off: str | None = None

    async def fetch(self, ids: Sequence[str]) -> FeatureAnswer:
        """See ``FeatureSource``."""
        if self._switched_off is not None:
            raise SourceUnavailable(self.name, self._switched_off)
        if not ids:
            return FeatureAnswer()
        if len(ids) > self.batch_size:
            raise ValueError(f"at most {self.batch_size} tracks a call, not {len(ids)}")
        request = Request("GET /audio-features", "/audio-features", {"ids": ",".join(ids)})
        try:
            answer = await self._client.caller.call(self._client.routes.for_reccobeats(), request)
        except (Forbidden, QuotaExceeded) as error:
            self._switched_off = error.message
            log.warning("spotify.feature_source_off", source=self.name, reason=error.message)
            raise SourceUnavailable(self.name, error.message) from error
        where = Where(request.endpoint, status=answer.status)
        rows = parse_json(answer, where).get("content")
        if not isinstance(rows, list):
            raise MalformedAnswer("ReccoBeats' answer has no list of features.", **where.facts())
        return _answer(ids, _by_href(rows), "ReccoBeats does not know it")


class CsvFeatures:
    """A file with a column ``track_id`` and one per feature, others ignored; read once, at the first question."""

    name = "csv"
    batch_size = 10_000
    spender = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, FeatureSet] | None = None

    @classmethod
    def open(cls, path: Path) -> "CsvFeatures":
        """A source on a file whose header has been looked at.

        Raises:
            SettingsError: no such file, or no ``track_id`` or no feature among its columns.
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                header = set(next(csv.reader(file), []))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SettingsError(
                f"SPOTIFY_PIPELINES_FEATURE_SOURCES names {path}, which can't be read as CSV "
                f"({type(error).__name__}). Correct the path or leave the source out."
            ) from None
        if "track_id" not in header or not header & set(_COLUMNS):
            raise SettingsError(
                f"SPOTIFY_PIPELINES_FEATURE_SOURCES names {path}, which lacks the column track_id or all of "
                f"{', '.join(_COLUMNS)}."
            )
        return cls(path)

    async def fetch(self, ids: Sequence[str]) -> FeatureAnswer:
        """See ``FeatureSource``."""
        if self._rows is None:
            try:
                self._rows = await asyncio.to_thread(_read_csv, self._path)
            except (OSError, ValueError) as error:
                raise SourceUnavailable(
                    self.name, f"{self._path} can't be read ({type(error).__name__})"
                ) from error
        return _answer(ids, self._rows, f"not in {self._path.name}")


def build_sources(names: Sequence[str], *, client: SpotifyClient, app_id: int | None) -> list[FeatureSource]:
    """The sources that ``settings.feature_sources`` names, in order: ``spotify``, ``reccobeats``,
    ``csv:PATH``.

    No source at all is a supported state. Without an app Spotify's own is left out; the others need none.

    Raises:
        SettingsError: an unknown name, or a CSV file that is missing or lacks columns.
    """
    found = (_build(name, client, app_id) for name in dict.fromkeys(names))
    return [source for source in found if source is not None]


def _build(name: str, client: SpotifyClient, app_id: int | None) -> FeatureSource | None:
    if name == "spotify":
        return None if app_id is None else SpotifyFeatures(client.as_app(app_id))
    if name == "reccobeats":
        return ReccoBeatsFeatures(client)
    if name.startswith("csv:") and name != "csv:":
        return CsvFeatures.open(Path(name.removeprefix("csv:")))
    raise SettingsError(
        f"SPOTIFY_PIPELINES_FEATURE_SOURCES names {name!r}; known are 'spotify', 'reccobeats' and 'csv:PATH'."
    )


def _answer(
    ids: Sequence[str], known: dict[str, FeatureSet] | dict[str, FeatureSet | None], why: str
) -> FeatureAnswer:
    answer = FeatureAnswer()
    for track_id in ids:
        features = known.get(track_id)
        if features is None or features.is_empty:
            answer.missing[track_id] = why
        else:
            answer.found[track_id] = features
    return answer


def _by_href(rows: list[object]) -> dict[str, FeatureSet]:
    found: dict[str, FeatureSet] = {}
    for row in rows:
        href = row.get("href") if isinstance(row, dict) else None
        match = re.search(r"/track/([A-Za-z0-9]{22})", href) if isinstance(href, str) else None
        if match:
            try:
                found[match[1]] = FeatureSet.model_validate(row)
            except ValidationError:
                # One bad row is a track without features, not a batch without answers.
                continue
    return found


def _read_csv(path: Path) -> dict[str, FeatureSet]:
    import pandas as pd

    frame = pd.read_csv(
        path, usecols=lambda column: column == "track_id" or column in _COLUMNS, dtype={"track_id": str}
    )
    frame = frame.dropna(subset=["track_id"]).drop_duplicates("track_id").set_index("track_id")
    numbers = frame.apply(pd.to_numeric, errors="coerce").astype(object)
    records = numbers.where(numbers.notna(), None).to_dict("index")
    return {str(track_id): FeatureSet.model_validate(record) for track_id, record in records.items()}

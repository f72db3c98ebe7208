"""Where audio features come from: an ordered list of sources behind one small protocol.

What belongs here: sources, their batch sizes and their ways of saying "I don't know this track". What does
not: which tracks lack features, when to ask again, storing (the catalogue's use case).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.spotify.models import FeatureSet

__all__ = ["FeatureAnswer", "FeatureSource", "SourceUnavailable", "build_sources"]


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
    """

    @property
    def name(self) -> str: ...

    @property
    def batch_size(self) -> int: ...

    async def fetch(self, ids: Sequence[str]) -> FeatureAnswer:
        """Features of at most ``batch_size`` tracks.

        Raises:
            SourceUnavailable: switched off, with the reason; found out once, then raised without a call.
            SpotifyError: this batch failed (limits, time-outs); ask again later.
        """
        ...


def build_sources(names: Sequence[str], *, client: SpotifyClient, app_id: int) -> list[FeatureSource]:
    """The sources that ``settings.feature_sources`` names, in order: ``spotify``, ``reccobeats``,
    ``csv:PATH``.

    Raises:
        SettingsError: an unknown name, or a CSV file that is missing or lacks columns.
    """
    raise NotImplementedError

"""What was found out about an app: since when, by what evidence, and until when it is taken as true.

What belongs here: the finding as it is stored, and whether it still holds; pure. What does not: finding out (the
client, ``probe``), storing (``store.accounts``). Spotify changes its regimes, so no finding holds for ever: one
that has expired is unknown again, and the next use finds out anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from spotify_pipelines.spotify.conditional import CONDITIONAL_READS
from spotify_pipelines.spotify.ports import ALBUMS_BATCH, AUDIO_FEATURES, TRACKS_BATCH

__all__ = ["DEFAULT_DAYS", "PROBED", "Finding", "findings", "in_force"]

DEFAULT_DAYS = 30
PROBED = (ALBUMS_BATCH, AUDIO_FEATURES, CONDITIONAL_READS, TRACKS_BATCH)
"""What ``apps probe`` finds out, so that people are told where it is not known yet."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One capability of one app. ``expires_at`` (aware UTC) is None where the date of finding is not known."""

    available: bool
    evidence: str | None
    at: datetime | None
    expires_at: datetime | None

    @classmethod
    def made(cls, available: bool, evidence: str, at: datetime, days: int = DEFAULT_DAYS) -> "Finding":
        """A finding of now."""
        return cls(available, evidence, at, at + timedelta(days=days))

    def holds(self, now: datetime) -> bool:
        """Whether it is taken as true at ``now``."""
        return self.expires_at is None or now < self.expires_at

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "available": self.available,
            "evidence": self.evidence,
            "at": self.at.isoformat() if self.at else None,
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
        }


def findings(stored: Mapping[str, Any], days: int = DEFAULT_DAYS) -> dict[str, Finding]:
    """An app's findings by capability; those stored without an expiry hold for ``days`` from their date."""
    found = {}
    for name, each in stored.items():
        at = _time(each.get("at"))
        expires_at = _time(each.get("expires_at")) or (at + timedelta(days=days) if at else None)
        found[name] = Finding(bool(each.get("available")), each.get("evidence"), at, expires_at)
    return found


def in_force(found: Mapping[str, Finding], now: datetime) -> dict[str, bool]:
    """Which capabilities are there and which are not, as far as known at ``now``.

    >>> from datetime import UTC
    >>> found = {"albums_batch": Finding.made(False, "403", datetime(2026, 11, 1, tzinfo=UTC))}
    >>> in_force(found, datetime(2026, 11, 30, tzinfo=UTC)), in_force(found, datetime(2026, 12, 1, tzinfo=UTC))
    ({'albums_batch': False}, {})
    """
    return {name: finding.available for name, finding in found.items() if finding.holds(now)}


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None

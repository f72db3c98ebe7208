"""The one report that every use case returns.

What belongs here: counts, failures with their reasons, what was put off and until when. It feeds asset
metadata, asset checks, the command line's exit status and the job history alike. What does not: how any of
them show it.
"""

from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["Deferral", "Failure", "Report"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that could not be done; the rest went on without it.

    Attributes:
        item: what it concerns, as a person would name it (``album 4aawyAB9vmqN3uQ7FjRGTy``).
        reason: what happened and what to do next, in a sentence; never a secret.
        kind: the error's class, for grouping (``NotFound``).
        final: no further attempt will be made (a dead letter).
    """

    item: str
    reason: str
    kind: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Deferral:
    """Work that is put off: ``item`` goes on at ``until`` (aware UTC), because of ``reason``."""

    item: str
    until: datetime
    reason: str


@dataclass(slots=True)
class Report:
    """What a use case was asked for and what became of it.

    ``requested = changed + unchanged + len(failed) + len(deferred)`` where items are counted one by one.

    Attributes:
        what: the unit that is counted (``albums``, ``playlists``).
        changed: items that were written; ``unchanged`` ones were right already.
        calls: requests that reached Spotify, every attempt counted.
        minimum_calls: the fewest calls that could have done it (see ``docs/calls.md``).
        counts: further figures by name, shown as plots over time.
        rows: one flat row per item worth showing, worst first.
    """

    what: str
    requested: int = 0
    changed: int = 0
    unchanged: int = 0
    failed: list[Failure] = field(default_factory=list)
    deferred: list[Deferral] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    calls: int = 0
    minimum_calls: int = 0
    counts: dict[str, int | float] = field(default_factory=dict)
    rows: list[dict[str, str | int | float | None]] = field(default_factory=list)

    @property
    def deferred_until(self) -> datetime | None:
        """When the first deferred item goes on; None where nothing is deferred."""
        return min((deferral.until for deferral in self.deferred), default=None)

    def absorb(self, other: "Report") -> None:
        """Take in what another use case did to further items of the same kind."""
        self.requested += other.requested
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.failed += other.failed
        self.deferred += other.deferred
        self.notes += other.notes
        self.calls += other.calls
        self.minimum_calls += other.minimum_calls
        self.rows += other.rows
        for name, number in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + number

    def sentence(self) -> str:
        """One line for a log or a terminal."""
        parts = [f"{self.requested} {self.what}", f"{self.changed} changed", f"{self.unchanged} unchanged"]
        if self.deferred:
            parts.append(f"{len(self.deferred)} deferred until {self.deferred_until:%Y-%m-%d %H:%M} UTC")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self.calls or self.minimum_calls:
            parts.append(f"{self.calls} calls (minimum {self.minimum_calls})")
        return ", ".join(parts)

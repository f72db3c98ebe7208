"""What a playlist should be on Spotify: a pure function of its newest snapshot, that snapshot's policy and account.

What belongs here: putting the two beside each other, desired and last confirmed. What does not: what to do about
the difference (``call_plan``), reading either from the database.

Dates in a name are those of the cycle's start, so that a name changes with the cycle and not from day to day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spotify_pipelines.playlists.call_plan import Content, Write, items_hash, writes_for
from spotify_pipelines.playlists.cycles import current_cycle
from spotify_pipelines.playlists.policies import Policy
from spotify_pipelines.playlists.templates import TemplateContext, render_description, render_name
from spotify_pipelines.store.playlists import IntentRow, SyncRow

__all__ = ["Target", "targets_from"]


@dataclass(frozen=True, slots=True)
class Target:
    """One playlist: what we know of it, and the policy that its newest snapshot was drawn under."""

    row: SyncRow
    policy: Policy

    @property
    def confirmed(self) -> Content | None:
        """What Spotify last confirmed; None where the playlist does not exist. Never filled means empty."""
        row = self.row
        if row.spotify_id is None:
            return None
        return Content(
            row.confirmed_items_hash or items_hash([]),
            row.confirmed_name or "",
            row.confirmed_description or "",
            bool(row.confirmed_public),
        )

    @property
    def marker(self) -> str | None:
        """The marker with which it was created, or is being created."""
        return self.row.intent.marker if self.row.intent else None

    @property
    def open_intent(self) -> IntentRow | None:
        """The intent of a creation that was begun and not finished."""
        intent = self.row.intent
        return intent if intent and self.row.spotify_id is None and intent.status != "created" else None

    @property
    def unresolved(self) -> bool:
        """Whether a creation was sent whose outcome is unknown."""
        return self.open_intent is not None and self.open_intent.sent_at is not None

    def desired(self, marker: str | None) -> Content:
        """What the playlist should be, with its marker at the end of its description."""
        context = self._context()
        return Content(
            self.row.items_hash,
            render_name(self.policy.name_template, context),
            render_description(self.policy.description_template, context, marker),
            self.policy.public,
        )

    def writes(self) -> tuple[Write, ...]:
        """The writing calls that are due, as far as the database knows."""
        return writes_for(self.desired(self.marker), self.confirmed)

    def _context(self) -> TemplateContext:
        row, reshuffle = self.row, self.policy.reshuffle
        cycle = current_cycle(
            every_days=reshuffle.every_days,
            at=reshuffle.at,
            timezone=reshuffle.timezone,
            anchor=row.anchor,
            now=row.drawn_at,
        )
        return TemplateContext(
            policy=row.policy_name,
            account=row.account_display_name or row.account_name,
            cycle_starts_at=cycle.starts_at,
            timezone=reshuffle.timezone,
            sequence=row.sequence,
            cycle=cycle.number,
            tracks=row.tracks,
            top_artists=tuple(row.top_artists),
        )


def targets_from(rows: Sequence[SyncRow], policies: Mapping[int, Policy]) -> list[Target]:
    """Rows with their policies (by the id of their version)."""
    return [Target(row, policies[row.policy_id]) for row in rows]

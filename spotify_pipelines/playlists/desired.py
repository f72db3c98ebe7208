"""What a playlist should be on Spotify: a function of its newest snapshot, that snapshot's policy and account.

What belongs here: putting the two beside each other, desired and last confirmed. What does not: what to do about
the difference (``call_plan``), reading either from the database.

Dates in a name are those of the cycle's start, so that a name changes with the cycle and not from day to day. A
snapshot with words of its own (an edit adopted, a version brought back) has them in place of the templates'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from spotify_pipelines.playlists.call_plan import (
    SETTLE_WINDOW,
    Content,
    Write,
    details_change,
    items_hash,
    writes_for,
)
from spotify_pipelines.playlists.cycles import current_cycle
from spotify_pipelines.playlists.policies import Policy
from spotify_pipelines.playlists.templates import (
    TemplateContext,
    find_marker,
    render_description,
    render_name,
    with_marker,
)
from spotify_pipelines.store.playlists import IntentRow, SyncRow

__all__ = ["Target", "targets_from"]


@dataclass(frozen=True, slots=True)
class Target:
    """One playlist: what we know of it at ``now``, and the policy that its newest snapshot was drawn under."""

    row: SyncRow
    policy: Policy
    now: datetime

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
            row.confirmed_cover,
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

    @property
    def read_back_due(self) -> bool:
        """Whether what Spotify holds is to be read now, to be sure of it."""
        row = self.row
        return row.spotify_id is not None and row.read_back_at is not None and row.read_back_at <= self.now

    @property
    def held_back(self) -> str | None:
        """Why nothing may be written, in a few words; None where it may."""
        row = self.row
        if row.locked_at is not None:
            return "locked"
        return f"paused: {row.pause_reason}" if row.paused_at is not None else None

    @property
    def awaits_draw(self) -> bool:
        """Whether its newest snapshot was not written yet."""
        row = self.row
        return row.snapshot_row not in (row.confirmed_snapshot_row, row.kept_snapshot_row)

    def desired(self, marker: str | None) -> Content:
        """What the playlist should be, with its marker at the end of its description as long as that is needed."""
        confirmed = self.confirmed
        if confirmed is not None and self.row.kept_snapshot_row == self.row.snapshot_row:
            return confirmed
        content = self._with_marker(marker)
        if self.policy.marker == "keep" or confirmed is None or not self._has_settled:
            return content
        bare = replace(content, description=with_marker(self._with_marker(None).description, None))
        if find_marker(confirmed.description) is None:
            return bare
        # Not worth a call of its own: it goes with the next change of name, description or visibility.
        return bare if details_change(content, confirmed) else content

    @property
    def cover_refused(self) -> bool:
        """Whether it has a cover that its account's owner did not agree to have uploaded."""
        return self._cover is not None and not self.row.may_upload_covers

    def writes(self) -> tuple[Write, ...]:
        """The writing calls that are due, as far as the database knows."""
        if self.held_back is not None:
            return ()
        return writes_for(self.desired(self.marker), self.confirmed)

    @property
    def _has_settled(self) -> bool:
        """Whether it was created so long ago that nobody will look for it by its marker any more."""
        created_at = self.row.intent.finished_at if self.row.intent else None
        return created_at is None or self.now >= created_at + SETTLE_WINDOW

    @property
    def _cover(self) -> str | None:
        """The cover of a version that was brought back, else the policy's."""
        words = self.row.details or {}
        return words.get("cover", self.policy.cover)

    def _with_marker(self, marker: str | None) -> Content:
        words = self.row.details
        if words is None:
            context = self._context()
            name = render_name(self.policy.name_template, context)
            description = render_description(self.policy.description_template, context, marker)
        else:
            name, description = words["name"] or "", words["description"] or ""
            marked, confirmed = with_marker(description, marker), self.confirmed
            # It can't be created without its marker, which is then not worth a call to take it away.
            if confirmed is None or confirmed.description == marked:
                description = marked
        cover = None if self.cover_refused else self._cover
        return Content(self.row.items_hash, name, description, self.policy.public, cover)

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


def targets_from(rows: Sequence[SyncRow], policies: Mapping[int, Policy], now: datetime) -> list[Target]:
    """Rows with their policies (by the id of their version), as they stand at ``now``."""
    return [Target(row, policies[row.policy_id], now) for row in rows]

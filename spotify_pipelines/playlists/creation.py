"""Creating a playlist exactly once, although Spotify's creation is not idempotent.

What belongs here: intent and marker committed before the call, adoption by the marker after a lost answer, the
settle window before the same is sent again. What does not: filling it (``lane``), rows (``records``), the form
of markers (``templates``).

A kill or a lost answer at any point leaves an open intent with ``sent_at``; the next run finds the playlist by
its marker, or, once the listing can be relied on, sends the creation again with the same marker.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from spotify_pipelines.playlists.call_plan import (
    SETTLE_WINDOW,
    Content,
    SyncNeeds,
    items_hash,
    may_send_again,
)
from spotify_pipelines.playlists.desired import Target
from spotify_pipelines.playlists.history import Action
from spotify_pipelines.playlists.look import AccountView
from spotify_pipelines.playlists.records import Records
from spotify_pipelines.playlists.templates import make_marker, normalize_read_back
from spotify_pipelines.spotify.client import PlaylistApi
from spotify_pipelines.spotify.errors import (
    AuthorizationLost,
    BadRequest,
    Forbidden,
    QuotaExceeded,
    RateLimited,
    SpotifyError,
    Unavailable,
)
from spotify_pipelines.spotify.models import PlaylistSummary

__all__ = ["Created", "Creation", "Postponed", "had_no_effect"]


class Postponed(Exception):
    """This playlist goes on at ``until``; the next one now."""

    def __init__(self, until: datetime, reason: str) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Created:
    """A playlist that exists now. ``may_hold_items``: it was adopted, and somebody may have put something in."""

    spotify_id: str
    marker: str
    content: Content
    action: Action
    may_hold_items: bool = False


def had_no_effect(error: SpotifyError) -> bool:
    """Whether a creation that ended in ``error`` surely made no playlist."""
    if isinstance(error, Unavailable):
        return not error.sent
    return isinstance(error, BadRequest | AuthorizationLost | Forbidden | RateLimited | QuotaExceeded)


class Creation:
    """Creates playlists of one account, each exactly once.

    Args:
        api: the account's playlists on Spotify.
        view: the account as looked at; it has the listing where an intent is unresolved.
        records: writes down what happened.
        needs: takes down what was needed.
        now: the clock (aware UTC).
    """

    def __init__(
        self,
        api: PlaylistApi,
        view: AccountView,
        records: Records,
        needs: SyncNeeds,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._view = view
        self._records = records
        self._needs = needs
        self._now = now

    async def create(self, target: Target) -> Created:
        """The playlist, created or adopted, and recorded.

        Raises:
            Postponed: its creation may have happened, and the listing can't tell yet.
            SpotifyError: it was refused.
        """
        intent = target.open_intent
        if intent is None:
            marker = make_marker(secrets.token_bytes(5))
            return await self._send(target, marker, self._records.creation_planned(target, marker), None)
        if intent.sent_at is not None:
            adopted = self._adopt(target, intent.id, intent.marker, sent_before=intent.attempts > 1)
            if adopted is not None:
                return adopted
            if self._view.listed_at is None or not may_send_again(intent.sent_at, self._view.listed_at):
                raise _not_settled(intent.sent_at)
        return await self._send(target, intent.marker, intent.id, intent.sent_at)

    async def _send(self, target: Target, marker: str, intent_id: int, earlier: datetime | None) -> Created:
        desired = target.desired(marker)
        self._needs.creations += 1
        try:
            playlist = await self._api.create_playlist(
                desired.name,
                desired.description,
                public=desired.public,
                before_send=lambda: self._records.creation_sent(intent_id),
            )
        except SpotifyError as error:
            if had_no_effect(error):
                self._records.creation_refused(intent_id, earlier)
                raise
            # Its effect may have come as late as now.
            sent_at = self._records.creation_unanswered(intent_id)
            return await self._find(target, intent_id, marker, sent_at, sent_before=earlier is not None)
        content = Content(items_hash([]), desired.name, desired.description, desired.public)
        self._records.created(
            target, intent_id, playlist, content, Action.CREATED, sent_before=earlier is not None
        )
        return Created(playlist.id, marker, content, Action.CREATED)

    async def _find(
        self, target: Target, intent_id: int, marker: str, sent_at: datetime, *, sent_before: bool
    ) -> Created:
        """After a lost answer: the playlist, if it is to be seen already."""
        self._needs.unresolved = True
        await self._view.list_again()
        adopted = self._adopt(target, intent_id, marker, sent_before=sent_before)
        if adopted is None:
            raise _not_settled(sent_at)
        return adopted

    def _adopt(self, target: Target, intent_id: int, marker: str, *, sent_before: bool) -> Created | None:
        found = self._view.marked(marker)
        if not found:
            return None
        playlist = found[0]  # of twins the older one; the sweep removes the others
        content = _as_listed(playlist, public=target.desired(marker).public)
        may_hold_items = playlist.items_total != 0
        if may_hold_items:
            # Not a version that we know: its items have to be read.
            playlist = playlist.model_copy(update={"snapshot_id": None})
        self._records.created(target, intent_id, playlist, content, Action.ADOPTED, sent_before=sent_before)
        return Created(playlist.id, marker, content, Action.ADOPTED, may_hold_items)


def _as_listed(playlist: PlaylistSummary, *, public: bool) -> Content:
    return Content(
        items_hash([]),
        normalize_read_back(playlist.name),
        normalize_read_back(playlist.description),
        public,
    )


def _not_settled(sent_at: datetime) -> Postponed:
    return Postponed(
        sent_at + SETTLE_WINDOW,
        "Spotify did not say whether the playlist was created; it is looked for again once it must be visible",
    )

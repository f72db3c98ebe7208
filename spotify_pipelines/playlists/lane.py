"""One account's part of a sync: look, then bring its due playlists to what they should be, one by one.

What belongs here: the order of looking, recording and writing, such that a kill at any point is mended by the
next run, and what an error means for the playlists that are left. What does not: which accounts, when and how
many at once (``sync``), what calls are needed (``call_plan``), creations (``creation``), rows (``records``).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from spotify_pipelines.playlists.account_lease import AccountLease
from spotify_pipelines.playlists.app_watch import Blocked
from spotify_pipelines.playlists.call_plan import (
    ITEMS_PER_CALL,
    LONGEST_HIDDEN,
    SETTLE_WINDOW,
    Content,
    Sight,
    SyncNeeds,
    Write,
    details_change,
    is_sampled,
    items_hash,
    look_for,
    writes_for,
)
from spotify_pipelines.playlists.creation import Creation, Postponed
from spotify_pipelines.playlists.dead_tracks import DeadTracks, NothingDead, WriteArrived, is_spoiled
from spotify_pipelines.playlists.desired import Target
from spotify_pipelines.playlists.history import Action
from spotify_pipelines.playlists.look import AccountView
from spotify_pipelines.playlists.records import Records
from spotify_pipelines.playlists.twins import TwinSweep
from spotify_pipelines.report import Deferral, Failure
from spotify_pipelines.spotify.client import CatalogueApi, PlaylistApi
from spotify_pipelines.spotify.errors import (
    AuthorizationLost,
    Forbidden,
    ForbiddenReason,
    QuotaExceeded,
    RateLimited,
    SpotifyError,
)
from spotify_pipelines.store.leases import LeaseLost

__all__ = ["AccountLane", "Done", "LaneResult"]

_log = structlog.get_logger(__name__)

_TROUBLES_IN_A_ROW = 3
"""Playlists that may fail one after the other until the account is left alone for this run."""
_AFTER_RATE_LIMIT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Done:
    """One playlist that was written, and what was done to it, in the words of its history."""

    target: Target
    actions: tuple[Action, ...]


@dataclass(slots=True)
class LaneResult:
    """What became of an account's due playlists, what that needed at least, and the errors on the way.

    Attributes:
        to_read_back: our ids of the written playlists that are to be read back soon.
    """

    needs: SyncNeeds
    changed: list[Done] = field(default_factory=list)
    unchanged: list[Target] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    deferred: list[Deferral] = field(default_factory=list)
    errors: list[SpotifyError] = field(default_factory=list)
    blocked_until: datetime | None = None
    twins_removed: int = 0
    to_read_back: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Held:
    """A playlist on Spotify: its id, the marker in its description, and what it holds."""

    spotify_id: str
    marker: str | None
    content: Content

    @classmethod
    def of(cls, target: Target) -> "_Held | None":
        spotify_id, content = target.row.spotify_id, target.confirmed
        return None if spotify_id is None or content is None else cls(spotify_id, target.marker, content)


class _AppBlocked(Exception):
    """The account's app may not be called before ``until``."""

    def __init__(self, blocked: Blocked) -> None:
        super().__init__(blocked.reason)
        self.until = blocked.until


class AccountLane:
    """Syncs the due playlists of one account.

    Args:
        api: the account's playlists on Spotify.
        catalogue: the catalogue through the account's app, where a track seems to be dead.
        lease: the account's lease; every write goes through it.
        targets: due playlists of the account, at least one, as read under the lease.
        library: playlists in the account's library, as far as known.
        run_id: the run that does this.
        now: the clock (aware UTC).
        blocked: why and until when the account's app may not be called; None: it may.
        met: told of each trouble on Spotify's side, before it is decided what that means for what is left.
        worked: called after each playlist that is as it should be.
        progress: called after each playlist.
        read_back_share: part of the written playlists (0 to 1) that are to be read back.
    """

    def __init__(
        self,
        api: PlaylistApi,
        catalogue: CatalogueApi,
        lease: AccountLease,
        targets: Sequence[Target],
        *,
        library: int,
        run_id: str,
        now: Callable[[], datetime],
        blocked: Callable[[], Blocked | None],
        met: Callable[[SpotifyError], Awaitable[None]],
        worked: Callable[[], None],
        progress: Callable[[], None],
        read_back_share: float = 0.0,
    ) -> None:
        needs = SyncNeeds(
            existing_due=sum(target.row.spotify_id is not None for target in targets),
            library=library,
            unresolved=any(target.unresolved or target.read_back_due for target in targets),
        )
        self.result = LaneResult(needs)
        self._api = api
        self._pending = list(targets)
        self._now = now
        self._blocked = blocked
        self._met = met
        self._worked = worked
        self._progress = progress
        self._read_back_share = read_back_share
        self._account_id = targets[0].row.account_id
        self._records = Records(lease, run_id=run_id, now=now)
        self._view = AccountView(api, targets[0].row.spotify_user_id, needs, now)
        self._creation = Creation(api, self._view, self._records, needs, now)
        self._dead_tracks = DeadTracks(api, catalogue, self._records)
        self._twins = TwinSweep(api, self._view, self._records, needs)
        self._given: dict[int, set[str]] = {}

    async def work(self) -> LaneResult:
        """Do all that can be done now. Spotify's errors and a lost lease end up in the result.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed; nothing was sent that it does not know of.
        """
        try:
            try:
                await self._look()
                await self._work_off()
                self.result.twins_removed = await self._twins.sweep(self._account_id)
            except _AppBlocked as blocked:
                self._defer_rest(blocked.until, str(blocked))
            except SpotifyError as error:
                await self._end_with(error)
        except LeaseLost as lost:
            for target in self._pending:
                self.result.failed.append(Failure(_item(target), str(lost), type(lost).__name__))
        return self.result

    async def _look(self) -> None:
        self._stop_if_blocked()
        needs = self.result.needs
        self._given = self._records.given_snapshot_ids(self._pending)
        await self._view.open(
            look_for(existing_due=needs.existing_due, library=needs.library, unresolved=needs.unresolved)
        )

    async def _work_off(self) -> None:
        troubles = 0
        while self._pending:
            self._stop_if_blocked()
            target = self._pending[0]
            try:
                await self._sync(target)
                troubles = 0
                self._worked()
            except Postponed as later:
                self._postpone(target, later)
            except SpotifyError as error:
                troubles += 1
                await self._met(error)
                self._stop_if_blocked()
                if _concerns_all(error) or troubles == _TROUBLES_IN_A_ROW:
                    raise
                self._fail(target, error)
            self._pending.pop(0)
            self._progress()

    def _stop_if_blocked(self) -> None:
        if (blocked := self._blocked()) is not None:
            raise _AppBlocked(blocked)

    # ── one playlist ─────────────────────────────────────────────────────────────────────────────────────

    async def _sync(self, target: Target) -> None:
        actions: list[Action] = []
        held = _Held.of(target)
        if held is not None:
            held = await self._seen(target, held, actions)
            if held is None:
                target = self._records.reread(target) or target
            if held is None and target.policy.on_missing == "leave":
                self._done(target, [*actions, self._records.left_deleted(target)])
                return
        if held is None:
            created = await self._creation.create(target)
            actions.append(created.action)
            held = _Held(created.spotify_id, created.marker, created.content)
            if created.may_hold_items:
                held = await self._seen(target, held, actions) or held
        if Action.DRIFT_FOUND in actions:
            # What its policy says to an edit by hand may have changed what it should be.
            again = self._records.reread(target)
            if again is None or again.held_back is not None:
                self._done(target, actions)
                return
            target = again
        desired = target.desired(held.marker)
        for write in writes_for(desired, held.content):
            if write is Write.DETAILS:
                actions.append(await self._write_details(target, held, desired))
            elif write is Write.COVER:
                actions.append(await self._write_cover(target, held, desired))
            else:
                actions += await self._write_items(target, held, desired)
        self._records.settled(target)
        self._done(target, actions)

    def _done(self, target: Target, actions: list[Action]) -> None:
        if actions:
            self.result.changed.append(Done(target, tuple(actions)))
        else:
            self.result.unchanged.append(target)

    async def _seen(self, target: Target, held: _Held, actions: list[Action]) -> _Held | None:
        """The playlist as it is, recorded where that is news; None: it is gone."""
        seen = await self._view.see(
            held.spotify_id,
            self._given[target.row.id],
            may_be_hidden=self._is_younger_than(LONGEST_HIDDEN, target),
            public=held.content.public,
            read_back=target.read_back_due,
        )
        if seen.sight is Sight.MISSING:
            actions.append(self._records.gone(target))
            return None
        if seen.content is None:
            return held
        found, desired = seen.content, target.desired(held.marker)
        if self._shows_the_past(target, found, held.content, desired):
            # Writing on the strength of it would go on for as long as Spotify is behind.
            self._records.mark_for_read_back([target])
            found = replace(found, items_hash=held.content.items_hash)
        actions += self._records.moved(target, held.content, desired, replace(seen, content=found))
        return replace(held, content=found)

    def _shows_the_past(self, target: Target, found: Content, known: Content, desired: Content) -> bool:
        """Whether the items are those of an earlier write of ours, and a later one may just not be visible yet."""
        row = target.row
        if row.confirmed_at is None or self._now() >= row.confirmed_at + SETTLE_WINDOW:
            return False
        if found.items_hash in (known.items_hash, desired.items_hash):
            return False
        if found.items_hash == items_hash([]):
            return self._is_younger_than(SETTLE_WINDOW, target)
        return self._records.is_own_draw(row.id, found.items_hash)

    def _is_younger_than(self, age: timedelta, target: Target) -> bool:
        created_at = target.row.intent.finished_at if target.row.intent else None
        return created_at is not None and self._now() < created_at + age

    async def _write_details(self, target: Target, held: _Held, desired: Content) -> Action:
        change = details_change(desired, held.content)
        self.result.needs.details += 1
        await self._api.change_details(
            held.spotify_id,
            name=change.name,
            description=change.description,
            public=change.public,
            before_send=self._records.may_write,
        )
        return self._records.details_written(target, held.content, desired)

    async def _write_cover(self, target: Target, held: _Held, desired: Content) -> Action:
        jpeg = self._records.cover(desired)
        self.result.needs.covers += 1
        await self._api.replace_cover(held.spotify_id, jpeg, before_send=self._records.may_write)
        return self._records.cover_written(target, held.content, desired)

    async def _write_items(self, target: Target, held: _Held, desired: Content) -> tuple[Action, ...]:
        uris = self._records.uris(target)
        self.result.needs.items += 1
        try:
            return (await self._send_items(target, held, desired, uris),)
        except SpotifyError as error:
            if not is_spoiled(error) or len(uris) > ITEMS_PER_CALL:
                raise
            _log.warning("playlist.write_spoiled", playlist=target.row.label, reason=str(error))
            try:
                target, dead = await self._dead_tracks.replace(target, held.spotify_id, uris)
            except NothingDead:
                raise error from None
            except WriteArrived as arrived:
                return (
                    self._records.items_written(
                        target, held.content, desired, arrived.snapshot_id, read_back=target.read_back_due
                    ),
                )
        uris = self._records.uris(target)
        written = await self._send_items(target, held, target.desired(held.marker), uris)
        self._records.unplayable(dead)
        return Action.TRACKS_REPLACED, written

    async def _send_items(self, target: Target, held: _Held, desired: Content, uris: list[str]) -> Action:
        snapshot_id = await self._api.replace_items(
            held.spotify_id, uris[:ITEMS_PER_CALL], before_send=self._records.may_write
        )
        for start in range(ITEMS_PER_CALL, len(uris), ITEMS_PER_CALL):
            # Cut off here, the next sync finds a beginning of what is desired, and starts over.
            self.result.needs.appends += 1
            snapshot_id = await self._api.append_items(
                held.spotify_id, uris[start : start + ITEMS_PER_CALL], before_send=self._records.may_write
            )
        row = target.row
        sampled = is_sampled(self._read_back_share, row.id, row.snapshot_row)
        if sampled and row.read_back_at is None:
            self.result.to_read_back.append(row.id)
        return self._records.items_written(
            target, held.content, desired, snapshot_id, read_back=sampled or target.read_back_due
        )

    # ── trouble ──────────────────────────────────────────────────────────────────────────────────────────

    def _postpone(self, target: Target, later: Postponed) -> None:
        self._records.postponed(target, later.until)
        self.result.deferred.append(Deferral(_item(target), later.until, later.reason))
        _log.info("playlist.deferred", playlist=target.row.label, until=later.until, reason=later.reason)

    def _fail(self, target: Target, error: SpotifyError) -> None:
        kind = type(error).__name__
        self._records.failed(target, str(error))
        self.result.errors.append(error)
        self.result.failed.append(Failure(_item(target), str(error), kind))
        _log.warning("playlist.failed", playlist=target.row.label, kind=kind, reason=str(error))

    async def _end_with(self, error: SpotifyError) -> None:
        """The account's other playlists would fare no better: they wait, or fail for the same reason."""
        await self._met(error)
        if isinstance(error, QuotaExceeded):
            self.result.blocked_until = error.until
            self._defer_rest(error.until, str(error))
        elif isinstance(error, RateLimited):
            self._defer_rest(self._now() + _AFTER_RATE_LIMIT, str(error))
        elif (blocked := self._blocked()) is not None:
            self._defer_rest(blocked.until, blocked.reason)
        else:
            while self._pending:
                self._fail(self._pending[0], error)
                self._pending.pop(0)

    def _defer_rest(self, until: datetime, reason: str) -> None:
        self.result.deferred += [Deferral(_item(target), until, reason) for target in self._pending]
        self._pending.clear()


def _concerns_all(error: SpotifyError) -> bool:
    """Whether an error is about the account or its app rather than one playlist."""
    if isinstance(error, Forbidden):
        return error.reason is not ForbiddenReason.ENDPOINT_OR_OWNER
    return isinstance(error, QuotaExceeded | RateLimited | AuthorizationLost)


def _item(target: Target) -> str:
    return f"playlist {target.row.label}"

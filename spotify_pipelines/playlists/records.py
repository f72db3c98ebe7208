"""What a sync writes down about a playlist: each fact in one transaction, fenced by the account's lease.

What belongs here: the confirmed state, intents, history and failures as rows. What does not: any call to Spotify
and the decision that leads to one (``lane``, ``creation``).
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from spotify_pipelines.playlists.account_lease import AccountLease
from spotify_pipelines.playlists.call_plan import SETTLE_WINDOW, Content, items_hash
from spotify_pipelines.playlists.desired import Target, targets_from
from spotify_pipelines.playlists.drift import Response, differences, is_partly_written, response_to
from spotify_pipelines.playlists.history import Action, record
from spotify_pipelines.playlists.look import Seen
from spotify_pipelines.playlists.policies import policy_from_json
from spotify_pipelines.playlists.uris import uri_of
from spotify_pipelines.playlists.versions import choose_snapshot
from spotify_pipelines.spotify.models import PlaylistSummary
from spotify_pipelines.store import intents
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.catalogue import mark_unplayable
from spotify_pipelines.store.covers import cover_of
from spotify_pipelines.store.policies import policy_definitions

__all__ = ["Records"]


class Records:
    """Writes under one account's lease.

    Every method raises LeaseLost, and writes nothing, where the lease is somebody else's by now.
    """

    def __init__(self, lease: AccountLease, *, run_id: str, now: Callable[[], datetime]) -> None:
        self._lease = lease
        self._run_id = run_id
        self._now = now

    def may_write(self) -> None:
        """Make sure that the lease is ours: right before a call is sent."""
        self._lease.check()

    def given_snapshot_ids(self, targets: list[Target]) -> dict[int, set[str]]:
        """Every snapshot id that Spotify ever gave us, by playlist."""
        with self._lease.transaction() as session:
            found = store.given_snapshot_ids(session, [target.row.id for target in targets])
        for target in targets:
            if target.row.confirmed_snapshot_id:
                found[target.row.id].add(target.row.confirmed_snapshot_id)
        return found

    def uris(self, target: Target) -> list[str]:
        """What the playlist should hold, in order."""
        with self._lease.transaction() as session:
            return self._uris(session, target)

    def reread(self, target: Target) -> Target | None:
        """The playlist as it stands in the database by now; None where it was retired meanwhile."""
        with self._lease.transaction() as session:
            rows = store.sync_rows(session, playlist_ids=[target.row.id])
            definitions = policy_definitions(session, {row.policy_id for row in rows})
        policies = {id_: policy_from_json(definition) for id_, definition in definitions.items()}
        return next(iter(targets_from(rows, policies, self._now())), None)

    @staticmethod
    def _uris(session: Session, target: Target) -> list[str]:
        return [uri_of(item) for item in store.tracks_of(session, target.row.snapshot_row)]

    # ── creation ─────────────────────────────────────────────────────────────────────────────────────────

    def creation_planned(self, target: Target, marker: str) -> int:
        """The intent of a creation, before anything is sent; its id."""
        with self._lease.transaction() as session:
            return intents.open_intent(session, target.row.id, marker)

    def creation_sent(self, intent_id: int) -> None:
        """The creation is sent as soon as this returns: the settle window counts from here.

        Called when the creation has its turn. Noted before, the wait for it would be taken off the window of a
        run that is killed right after sending.
        """
        with self._lease.transaction() as session:
            intents.mark_sent(session, intent_id, self._now())

    def creation_unanswered(self, intent_id: int) -> datetime:
        """The creation may have had an effect, until now: from now on the settle window counts."""
        now = self._now()
        with self._lease.transaction() as session:
            intents.mark_unanswered(session, intent_id, now)
        return now

    def creation_refused(self, intent_id: int, earlier_sent_at: datetime | None) -> None:
        """The creation surely had no effect."""
        with self._lease.transaction() as session:
            intents.mark_refused(session, intent_id, earlier_sent_at)

    def created(
        self,
        target: Target,
        intent_id: int,
        playlist: PlaylistSummary,
        content: Content,
        action: Action,
        *,
        sent_before: bool,
    ) -> None:
        """The playlist exists; ``action`` says whether it was created or adopted.

        ``sent_before``: more than one creation was sent for it, so that a twin may come to light: it is looked for
        once it must be visible.
        """
        now = self._now()
        with self._lease.transaction() as session:
            intents.finish(session, intent_id, playlist.id, now)
            store.set_playlist(
                session,
                target.row.id,
                status="active",
                spotify_id=playlist.id,
                confirmed_name=content.name,
                confirmed_description=content.description,
                confirmed_public=content.public,
                confirmed_snapshot_id=playlist.snapshot_id,
                confirmed_at=now,
            )
            if sent_before:
                store.mark_for_read_back(session, [target.row.id], now + SETTLE_WINDOW)
            self._record(
                session,
                target,
                action,
                reason="found by its marker" if action is Action.ADOPTED else None,
                after=_details(content) | {"spotify_id": playlist.id, "snapshot_id": playlist.snapshot_id},
                calls=int(action is Action.CREATED),
            )

    def created_by_marker(self, account_id: int, markers: Collection[str]) -> dict[str, tuple[int, str]]:
        """Our id and the Spotify id of the account's playlists with these markers."""
        with self._lease.transaction() as session:
            return store.created_by_marker(session, account_id, markers)

    def twin_removed(
        self, playlist_id: int, kept: str, twin: PlaylistSummary, uris: Sequence[str | None]
    ) -> None:
        """A second playlist of one creation was taken out of the account's library."""
        with self._lease.transaction() as session:
            record(
                session,
                playlist_id,
                Action.TWIN_REMOVED,
                label=store.label_of(session, playlist_id),
                at=self._now(),
                run_id=self._run_id,
                reason="its creation was sent twice, and both took effect",
                before={"spotify_id": twin.id, "name": twin.name, "items": list(uris)},
                after={"spotify_id": kept},
                calls=1,
            )

    # ── reading back ─────────────────────────────────────────────────────────────────────────────────────

    def mark_for_read_back(self, targets: Sequence[Target]) -> None:
        """Somebody else's calls may be under way still: the playlists are read once those must have arrived."""
        with self._lease.transaction() as session:
            ids = [target.row.id for target in targets]
            store.mark_for_read_back(session, ids, self._now() + SETTLE_WINDOW)

    def is_own_draw(self, playlist_id: int, items: str) -> bool:
        """Whether one of the playlist's draws has just these items (their hash)."""
        with self._lease.transaction() as session:
            return store.draw_that_holds(session, playlist_id, items) is not None

    def found_right(self, target: Target) -> None:
        """Spotify holds what was written."""
        if target.row.read_back_at is not None:
            with self._lease.transaction() as session:
                store.unmark_for_read_back(session, target.row.id, target.row.read_back_at)

    # ── dead tracks ──────────────────────────────────────────────────────────────────────────────────────

    def reserve(self, target: Target) -> list[store.Spare]:
        """The next best tracks of the playlist's newest draw, the best first."""
        with self._lease.transaction() as session:
            return store.reserve_of(session, target.row.snapshot_row)

    def tried(self, target: Target, items: str) -> None:
        """Items (their hash) that are sent as soon as this returns, to find out whether Spotify takes them."""
        with self._lease.transaction() as session:
            self._record(session, target, Action.PROBED, after={"items_hash": items}, calls=1)

    def tracks_replaced(self, target: Target, dead: Collection[str], tracks: Sequence[str]) -> Target:
        """``tracks`` are what the playlist should hold, without ``dead`` ones; the playlist with that."""
        uris = [uri_of(track) for track in tracks]
        with self._lease.transaction() as session:
            store.amend_snapshot(
                session,
                target.row.snapshot_row,
                tracks,
                items_hash=items_hash(uris),
                reason=f"without {len(dead)} that Spotify takes no more",
                at=self._now(),
                run_id=self._run_id,
            )
            self._record(
                session,
                target,
                Action.TRACKS_REPLACED,
                reason=f"Spotify takes no more: {', '.join(sorted(dead))}",
                before={"snapshot_row": target.row.snapshot_row, "tracks": sorted(dead)},
                after={"tracks": len(tracks)},
            )
        again = self.reread(target)
        return target if again is None else again

    def unplayable(self, track_ids: Collection[str]) -> None:
        """Proved dead: every other playlist with one of these is drawn anew without it."""
        with self._lease.transaction() as session:
            mark_unplayable(session, track_ids)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────

    def gone(self, target: Target) -> Action:
        """The owner has unfollowed the playlist, which is how one is deleted."""
        with self._lease.transaction() as session:
            intents.abandon(session, target.row.id, self._now())
            store.set_playlist(
                session, target.row.id, status="planned", spotify_id=None, **store.NOTHING_CONFIRMED
            )
            self._record(
                session,
                target,
                Action.DRIFT_FOUND,
                reason="no longer in the account's library",
                before=_confirmed(target),
            )
        return Action.DRIFT_FOUND

    def left_deleted(self, target: Target) -> Action:
        """The owner deleted the playlist, and its policy leaves it so."""
        with self._lease.transaction() as session:
            store.retire(session, target.row.id, self._now())
            store.set_playlist(session, target.row.id, sync_error=store.DELETED_BY_OWNER)
            self._record(session, target, Action.RETIRED, reason=store.DELETED_BY_OWNER)
        return Action.RETIRED

    def moved(self, target: Target, known: Content, desired: Content, seen: Seen) -> tuple[Action, ...]:
        """What a playlist holds that was changed by somebody, or by a write whose answer was lost.

        Args:
            target: the playlist.
            known: what we thought it held.
            desired: what it should hold; found so, it is no drift.
            seen: what it does hold.
        """
        found, row = seen.content, target.row
        if found is None:
            return ()
        with self._lease.transaction() as session:
            draw = store.draw_that_holds(session, row.id, found.items_hash)
            partly = draw is None and (
                is_partly_written(seen.uris, self._uris(session, target))
                or store.was_tried(session, row.id, found.items_hash)
            )
            drift = differences(found, known, desired, items_are_ours=draw is not None or partly)
            arrived = found.items_hash != known.items_hash and draw is not None
            values: dict[str, Any] = {
                "confirmed_items_hash": found.items_hash,
                "confirmed_name": found.name,
                "confirmed_description": found.description,
                "confirmed_snapshot_id": seen.snapshot_id,
                "confirmed_at": self._now(),
            }
            if found.items_hash != known.items_hash:
                values["confirmed_snapshot_row"] = draw
            store.set_playlist(session, row.id, **values)
            if arrived and draw is not None:
                store.publish_snapshot(session, draw, self._now())
                self._record(session, target, Action.SYNCED, reason="an earlier write had arrived")
            actions = (Action.SYNCED,) * arrived
            return actions + self._drifted(session, target, drift, found, seen) if drift else actions

    def _drifted(
        self, session: Session, target: Target, drift: tuple[str, ...], found: Content, seen: Seen
    ) -> tuple[Action, ...]:
        """Record an edit by hand, and do about it what the policy says; overwriting it is left to the writes."""
        response = response_to(target.policy.on_drift, awaits_draw=target.awaits_draw)
        what = ", ".join(drift)
        self._record(
            session,
            target,
            Action.DRIFT_FOUND,
            reason=f"changed by hand: {what}",
            before=_confirmed(target),
            after=_details(found)
            | {
                "snapshot_id": seen.snapshot_id,
                "items_hash": found.items_hash,
                "items": list(seen.uris),
                "response": response.value,
            },
        )
        match response:
            case Response.KEEP:
                store.set_playlist(session, target.row.id, kept_snapshot_row=target.row.snapshot_row)
                self._record(
                    session,
                    target,
                    Action.EDIT_KEPT,
                    reason=f"{what}: until the next draw, as its policy says",
                )
                return Action.DRIFT_FOUND, Action.EDIT_KEPT
            case Response.ADOPT:
                self._adopt_edit(session, target, found, seen, what)
                return Action.DRIFT_FOUND, Action.EDIT_ADOPTED
            case Response.PAUSE:
                reason = f"changed by hand: {what}"
                store.set_playlist(session, target.row.id, paused_at=self._now(), pause_reason=reason)
                self._record(session, target, Action.PAUSED, reason=f"{reason}; its policy asks for a person")
                return Action.DRIFT_FOUND, Action.PAUSED
            case Response.RESTORE:
                return (Action.DRIFT_FOUND,)

    def _adopt_edit(self, session: Session, target: Target, found: Content, seen: Seen, what: str) -> None:
        """What was found is what the playlist should be, for the cycle that its newest snapshot is of."""
        row = target.row
        renamed = "name" in what or "description" in what
        snapshot_row = choose_snapshot(
            session,
            row.id,
            policy_id=row.policy_id,
            cycle=row.cycle,
            uris=seen.uris,
            details=_words(found) if renamed else row.details,
            origin="adopted",
            reason="as its owner left it",
            at=self._now(),
            run_id=self._run_id,
            as_found=found.items_hash,
        )
        store.publish_snapshot(session, snapshot_row, self._now())
        store.set_playlist(session, row.id, confirmed_snapshot_row=snapshot_row)
        self._record(
            session,
            target,
            Action.EDIT_ADOPTED,
            reason=f"{what}: until the next cycle, as its policy says",
            before={"snapshot_row": row.snapshot_row, "items_hash": row.items_hash},
            after={"snapshot_row": snapshot_row, "items_hash": found.items_hash} | _words(found),
        )

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────

    def details_written(self, target: Target, before: Content, after: Content) -> Action:
        """Spotify took name, description or visibility."""
        with self._lease.transaction() as session:
            store.set_playlist(
                session,
                target.row.id,
                confirmed_name=after.name,
                confirmed_description=after.description,
                confirmed_public=after.public,
                confirmed_at=self._now(),
            )
            self._record(
                session, target, Action.RENAMED, before=_details(before), after=_details(after), calls=1
            )
        return Action.RENAMED

    def cover(self, desired: Content) -> bytes:
        """The picture that the playlist should show."""
        with self._lease.transaction() as session:
            return cover_of(session, str(desired.cover))

    def cover_written(self, target: Target, before: Content, after: Content) -> Action:
        """Spotify took the cover."""
        with self._lease.transaction() as session:
            store.set_playlist(session, target.row.id, confirmed_cover=after.cover, confirmed_at=self._now())
            self._record(
                session,
                target,
                Action.COVERED,
                before={"cover": before.cover},
                after={"cover": after.cover},
                calls=1,
            )
        return Action.COVERED

    def items_written(
        self, target: Target, before: Content, after: Content, snapshot_id: str | None, *, read_back: bool
    ) -> Action:
        """Spotify took the items, and calls this version ``snapshot_id``; ``read_back``: to be made sure of."""
        row, now = target.row, self._now()
        replaced = row.confirmed_snapshot_row
        is_new = before.items_hash == items_hash([])
        redrawn = replaced not in (None, row.snapshot_row)
        action = Action.RESHUFFLED if redrawn and not is_new else Action.SYNCED
        with self._lease.transaction() as session:
            store.set_playlist(
                session,
                row.id,
                confirmed_snapshot_row=row.snapshot_row,
                confirmed_items_hash=after.items_hash,
                confirmed_snapshot_id=snapshot_id,
                confirmed_at=now,
            )
            store.publish_snapshot(session, row.snapshot_row, now)
            if read_back:
                store.mark_for_read_back(session, [row.id], now + SETTLE_WINDOW)
            self._record(
                session,
                target,
                action,
                before={"snapshot_row": replaced, "items_hash": before.items_hash},
                after={
                    "snapshot_row": row.snapshot_row,
                    "items_hash": after.items_hash,
                    "snapshot_id": snapshot_id,
                },
                calls=1,
            )
        return action

    # ── outcome ──────────────────────────────────────────────────────────────────────────────────────────

    def settled(self, target: Target) -> None:
        """The playlist is as desired; earlier trouble is over."""
        row = target.row
        troubled = row.sync_error is not None or row.sync_failures or row.sync_not_before is not None
        if not troubled and not target.read_back_due:
            return
        with self._lease.transaction() as session:
            store.set_playlist(session, row.id, sync_error=None, sync_failures=0, sync_not_before=None)
            if target.read_back_due and row.read_back_at is not None:
                store.unmark_for_read_back(session, row.id, row.read_back_at)

    def postponed(self, target: Target, until: datetime) -> None:
        """The playlist is left alone until then."""
        with self._lease.transaction() as session:
            store.set_playlist(session, target.row.id, sync_not_before=until)

    def failed(self, target: Target, reason: str) -> None:
        """The playlist could not be synced; the next run tries again."""
        row = target.row
        with self._lease.transaction() as session:
            store.set_playlist(session, row.id, sync_error=reason, sync_failures=row.sync_failures + 1)

    def _record(self, session: Session, target: Target, action: Action, **more: Any) -> None:
        record(
            session,
            target.row.id,
            action,
            label=target.row.label,
            at=self._now(),
            run_id=self._run_id,
            **more,
        )


def _details(content: Content) -> dict[str, Any]:
    return {"name": content.name, "description": content.description, "public": content.public}


def _words(content: Content) -> dict[str, str]:
    return {"name": content.name, "description": content.description}


def _confirmed(target: Target) -> dict[str, Any]:
    row = target.row
    return {
        "spotify_id": row.spotify_id,
        "snapshot_row": row.confirmed_snapshot_row,
        "items_hash": row.confirmed_items_hash,
        "name": row.confirmed_name,
        "description": row.confirmed_description,
        "snapshot_id": row.confirmed_snapshot_id,
    }

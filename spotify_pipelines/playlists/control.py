"""What a person decides about one playlist: lock, pause, retire, bring back an old version.

What belongs here: the decision as rows, and in the history, each in one transaction. What does not: calls to Spotify;
the next sync of the playlist (or ``unfollow`` for a retired one) makes what was decided come true.

========  ==============  ==========  =============================================================================
state     drawn anew      written     ends with
========  ==============  ==========  =============================================================================
locked    no              no          ``unlock``
paused    yes             no          ``resume``, which writes what it should be; ``adopt`` takes it as it is
retired   no              no          ``resume``, as long as no other playlist has taken its place
========  ==============  ==========  =============================================================================
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.playlists.cycles import current_cycle
from spotify_pipelines.playlists.history import Action, record
from spotify_pipelines.playlists.policies import policy_from_json
from spotify_pipelines.playlists.templates import find_marker, with_marker
from spotify_pipelines.playlists.uris import id_of, writable
from spotify_pipelines.playlists.versions import (
    NoVersion,
    Version,
    before_last_write,
    choose_snapshot,
    version,
)
from spotify_pipelines.report import Report
from spotify_pipelines.store import intents
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.accounts import accounts
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.policies import PolicyRow, newest_versions
from spotify_pipelines.store.tables import Playlist
from spotify_pipelines.store.versions import lock_playlist, place_is_taken, snapshot, unplayable

__all__ = ["Control", "Refused"]

_BY_HAND = "by hand"


class Refused(ExplainedError):
    """What was asked can't be done to a playlist in its state; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One playlist in the transaction that decides about it."""

    session: Session
    playlist: Playlist
    label: str


@dataclass(frozen=True, slots=True)
class Control:
    """Decisions of a person.

    Every method takes our id of the playlist and returns a report with one row, in which ``what`` says what became
    of it; each raises :class:`Refused` where its state does not allow it.

    Args:
        database: the truth.
        run_id: stands in the history.
        now: the clock (aware UTC).
    """

    database: Database
    run_id: str
    now: Callable[[], datetime]

    def lock(self, playlist_id: int, reason: str | None = None) -> Report:
        """It is neither drawn anew nor written, until it is unlocked."""
        with self._case(playlist_id) as case:
            self._refuse_retired(case)
            if case.playlist.locked_at is not None:
                return _report(case, "locked already", changed=False)
            self._set(case, locked_at=self.now(), lock_reason=reason)
            self._record(case, Action.LOCKED, reason=reason or _BY_HAND)
            return _report(case, "locked")

    def unlock(self, playlist_id: int) -> Report:
        """It is drawn and written again when that is due."""
        with self._case(playlist_id) as case:
            if case.playlist.locked_at is None:
                return _report(case, "not locked", changed=False)
            self._set(case, locked_at=None, lock_reason=None)
            self._record(case, Action.UNLOCKED, reason=_BY_HAND)
            return _report(case, "unlocked")

    def pause(self, playlist_id: int, reason: str | None = None) -> Report:
        """It is drawn when due, but not written, until it is resumed."""
        with self._case(playlist_id) as case:
            self._refuse_retired(case)
            if case.playlist.paused_at is not None:
                return _report(case, "paused already", changed=False)
            self._set(case, paused_at=self.now(), pause_reason=reason or _BY_HAND)
            self._record(case, Action.PAUSED, reason=reason or _BY_HAND)
            return _report(case, "paused")

    def resume(self, playlist_id: int, *, adopt: bool = False) -> Report:
        """A paused playlist is written again; a retired one is kept again.

        Args:
            playlist_id: our id.
            adopt: what Spotify holds now is what it should be, until the next cycle.
        """
        with self._case(playlist_id) as case:
            if case.playlist.status == "retired":
                return self._keep_again(case)
            if case.playlist.paused_at is None and not adopt:
                return _report(case, "not paused", changed=False)
            if adopt:
                self._adopt(case)
            if case.playlist.paused_at is not None:
                self._set(case, paused_at=None, pause_reason=None)
                self._record(case, Action.RESUMED, reason=_BY_HAND)
            return _report(case, "adopted as it is" if adopt else "resumed")

    def retire(self, playlist_id: int, *, unfollow: bool | None = None) -> Report:
        """It is kept no more, and no other is made in its place.

        Args:
            playlist_id: our id.
            unfollow: whether it leaves its account's library; None: as its policy says.
        """
        with self._case(playlist_id) as case:
            if case.playlist.status == "retired":
                return _report(case, "retired already", changed=False)
            if case.playlist.locked_at is not None:
                raise Refused(f"{case.label} is locked. 'spotify-pipelines playlists unlock' comes first.")
            if unfollow is None:
                policy = self._policy(case)
                unfollow = policy is not None and policy_from_json(policy.definition).retire == "unfollow"
            leaves = unfollow and case.playlist.spotify_id is not None
            store.retire(case.session, playlist_id, self.now(), unfollow=leaves)
            self._set(case, sync_error=store.RETIRED_BY_HAND)
            self._record(case, Action.RETIRED, reason=_BY_HAND)
            return _report(case, "retired, to be unfollowed" if leaves else "retired; it stays on Spotify")

    def roll_back(self, playlist_id: int, to: str | None = None) -> Report:
        """An old version is what it should be, tracks, name and description, until the next cycle.

        Args:
            playlist_id: our id.
            to: the version's name (see ``versions``); None: what was there before the last write.
        """
        with self._case(playlist_id) as case:
            self._refuse_retired(case)
            if case.playlist.locked_at is not None:
                raise Refused(f"{case.label} is locked. 'spotify-pipelines playlists unlock' comes first.")
            try:
                wanted = (
                    before_last_write(case.session, case.playlist, self.now())
                    if to is None
                    else version(case.session, case.playlist, to, self.now())
                )
            except NoVersion as missing:
                raise Refused(f"{case.label}: {missing}") from missing
            return self._bring_back(case, wanted)

    # ── how ──────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _case(self, playlist_id: int) -> Iterator[_Case]:
        with self.database.transaction() as session:
            playlist = lock_playlist(session, playlist_id)
            account = accounts(session, [playlist.account_id])[0]
            label = store.playlist_label(playlist.policy_name, playlist.sequence, account.name)
            yield _Case(session, playlist, label)

    def _bring_back(self, case: _Case, wanted: Version) -> Report:
        uris = writable(wanted.uris)
        gone = unplayable(case.session, [id_of(uri) for uri in uris])
        uris = [uri for uri in uris if id_of(uri) not in gone]
        if not uris:
            raise Refused(
                f"{case.label}: nothing of version {wanted.name} can be written to Spotify any more."
            )
        before = store.newest_snapshot(case.session, case.playlist.id)
        chosen = self._choose(case, uris, wanted, origin="rollback", reason=f"rolled back to {wanted.name}")
        self._record(
            case,
            Action.ROLLED_BACK,
            reason=f"to {wanted.name}: {wanted.what}",
            before={"snapshot_row": before},
            after={"snapshot_row": chosen, "version": wanted.name},
        )
        report = _report(case, f"rolled back to {wanted.name}: {wanted.what}")
        if left_out := len(wanted.uris) - len(uris):
            report.notes.append(f"{left_out} of {len(wanted.uris)} items can't be written any more: left out")
        if case.playlist.paused_at is not None:
            report.notes.append(f"{case.label} is paused: nothing is written until it is resumed")
        return report

    def _adopt(self, case: _Case) -> None:
        try:
            held = version(case.session, case.playlist, "now", self.now())
        except NoVersion as missing:
            raise Refused(f"{case.label}: {missing}") from missing
        chosen = self._choose(
            case,
            held.uris,
            held,
            origin="adopted",
            reason="as its owner left it",
            as_found=case.playlist.confirmed_items_hash,
        )
        store.publish_snapshot(case.session, chosen, self.now())
        self._set(case, confirmed_snapshot_row=chosen)
        self._record(
            case, Action.EDIT_ADOPTED, reason=_BY_HAND, after={"snapshot_row": chosen, "name": held.title}
        )

    def _choose(
        self,
        case: _Case,
        uris: Sequence[str | None],
        wanted: Version,
        *,
        origin: str,
        reason: str,
        as_found: str | None = None,
    ) -> int:
        """The version as the newest snapshot, under the policy in force and for the cycle that runs now."""
        playlist, session = case.playlist, case.session
        policy = self._policy(case)
        newest = store.newest_snapshot(session, playlist.id)
        last = snapshot(session, playlist.id, newest) if newest is not None else None
        if policy is None or last is None:
            raise Refused(f"{case.label} was never drawn, so there is nothing to choose from.")
        rule = policy_from_json(policy.definition).reshuffle
        cycle = current_cycle(
            every_days=rule.every_days,
            at=rule.at,
            timezone=rule.timezone,
            anchor=playlist.anchor,
            now=self.now(),
        )
        chosen = choose_snapshot(
            session,
            playlist.id,
            policy_id=policy.id,
            cycle=max(cycle.number, last.cycle),
            uris=uris,
            details={
                "name": wanted.title,
                "description": self._marked(case, wanted, origin),
                "cover": wanted.cover,
            },
            origin=origin,
            reason=reason,
            at=self.now(),
            run_id=self.run_id,
            as_found=as_found,
        )
        self._set(case, next_reshuffle_at=cycle.next_at)
        return chosen

    @staticmethod
    def _marked(case: _Case, wanted: Version, origin: str) -> str:
        """The version's description, with the sign of the playlist as it is today where it had one."""
        if origin == "adopted" or find_marker(wanted.description) is None:
            return wanted.description
        return with_marker(wanted.description, find_marker(case.playlist.confirmed_description))

    def _keep_again(self, case: _Case) -> Report:
        playlist = case.playlist
        if place_is_taken(case.session, playlist):
            raise Refused(f"Another playlist has taken the place of {case.label} (id {playlist.id}).")
        values: dict[str, Any] = {"status": "active"}
        if playlist.spotify_id is None or playlist.unfollowed_at is not None:
            intents.abandon(case.session, playlist.id, self.now())
            values = {"status": "planned", "spotify_id": None, **store.NOTHING_CONFIRMED}
        before = {"spotify_id": playlist.spotify_id}
        self._set(case, **values, retired_at=None, sync_error=None, unfollow=False, unfollowed_at=None)
        self._record(case, Action.RESUMED, reason="retired no more", before=before)
        return _report(case, "kept again" if values["status"] == "active" else "kept again: to be made anew")

    def _policy(self, case: _Case) -> PolicyRow | None:
        name = case.playlist.policy_name
        return next((row for row in newest_versions(case.session) if row.name == name), None)

    def _refuse_retired(self, case: _Case) -> None:
        if case.playlist.status == "retired":
            raise Refused(f"{case.label} is retired. 'spotify-pipelines playlists resume' keeps it again.")

    @staticmethod
    def _set(case: _Case, **values: Any) -> None:
        store.set_playlist(case.session, case.playlist.id, **values)

    def _record(self, case: _Case, action: Action, **more: Any) -> None:
        record(
            case.session,
            case.playlist.id,
            action,
            label=case.label,
            at=self.now(),
            run_id=self.run_id,
            **more,
        )


def _report(case: _Case, what: str, *, changed: bool = True) -> Report:
    report = Report("playlists", requested=1, changed=int(changed), unchanged=int(not changed))
    report.rows.append({"playlist": case.label, "id": case.playlist.id, "what": what})
    return report

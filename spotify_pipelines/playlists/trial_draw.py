"""A draw that is only tried: what a playlist would get if it were drawn now, under its policy or another one.

What belongs here: one draw for one place, and what it would change. What does not: the nightly chain as a whole,
which counts what earlier playlists take and what is due. Nothing is written.

Without a policy or a seed of the asker's own, it is exactly the draw that a forced one would store at this moment.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.playlists.cycles import Cycle
from spotify_pipelines.playlists.draw import Draw
from spotify_pipelines.playlists.drawing import EARLIER, Drawing, cycle_of
from spotify_pipelines.playlists.plan import first_cycle
from spotify_pipelines.playlists.policies import Policy, policy_from_json, policy_to_json
from spotify_pipelines.playlists.randomness import derive_seed
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.playlists import DrawRow
from spotify_pipelines.store.policies import active_policies

__all__ = ["Trial", "TrialError", "draw_for_place", "draw_for_playlist", "seed_from"]

_NOT_PLANNED = 0
"""Stands for the id of a playlist that is not there yet; real ones begin at 1."""


class TrialError(ExplainedError):
    """There is nothing to try a draw for; the text says why."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A draw that was not stored.

    ``number`` is its place among the draws of its cycle; ``before`` the tracks of the newest stored draw, None where
    there is none. ``notes`` tell of the policy and its pool.
    """

    label: str
    policy: Policy
    cycle: Cycle
    number: int
    found: Draw
    before: tuple[str, ...] | None
    notes: list[str]

    @property
    def definition(self) -> dict[str, Any]:
        """The policy, as it would be stored."""
        return policy_to_json(self.policy)

    @property
    def entering(self) -> list[str]:
        """Tracks that the playlist does not hold now, in order."""
        held = set(self.before or ())
        return [track for track in self.found.track_ids if track not in held]

    @property
    def leaving(self) -> list[str]:
        """Tracks that it holds now and would not any more, in order."""
        kept = set(self.found.track_ids)
        return [track for track in self.before or () if track not in kept]

    @property
    def moved(self) -> dict[str, tuple[int, int]]:
        """Tracks that stay, at another position: from and to, counted from 0."""
        was = {track: position for position, track in enumerate(self.before or ())}
        return {
            track: (was[track], position)
            for position, track in enumerate(self.found.track_ids)
            if track in was and was[track] != position
        }


def seed_from(text: str) -> bytes:
    """The seed that a person means: one as it is stored (64 hexadecimal digits), or any other text."""
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    return seed if len(seed) == 32 else derive_seed("trial", text)


def draw_for_playlist(
    database: Database,
    playlist_id: int,
    *,
    now: datetime,
    policy: Policy | None = None,
    seed: bytes | None = None,
) -> Trial:
    """Try a draw for a playlist, under ``policy`` instead of the one in force if given.

    Raises:
        TrialError: the playlist is retired or held, or its policy is not in force; or nothing could be drawn.
    """
    with database.transaction() as session:
        row = next(iter(store.draw_rows(session, playlist_ids=[playlist_id])), None)
    if row is None:
        raise TrialError(
            "This playlist is not drawn: it is retired or locked, or its policy is no longer in force. Try a draw "
            "for its place instead, with --policy or --policy-file and --account."
        )
    return _try(database, row, policy or _in_force(database, row.policy_name), now, seed)


def draw_for_place(
    database: Database, policy: Policy | str, account: str, *, now: datetime, seed: bytes | None = None
) -> Trial:
    """Try a draw for a policy's first playlist on an account, whether it is planned yet or not.

    Args:
        database: only read.
        policy: one that need not be in force, or the name of one that is.
        account: by name or id.
        now: the moment of the draw (aware UTC).
        seed: instead of the one that the draw would have.

    Raises:
        TrialError: there is no such policy or account, or nothing could be drawn.
    """
    policy = _in_force(database, policy) if isinstance(policy, str) else policy
    with database.transaction() as session:
        accounts = store.accounts(session)
        owner = next((each for each in accounts if account in (each.name, str(each.id))), None)
        if owner is None:
            known = ", ".join(each.name for each in accounts) or "none"
            raise TrialError(f"There is no account '{account}'; connected are: {known}.")
        places = [
            place.id
            for place in store.places(session)
            if (place.account_id, place.policy_name, place.sequence) == (owner.id, policy.name, 1)
        ]
        row = next(iter(store.draw_rows(session, playlist_ids=places)), None) if places else None
    if row is None:
        row = DrawRow(
            id=_NOT_PLANNED,
            account_id=owner.id,
            account_name=owner.name,
            policy_name=policy.name,
            sequence=1,
            anchor=first_cycle(policy, now)[0],
            next_reshuffle_at=None,
            policy_id=_NOT_PLANNED,
            snapshot_id=None,
            snapshot_policy_id=None,
            cycle=None,
            holds_unplayable=False,
        )
    return _try(database, row, policy, now, seed)


def _in_force(database: Database, name: str) -> Policy:
    with database.transaction() as session:
        rows = {row.name: row for row in active_policies(session)}
    if name not in rows:
        raise TrialError(f"No policy '{name}' is in force; these are: {', '.join(rows) or 'none'}.")
    return policy_from_json(rows[name].definition)


def _try(database: Database, row: DrawRow, policy: Policy, now: datetime, seed: bytes | None) -> Trial:
    cycle = cycle_of(row, policy, now)
    with database.transaction() as session:
        number = store.next_draw(session, row.id, cycle.number)
        earlier = store.newest_draws(session, row.id, EARLIER)
    drawing = Drawing(database, [policy], {row.id}, now)
    found = drawing.draw(
        row, policy, cycle, seed=seed or drawing.seed_of(row, cycle, number), earlier=earlier
    )
    if not found.track_ids:
        raise TrialError(drawing.why_nothing(policy))
    return Trial(
        label=row.label,
        policy=policy,
        cycle=cycle,
        number=number,
        found=found,
        before=tuple(earlier[0]) if earlier else None,
        notes=drawing.notes,
    )

"""Draws of one moment: what each is made from, and what all of them share.

What belongs here: putting catalogue, uses, siblings, capacity and seed together for one draw. What does not: which
playlists are drawn, and storing what came out (``snapshot``); the draw itself (``draw``).
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from spotify_pipelines.playlists.bounds import Capacity, capacity
from spotify_pipelines.playlists.cycles import Cycle, current_cycle
from spotify_pipelines.playlists.draw import Draw, Others, draw
from spotify_pipelines.playlists.policies import Policy
from spotify_pipelines.playlists.pool import Pools
from spotify_pipelines.playlists.randomness import derive_seed
from spotify_pipelines.playlists.siblings import Siblings
from spotify_pipelines.playlists.uses import Uses, limits_of, rounds_of
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.playlists import DrawRow

__all__ = ["EARLIER", "Drawing", "cycle_of"]

EARLIER = 5
"""Draws of the same playlist that a new one is compared with."""


def cycle_of(row: DrawRow, policy: Policy, now: datetime) -> Cycle:
    """The cycle that a playlist is in under a policy."""
    rule = policy.reshuffle
    return current_cycle(
        every_days=rule.every_days, at=rule.at, timezone=rule.timezone, anchor=row.anchor, now=now
    )


class Drawing:
    """Draws for playlists, one after the other; nothing is written.

    Args:
        database: read when a draw needs it; the catalogue once.
        policies: all policies that are drawn under.
        due: ids of the playlists that are drawn; their pending snapshots are about to be replaced.
        now: the moment of all draws (aware UTC).
    """

    def __init__(
        self, database: Database, policies: Iterable[Policy], due: Collection[int], now: datetime
    ) -> None:
        self._pools = Pools(database, policies, now)
        self._uses = Uses(database, due, now)
        self._siblings = Siblings(database)
        self._capacities: dict[tuple[str, int], Capacity] = {}
        self._thin: list[str] = []
        with database.transaction() as session:
            self._salt = store.installation_salt(session)

    @property
    def notes(self) -> list[str]:
        """Policies that can't hold for good, and entries of policies that nothing answers to."""
        return [*self._thin, *self._pools.notes]

    def why_nothing(self, policy: Policy) -> str:
        """Why a draw under this policy came out empty, in a sentence."""
        pool = self._pools.of(policy)
        return "No track obeys the rules that may not give way." if len(pool.tracks) else pool.why_empty()

    def seed_of(self, row: DrawRow, cycle: Cycle, number: int) -> bytes:
        """The seed of a playlist's draw with this number in its cycle."""
        return derive_seed(
            "snapshot",
            self._salt,
            row.account_name,
            row.policy_name,
            row.sequence,
            cycle.number,
            number,
        )

    def draw(
        self, row: DrawRow, policy: Policy, cycle: Cycle, *, seed: bytes, earlier: list[list[str]]
    ) -> Draw:
        """One draw; ``earlier`` are the playlist's last ones, newest first."""
        return draw(
            policy,
            self._pools.of(policy),
            self._uses.ages(row, policy, cycle.starts_at),
            capacity=self._capacity(row, policy),
            seed=seed,
            others=Others(earlier, self._siblings.of(row, policy)),
        )

    def count(self, row: DrawRow, found: Draw, cycle: Cycle) -> None:
        """The draw stands: what is drawn after it takes it as used, and is compared with it."""
        self._uses.add(row, found.track_ids, cycle.starts_at)
        self._siblings.add(row, found.track_ids)

    def _capacity(self, row: DrawRow, policy: Policy) -> Capacity:
        """What the pool sustains for all playlists that share the cooldown; noted where that is not enough."""
        playlists = self._siblings.sharing(row, policy)
        key = policy.name, playlists
        if key not in self._capacities:
            rounds, artist_rounds = rounds_of(policy)
            found = self._capacities[key] = capacity(
                self._pools.of(policy).tracks,
                limits_of(policy),
                size=policy.size,
                playlists=playlists,
                rounds=rounds,
                artist_rounds=artist_rounds,
            )
            if not found.holds:
                self._thin.append(f"policy {policy.name} can't hold for good: {found.sentence()}")
        return self._capacities[key]

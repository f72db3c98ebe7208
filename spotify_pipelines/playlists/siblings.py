"""The other playlists of a draw's kind: how many share its cooldown, and what they hold.

What belongs here: looking them up once per run, and keeping up with what the run draws. What does not: what follows
from it (``bounds``, ``draw``), the queries (``store.playlists``).

Siblings are the playlists that share a cooldown; of a playlist that shares it with none, those of the same policy
on the same account.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from spotify_pipelines.playlists.policies import Policy
from spotify_pipelines.playlists.uses import scope_of
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.database import Database

__all__ = ["Siblings"]


class Siblings:
    """The playlists of an installation, as far as draws are compared and counted.

    Args:
        database: where they are; read when first asked for.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: dict[int, Sequence[str]] = {}
        self._read: set[int] = set()

    def sharing(self, row: store.DrawRow, policy: Policy) -> int:
        """How many playlists share the cooldown, this one included."""
        alone = policy.cooldown is None or policy.cooldown.scope == "playlist"
        return 1 if alone else len({row.id, *(each.id for each in self._group(row, policy))})

    def of(self, row: store.DrawRow, policy: Policy) -> Mapping[str, Sequence[str]]:
        """The newest tracks of each sibling that was drawn, by label."""
        group = self._group(row, policy)
        unread = [each.id for each in group if each.id not in self._read]
        if unread:
            with self._database.transaction() as session:
                self._held |= store.newest_tracks(session, unread)
            self._read.update(unread)
        return {
            each.label: self._held[each.id] for each in group if each.id in self._held and each.id != row.id
        }

    def add(self, row: store.DrawRow, track_ids: Sequence[str]) -> None:
        """A draw of this run: the siblings that come after it are compared with it."""
        self._held[row.id] = track_ids
        self._read.add(row.id)

    def _group(self, row: store.DrawRow, policy: Policy) -> list[store.PlaceRow]:
        kind, which = scope_of(row, policy)
        if kind == "playlist":
            kind, which = "account and policy", (row.account_id, row.policy_name)
        # Nothing is there for a playlist that is only tried.
        return self._by_scope.get((kind, which), [])

    @cached_property
    def _by_scope(self) -> dict[tuple[str, object], list[store.PlaceRow]]:
        with self._database.transaction() as session:
            places = store.places(session)
        found: dict[tuple[str, object], list[store.PlaceRow]] = {}
        for place in places:
            for scope in (
                ("account and policy", (place.account_id, place.policy_name)),
                ("account", place.account_id),
                ("policy", place.policy_name),
                ("fleet", None),
            ):
                found.setdefault(scope, []).append(place)
        return found

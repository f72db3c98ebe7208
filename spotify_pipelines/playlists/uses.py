"""Which tracks were used lately, and where: what cooldown and freshness count.

What belongs here: the uses of a scope, read once per run and kept up to date while it draws. What does not: what
the counts lead to (``selection``), the query (``store.playlists``).

Published snapshots count, and pending ones (a playlist's newest); a pending one that this run is about to replace
was heard by nobody and counts for nothing. In a scope of several playlists each draw sees those before it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from spotify_pipelines.playlists.cycles import current_cycle, days_between
from spotify_pipelines.playlists.policies import Policy, policy_from_json
from spotify_pipelines.playlists.rules import Limits
from spotify_pipelines.playlists.selection import freshness_factor
from spotify_pipelines.store import playlists as store
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.policies import policy_definitions

__all__ = ["Ages", "Uses", "freshness_of", "limits_of", "resting", "resting_artists", "rounds_of", "scope_of"]

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ages:
    """How long ago tracks were used last: in days of the policy's zone, and in draws of the playlist between."""

    days: Mapping[str, int]
    draws: Mapping[str, int]


def resting(policy: Policy, ages: Ages) -> dict[str, int]:
    """Tracks whose cooldown is not over, with their ages in its unit."""
    if policy.cooldown is None:
        return {}
    counted = ages.days if policy.cooldown.days is not None else ages.draws
    return {track: age for track, age in counted.items() if policy.cooldown.holds_back(age)}


def limits_of(policy: Policy) -> Limits:
    """What the policy's rules ask of a selection."""
    cooldown = policy.cooldown
    return Limits(
        artist_cap=policy.caps.artist,
        album_cap=policy.caps.album,
        cooldown=cooldown.length if cooldown else 0,
        artist_cooldown=cooldown.artist.length if cooldown and cooldown.artist else 0,
    )


def resting_artists(policy: Policy, ages: Ages, credits_: Callable[[str], Iterable[str]]) -> dict[str, int]:
    """Artists whose cooldown is not over, with their ages in its unit; ``credits_`` tells a track's artists."""
    rest = policy.cooldown.artist if policy.cooldown else None
    if rest is None:
        return {}
    counted = ages.days if rest.days is not None else ages.draws
    found: dict[str, int] = {}
    for track, age in counted.items():
        if rest.holds_back(age):
            for artist in credits_(track):
                found[artist] = min(age, found.get(artist, age))
    return found


def rounds_of(policy: Policy) -> tuple[int, int | None]:
    """Cooldowns of tracks and of artists (None: they don't rest) in rounds: 1 is over by the next draw."""
    cooldown, every = policy.cooldown, policy.reshuffle.every_days
    rounds = [
        None if rest is None else -(-rest.days // every) if rest.days is not None else (rest.draws or 0) + 1
        for rest in (cooldown, cooldown.artist if cooldown else None)
    ]
    return rounds[0] or 1, rounds[1]


def freshness_of(policy: Policy, ages: Ages) -> dict[str, int]:
    """Factors (out of 2^32) of the tracks that are not fresh."""
    weights = policy.weights
    if not weights.freshness:
        return {}
    return {
        track: freshness_factor(age, weights.horizon_days, weights.freshness)
        for track, age in ages.days.items()
        if age < weights.horizon_days
    }


class Uses:
    """When each track was used last, by scope.

    Args:
        database: where the snapshots are.
        due: playlists that this run draws; their pending snapshots don't count.
        now: the time of the run (aware UTC).
    """

    def __init__(self, database: Database, due: Collection[int], now: datetime) -> None:
        self._database = database
        self._due = frozenset(due)
        self._now = now
        self._policies: dict[int, Policy] = {}
        # By scope, and by how far back was read: policies that share a scope may look back differently.
        self._last_used: dict[tuple[str, object], dict[datetime, dict[str, datetime]]] = {}
        self._draws: dict[int, list[list[str]]] = {}

    def ages(self, row: store.DrawRow, policy: Policy, starts_at: datetime) -> Ages:
        """Ages of all tracks used lately in the policy's scope, seen from the cycle that starts at ``starts_at``."""
        since = self._since(policy)
        known = self._last_used.setdefault(scope_of(row, policy), {})
        if since not in known:
            known[since] = self._read(row, policy, since)
        zone_name = policy.reshuffle.timezone
        # A sibling's cycle may have begun a little later than ours: that is no age below zero.
        days = {
            track: max(0, days_between(used, starts_at, zone_name)) for track, used in known[since].items()
        }
        draws: dict[str, int] = {}
        for between, tracks in enumerate(reversed(self._draws.get(row.id, []))):
            for track in tracks:
                draws.setdefault(track, between)
        return Ages(days, draws)

    def add(self, row: store.DrawRow, track_ids: Iterable[str], starts_at: datetime) -> None:
        """A draw that was stored: it counts for the playlists after it."""
        tracks = list(track_ids)
        for scope in _scopes_of(row):
            for last_used in self._last_used.get(scope, {}).values():
                last_used.update(dict.fromkeys(tracks, starts_at))
        self._draws.setdefault(row.id, []).append(tracks)

    def _read(self, row: store.DrawRow, policy: Policy, since: datetime) -> dict[str, datetime]:
        kind, _ = scope_of(row, policy)
        with self._database.transaction() as session:
            uses = store.recent_uses(
                session,
                since=since,
                playlist_id=row.id if kind == "playlist" else None,
                account_id=row.account_id if kind == "account" else None,
                policy=row.policy_name if kind == "policy" else None,
            )
            self._policies |= {
                id_: policy_from_json(definition)
                for id_, definition in policy_definitions(
                    session, {use.policy_id for use in uses} - self._policies.keys()
                ).items()
            }
        last: dict[str, datetime] = {}
        for use in uses:
            if use.playlist_id in self._due and not use.published:
                continue
            used_at = _cycle_start(self._policies[use.policy_id], use.anchor, use.drawn_at)
            for track in use.track_ids:
                last[track] = max(used_at, last.get(track, used_at))
            if use.playlist_id == row.id:
                self._draws.setdefault(row.id, []).append(use.track_ids)
        return last

    def _since(self, policy: Policy) -> datetime:
        rests = [rest for rest in (policy.cooldown, policy.cooldown and policy.cooldown.artist) if rest]
        if any(rest.draws is not None for rest in rests):
            return _BEGINNING
        days = max(
            *(rest.length for rest in rests),
            policy.weights.horizon_days if policy.weights.freshness else 0,
            0,
        )
        # A cycle is at most a year old when it is drawn for, and its start is what counts.
        return self._now - timedelta(days=days + policy.reshuffle.every_days + 1)


def _cycle_start(policy: Policy, anchor: date, drawn_at: datetime) -> datetime:
    reshuffle = policy.reshuffle
    return current_cycle(
        every_days=reshuffle.every_days,
        at=reshuffle.at,
        timezone=reshuffle.timezone,
        anchor=anchor,
        now=drawn_at,
    ).starts_at


def scope_of(row: store.DrawRow, policy: Policy) -> tuple[str, object]:
    """Whose uses count for a playlist: kind of scope, and which one."""
    kind = policy.cooldown.scope if policy.cooldown else "playlist"
    return next(scope for scope in _scopes_of(row) if scope[0] == kind)


def _scopes_of(row: store.DrawRow) -> tuple[tuple[str, object], ...]:
    return (
        ("playlist", row.id),
        ("account", row.account_id),
        ("policy", row.policy_name),
        ("fleet", None),
    )

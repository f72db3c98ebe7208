"""A selection in the making: what is chosen, how full artists and albums are by it, what each track would break.

What belongs here: keeping account, and answering for one track or for many at once. What does not: deciding
which track comes next (``selection``, ``repair``).

An artist and an album are both a *group* with a cap, numbered through: artists first, albums behind them.
Groups without a cap are not counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spotify_pipelines.playlists.rules import CAPS, RESTS, Breach, Limits, Rule
from spotify_pipelines.playlists.track_pool import Pool

__all__ = ["Filling"]

Column = NDArray[np.int64]


class Filling:
    """What is chosen so far, under the limits.

    Args:
        pool: what there is.
        limits: what the rules ask.
        resting: track id → age of the last use, for tracks whose cooldown is not over.
        resting_artists: artist id → age of the last use, for artists whose cooldown is not over.
        blocked: id → why, for tracks that never come.
    """

    def __init__(
        self,
        pool: Pool,
        limits: Limits,
        *,
        resting: Mapping[str, int],
        resting_artists: Mapping[str, int],
        blocked: Mapping[str, str],
    ) -> None:
        self.pool = pool
        self.limits = limits
        self.blocked = blocked
        self.chosen: dict[int, str] = {}
        """Position in the pool → why it was chosen, in the sequence of choice."""
        self.pinned: set[int] = set()
        self.is_strict = True
        """Whether only tracks that obey every rule were chosen; false as soon as others may have been."""
        self._resting = resting
        self._resting_artists = resting_artists
        self._counts: defaultdict[int, int] = defaultdict(int)
        self._first_album = len(pool.columns.artist_ids)

    # ── what is chosen ───────────────────────────────────────────────────────────────────────────────────

    def take(self, index: int, why: str) -> None:
        """Choose a track."""
        self.chosen[index] = why
        for group in self.groups(index):
            self._counts[group] += 1

    def put_back(self, index: int) -> str:
        """Un-choose a track; why it was chosen."""
        for group in self.groups(index):
            self._counts[group] -= 1
        return self.chosen.pop(index)

    # ── groups ───────────────────────────────────────────────────────────────────────────────────────────

    def groups(self, index: int) -> list[int]:
        """The capped groups that a track counts for."""
        columns = self.pool.columns
        found: list[int] = []
        if self.limits.artist_cap is not None:
            found = columns.credits[columns.offsets[index] : columns.offsets[index + 1]].tolist()
        if self.limits.album_cap is not None and (album := int(columns.albums[index])) >= 0:
            found.append(self._first_album + album)
        return found

    def rule_of(self, group: int) -> Rule:
        """Whether a group is an artist or an album."""
        return Rule.ARTIST_CAP if group < self._first_album else Rule.ALBUM_CAP

    def room(self, group: int) -> int:
        """How many more tracks a group takes; below 0 where it holds too many."""
        return self._cap(group) - self._counts[group]

    def name(self, group: int) -> str:
        """Id of the artist or the album."""
        columns = self.pool.columns
        if group < self._first_album:
            return columns.artist_ids[group]
        return columns.album_ids[group - self._first_album]

    @property
    def excess(self) -> int:
        """How many tracks stand beyond caps, over all groups."""
        return sum(max(0, -self.room(group)) for group in self._counts)

    def full_groups(self, index: int) -> list[int]:
        """The groups that have no place for the track."""
        return [group for group in self.groups(index) if self.room(group) <= 0]

    def _cap(self, group: int) -> int:
        # Only capped groups are counted, so there is one.
        return (self.limits.artist_cap if group < self._first_album else self.limits.album_cap) or 0

    # ── one track ────────────────────────────────────────────────────────────────────────────────────────

    def refusal(self, index: int) -> str | None:
        """Why a track may not be taken now; None if it obeys every rule."""
        if index in self.chosen:
            return "chosen already"
        track_id = self.pool.columns.track_ids[index]
        if track_id in self.blocked:
            return self.blocked[track_id]
        if track_id in self._resting:
            return f"in cooldown: last used {self._resting[track_id]} of {self.limits.cooldown} ago"
        if self._resting_artists:
            for artist in self.pool.artists_of(index):
                if artist in self._resting_artists:
                    age = self._resting_artists[artist]
                    return f"artist {artist} rests: last used {age} of {self.limits.artist_cooldown} ago"
        for group in self.groups(index):
            if self.room(group) <= 0:
                kind = "artist" if group < self._first_album else "album"
                return f"{kind} {self.name(group)} is full: {self._cap(group)} tracks"
        return None

    # ── many tracks ──────────────────────────────────────────────────────────────────────────────────────

    def live(self) -> Column:
        """Positions of the tracks that can be taken at all: weight above 0, not chosen, not blocked."""
        open_ = self.pool.weights > 0
        open_[list(self.chosen)] = False
        open_[self._positions(self.blocked)] = False
        return np.flatnonzero(open_)

    def admissible(self) -> Column:
        """Positions of the tracks that obey every rule as things stand."""
        live = self.live()
        for rule in (*RESTS, *CAPS):
            live = live[self.amounts(rule, live) == 0]
        return live

    def alike(self, indices: Column) -> list[list[int]]:
        """The tracks of ``indices`` by the capped groups they count for, each lot in the sequence given."""
        columns = self.pool.columns
        marks = np.zeros(len(indices), dtype=np.uint64)
        if self.limits.artist_cap is not None:
            marks += columns.artist_marks[indices]
        if self.limits.album_cap is not None:
            # An odd multiplier keeps albums apart; sums of artists are random words, so they don't meet.
            marks += (columns.albums[indices] + 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        order = np.argsort(marks, kind="stable")
        starts = np.flatnonzero(np.diff(marks[order])) + 1
        return [lot.tolist() for lot in np.split(indices[order], starts)] if len(indices) else []

    def can_break(self, rule: Rule) -> bool:
        """Whether any track could break a rule at all."""
        if rule is Rule.COOLDOWN:
            return bool(self._resting)
        if rule is Rule.ARTIST_COOLDOWN:
            return bool(self._resting_artists)
        return self.limits.of(rule) is not None

    def amounts(self, rule: Rule, indices: Column) -> Column:
        """By how much each track would break a rule, 0 where it obeys."""
        if rule is Rule.COOLDOWN:
            return self._track_needs[indices]
        if rule is Rule.ARTIST_COOLDOWN:
            return self._most_over_credits(self._artist_needs, indices)
        if rule is Rule.ALBUM_CAP:
            return self._beyond_album_cap(indices)
        return self._beyond_artist_cap(indices)

    def _beyond_album_cap(self, indices: Column) -> Column:
        cap = self.limits.album_cap
        if cap is None:
            return np.zeros(len(indices), dtype=np.int64)
        # One place more than there are albums: tracks without one (−1) count there, and it is never full.
        beyond = self._beyond(len(self.pool.columns.album_ids) + 1, self._first_album, cap)
        beyond[-1] = 0
        return beyond[self.pool.columns.albums[indices]]

    def _beyond_artist_cap(self, indices: Column) -> Column:
        cap = self.limits.artist_cap
        if cap is None:
            return np.zeros(len(indices), dtype=np.int64)
        return self._most_over_credits(self._beyond(self._first_album, 0, cap), indices)

    def _beyond(self, length: int, first: int, cap: int) -> Column:
        """For each group from ``first`` on: how far beyond its cap one more track would be."""
        beyond = np.zeros(length, dtype=np.int64)
        for group, count in self._counts.items():
            if first <= group < first + length:
                beyond[group - first] = max(0, count + 1 - cap)
        return beyond

    def _most_over_credits(self, values: Column, indices: Column) -> Column:
        """The largest of the credited artists' values, track by track; 0 without credits."""
        most = np.zeros(len(indices), dtype=np.int64)
        if not values.any():
            return most
        columns = self.pool.columns
        starts = columns.offsets[indices]
        lengths = columns.offsets[indices + 1] - starts
        for place in range(int(lengths.max(initial=0))):
            has = np.flatnonzero(lengths > place)
            most[has] = np.maximum(most[has], values[columns.credits[starts[has] + place]])
        return most

    @cached_property
    def _track_needs(self) -> Column:
        """Units of cooldown that each track lacks."""
        needs = np.zeros(len(self.pool.track_ids), dtype=np.int64)
        for track_id, age in self._resting.items():
            index = self.pool.find(track_id)
            if index is not None:
                needs[index] = _lacking(self.limits.cooldown, age)
        return needs

    @cached_property
    def _artist_needs(self) -> Column:
        """Units of cooldown that each artist lacks."""
        needs = np.zeros(len(self.pool.columns.artist_ids), dtype=np.int64)
        if self._resting_artists:
            number = {name: place for place, name in enumerate(self.pool.columns.artist_ids)}
            for artist, age in self._resting_artists.items():
                if artist in number:
                    needs[number[artist]] = _lacking(self.limits.artist_cooldown, age)
        return needs

    def _positions(self, track_ids: Iterable[str]) -> list[int]:
        found = (self.pool.find(track_id) for track_id in track_ids)
        return [index for index in found if index is not None]

    # ── the account ──────────────────────────────────────────────────────────────────────────────────────

    def breaches(self) -> dict[int, tuple[Breach, ...]]:
        """What each chosen track breaks; of a group with too many, those chosen last.

        Pinned tracks don't rest: they are in every playlist by the policy's own word.
        """
        found: dict[int, tuple[Breach, ...]] = {}
        if self.is_strict:
            return found
        counts: defaultdict[int, int] = defaultdict(int)
        for index in self.chosen:
            broken = [] if index in self.pinned else self._unrested(index)
            worst: dict[Rule, Breach] = {}
            for group in self.groups(index):
                counts[group] += 1
                rule, beyond = self.rule_of(group), counts[group] - self._cap(group)
                if beyond > (worst[rule].amount if rule in worst else 0):
                    worst[rule] = Breach(rule, beyond, self._cap(group), self.name(group))
            if broken or worst:
                found[index] = (*broken, *(worst[rule] for rule in CAPS if rule in worst))
        return found

    def _unrested(self, index: int) -> list[Breach]:
        found = []
        artists = [artist for artist in self.pool.artists_of(index) if artist in self._resting_artists]
        if artists:
            youngest = min(artists, key=lambda artist: (self._resting_artists[artist], artist))
            asked = self.limits.artist_cooldown
            need = _lacking(asked, self._resting_artists[youngest])
            found.append(Breach(Rule.ARTIST_COOLDOWN, need, asked, youngest))
        age = self._resting.get(self.pool.track_ids[index])
        if age is not None:
            found.append(Breach(Rule.COOLDOWN, _lacking(self.limits.cooldown, age), self.limits.cooldown))
        return found


def _lacking(asked: int, age: int) -> int:
    return max(1, asked - max(0, age))

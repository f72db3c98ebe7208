"""Which tracks a policy may draw, how likely each is, and why the others may not be drawn.

What belongs here: holding the catalogue's columns against the pool, the exclusions, the feature windows and the
factors of a policy, all tracks at once. What does not: cooldown, caps and chance (``selection``), reading the
catalogue.

Numbers are IEEE products in a fixed sequence: the same catalogue and policy give the same weights everywhere.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from spotify_pipelines.playlists.cycles import zone
from spotify_pipelines.playlists.policies import Policy
from spotify_pipelines.playlists.references import comparable

__all__ = ["Catalogue", "Eligibility", "Lookup", "added_cutoff", "eligibility"]

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]

_YES: Final = 1
_NO: Final = 0
_LEAST, _MOST = 1e-200, 1e200
"""Products of very many factors stay within: beyond 1 : 2^32 a draw tells no weights apart anyway."""


class Catalogue(Protocol):
    """What is asked of a catalogue; ``store.columns.CatalogueColumns`` has it, and describes each column."""

    # One attribute a line would be forty lines of properties: a protocol's plain attributes are writable ones.
    def __len__(self) -> int: ...
    @property
    def track_ids(self) -> Sequence[str]: ...
    @property
    def albums(self) -> Numbers: ...
    @property
    def offsets(self) -> Numbers: ...
    @property
    def credits(self) -> Numbers: ...
    @property
    def explicit(self) -> Mask: ...
    @property
    def playable(self) -> NDArray[np.int8]: ...
    @property
    def features(self) -> Mapping[str, NDArray[np.float64]]: ...
    @property
    def available(self) -> Mapping[str, NDArray[np.int8]]: ...
    @property
    def artist_ids(self) -> Sequence[str]: ...
    @property
    def artist_names(self) -> Sequence[str]: ...
    @property
    def album_ids(self) -> Sequence[str]: ...
    @property
    def album_names(self) -> Sequence[str]: ...
    @property
    def album_labels(self) -> Sequence[str | None]: ...
    @property
    def album_tags(self) -> Sequence[Sequence[str]]: ...
    @property
    def album_years(self) -> NDArray[np.int16]: ...
    @property
    def album_added(self) -> NDArray[np.float64]: ...
    @property
    def album_popularity(self) -> NDArray[np.int16]: ...


@dataclass(frozen=True, eq=False)
class Eligibility:
    """What a policy makes of a catalogue.

    Attributes:
        weights: of each track, finite; 0 for those that may not be drawn.
        verdicts: for each track the place in ``reasons`` of the first rule that keeps it out; 0 if none does.
        reasons: why tracks are out, in the words of the rules.
        firm: how many of the reasons hold for pinned tracks as well: not playable, and excluded.
        unmatched: entries of the policy that nothing in the catalogue answers to, with their key.
    """

    weights: NDArray[np.float64]
    verdicts: NDArray[np.uint8]
    reasons: tuple[str, ...]
    firm: int
    unmatched: tuple[str, ...]

    def why_outside(self, index: int) -> str | None:
        """Why a track may not be drawn; None if it may."""
        return self.reasons[self.verdicts[index]] or None

    def why_barred(self, index: int) -> str | None:
        """Why a track may not come even if it is pinned; None if it may."""
        return self.why_outside(index) if self.verdicts[index] < self.firm else None

    def counts(self) -> dict[str, int]:
        """How many tracks each reason keeps out, most first."""
        found = np.bincount(self.verdicts, minlength=len(self.reasons)).tolist()
        pairs = [
            (reason, count) for reason, count in zip(self.reasons, found, strict=True) if reason and count
        ]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def added_cutoff(policy: Policy, now: datetime) -> datetime | None:
    """The moment from which on ``pool.added_since`` takes albums: the start of a local day; None: any."""
    since = policy.pool.added_since
    if since is None:
        return None
    where = zone(policy.reshuffle.timezone)
    day = since if isinstance(since, date) else now.astimezone(where).date() - timedelta(days=since)
    return datetime.combine(day, time(), where)


def eligibility(policy: Policy, lookup: "Lookup", now: datetime) -> Eligibility:
    """Hold every track of the catalogue against a policy; ``now`` (aware) is what days are counted back from."""
    found = _Holding(policy, lookup, added_cutoff(policy, now))
    verdicts = np.zeros(len(lookup.catalogue), dtype=np.uint8)
    reasons = [""]
    firm = 1
    for rules in (found.firm_rules(), found.rules()):
        firm = len(reasons)
        for reason, outside in rules:
            first = outside & (verdicts == 0)
            if first.any():
                verdicts[first] = len(reasons)
                reasons.append(reason)
    weights = found.weights()
    weightless = (weights == 0) & (verdicts == 0)
    if weightless.any():
        verdicts[weightless] = len(reasons)
        reasons.append("its weight is 0")
    weights[verdicts > 0] = 0
    return Eligibility(weights, verdicts, tuple(reasons), firm, tuple(found.unmatched))


class Lookup:
    """A catalogue, and the ways into it that policies share: made when the first one needs them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def tracks(self, text: str) -> list[int]:
        """Positions of the track with this id: one or none."""
        return _place(self.catalogue.track_ids, text)

    def artists(self, text: str) -> list[int]:
        """Positions of the artists that bear this id or, if there is none, this name."""
        return _place(self.catalogue.artist_ids, text) or self._artists_by_name.get(comparable(text), [])

    def albums(self, text: str) -> list[int]:
        """Positions of the albums that bear this id or, if there is none, this name."""
        return _place(self.catalogue.album_ids, text) or self._albums_by_name.get(comparable(text), [])

    def labels(self, text: str) -> list[int]:
        """Positions of the albums on this label."""
        return self._albums_by_label.get(comparable(text), [])

    def tags(self, text: str) -> list[int]:
        """Positions of the albums with this tag."""
        return self._albums_by_tag.get(text, [])

    def crediting(self, artists: Mask) -> Mask:
        """The tracks that credit at least one of the artists."""
        tracks = np.zeros(len(self.catalogue), dtype=np.bool_)
        tracks[self.track_of_credit[artists[self.catalogue.credits]]] = True
        return tracks

    @cached_property
    def track_of_credit(self) -> Numbers:
        """For each credit the track that it stands on."""
        return np.repeat(np.arange(len(self.catalogue)), np.diff(self.catalogue.offsets))

    @cached_property
    def unlabelled(self) -> Mask:
        """The albums whose label is unknown."""
        return np.array([not label for label in self.catalogue.album_labels], dtype=np.bool_)

    @cached_property
    def _artists_by_name(self) -> dict[str, list[int]]:
        return _by_name(self.catalogue.artist_names)

    @cached_property
    def _albums_by_name(self) -> dict[str, list[int]]:
        return _by_name(self.catalogue.album_names)

    @cached_property
    def _albums_by_label(self) -> dict[str, list[int]]:
        return _by_name(self.catalogue.album_labels)

    @cached_property
    def _albums_by_tag(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for place, tags in enumerate(self.catalogue.album_tags):
            for tag in tags:
                found.setdefault(tag, []).append(place)
        return found


@dataclass(eq=False)
class _Holding:
    """One policy held against the catalogue; ``unmatched`` fills on the way."""

    policy: Policy
    lookup: Lookup
    cutoff: datetime | None
    unmatched: list[str] = field(default_factory=list)

    def firm_rules(self) -> Iterator[tuple[str, Mask]]:
        """Each rule that holds for pinned tracks as well, with the tracks that it keeps out."""
        yield from self._playability()
        yield from self._exclusions()

    def rules(self) -> Iterator[tuple[str, Mask]]:
        """Each further rule, in the sequence in which reasons are told."""
        yield from self._people_and_albums()
        yield from self._ages()
        yield from self._windows()

    def weights(self) -> NDArray[np.float64]:
        """The product of all factors for every track, whether it may be drawn or not."""
        says, catalogue = self.policy.weights, self.lookup.catalogue
        weights = np.ones(len(catalogue), dtype=np.float64)
        if says.artists:
            each = self._chosen("artists", says.artists, np.ones(len(catalogue.artist_ids)))[
                catalogue.credits
            ]
            # By place of credit: first ones, second ones, …: no track comes twice in one multiplication.
            for place in range(int(np.diff(catalogue.offsets).max(initial=0))):
                tracks = np.flatnonzero(np.diff(catalogue.offsets) > place)
                weights[tracks] = _bounded(weights[tracks] * each[catalogue.offsets[tracks] + place])
        for album_factors in self._album_factors():
            weights = _bounded(weights * album_factors[catalogue.albums])
        return weights

    def _playability(self) -> Iterator[tuple[str, Mask]]:
        pool, catalogue = self.policy.pool, self.lookup.catalogue
        yield "Spotify says that it can't be played", catalogue.playable == _NO
        if pool.playable == "known":
            yield "not known to be playable", catalogue.playable != _YES
        if pool.market is not None:
            yield f"not available in {pool.market}", catalogue.available[pool.market] == _NO

    def _exclusions(self) -> Iterator[tuple[str, Mask]]:
        out, catalogue = self.policy.exclude, self.lookup.catalogue
        if out.tracks:
            yield "excluded", self._marked("exclude.tracks", out.tracks, len(catalogue))
        if out.artists:
            artists = self._marked("exclude.artists", out.artists, len(catalogue.artist_ids))
            yield "credits an excluded artist", self.lookup.crediting(artists)
        if out.albums:
            albums = self._marked("exclude.albums", out.albums, len(catalogue.album_ids))
            yield "on an excluded album", albums[catalogue.albums]

    def _people_and_albums(self) -> Iterator[tuple[str, Mask]]:
        pool, catalogue = self.policy.pool, self.lookup.catalogue
        albums = len(catalogue.album_ids)
        if pool.artists is not None:
            artists = self._marked("pool.artists", pool.artists, len(catalogue.artist_ids))
            yield "credits none of the policy's artists", ~self.lookup.crediting(artists)
        if pool.albums is not None:
            named = self._marked("pool.albums", pool.albums, albums)
            yield "not on one of the policy's albums", ~named[catalogue.albums]
        if pool.labels is not None:
            on_label = self._marked("pool.labels", pool.labels, albums)
            yield "its label is unknown", self.lookup.unlabelled[catalogue.albums]
            yield "its label is none of the policy's", ~on_label[catalogue.albums]
        if pool.tags is not None:
            tagged = self._marked("pool.tags", pool.tags, albums)
            yield "its album bears none of the policy's tags", ~tagged[catalogue.albums]
        if pool.explicit == "exclude":
            yield "explicit", catalogue.explicit
        if pool.explicit == "only":
            yield "not explicit", ~catalogue.explicit

    def _ages(self) -> Iterator[tuple[str, Mask]]:
        pool, catalogue = self.policy.pool, self.lookup.catalogue
        if pool.years is not None:
            years = catalogue.album_years
            first, last = pool.years.first or 0, pool.years.last or 9999
            yield "its year of release is unknown", (years == 0)[catalogue.albums]
            yield "released outside the policy's years", ((years < first) | (years > last))[catalogue.albums]
        if self.cutoff is not None:
            # NaN, where it is unknown, is on neither side.
            late = catalogue.album_added >= self.cutoff.timestamp()
            yield f"not added since {self.cutoff.date()}", ~late[catalogue.albums]

    def _windows(self) -> Iterator[tuple[str, Mask]]:
        for feature, window in self.policy.features.given().items():
            values = self.lookup.catalogue.features[feature]
            missing = ~np.isfinite(values)
            if self.policy.missing_features == "exclude":
                yield f"has no {feature}", missing
            least = -np.inf if window.min is None else window.min
            most = np.inf if window.max is None else window.max
            yield (
                f"its {feature} is outside the policy's window",
                ~((values >= least) & (values <= most) | missing),
            )

    def _album_factors(self) -> Iterator[NDArray[np.float64]]:
        says, catalogue = self.policy.weights, self.lookup.catalogue
        for key in ("albums", "labels"):
            if factors := getattr(says, key):
                yield self._chosen(key, factors, np.ones(len(catalogue.album_ids)))
        for tag, factor in says.tags.items():
            yield self._chosen("tags", {tag: factor}, np.ones(len(catalogue.album_ids)))
        if says.popularity is not None:
            ends = says.popularity
            known = catalogue.album_popularity.astype(np.float64)
            between = ends.at_0 + (ends.at_100 - ends.at_0) * known / 100
            yield np.where(known < 0, ends.unknown, between)

    def _chosen(
        self, key: str, factors: Mapping[str, float], one_each: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The factor of each artist or album: ids go before names."""
        ids = getattr(self.lookup.catalogue, "artist_ids" if key == "artists" else "album_ids")
        for text, factor in sorted(factors.items(), key=lambda item: (bool(_place(ids, item[0])), item[0])):
            one_each[self._places(f"weights.{key}", text)] = factor
        return one_each

    def _marked(self, key: str, texts: Sequence[str], length: int) -> Mask:
        marked = np.zeros(length, dtype=np.bool_)
        for text in texts:
            marked[self._places(key, text)] = True
        return marked

    def _places(self, key: str, text: str) -> list[int]:
        """Positions that an entry of ``key`` means; an entry without any is noted."""
        find: Any = getattr(self.lookup, key.rpartition(".")[2])
        places: list[int] = find(text)
        if not places:
            self.unmatched.append(f"{key}: nothing in the catalogue answers to {text!r}")
        return places


def _bounded(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    never = ~(weights > 0)  # 0, and what came of 0 times infinity
    bounded = np.clip(weights, _LEAST, _MOST)
    bounded[never] = 0
    return bounded


def _place(ids: Sequence[str], wanted: str) -> list[int]:
    index = bisect_left(ids, wanted)
    return [index] if index < len(ids) and ids[index] == wanted else []


def _by_name(names: Sequence[str | None]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if name:
            found.setdefault(comparable(name), []).append(place)
    return found

"""What can't hold together in one policy, as far as that is known without a catalogue.

What belongs here: rules of a policy that rule each other out, each with the path of the key to change. What does
not: single values (``policies``); what only the catalogue shows is told by the pool and the draw.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from spotify_pipelines.playlists.references import comparable

if TYPE_CHECKING:
    from spotify_pipelines.playlists.policies import Policy

__all__ = ["contradictions"]

_Found = tuple[tuple[str, ...], str]


def contradictions(policy: "Policy") -> Iterator[_Found]:
    """The path below the policy and the sentence for each thing that can't hold."""
    yield from _pins(policy)
    yield from _excluded_pool(policy)
    yield from _weightless_pool(policy)


def _pins(policy: "Policy") -> Iterator[_Found]:
    for position, track_id in policy.pinned.items():
        if position > policy.size:
            yield (
                ("pinned", str(position)),
                f"is beyond the size of {policy.size}; positions go from 1 to {policy.size}",
            )
        if track_id in policy.exclude.tracks:
            yield (
                ("pinned", str(position)),
                f"the track {track_id} is in exclude.tracks too; take it out of one of them",
            )


def _excluded_pool(policy: "Policy") -> Iterator[_Found]:
    for key, excluded in (("artists", policy.exclude.artists), ("albums", policy.exclude.albums)):
        wanted = getattr(policy.pool, key)
        out = {comparable(each) for each in excluded}
        if wanted and all(comparable(each) in out for each in wanted):
            yield ("pool", key), f"all of them are in exclude.{key} too: no track is left"


def _weightless_pool(policy: "Policy") -> Iterator[_Found]:
    for key in ("artists", "albums", "labels", "tags"):
        wanted = getattr(policy.pool, key)
        factors: Mapping[str, float] = getattr(policy.weights, key)
        never = {comparable(name) for name, factor in factors.items() if factor == 0}
        if wanted and all(comparable(each) in never for each in wanted):
            yield ("pool", key), f"all of them have the weight 0 in weights.{key}: no track is left"

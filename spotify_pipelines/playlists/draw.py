"""One draw under a policy: the tracks, their order, and what there is to tell about both.

What belongs here: putting selection and order together for a policy, and the facts that are stored with it. What
does not: which playlists are drawn when, and storing (``snapshot``); the single figures (``figures``, ``bounds``).
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from spotify_pipelines.playlists import order, selection
from spotify_pipelines.playlists.bounds import Capacity
from spotify_pipelines.playlists.figures import jaccard, snapshot_figures
from spotify_pipelines.playlists.order import Arrangement, OrderTrack, arrange
from spotify_pipelines.playlists.order_figures import order_figures
from spotify_pipelines.playlists.policies import Policy, policy_digest
from spotify_pipelines.playlists.pool import PolicyPool
from spotify_pipelines.playlists.randomness import derive_seed
from spotify_pipelines.playlists.rules import Rule
from spotify_pipelines.playlists.selection import Pick, Selection, select
from spotify_pipelines.playlists.transitions import Sound
from spotify_pipelines.playlists.uses import Ages, freshness_of, limits_of, resting, resting_artists

__all__ = ["ALGORITHM", "Draw", "Others", "draw"]

ALGORITHM: Final = f"selection {selection.ALGORITHM_VERSION}, order {order.ALGORITHM_VERSION}"
_TOP_ARTISTS: Final = 3
_RESERVE: Final = 10


@dataclass(frozen=True, slots=True)
class Others:
    """What a draw is compared with: the playlist's own last draws, newest first, and its siblings by label."""

    earlier: Sequence[Sequence[str]] = ()
    siblings: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draw:
    """What a draw came out as; everything in it is stored. ``ages`` are in days, of the tracks used lately."""

    track_ids: tuple[str, ...]
    picks: dict[str, Pick]
    ages: Mapping[str, int]
    seed: bytes
    input_digest: str
    figures: dict[str, Any]


def draw(
    policy: Policy, pool: PolicyPool, ages: Ages, *, capacity: Capacity, seed: bytes, others: Others
) -> Draw:
    """One draw under a policy: tracks, their order, and the figures of both. The same inputs, the same draw."""
    rests, artists_rest = resting(policy, ages), resting_artists(policy, ages, pool.credits)
    fresh = freshness_of(policy, ages)
    barred = {track: why for track in policy.pinned.values() if (why := pool.why_barred(track))}
    chosen = select(
        pool.tracks,
        size=policy.size,
        seed=seed,
        limits=limits_of(policy),
        resting=rests,
        resting_artists=artists_rest,
        freshness=fresh,
        blocked=barred,
        pinned=[policy.pinned[position] for position in sorted(policy.pinned)],
        reserve=_RESERVE,
        relaxation=policy.relaxation,
    )
    placed = _placed(policy, pool, chosen, seed)
    inputs = [sorted(each.items()) for each in (rests, artists_rest, fresh, barred)]
    digest = derive_seed(pool.digest, policy_digest(policy), json.dumps(inputs, separators=(",", ":")))
    return Draw(
        track_ids=placed.track_ids,
        picks={pick.track_id: pick for pick in chosen.picks},
        ages={track_id: ages.days[track_id] for track_id in placed.track_ids if track_id in ages.days},
        seed=seed,
        input_digest=hashlib.sha256(digest).hexdigest(),
        figures=_figures_of_order(policy, pool, placed, ages)
        | _figures_of_selection(policy, chosen, placed)
        | _figures_of_capacity(policy, capacity)
        | _likeness(placed.track_ids, others),
    )


def _placed(policy: Policy, pool: PolicyPool, chosen: Selection, seed: bytes) -> Arrangement:
    """The chosen tracks in order. A position beyond the end of a playlist that came out short can't be held."""
    picked = set(chosen.track_ids)
    flows = policy.order.flow != "none"
    return arrange(
        [
            OrderTrack(track, pool.credits(track), Sound.of(pool.features(track) if flows else {}))
            for track in chosen.track_ids
        ],
        gap=policy.order.gap,
        seed=seed,
        pinned={
            track: position - 1
            for position, track in policy.pinned.items()
            if track in picked and position <= len(picked)
        },
        flow=policy.order.flow,
    )


def _figures_of_order(policy: Policy, pool: PolicyPool, placed: Arrangement, ages: Ages) -> dict[str, Any]:
    credits_ = [pool.credits(track_id) for track_id in placed.track_ids]
    sounds = [Sound.of(pool.features(track_id)) for track_id in placed.track_ids]
    figures = snapshot_figures(
        placed.track_ids,
        credits_,
        albums=[pool.album(track_id) for track_id in placed.track_ids],
        artist_cap=policy.caps.artist,
        album_cap=policy.caps.album,
        ages={track: age for track, age in ages.days.items() if track not in policy.pinned.values()},
    )
    counts = Counter(artist for artists in credits_ for artist in artists)
    top = sorted(counts, key=lambda artist: (-counts[artist], pool.artist_name(artist)))[:_TOP_ARTISTS]
    return (
        asdict(figures)
        | {
            "top_artists": [pool.artist_name(artist) for artist in top],
            "pool": len(pool.tracks),
            "gap_target": placed.target,
            "gap_bound": placed.upper_bound,
        }
        | asdict(order_figures(credits_, sounds, policy.order.flow, gap=placed.gap))
    )


def _figures_of_selection(policy: Policy, chosen: Selection, placed: Arrangement) -> dict[str, Any]:
    """What was asked, what came, what could have come at best, and what else the draw has to tell."""
    given_way: dict[str, dict[str, int]] = {}
    for pick in chosen.relaxed:
        for breach in pick.relaxation.breaches if pick.relaxation else ():
            sums = given_way.setdefault(breach.rule, {"tracks": 0, "amount": 0})
            sums["tracks"] += 1
            sums["amount"] += breach.amount
    place = {track_id: position for position, track_id in enumerate(placed.track_ids)}
    bounds = chosen.bounds
    return {
        "size_asked": policy.size,
        "size_bound": bounds.tracks,
        "shortfall": chosen.shortfall,
        "obeying": len(chosen.picks) - len(chosen.relaxed),
        "obeying_bound": bounds.obeying,
        "cooldown_shortfall": given_way.get(Rule.COOLDOWN, {}).get("amount", 0),
        "cooldown_shortfall_bound": bounds.cooldown_shortfall,
        "artist_excess_bound": bounds.artist_excess,
        "album_excess_bound": bounds.album_excess,
        "relaxed": len(chosen.relaxed),
        "relaxations": given_way,
        "rejections": [asdict(each) for each in chosen.rejections],
        "left_out": [asdict(each) for each in chosen.left_out],
        "reserve": [
            {
                "track_id": each.track_id,
                "replaces": None if each.replaces is None else sorted(place[one] for one in each.replaces),
            }
            for each in chosen.reserve
        ],
    }


def _figures_of_capacity(policy: Policy, capacity: Capacity) -> dict[str, Any]:
    days = capacity.longest_reuse * policy.reshuffle.every_days
    return {
        "capacity": asdict(capacity) | {"sentence": capacity.sentence()},
        "longest_reuse_days": days if math.isfinite(days) else None,
    }


def _likeness(track_ids: Sequence[str], others: Others) -> dict[str, Any]:
    """Jaccard with the last draws and the siblings: of many siblings the likest one, and the mean."""
    earlier = [round(jaccard(track_ids, each), 4) for each in others.earlier]
    siblings = {label: jaccard(track_ids, tracks) for label, tracks in others.siblings.items()}
    likest = max(sorted(siblings), key=siblings.__getitem__) if siblings else None
    return {
        "jaccard_with_last": earlier[0] if earlier else None,
        "jaccard_with_earlier": earlier,
        "siblings": len(siblings),
        "jaccard_with_siblings": round(math.fsum(siblings.values()) / len(siblings), 4) if siblings else None,
        "likest_sibling": likest,
        "jaccard_with_likest": round(siblings[likest], 4) if likest is not None else None,
    }

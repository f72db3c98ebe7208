"""Draws that don't keep what they promise, found by comparing stored tracks with stored rules and figures.

What belongs here: one query for each promise, over the newest draw of every playlist. What does not: showing them
(``defs.draw_checks``), keeping the promises (``playlists.draw``).

Only draws as they were drawn are looked at: versions that people brought back, and draws whose dead tracks were
replaced afterwards, promise less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from spotify_pipelines.store.playlists import playlist_label
from spotify_pipelines.store.tables import (
    Account,
    Album,
    Artist,
    Playlist,
    PlaylistSnapshot,
    PlaylistSnapshotTrack,
    Policy,
    Track,
    TrackArtist,
)

__all__ = [
    "Fault",
    "Faults",
    "gaps_off_target",
    "missing_draws",
    "short_draws",
    "unrecorded_excess",
    "unrecorded_reuse",
]

_SHOWN: Final = 20
_LATE: Final = timedelta(hours=3)
"""A reshuffle whose draw failed is tried again after an hour, and made up for within two or left out."""
_PINNED: Final = "pinned"


@dataclass(frozen=True, slots=True)
class Fault:
    """One promise that one draw does not keep: what was found, what should be, and of which artist or track."""

    playlist: str
    found: int | None
    asked: int | None
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """How many faults there are, and the first ones."""

    number: int
    first: tuple[Fault, ...]


def missing_draws(session: Session, now: datetime) -> Faults:
    """Playlists that were never drawn, and those whose reshuffle is hours late; ``asked`` counts the hours."""
    hours = func.floor(func.extract("epoch", now - Playlist.next_reshuffle_at) / 3600)
    drawn = exists().where(PlaylistSnapshot.playlist_id == Playlist.id)
    query = (
        select(
            Playlist.policy_name,
            Playlist.sequence,
            Account.name.label("account"),
            cast(literal(None), Integer).label("found"),
            cast(hours, Integer).label("asked"),
            cast(literal("hours late"), String).label("of"),
            func.count().over().label("all"),
        )
        .join(Account, Account.id == Playlist.account_id)
        .join(Policy, and_(Policy.name == Playlist.policy_name, Policy.active))
        .where(
            Playlist.status != "retired",
            Playlist.locked_at.is_(None),
            or_(~drawn, Playlist.next_reshuffle_at < now - _LATE),
        )
    )
    return _faults(session, query)


def short_draws(session: Session) -> Faults:
    """Draws with fewer tracks than could have come."""
    newest = _newest()
    bound = newest.c.figures["size_bound"].as_integer()
    stored = (
        select(func.count())
        .select_from(PlaylistSnapshotTrack)
        .where(PlaylistSnapshotTrack.snapshot_id == newest.c.id)
        .scalar_subquery()
    )
    return _faults(session, _of(newest, stored, bound).where(stored < bound))


def unrecorded_excess(session: Session) -> Faults:
    """Artists and albums with more tracks in a draw than the cap allows, and than its tracks' records account for."""
    newest = _newest()
    by_artist = _members(newest, "artist", TrackArtist.artist_id).join(
        TrackArtist, TrackArtist.track_id == PlaylistSnapshotTrack.track_id
    )
    by_album = _members(newest, "album", Track.album_id).join(
        Track, Track.id == PlaylistSnapshotTrack.track_id
    )
    groups = union_all(by_artist, by_album).cte("groups")
    named = func.coalesce(Artist.name, Album.name, groups.c.of)
    query = (
        _of(newest, groups.c.number, groups.c.cap, named)
        .join(groups, groups.c.id == newest.c.id)
        .outerjoin(Artist, Artist.id == groups.c.of)
        .outerjoin(Album, Album.id == groups.c.of)
        .where(groups.c.number - groups.c.recorded > groups.c.cap)
    )
    return _faults(session, query)


def unrecorded_reuse(session: Session) -> Faults:
    """Tracks in a draw that should still rest, without a record that the cooldown gave way.

    By the age that was stored, where the cooldown counts days; where it counts draws, by what was published.
    """
    newest = _newest()
    cooldown = newest.c.definition["cooldown"]
    days, draws = cooldown["days"].as_integer(), cooldown["draws"].as_integer()
    earlier = aliased(PlaylistSnapshot)
    counted = (
        select(
            earlier.id,
            (func.row_number().over(order_by=earlier.id.desc()) - 1).label("between"),
        )
        .where(
            earlier.playlist_id == newest.c.playlist_id,
            earlier.id < newest.c.id,
            earlier.published_at.is_not(None),
            draws.is_not(None),
        )
        .correlate(newest)
        .lateral("counted")
    )
    used = aliased(PlaylistSnapshotTrack)
    draws_between = (
        select(func.min(counted.c.between))
        .join(used, used.snapshot_id == counted.c.id)
        .where(used.track_id == PlaylistSnapshotTrack.track_id)
        .correlate(newest, PlaylistSnapshotTrack)
        .scalar_subquery()
    )
    age = func.coalesce(PlaylistSnapshotTrack.age, days)
    query = (
        _of(
            newest,
            func.coalesce(draws_between, age),
            func.coalesce(draws, days),
            func.coalesce(Track.name, PlaylistSnapshotTrack.track_id),
        )
        .join(PlaylistSnapshotTrack, PlaylistSnapshotTrack.snapshot_id == newest.c.id)
        .outerjoin(Track, Track.id == PlaylistSnapshotTrack.track_id)
        .where(
            PlaylistSnapshotTrack.why != _PINNED,
            or_(age < days, draws_between < draws),
            ~_records("cooldown"),
        )
    )
    return _faults(session, query)


def gaps_off_target(session: Session) -> Faults:
    """Draws in which two tracks of one artist stand closer together than was aimed at, or all further apart."""
    newest = _newest()
    target = newest.c.figures["gap_target"].as_integer()
    apart = (
        select(
            PlaylistSnapshotTrack.snapshot_id,
            (
                PlaylistSnapshotTrack.position
                - func.lag(PlaylistSnapshotTrack.position).over(
                    partition_by=(PlaylistSnapshotTrack.snapshot_id, TrackArtist.artist_id),
                    order_by=PlaylistSnapshotTrack.position,
                )
            ).label("distance"),
        )
        .join(newest, newest.c.id == PlaylistSnapshotTrack.snapshot_id)
        .join(TrackArtist, TrackArtist.track_id == PlaylistSnapshotTrack.track_id)
        .cte("apart")
    )
    gaps = (
        select(apart.c.snapshot_id, func.min(apart.c.distance).label("gap"))
        .group_by(apart.c.snapshot_id)
        .cte("gaps")
    )
    query = (
        _of(newest, gaps.c.gap, target)
        .outerjoin(gaps, gaps.c.snapshot_id == newest.c.id)
        .where(newest.c.figures.has_key("gap_target"), gaps.c.gap.is_distinct_from(target))
    )
    return _faults(session, query)


def _newest() -> CTE:
    """The newest snapshot of each playlist that is kept, if it is as it was drawn, with its policy's version."""
    snapshot, copied = aliased(PlaylistSnapshot), aliased(PlaylistSnapshot)
    newest = (
        select(snapshot)
        .where(snapshot.playlist_id == Playlist.id)
        .order_by(snapshot.id.desc())
        .limit(1)
        .lateral("snapshot")
    )
    is_copy = exists().where(
        copied.playlist_id == newest.c.playlist_id, copied.id < newest.c.id, copied.seed == newest.c.seed
    )
    return (
        select(
            newest.c.id,
            newest.c.playlist_id,
            newest.c.figures,
            Policy.definition,
            Playlist.policy_name,
            Playlist.sequence,
            Account.name.label("account"),
        )
        .select_from(Playlist)
        .join(newest, true())
        .join(Policy, Policy.id == newest.c.policy_id)
        .join(Account, Account.id == Playlist.account_id)
        .where(Playlist.status != "retired", newest.c.figures.has_key("size_bound"), ~is_copy)
        .cte("newest")
    )


def _members(newest: CTE, kind: str, of: Any) -> Select[Any]:
    """Tracks of each artist or album in a draw, and for how many of them it is recorded that the cap gave way."""
    cap = newest.c.definition["caps"][kind].as_integer()
    return (
        select(
            newest.c.id,
            cast(of, String).label("of"),
            func.max(cap).label("cap"),
            func.count().label("number"),
            func.count().filter(_records(f"{kind}_cap")).label("recorded"),
        )
        .select_from(newest)
        .join(PlaylistSnapshotTrack, PlaylistSnapshotTrack.snapshot_id == newest.c.id)
        .where(cap.is_not(None))
        .group_by(newest.c.id, of)
    )


def _records(rule: str) -> ColumnElement[bool]:
    """Whether a track's record says that this rule gave way for it."""
    record = PlaylistSnapshotTrack.relaxation.contains({"breaches": [{"rule": rule}]})
    return cast(func.coalesce(record, literal(False)), Boolean)


def _of(newest: CTE, found: Any, asked: Any, of: Any = None) -> Select[Any]:
    return select(
        newest.c.policy_name,
        newest.c.sequence,
        newest.c.account,
        cast(found, Integer).label("found"),
        cast(asked, Integer).label("asked"),
        cast(literal(None) if of is None else of, String).label("of"),
        func.count().over().label("all"),
    ).select_from(newest)


def _faults(session: Session, query: Select[Any]) -> Faults:
    ordered = query.order_by("policy_name", "account", "sequence", "of").limit(_SHOWN)
    rows: Sequence[Any] = session.execute(ordered).all()
    return Faults(
        number=rows[0].all if rows else 0,
        first=tuple(
            Fault(playlist_label(row.policy_name, row.sequence, row.account), row.found, row.asked, row.of)
            for row in rows
        ),
    )

"""Rows about playlists as use cases read them: places, newest snapshots, recent uses.

What belongs here: queries that return plain values, and statements that write one fact. What does not: any
decision on what they mean (``spotify_pipelines.playlists``) and the fencing of writes (``leases``).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, and_, any_, exists, func, insert, literal, or_, select, true, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as insert_or_skip
from sqlalchemy.orm import Session, aliased

from spotify_pipelines.store.covers import COVER_SCOPE
from spotify_pipelines.store.tables import (
    Account,
    Artist,
    Installation,
    Playlist,
    PlaylistHistory,
    PlaylistSnapshot,
    PlaylistSnapshotTrack,
    Policy,
    SpotifyApp,
    SyncIntent,
    Track,
    TrackArtist,
)

__all__ = [
    "DELETED_BY_OWNER",
    "NOTHING_CONFIRMED",
    "RETIRED_BY_HAND",
    "AccountRow",
    "DrawRow",
    "IntentRow",
    "LeavingRow",
    "PlaceRow",
    "Spare",
    "SyncRow",
    "UseRow",
    "accounts",
    "add_history",
    "add_playlist",
    "amend_snapshot",
    "created_by_marker",
    "deleted_places",
    "draw_rows",
    "draw_that_holds",
    "given_snapshot_ids",
    "installation_salt",
    "label_of",
    "leaving_rows",
    "library_sizes",
    "mark_for_read_back",
    "newest_draws",
    "newest_snapshot",
    "newest_tracks",
    "next_draw",
    "places",
    "places_given_up",
    "playlist_label",
    "publish_snapshot",
    "recent_uses",
    "reserve_of",
    "retire",
    "set_playlist",
    "store_snapshot",
    "sync_rows",
    "top_artists",
    "tracks_of",
    "unmark_for_read_back",
    "was_tried",
]


DELETED_BY_OWNER = "deleted by its owner on Spotify; its policy leaves it so"
"""Why a playlist was retired, where a policy says ``on_missing: leave``."""

RETIRED_BY_HAND = "retired by hand; its place stays empty until it is resumed"
"""Why a playlist was retired, where a person said so."""

NOTHING_CONFIRMED: Final[Mapping[str, None]] = {
    "confirmed_snapshot_row": None,
    "confirmed_items_hash": None,
    "confirmed_name": None,
    "confirmed_description": None,
    "confirmed_public": None,
    "confirmed_cover": None,
    "confirmed_snapshot_id": None,
    "kept_snapshot_row": None,
}
"""The confirmed state of a playlist that is not on Spotify."""


class Spare(NamedTuple):
    """A track in reserve, and the positions (from 0) that it may take without breaking a rule; None: any."""

    track_id: str
    places: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account, as far as planning is concerned."""

    id: int
    name: str
    health: str
    health_reason: str | None
    max_playlists: int | None


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """One playlist that is not retired: the place it takes."""

    id: int
    account_id: int
    account_name: str
    policy_name: str
    sequence: int
    locked: bool = False

    @property
    def label(self) -> str:
        """What a person calls it."""
        return playlist_label(self.policy_name, self.sequence, self.account_name)


@dataclass(frozen=True, slots=True)
class LeavingRow:
    """One retired playlist that is to be taken out of its account's library."""

    id: int
    account_id: int
    account_name: str
    app_id: int
    cooldown_until: datetime | None
    policy_name: str
    sequence: int
    spotify_id: str

    @property
    def label(self) -> str:
        """What a person calls it."""
        return playlist_label(self.policy_name, self.sequence, self.account_name)


@dataclass(frozen=True, slots=True)
class DrawRow:
    """One playlist with the policy in force and its newest snapshot (None: never drawn)."""

    id: int
    account_id: int
    account_name: str
    policy_name: str
    sequence: int
    anchor: date
    next_reshuffle_at: datetime | None
    policy_id: int
    snapshot_id: int | None
    snapshot_policy_id: int | None
    cycle: int | None
    holds_unplayable: bool

    @property
    def label(self) -> str:
        """What a person calls it."""
        return playlist_label(self.policy_name, self.sequence, self.account_name)


@dataclass(frozen=True, slots=True)
class UseRow:
    """The tracks that one snapshot uses, for cooldowns."""

    playlist_id: int
    policy_id: int
    anchor: date
    drawn_at: datetime
    published: bool
    track_ids: list[str]


@dataclass(frozen=True, slots=True)
class IntentRow:
    """The newest intent of a playlist that was not abandoned."""

    id: int
    marker: str
    status: str
    sent_at: datetime | None
    attempts: int
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class SyncRow:
    """All that decides whether and how a playlist is synced, items apart."""

    id: int
    account_id: int
    account_name: str
    account_display_name: str | None
    spotify_user_id: str
    app_id: int
    may_upload_covers: bool
    cooldown_until: datetime | None
    policy_name: str
    sequence: int
    status: str
    anchor: date
    spotify_id: str | None
    confirmed_snapshot_row: int | None
    confirmed_items_hash: str | None
    confirmed_name: str | None
    confirmed_description: str | None
    confirmed_public: bool | None
    confirmed_cover: str | None
    confirmed_snapshot_id: str | None
    confirmed_at: datetime | None
    read_back_at: datetime | None
    sync_not_before: datetime | None
    sync_error: str | None
    sync_failures: int
    snapshot_row: int
    policy_id: int
    cycle: int
    drawn_at: datetime
    items_hash: str
    tracks: int
    top_artists: list[str]
    origin: str
    details: dict[str, str | None] | None
    locked_at: datetime | None
    paused_at: datetime | None
    pause_reason: str | None
    kept_snapshot_row: int | None
    intent: IntentRow | None

    @property
    def label(self) -> str:
        """What a person calls it: policy, sequence and account."""
        return playlist_label(self.policy_name, self.sequence, self.account_name)


def playlist_label(policy_name: str, sequence: int, account_name: str) -> str:
    """What a person calls a playlist of ours, whatever it is named on Spotify.

    >>> playlist_label("morning", 1, "studio-1")
    'morning@studio-1'
    >>> playlist_label("morning", 2, "studio-1")
    'morning-2@studio-1'
    """
    return f"{policy_name}{f'-{sequence}' if sequence > 1 else ''}@{account_name}"


def installation_salt(session: Session) -> str:
    """What makes this installation's seeds differ from those of others; never changes."""
    created_at = session.scalar(select(Installation.created_at))
    return created_at.isoformat() if created_at else ""


def accounts(session: Session, ids: Sequence[int] = ()) -> list[AccountRow]:
    """All accounts by id; only ``ids`` if given."""
    query = select(
        Account.id, Account.name, Account.health, Account.health_reason, Account.max_playlists
    ).order_by(Account.id)
    return [AccountRow(*row) for row in session.execute(query.where(Account.id.in_(ids)) if ids else query)]


def places(session: Session) -> list[PlaceRow]:
    """Every playlist that is not retired, by id."""
    query = (
        select(
            Playlist.id,
            Playlist.account_id,
            Account.name,
            Playlist.policy_name,
            Playlist.sequence,
            Playlist.locked_at.is_not(None),
        )
        .join(Account, Account.id == Playlist.account_id)
        .where(Playlist.status != "retired")
        .order_by(Playlist.id)
    )
    return [PlaceRow(*row) for row in session.execute(query)]


def deleted_places(session: Session) -> set[tuple[int, str, int]]:
    """Places (account, policy, sequence) whose playlist was retired because its owner deleted it."""
    return _places_retired(session, DELETED_BY_OWNER)


def places_given_up(session: Session) -> set[tuple[int, str, int]]:
    """Places (account, policy, sequence) whose playlist a person retired."""
    return _places_retired(session, RETIRED_BY_HAND)


def _places_retired(session: Session, why: str) -> set[tuple[int, str, int]]:
    query = select(Playlist.account_id, Playlist.policy_name, Playlist.sequence).where(
        Playlist.status == "retired", Playlist.sync_error == why
    )
    return {(account_id, policy, sequence) for account_id, policy, sequence in session.execute(query)}


def add_playlist(session: Session, **values: Any) -> int | None:
    """Insert a planned playlist; None where its place is taken."""
    return session.scalar(
        insert_or_skip(Playlist).values(**values).on_conflict_do_nothing().returning(Playlist.id)
    )


def retire(session: Session, playlist_id: int, at: datetime, *, unfollow: bool = False) -> None:
    """The playlist is ours to keep fresh no more; it stays in its account's library unless ``unfollow``."""
    session.execute(
        update(Playlist)
        .where(Playlist.id == playlist_id, Playlist.status != "retired")
        .values(status="retired", retired_at=at, unfollow=unfollow)
    )


def leaving_rows(
    session: Session,
    *,
    playlist_ids: Sequence[int] = (),
    account_ids: Sequence[int] = (),
    policy: str | None = None,
) -> list[LeavingRow]:
    """Retired playlists that are still to be unfollowed, by account and id; empty filters select all."""
    query = (
        select(
            Playlist.id,
            Playlist.account_id,
            Account.name,
            Account.app_id,
            SpotifyApp.cooldown_until,
            Playlist.policy_name,
            Playlist.sequence,
            Playlist.spotify_id,
        )
        .join(Account, Account.id == Playlist.account_id)
        .join(SpotifyApp, SpotifyApp.id == Account.app_id)
        .where(
            Playlist.status == "retired",
            Playlist.unfollow,
            Playlist.unfollowed_at.is_(None),
            Playlist.spotify_id.is_not(None),
        )
        .order_by(Playlist.account_id, Playlist.id)
    )
    return [LeavingRow(*row) for row in session.execute(_narrow(query, playlist_ids, account_ids, policy))]


def draw_rows(
    session: Session,
    *,
    playlist_ids: Sequence[int] = (),
    account_ids: Sequence[int] = (),
    policy: str | None = None,
    due_at: datetime | None = None,
) -> list[DrawRow]:
    """Playlists of policies in force with their newest snapshot, by id, locked ones left out.

    Empty filters select all. What a person chose stays for its cycle, also where a track became unplayable.

    Args:
        session: an open transaction.
        playlist_ids: only these.
        account_ids: only playlists of these accounts.
        policy: only playlists of this policy.
        due_at: only playlists whose next reshuffle is at or before it (or that were never drawn).
    """
    newest = (
        select(
            PlaylistSnapshot.id, PlaylistSnapshot.policy_id, PlaylistSnapshot.cycle, PlaylistSnapshot.origin
        )
        .where(PlaylistSnapshot.playlist_id == Playlist.id)
        .order_by(PlaylistSnapshot.id.desc())
        .limit(1)
        .lateral("newest")
    )
    holds_unplayable = exists().where(
        PlaylistSnapshotTrack.snapshot_id == newest.c.id,
        newest.c.origin == "drawn",
        Track.id == PlaylistSnapshotTrack.track_id,
        Track.playable.is_(False),
    )
    query = (
        select(
            Playlist.id,
            Playlist.account_id,
            Account.name,
            Playlist.policy_name,
            Playlist.sequence,
            Playlist.anchor,
            Playlist.next_reshuffle_at,
            Policy.id,
            newest.c.id,
            newest.c.policy_id,
            newest.c.cycle,
            holds_unplayable,
        )
        .join(Account, Account.id == Playlist.account_id)
        .join(Policy, and_(Policy.name == Playlist.policy_name, Policy.active))
        .outerjoin(newest, true())
        .where(Playlist.status != "retired", Playlist.locked_at.is_(None))
        .order_by(Playlist.id)
    )
    query = _narrow(query, playlist_ids, account_ids, policy)
    if due_at is not None:
        query = query.where(or_(Playlist.next_reshuffle_at.is_(None), Playlist.next_reshuffle_at <= due_at))
    return [DrawRow(*row) for row in session.execute(query)]


def recent_uses(
    session: Session,
    *,
    since: datetime,
    playlist_id: int | None = None,
    account_id: int | None = None,
    policy: str | None = None,
) -> list[UseRow]:
    """Published snapshots and pending ones (a playlist's newest) since ``since``, oldest first.

    A draw that was superseded before it went out was never heard by anybody, and counts for nothing.
    """
    siblings = aliased(PlaylistSnapshot)
    newest = select(func.max(siblings.id)).where(siblings.playlist_id == Playlist.id).scalar_subquery()
    query = (
        select(
            PlaylistSnapshot.playlist_id,
            PlaylistSnapshot.policy_id,
            Playlist.anchor,
            PlaylistSnapshot.created_at,
            PlaylistSnapshot.published_at.is_not(None),
            func.array_agg(PlaylistSnapshotTrack.track_id),
        )
        .join(Playlist, Playlist.id == PlaylistSnapshot.playlist_id)
        .join(PlaylistSnapshotTrack, PlaylistSnapshotTrack.snapshot_id == PlaylistSnapshot.id)
        .where(
            PlaylistSnapshot.created_at > since,
            or_(
                PlaylistSnapshot.published_at.is_not(None),
                PlaylistSnapshot.id == newest,
            ),
        )
        .group_by(PlaylistSnapshot.id, Playlist.id)
        .order_by(PlaylistSnapshot.created_at, PlaylistSnapshot.id)
    )
    if playlist_id is not None:
        query = query.where(PlaylistSnapshot.playlist_id == playlist_id)
    if account_id is not None:
        query = query.where(Playlist.account_id == account_id)
    if policy is not None:
        query = query.where(Playlist.policy_name == policy)
    return [UseRow(*row) for row in session.execute(query)]


def tracks_of(session: Session, snapshot_row: int) -> list[str]:
    """Track ids of one snapshot in order."""
    query = (
        select(PlaylistSnapshotTrack.track_id)
        .where(PlaylistSnapshotTrack.snapshot_id == snapshot_row)
        .order_by(PlaylistSnapshotTrack.position)
    )
    return list(session.scalars(query))


def newest_draws(session: Session, playlist_id: int, most: int) -> list[list[str]]:
    """Tracks of a playlist's last snapshots in order, the newest first."""
    newest = (
        select(PlaylistSnapshot.id)
        .where(PlaylistSnapshot.playlist_id == playlist_id)
        .order_by(PlaylistSnapshot.id.desc())
        .limit(most)
        .subquery()
    )
    return [tracks for _, tracks in session.execute(_tracks_by_snapshot(newest.c.id, newest))]


def newest_tracks(session: Session, playlist_ids: Sequence[int]) -> dict[int, list[str]]:
    """Tracks of each playlist's newest snapshot in order; without those that were never drawn."""
    newest = (
        select(PlaylistSnapshot.playlist_id, func.max(PlaylistSnapshot.id).label("id"))
        .where(PlaylistSnapshot.playlist_id.in_(playlist_ids))
        .group_by(PlaylistSnapshot.playlist_id)
        .subquery()
    )
    query = _tracks_by_snapshot(newest.c.id, newest, newest.c.playlist_id)
    return {playlist_id: tracks for playlist_id, _, tracks in session.execute(query)}


def draw_that_holds(session: Session, playlist_id: int, items_hash: str) -> int | None:
    """The newest snapshot of a playlist with just these items; None where it never was to hold them."""
    return session.scalar(
        select(func.max(PlaylistSnapshot.id)).where(
            PlaylistSnapshot.playlist_id == playlist_id, PlaylistSnapshot.items_hash == items_hash
        )
    )


def top_artists(session: Session, track_ids: Sequence[str], limit: int = 3) -> list[str]:
    """Names of the artists who are credited on most of the tracks."""
    credits_ = func.count()
    query = (
        select(Artist.name)
        .join(TrackArtist, TrackArtist.artist_id == Artist.id)
        .where(TrackArtist.track_id.in_(track_ids))
        .group_by(Artist.id)
        .order_by(credits_.desc(), Artist.name)
        .limit(limit)
    )
    return list(session.scalars(query))


def newest_snapshot(session: Session, playlist_id: int) -> int | None:
    """Id of a playlist's newest snapshot; None where it was never drawn."""
    return session.scalar(
        select(func.max(PlaylistSnapshot.id)).where(PlaylistSnapshot.playlist_id == playlist_id)
    )


def next_draw(session: Session, playlist_id: int, cycle: int) -> int:
    """The number of the next draw for a cycle: 0 for the first."""
    last = session.scalar(
        select(func.max(PlaylistSnapshot.draw)).where(
            PlaylistSnapshot.playlist_id == playlist_id, PlaylistSnapshot.cycle == cycle
        )
    )
    return 0 if last is None else last + 1


def store_snapshot(
    session: Session, values: Mapping[str, Any], tracks: Sequence[Mapping[str, Any]]
) -> int | None:
    """Insert a snapshot with its tracks as its playlist's newest; None where another run stored the same draw."""
    row = session.scalar(
        insert_or_skip(PlaylistSnapshot)
        .values(**values)
        .on_conflict_do_nothing()
        .returning(PlaylistSnapshot.id)
    )
    if row is None:
        return None
    if tracks:
        session.execute(insert(PlaylistSnapshotTrack), [{**track, "snapshot_id": row} for track in tracks])
    # What sensors ask for every minute has to be in the playlist's own row, where an index finds it.
    session.execute(
        update(Playlist)
        .where(Playlist.id == values["playlist_id"])
        .values(newest_snapshot_row=func.greatest(Playlist.newest_snapshot_row, row))
    )
    return row


def reserve_of(session: Session, snapshot_row: int) -> list[Spare]:
    """The next best tracks that a draw left out, the best first; none where it names none."""
    figures = session.scalar(select(PlaylistSnapshot.figures).where(PlaylistSnapshot.id == snapshot_row))
    return [
        Spare(each["track_id"], None if each["replaces"] is None else frozenset(each["replaces"]))
        for each in (figures or {}).get("reserve") or ()
    ]


def amend_snapshot(
    session: Session,
    snapshot_row: int,
    track_ids: Sequence[str],
    *,
    items_hash: str,
    reason: str,
    at: datetime,
    run_id: str,
) -> int | None:
    """Store a copy of a snapshot with other tracks as its playlist's newest; None where another draw came first."""
    old = session.get_one(PlaylistSnapshot, snapshot_row)
    tracks = {
        row.track_id: row
        for row in session.scalars(
            select(PlaylistSnapshotTrack).where(PlaylistSnapshotTrack.snapshot_id == snapshot_row)
        )
    }
    copied = ("playlist_id", "policy_id", "cycle", "origin", "seed", "algorithm", "input_digest", "details")
    return store_snapshot(
        session,
        {name: getattr(old, name) for name in copied}
        | {
            "draw": next_draw(session, old.playlist_id, old.cycle),
            "reason": reason,
            "items_hash": items_hash,
            "figures": old.figures | {"tracks": len(track_ids)},
            "created_at": at,
            "run_id": run_id,
        },
        [
            {
                "position": position,
                "track_id": track_id,
                "why": tracks[track_id].why if track_id in tracks else "in place of a dead track",
                "relaxation": tracks[track_id].relaxation if track_id in tracks else None,
            }
            for position, track_id in enumerate(track_ids)
        ],
    )


def was_tried(session: Session, playlist_id: int, items_hash: str) -> bool:
    """Whether just these items were once sent to find out whether Spotify takes them."""
    tried = PlaylistHistory.after["items_hash"].as_string()
    query = select(PlaylistHistory.id).where(
        PlaylistHistory.playlist_id == playlist_id, PlaylistHistory.action == "probed", tried == items_hash
    )
    return session.scalar(query.limit(1)) is not None


def sync_rows(
    session: Session,
    *,
    playlist_ids: Sequence[int] = (),
    account_ids: Sequence[int] = (),
    policy: str | None = None,
    retired: bool = False,
) -> list[SyncRow]:
    """Playlists that have a snapshot, by account and id; retired ones only if asked for; empty filters select all."""
    newest = (
        select(
            PlaylistSnapshot.id,
            PlaylistSnapshot.policy_id,
            PlaylistSnapshot.cycle,
            PlaylistSnapshot.created_at,
            PlaylistSnapshot.items_hash,
            PlaylistSnapshot.figures["tracks"].as_integer().label("tracks"),
            PlaylistSnapshot.figures["top_artists"].label("top_artists"),
            PlaylistSnapshot.origin,
            PlaylistSnapshot.details,
        )
        .where(PlaylistSnapshot.playlist_id == Playlist.id)
        .order_by(PlaylistSnapshot.id.desc())
        .limit(1)
        .lateral("newest")
    )
    intent = (
        select(SyncIntent)
        .where(SyncIntent.playlist_id == Playlist.id, SyncIntent.status != "abandoned")
        .order_by(SyncIntent.id.desc())
        .limit(1)
        .lateral("intent")
    )
    query = (
        select(
            Playlist.id,
            Playlist.account_id,
            Account.name.label("account_name"),
            Account.display_name.label("account_display_name"),
            Account.spotify_user_id,
            Account.app_id,
            (literal(COVER_SCOPE) == any_(Account.scopes)).label("may_upload_covers"),
            SpotifyApp.cooldown_until,
            Playlist.policy_name,
            Playlist.sequence,
            Playlist.status,
            Playlist.anchor,
            Playlist.spotify_id,
            Playlist.confirmed_snapshot_row,
            Playlist.confirmed_items_hash,
            Playlist.confirmed_name,
            Playlist.confirmed_description,
            Playlist.confirmed_public,
            Playlist.confirmed_cover,
            Playlist.confirmed_snapshot_id,
            Playlist.confirmed_at,
            Playlist.read_back_at,
            Playlist.sync_not_before,
            Playlist.sync_error,
            Playlist.sync_failures,
            newest.c.id.label("snapshot_row"),
            newest.c.policy_id,
            newest.c.cycle,
            newest.c.created_at.label("drawn_at"),
            newest.c.items_hash,
            newest.c.tracks,
            newest.c.top_artists,
            newest.c.origin,
            newest.c.details,
            Playlist.locked_at,
            Playlist.paused_at,
            Playlist.pause_reason,
            Playlist.kept_snapshot_row,
            intent.c.id.label("intent_id"),
            intent.c.marker,
            intent.c.status.label("intent_status"),
            intent.c.sent_at,
            intent.c.attempts,
            intent.c.finished_at,
        )
        .join(Account, Account.id == Playlist.account_id)
        .join(SpotifyApp, SpotifyApp.id == Account.app_id)
        .join(newest, true())
        .outerjoin(intent, true())
        .where(true() if retired else Playlist.status != "retired")
        .order_by(Playlist.account_id, Playlist.id)
    )
    return [_sync_row(row) for row in session.execute(_narrow(query, playlist_ids, account_ids, policy))]


def _sync_row(row: Any) -> SyncRow:
    values = dict(row._mapping)
    intent = (
        None
        if values["intent_id"] is None
        else IntentRow(
            values["intent_id"],
            values["marker"],
            values["intent_status"],
            values["sent_at"],
            values["attempts"],
            values["finished_at"],
        )
    )
    for name in ("intent_id", "marker", "intent_status", "sent_at", "attempts", "finished_at"):
        del values[name]
    return SyncRow(
        **values | {"tracks": values["tracks"] or 0, "top_artists": values["top_artists"] or []},
        intent=intent,
    )


def library_sizes(session: Session, account_ids: Sequence[int]) -> dict[int, int]:
    """How many playlists of ours are in each account's library, retired ones included until they are unfollowed."""
    query = (
        select(Playlist.account_id, func.count())
        .where(
            Playlist.account_id.in_(account_ids),
            Playlist.spotify_id.is_not(None),
            Playlist.unfollowed_at.is_(None),
        )
        .group_by(Playlist.account_id)
    )
    return dict(session.execute(query).tuples().all())


def given_snapshot_ids(session: Session, playlist_ids: Sequence[int]) -> dict[int, set[str]]:
    """Every snapshot id that Spotify ever gave us for these playlists."""
    found: dict[int, set[str]] = {id_: set() for id_ in playlist_ids}
    given = PlaylistHistory.after["snapshot_id"].as_string()
    query = select(PlaylistHistory.playlist_id, given).where(
        PlaylistHistory.playlist_id.in_(playlist_ids), given.is_not(None)
    )
    for playlist_id, snapshot_id in session.execute(query):
        found[playlist_id].add(snapshot_id)
    return found


def label_of(session: Session, playlist_id: int) -> str:
    """What a person calls the playlist."""
    policy, sequence, account = session.execute(
        select(Playlist.policy_name, Playlist.sequence, Account.name)
        .join(Account, Account.id == Playlist.account_id)
        .where(Playlist.id == playlist_id)
    ).one()
    return playlist_label(policy, sequence, account)


def mark_for_read_back(session: Session, playlist_ids: Sequence[int], at: datetime) -> None:
    """Have the playlists read from ``at`` on; an earlier mark moves up to it, for what is feared came later."""
    session.execute(
        update(Playlist)
        .where(Playlist.id.in_(playlist_ids))
        .values(read_back_at=func.greatest(Playlist.read_back_at, at))
    )


def unmark_for_read_back(session: Session, playlist_id: int, marked_at: datetime) -> None:
    """What was read is right; a mark that was moved up meanwhile stays."""
    session.execute(
        update(Playlist)
        .where(Playlist.id == playlist_id, Playlist.read_back_at <= marked_at)
        .values(read_back_at=None)
    )


def created_by_marker(
    session: Session, account_id: int, markers: Collection[str]
) -> dict[str, tuple[int, str]]:
    """Our id and the Spotify id of the account's playlists that were created with these markers, and still are."""
    query = (
        select(SyncIntent.marker, Playlist.id, Playlist.spotify_id)
        .join(Playlist, Playlist.id == SyncIntent.playlist_id)
        .where(
            Playlist.account_id == account_id,
            SyncIntent.marker.in_(markers),
            SyncIntent.status == "created",
            SyncIntent.spotify_id == Playlist.spotify_id,
        )
    )
    return {marker: (id_, spotify_id) for marker, id_, spotify_id in session.execute(query)}


def add_history(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append to the history of playlists."""
    if rows:
        session.execute(insert(PlaylistHistory), list(rows))


def publish_snapshot(session: Session, snapshot_row: int, at: datetime) -> None:
    """Spotify holds the snapshot's tracks, since ``at`` or since before."""
    session.execute(
        update(PlaylistSnapshot)
        .where(PlaylistSnapshot.id == snapshot_row, PlaylistSnapshot.published_at.is_(None))
        .values(published_at=at)
    )


def set_playlist(session: Session, playlist_id: int, **values: Any) -> None:
    """Write columns of one playlist."""
    session.execute(update(Playlist).where(Playlist.id == playlist_id).values(**values))


def _tracks_by_snapshot(snapshot: Any, source: Any, *columns: Any) -> Select[Any]:
    """``columns``, the snapshot and its tracks in order, the newest snapshot first."""
    tracks = func.array_agg(
        aggregate_order_by(PlaylistSnapshotTrack.track_id, PlaylistSnapshotTrack.position)
    )
    return (
        select(*columns, snapshot, tracks)
        .select_from(source)
        .join(PlaylistSnapshotTrack, PlaylistSnapshotTrack.snapshot_id == snapshot)
        .group_by(*columns, snapshot)
        .order_by(snapshot.desc())
    )


def _narrow(
    query: Select[Any], playlist_ids: Sequence[int], account_ids: Sequence[int], policy: str | None
) -> Select[Any]:
    if playlist_ids:
        query = query.where(Playlist.id.in_(playlist_ids))
    if account_ids:
        query = query.where(Playlist.account_id.in_(account_ids))
    if policy is not None:
        query = query.where(Playlist.policy_name == policy)
    return query

"""A playlist's newest draw with everything that was stored of it, and the names of what it speaks of.

What belongs here: queries that explain draws. What does not: what the values mean (``playlists.explain``), the list
of playlists (``store.playlist_views``), the faults of draws (``store.draw_faults``).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

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
    "DrawTrack",
    "DrawView",
    "DrawnFigures",
    "TrackTitle",
    "draws_of_run",
    "group_names",
    "newest_draw",
    "track_titles",
]


@dataclass(frozen=True, slots=True)
class TrackTitle:
    """A track as people know it: names where they are known, else ids."""

    track_id: str
    name: str
    artists: dict[str, str]
    album_id: str | None

    @property
    def by(self) -> str:
        """The artists' names."""
        return ", ".join(self.artists.values())


@dataclass(frozen=True, slots=True)
class DrawTrack:
    """One track of a draw: why it was chosen, with what chance, and how it sounds."""

    position: int
    title: TrackTitle
    why: str
    rank: int | None
    weight: float | None
    age: int | None
    relaxation: dict[str, Any] | None
    features: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class DrawView:
    """A playlist's newest draw. ``definition`` is the policy's version that it was drawn under."""

    id: int
    label: str
    cycle: int
    draw: int
    reason: str
    seed: str
    input_digest: str
    algorithm: str
    drawn_at: datetime
    published_at: datetime | None
    policy: str
    policy_version: int
    policy_in_force: bool
    definition: dict[str, Any]
    figures: dict[str, Any]
    tracks: list[DrawTrack]


@dataclass(frozen=True, slots=True)
class DrawnFigures:
    """The figures of one draw of a run."""

    playlist_id: int
    label: str
    reason: str
    figures: dict[str, Any]


def newest_draw(session: Session, playlist_id: int) -> DrawView | None:
    """A playlist's newest draw with its tracks in order; None where it was never drawn."""
    query = (
        select(PlaylistSnapshot, Policy, Playlist.policy_name, Playlist.sequence, Account.name)
        .join(Policy, Policy.id == PlaylistSnapshot.policy_id)
        .join(Playlist, Playlist.id == PlaylistSnapshot.playlist_id)
        .join(Account, Account.id == Playlist.account_id)
        .where(PlaylistSnapshot.playlist_id == playlist_id)
        .order_by(PlaylistSnapshot.id.desc())
        .limit(1)
    )
    found = session.execute(query).one_or_none()
    if found is None:
        return None
    snapshot, policy, policy_name, sequence, account = found
    return DrawView(
        id=snapshot.id,
        label=playlist_label(policy_name, sequence, account),
        cycle=snapshot.cycle,
        draw=snapshot.draw,
        reason=snapshot.reason,
        seed=snapshot.seed,
        input_digest=snapshot.input_digest,
        algorithm=snapshot.algorithm,
        drawn_at=snapshot.created_at,
        published_at=snapshot.published_at,
        policy=policy.name,
        policy_version=policy.version,
        policy_in_force=policy.active,
        definition=policy.definition,
        figures=snapshot.figures,
        tracks=_tracks(session, snapshot.id),
    )


def track_titles(session: Session, track_ids: Collection[str]) -> dict[str, TrackTitle]:
    """Names, artists and album of tracks; one that is not in the catalogue is called by its id."""
    wanted = set(track_ids)
    found = {track_id: TrackTitle(track_id, track_id, {}, None) for track_id in wanted}
    if wanted:
        query = select(Track.id, Track.name, Track.album_id).where(Track.id.in_(wanted))
        artists = _artists(session, wanted)
        for track_id, name, album_id in session.execute(query):
            found[track_id] = TrackTitle(track_id, name, artists.get(track_id, {}), album_id)
    return found


def group_names(session: Session, ids: Collection[str]) -> dict[str, str]:
    """Names of artists and albums by id, as far as they are known."""
    wanted = set(ids)
    if not wanted:
        return {}
    names: dict[str, str] = {}
    for kind in (Artist, Album):
        names |= dict(session.execute(select(kind.id, kind.name).where(kind.id.in_(wanted))).tuples().all())
    return names


def draws_of_run(session: Session, run_id: str, keys: Collection[str]) -> list[DrawnFigures]:
    """The newest draw of each playlist that this run drew, with the figures of these ``keys``, by playlist."""
    # Only what is asked for leaves the database: whole figures are kilobytes, times all playlists.
    picked = func.jsonb_build_object(
        *(part for key in keys for part in (key, func.jsonb_extract_path(PlaylistSnapshot.figures, key)))
    )
    newest = (
        select(PlaylistSnapshot.run_id, PlaylistSnapshot.reason, picked.label("figures"))
        .where(PlaylistSnapshot.playlist_id == Playlist.id)
        .order_by(PlaylistSnapshot.id.desc())
        .limit(1)
        .lateral("newest")
    )
    query = (
        select(
            Playlist.id,
            Playlist.policy_name,
            Playlist.sequence,
            Account.name,
            newest.c.reason,
            newest.c.figures,
        )
        .join(Account, Account.id == Playlist.account_id)
        .join(newest, true())
        .where(newest.c.run_id == run_id, Playlist.status != "retired")
        .order_by(Playlist.id)
    )
    return [
        DrawnFigures(playlist_id, playlist_label(policy, sequence, account), reason, figures)
        for playlist_id, policy, sequence, account, reason, figures in session.execute(query)
    ]


def _tracks(session: Session, snapshot_row: int) -> list[DrawTrack]:
    query = (
        select(PlaylistSnapshotTrack, Track.audio_features)
        .outerjoin(Track, Track.id == PlaylistSnapshotTrack.track_id)
        .where(PlaylistSnapshotTrack.snapshot_id == snapshot_row)
        .order_by(PlaylistSnapshotTrack.position)
    )
    rows = session.execute(query).all()
    titles = track_titles(session, [row.track_id for row, _ in rows])
    return [
        DrawTrack(
            position=row.position,
            title=titles[row.track_id],
            why=row.why,
            rank=row.rank,
            weight=row.weight,
            age=row.age,
            relaxation=row.relaxation,
            features=features,
        )
        for row, features in rows
    ]


def _artists(session: Session, track_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """Artists of each track in the sequence of its credits, by id."""
    ids, names = (
        func.array_agg(aggregate_order_by(column, TrackArtist.position))
        for column in (TrackArtist.artist_id, func.coalesce(Artist.name, TrackArtist.artist_id))
    )
    query = (
        select(TrackArtist.track_id, ids, names)
        .outerjoin(Artist, Artist.id == TrackArtist.artist_id)
        .where(TrackArtist.track_id.in_(track_ids))
        .group_by(TrackArtist.track_id)
    )
    return {
        track_id: dict(zip(artists, called, strict=True))
        for track_id, artists, called in session.execute(query)
    }

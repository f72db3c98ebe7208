"""Disconnecting: nothing about the person is left in any table, and nothing that is under way puts it back."""

import asyncio
import json
import secrets
from datetime import date

import pytest
from sqlalchemy import select, text

from spotify_pipelines.accounts.disconnect import disconnect_account, export_account
from spotify_pipelines.accounts.registry import RegistryError, account_standings, find_account
from spotify_pipelines.spotify.errors import AuthorizationLost
from spotify_pipelines.store import leases
from spotify_pipelines.store.tables import (
    Base,
    Playlist,
    PlaylistHistory,
    PlaylistSnapshot,
    PlaylistSnapshotTrack,
    Policy,
    SyncIntent,
)
from spotify_pipelines_tests.accounts.office import HOUR, Office
from spotify_pipelines_tests.accounts.test_connect import complete, consent

PLAYLIST = "4PersonalPlaylist00001"


def give_playlist(office: Office, account_id: int) -> int:
    """A playlist with a past, of which a part is the owner's own words."""
    with office.database.transaction() as session:
        policy = Policy(name=secrets.token_hex(4), version=1, digest="x", definition={})
        playlist = Playlist(
            account_id=account_id,
            policy_name=policy.name,
            sequence=1,
            status="active",
            anchor=date(2026, 11, 23),
            spotify_id=PLAYLIST,
            confirmed_name="Anna's own name for it",
            confirmed_description="written by Anna",
        )
        session.add_all([policy, playlist])
        session.flush()
        snapshot = PlaylistSnapshot(
            playlist_id=playlist.id,
            policy_id=policy.id,
            cycle=1,
            draw=0,
            reason="new cycle",
            seed="0",
            algorithm="a",
            input_digest="d",
            items_hash="h",
            figures={},
        )
        session.add(snapshot)
        session.flush()
        session.add_all(
            [
                PlaylistSnapshotTrack(snapshot_id=snapshot.id, position=0, track_id="track1", why="new"),
                PlaylistHistory(
                    playlist_id=playlist.id,
                    action="drift found",
                    reason="Anna's own name for it",
                    before={"name": "Anna's own name for it"},
                ),
                SyncIntent(playlist_id=playlist.id, marker=secrets.token_hex(4), spotify_id=PLAYLIST),
            ]
        )
        return playlist.id


def everything(office: Office) -> str:
    """All rows of all tables, as text."""
    with office.database.transaction() as session:
        return "\n".join(
            row
            for table in Base.metadata.sorted_tables
            for row in session.scalars(text(f"SELECT t::text FROM {table.name} t"))
        )


def disconnect(office: Office, account_id: int) -> int:
    with office.database.transaction() as session:
        return disconnect_account(session, account_id, office.now())


async def test_nothing_about_the_person_is_left_and_the_past_of_the_playlists_stays(office: Office) -> None:
    account = (await complete(office, *consent(office, "anna_user"))).id
    row = office.account(account)
    assert row.spotify_account_id
    assert row.refresh_token
    playlist = give_playlist(office, account)
    personal = ["anna", PLAYLIST, row.spotify_account_id, row.refresh_token.hex()]
    before = everything(office).lower()
    assert all(each.lower() in before for each in personal)

    assert disconnect(office, account) == 1

    after = everything(office).lower()
    assert [each for each in personal if each.lower() in after] == []
    with office.database.transaction() as session:
        assert session.get_one(Playlist, playlist).status == "retired"
        history = session.scalars(select(PlaylistHistory).order_by(PlaylistHistory.id)).all()
        assert [(each.action, each.reason) for each in history] == [
            ("drift found", None),
            ("retired", "its account was disconnected"),
        ]
        assert session.scalars(select(PlaylistSnapshotTrack.track_id)).all() == ["track1"]
        assert session.scalars(select(SyncIntent.status)).all() == ["abandoned"]
        assert account_standings(session, office.now()) == []
        with pytest.raises(RegistryError):
            find_account(session, str(account))


async def test_the_export_holds_what_is_stored_and_no_token(office: Office) -> None:
    account = (await complete(office, *consent(office, "anna"))).id
    give_playlist(office, account)
    with office.database.transaction() as session:
        exported = json.dumps(export_account(session, account, office.now()), default=str)
    for each in ("anna", PLAYLIST, "Anna's own name for it", "drift found", "track1", "connected"):
        assert each in exported
    for token in office.secrets(account):
        assert token not in exported


async def test_a_refresh_that_is_under_way_stores_nothing(office: Office) -> None:
    [anna] = office.connect("anna")
    office.advance(HOUR)
    office.simulator.control.add_fault(path="/api/token", delay_after=0.5, n=1)
    under_way = asyncio.create_task(office.credentials().account_token(anna))
    await office.token_request_arrived("anna")
    disconnect(office, anna)
    with pytest.raises(AuthorizationLost, match="disconnected"):
        await under_way
    row = office.account(anna)
    assert (row.access_token, row.refresh_token, row.health_reason) == (None, None, "disconnected")


async def test_a_sync_that_is_under_way_writes_nothing_more(office: Office) -> None:
    from spotify_pipelines.playlists.account_lease import hold_account

    [anna] = office.connect("anna")
    async with hold_account(office.database, anna, "run-1") as held:
        assert held is not None
        disconnect(office, anna)
        with pytest.raises(leases.LeaseLost):
            held.check()


async def test_the_same_user_can_connect_again_as_somebody_new(office: Office) -> None:
    first = (await complete(office, *consent(office, "anna"))).id
    disconnect(office, first)
    again = await complete(office, *consent(office, "anna"))
    assert again.id != first
    assert (again.name, again.health) == ("Anna", "ok")

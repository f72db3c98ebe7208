"""What would be done, told before it is done: judged by doing it afterwards, and by the ledger meanwhile."""

from typing import Any

from sqlalchemy import update

from spotify_pipelines.playlists.control import Control
from spotify_pipelines.playlists.preview import Preview, preview
from spotify_pipelines.store.tables import SpotifyApp
from spotify_pipelines_tests.playlists.studio import TWO_POLICIES, Studio


def _preview(studio: Studio, **options: Any) -> Preview:
    """A look ahead that leaves no trace, here or at Spotify."""
    before = studio.fingerprint()
    studio.forget_requests()
    found = preview(studio.database, studio.client, now=studio.now, **options)
    assert studio.requests() == []
    assert studio.fingerprint() == before
    return found


def _whats(found: Preview) -> set[tuple[str, ...]]:
    return {each.what for each in found.playlists}


def _now_on_spotify(studio: Studio) -> dict[str, list[str]]:
    return {
        f"{each['owner']} {each['name'][:7]}": [
            str(item["uri"] if isinstance(item, dict) else item).rpartition(":")[2] for item in each["items"]
        ]
        for each in studio.on_spotify()
    }


async def test_playlists_that_are_not_even_planned_are_foreseen_track_by_track(studio: Studio) -> None:
    studio.apply()

    told = _preview(studio)
    studio.plan()
    studio.draw()
    report = await studio.sync()

    assert (len(told.playlists), _whats(told), told.calls) == (6, {("create",)}, report.calls)
    assert {each.id for each in told.playlists} == {None}
    real = _now_on_spotify(studio)
    for each in told.playlists:
        assert each.name is not None
        assert list(each.tracks_in) == real[f"{each.account} {each.name[:7]}"]
        assert (each.was, each.tracks_out, each.calls) == (None, (), 2)


async def test_a_reshuffle_is_foreseen_with_what_comes_and_goes(studio: Studio) -> None:
    await studio.publish()
    assert _preview(studio).playlists == []
    assert _preview(studio).unchanged == 6
    before = _now_on_spotify(studio)
    studio.advance(days=7)

    told = _preview(studio)
    studio.draw()
    report = await studio.sync()

    assert _whats(told) == {("rename", "rewrite"), ("rewrite",)} or _whats(told) == {("rename", "rewrite")}
    assert told.calls == report.calls
    after = _now_on_spotify(studio)
    for each in told.playlists:
        key = f"{each.account} {str(each.name)[:7]}"
        assert set(each.tracks_in) == set(after[key]) - set(before[key])
        assert set(each.tracks_out) == set(before[key]) - set(after[key])


async def test_retirements_and_what_is_held_back_are_foreseen(studio: Studio) -> None:
    await studio.publish(TWO_POLICIES + "    retire: unfollow\n")
    only_morning = TWO_POLICIES[: TWO_POLICIES.index("  - name: evening")]
    studio.apply(only_morning, prune=True)
    first = next(each for each in studio.playlists() if each.policy_name == "morning")
    Control(studio.database, run_id="person", now=studio.now).lock(first.id)

    told = _preview(studio)

    by_label = {each.playlist: each for each in told.playlists}
    assert by_label["evening@studio-2"].what == ("retire", "unfollow")
    assert by_label["evening@studio-2"].was == "Evening"
    assert (by_label["morning@studio-1"].what, by_label["morning@studio-1"].why) == (
        ("leave alone",),
        "locked",
    )
    assert told.calls == 3


async def test_what_a_budget_does_not_allow_is_said_to_wait(studio: Studio) -> None:
    studio.apply()
    with studio.database.transaction() as session:
        session.execute(update(SpotifyApp).values(calls_per_day=5))

    told = _preview(studio)

    assert sum("wait" in each.what for each in told.playlists) == 4
    assert all("budget" in str(each.why) for each in told.playlists if "wait" in each.what)
    assert [(each.left, each.allows_all) for each in told.budgets] == [(5, False)]
    assert told.calls == 4


async def test_one_playlist_one_account_or_one_policy_can_be_asked_about(studio: Studio) -> None:
    await studio.publish()
    studio.advance(days=7)
    row = studio.playlists()[0]

    assert [each.id for each in _preview(studio, playlist_ids=[row.id]).playlists] == [row.id]
    assert {each.account for each in _preview(studio, account_ids=[row.account_id]).playlists} == {"studio-1"}
    assert len(_preview(studio, policy="evening").playlists) == 3


async def test_a_playlist_that_can_not_be_drawn_is_said_so(studio: Studio) -> None:
    studio.apply(TWO_POLICIES.replace("size: 20", "size: 20\n    pool: {artists: [Nobody]}"))

    told = _preview(studio, policy="morning")

    assert _whats(told) == {("leave alone",)}
    assert {each.playlist for each in told.playlists} == {f"morning@studio-{n}" for n in (1, 2, 3)}

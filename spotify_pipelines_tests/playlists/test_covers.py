"""Covers: what a policy file may name, and what reaches Spotify, judged by the simulator's ledger."""

from hashlib import sha1
from pathlib import Path

import pytest
from sqlalchemy import select, update

from spotify_pipelines.playlists.apply import apply_policies
from spotify_pipelines.playlists.call_plan import Content, SyncNeeds, Write, minimum_by_endpoint, writes_for
from spotify_pipelines.playlists.control import Control
from spotify_pipelines.playlists.covers import PolicyBundle, store_covers, with_covers
from spotify_pipelines.playlists.policies import PolicyError, parse_policies
from spotify_pipelines.spotify.families import COVER_BYTES
from spotify_pipelines.store.tables import Account, Cover
from spotify_pipelines_tests.playlists.studio import Studio

COVER = "PUT /v1/playlists/{id}/images"
DAWN = b"\xff\xd8\xff\xe0 the sun behind a hill"
DUSK = b"\xff\xd8\xff\xe0 and in front of it"
POLICY = """
policies:
  - name: morning
    size: 10
    accounts: [studio-1]
    name_template: Morning
    description_template: Calm
    cover: covers/morning.jpg
"""


def bundle_of(folder: Path, jpeg: bytes, policies: str = POLICY) -> PolicyBundle:
    (folder / "covers").mkdir(exist_ok=True)
    (folder / "covers" / "morning.jpg").write_bytes(jpeg)
    return with_covers(parse_policies(policies, "mine.yaml"), folder, "mine.yaml")


def put_in_force(studio: Studio, bundle: PolicyBundle) -> None:
    with studio.database.transaction() as session:
        store_covers(session, bundle)
        apply_policies(session, bundle.policies, studio.now())
    studio.plan()
    studio.draw()


def agree_to_covers(studio: Studio, *, agreed: bool = True) -> None:
    """As if the owner of studio-1 had consented anew, the right to upload pictures included or not."""
    scopes = ["playlist-modify-public", "playlist-modify-private", "playlist-read-private"]
    with studio.database.transaction() as session:
        session.execute(update(Account).values(scopes=[*scopes, "ugc-image-upload"] if agreed else scopes))


def shown(studio: Studio) -> str | None:
    """The digest of the cover that the only playlist shows on Spotify."""
    [playlist] = studio.on_spotify()
    cover = playlist["cover"]
    return None if cover is None else str(cover)


def digest(jpeg: bytes) -> str:
    """As the simulator names a picture."""
    return sha1(jpeg, usedforsecurity=False).hexdigest()


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_is_known_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    first = bundle_of(tmp_path, DAWN)
    again = bundle_of(tmp_path, DAWN)
    other = bundle_of(tmp_path, DUSK)

    assert first.policies == again.policies
    assert first.policies != other.policies
    [cover] = first.covers
    assert first.policies.policies[0].cover == cover
    assert first.covers[cover] == DAWN


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x89PNG\r\n", "policies[0].cover: covers/morning.jpg is no JPEG"),
        (DAWN + bytes(COVER_BYTES), "is larger than the 192 KiB that Spotify takes"),
        (b"", "is no JPEG"),
    ],
)
def test_what_spotify_would_not_take_is_refused_with_its_place(
    tmp_path: Path, content: bytes, told: str
) -> None:
    with pytest.raises(PolicyError) as refused:
        bundle_of(tmp_path, content)

    assert told in str(refused.value)


def test_every_picture_that_is_missing_is_named(tmp_path: Path) -> None:
    policies = POLICY + POLICY.partition("policies:")[2].replace("morning", "evening")

    with pytest.raises(PolicyError) as refused:
        with_covers(parse_policies(policies, "mine.yaml"), tmp_path, "mine.yaml")

    assert [problem.path for problem in refused.value.problems] == ["policies[0].cover", "policies[1].cover"]
    assert "can't be read: No such file" in str(refused.value)


@pytest.mark.parametrize("name", ["/etc/cover.jpg", "../secret.jpg", "cover.png", "sha256:12"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(PolicyError, match="should be a JPEG file beside the policy file"):
        parse_policies(POLICY.replace("covers/morning.jpg", name), "mine.yaml")


async def test_a_digest_that_is_stored_may_be_named_and_another_may_not(
    studio: Studio, tmp_path: Path
) -> None:
    put_in_force(studio, bundle_of(tmp_path, DAWN))
    with studio.database.transaction() as session:
        stored = session.scalar(select(Cover.digest))
    known = bundle_of(tmp_path, DUSK, POLICY.replace("covers/morning.jpg", str(stored)))
    unknown = bundle_of(tmp_path, DUSK, POLICY.replace("covers/morning.jpg", "sha256:" + "0" * 64))

    put_in_force(studio, known)
    with pytest.raises(PolicyError, match="is no picture that is stored here"):
        put_in_force(studio, unknown)


# ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cover_costs_a_call_where_it_differs_and_goes_before_the_items() -> None:
    bare = Content("items", "name", "words", public=False)
    covered = Content("items", "name", "words", public=False, cover="sha256:1")

    assert writes_for(covered, None) == (Write.CREATE, Write.COVER, Write.FILL)
    assert writes_for(covered, bare) == (Write.COVER,)
    assert writes_for(covered, covered) == ()
    assert writes_for(bare, covered) == (), "a cover can't be taken away"
    assert writes_for(Content("other", "new", "words", public=False, cover="sha256:2"), covered) == (
        Write.DETAILS,
        Write.COVER,
        Write.ITEMS,
    )
    assert minimum_by_endpoint(SyncNeeds(covers=3))["PUT /playlists/{id}/images"] == 3


# ── on Spotify ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_playlist_shows_its_cover_for_one_call_more(studio: Studio, tmp_path: Path) -> None:
    agree_to_covers(studio)
    put_in_force(studio, bundle_of(tmp_path, DAWN))
    studio.forget_requests()

    report = await studio.sync()

    assert studio.requests() == ["POST /v1/me/playlists", COVER, "PUT /v1/playlists/{id}/items"]
    assert report.calls == report.minimum_calls == 3
    assert shown(studio) == digest(DAWN)
    [request] = studio.simulator.control.ledger(path="/v1/playlists", method="PUT")[:1]
    assert request["status"] == 202


async def test_a_cover_is_uploaded_once_and_again_when_it_changes(studio: Studio, tmp_path: Path) -> None:
    agree_to_covers(studio)
    put_in_force(studio, bundle_of(tmp_path, DAWN))
    await studio.sync()
    studio.forget_requests()
    assert (await studio.sync()).changed == 0
    assert studio.requests() == []

    put_in_force(studio, bundle_of(tmp_path, DUSK))
    report = await studio.sync()

    assert studio.requests().count(COVER) == 1
    assert report.calls == report.minimum_calls
    assert shown(studio) == digest(DUSK)
    covers = [row for row in studio.history() if row.action == "cover set"]
    assert covers[0].before == {"cover": None}
    assert covers[1].before == covers[0].after, "what was replaced is known, and its picture is kept"


async def test_going_back_to_an_older_version_brings_its_cover_back(studio: Studio, tmp_path: Path) -> None:
    agree_to_covers(studio)
    put_in_force(studio, bundle_of(tmp_path, DAWN))
    await studio.sync()
    put_in_force(studio, bundle_of(tmp_path, DUSK))
    await studio.sync()
    [playlist] = studio.playlists()

    Control(studio.database, run_id=studio.run(), now=studio.now).roll_back(playlist.id)
    await studio.sync()

    assert shown(studio) == digest(DAWN)


async def test_without_its_owners_leave_a_playlist_goes_without_its_cover_and_the_report_says_so(
    studio: Studio, tmp_path: Path
) -> None:
    agree_to_covers(studio, agreed=False)
    put_in_force(studio, bundle_of(tmp_path, DAWN))
    studio.forget_requests()

    report = await studio.sync()

    assert (report.changed, report.failed) == (1, [])
    assert COVER not in studio.requests()
    assert shown(studio) is None
    [note] = report.notes
    assert "studio-1" in note
    assert "ugc-image-upload" in note
    assert "--covers" in note

    agree_to_covers(studio)
    await studio.sync()

    assert shown(studio) == digest(DAWN), "with the next sync after the leave was given"


async def test_a_cover_that_was_refused_for_a_while_is_made_up_for_without_a_second_playlist(
    studio: Studio, tmp_path: Path
) -> None:
    agree_to_covers(studio)
    put_in_force(studio, bundle_of(tmp_path, DAWN))
    fault = studio.simulator.control.add_fault(path="/v1/playlists/", method="PUT", status=503)
    assert len((await studio.sync()).failed) == 1
    studio.simulator.control.remove_fault(fault)
    studio.forget_requests()

    await studio.sync()

    assert "POST /v1/me/playlists" not in studio.requests()
    assert shown(studio) == digest(DAWN)
    [playlist] = studio.on_spotify()
    assert len(playlist["items"]) == 10

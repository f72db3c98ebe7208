"""A policy file in force: versions rise with meaning only."""

from typing import Any

from sqlalchemy import select, text

from spotify_pipelines.playlists.apply import policy_changes
from spotify_pipelines.playlists.policies import parse_policies
from spotify_pipelines.store.policies import newest_versions
from spotify_pipelines.store.tables import Policy
from spotify_pipelines_tests.playlists.studio import TWO_POLICIES, Studio

MORNING_ONLY = TWO_POLICIES[: TWO_POLICIES.index("  - name: evening")]


def _versions(studio: Studio) -> list[tuple[str, int, bool]]:
    with studio.database.transaction() as session:
        rows = session.execute(
            select(Policy.name, Policy.version, Policy.active).order_by(Policy.name, Policy.version)
        )
        return [(name, version, active) for name, version, active in rows]


async def test_new_policies_get_their_first_version(studio: Studio) -> None:
    report = studio.apply()

    assert (report.changed, report.unchanged) == (2, 0)
    assert _versions(studio) == [("evening", 1, True), ("morning", 1, True)]


async def test_the_same_file_again_changes_nothing(studio: Studio) -> None:
    studio.apply()
    before = studio.fingerprint()

    report = studio.apply("# a comment\n" + TWO_POLICIES)

    assert (report.changed, report.unchanged) == (0, 2)
    assert studio.fingerprint() == before


async def test_what_changed_gets_a_new_version_and_the_old_one_goes_out_of_force(studio: Studio) -> None:
    studio.apply()

    report = studio.apply(TWO_POLICIES.replace("size: 20", "size: 30"))

    assert (report.changed, report.unchanged) == (1, 1)
    assert _versions(studio) == [("evening", 1, True), ("morning", 1, False), ("morning", 2, True)]


async def test_a_policy_that_is_not_in_the_file_stays_unless_pruned(studio: Studio) -> None:
    studio.apply()

    report = studio.apply(MORNING_ONLY)
    assert [note for note in report.notes if "evening" in note]
    assert ("evening", 1, True) in _versions(studio)

    report = studio.apply(MORNING_ONLY, prune=True)
    assert report.changed == 1
    assert ("evening", 1, False) in _versions(studio)


async def test_a_policy_that_comes_back_unchanged_keeps_its_version(studio: Studio) -> None:
    studio.apply()
    studio.apply(MORNING_ONLY, prune=True)

    studio.apply()

    assert _versions(studio) == [("evening", 1, True), ("morning", 1, True)]


def _told(
    studio: Studio, yaml: str, *, prune: bool = False
) -> dict[str, tuple[str, list[tuple[str, Any, Any]]]]:
    file = parse_policies(yaml, "test.yaml")
    with studio.database.transaction() as session:
        known = {row.name: row for row in newest_versions(session)}
    return {
        change.name: (change.what, [(key.key, key.before, key.after) for key in change.keys])
        for change in policy_changes(file, known, prune=prune)
    }


async def test_changes_are_told_key_by_key_before_they_are_made(studio: Studio) -> None:
    assert {what for what, _ in _told(studio, TWO_POLICIES).values()} == {"version 1"}
    studio.apply()

    edited = TWO_POLICIES.replace(
        "size: 20", "size: 30\n    exclude: {artists: [Ana]}\n    weights: {tags: {a: 2}}"
    )
    edited = edited.replace("    cooldown: {draws: 1}\n", "")
    assert _told(studio, edited) == {
        "morning": (
            "version 2",
            [
                ("size", 20, 30),
                ("exclude.artists", [], ["Ana"]),
                ("weights.tags.a", None, 2.0),
                ("cooldown.draws", 1, None),
                ("cooldown.scope", "playlist", None),
            ],
        ),
        "evening": ("unchanged", []),
    }
    assert _told(studio, MORNING_ONLY)["evening"] == ("not in the file", [])
    assert _told(studio, MORNING_ONLY, prune=True)["evening"] == ("deactivated", [])


async def test_keys_that_a_later_release_knows_are_no_change(studio: Studio) -> None:
    studio.apply()
    with studio.database.transaction() as session:
        session.execute(text("UPDATE policies SET definition = definition - 'exclude' - 'pinned'"))

    assert _told(studio, TWO_POLICIES.replace("size: 20", "size: 30"))["morning"] == (
        "version 2",
        [("size", 20, 30)],
    )


async def test_a_stored_version_that_no_longer_can_be_read_is_still_compared(studio: Studio) -> None:
    studio.apply()
    with studio.database.transaction() as session:
        session.execute(
            text("""UPDATE policies SET definition = definition || '{"mood": "blue"}', digest = 'x'""")
        )

    assert _told(studio, TWO_POLICIES)["morning"] == ("version 2", [("mood", "blue", None)])

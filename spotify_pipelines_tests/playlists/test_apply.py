"""A policy file in force: versions rise with meaning only."""

from sqlalchemy import select

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

"""Which playlists there should be: the decision by table and property, and the rows that follow."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from spotify_pipelines.playlists.plan import Place, changes, desired_places
from spotify_pipelines.playlists.policies import Policy, policy_from_json
from spotify_pipelines.store.playlists import AccountRow, PlaceRow
from spotify_pipelines.store.tables import Account
from spotify_pipelines_tests.playlists.studio import TWO_POLICIES, Studio


def _account(id_: int, *, health: str = "ok", most: int | None = None) -> AccountRow:
    return AccountRow(id_, f"studio-{id_}", health, None, most)


def _policy(name: str = "morning", **says: object) -> Policy:
    return policy_from_json({"name": name, **says})


def _row(id_: int, place: Place) -> PlaceRow:
    return PlaceRow(id_, place.account_id, f"studio-{place.account_id}", place.policy_name, place.sequence)


def test_every_policy_asks_for_its_playlists_on_every_account() -> None:
    places = desired_places([_policy("a", playlists_per_account=2), _policy("b")], [_account(1), _account(2)])

    assert places == [
        Place(1, "a", 1),
        Place(1, "a", 2),
        Place(2, "a", 1),
        Place(2, "a", 2),
        Place(1, "b", 1),
        Place(2, "b", 1),
    ]


def test_a_policy_can_name_its_accounts_by_name_or_id() -> None:
    accounts = [_account(1), _account(2), _account(3)]

    assert desired_places([_policy(accounts=["studio-2", "3"])], accounts) == [
        Place(2, "morning", 1),
        Place(3, "morning", 1),
    ]


def test_nothing_is_created_on_a_quarantined_account_and_nothing_retired() -> None:
    accounts = [_account(1, health="quarantined")]
    wanted = desired_places([_policy(playlists_per_account=2)], accounts)

    found = changes(wanted, [_row(1, wanted[0])], accounts)

    assert (found.create, found.retire, found.kept) == ([], [], 1)
    assert found.notes == ["account studio-1 is quarantined (reason unknown): 1 not planned there"]


def test_an_account_gets_no_more_than_it_may_hold() -> None:
    accounts = [_account(1, most=2)]
    wanted = desired_places([_policy(playlists_per_account=3)], accounts)

    assert changes(wanted, [], accounts).create == wanted[:2]


def test_a_place_that_its_owner_emptied_stays_empty_where_the_policy_leaves_it() -> None:
    accounts = [_account(1)]
    wanted = desired_places([_policy()], accounts)

    assert changes(wanted, [], accounts, left_deleted=[wanted[0]]).create == []


places = st.builds(Place, st.integers(1, 3), st.sampled_from(["a", "b"]), st.integers(1, 2))


@given(desired=st.lists(places, unique=True), existing=st.lists(places, unique=True))
def test_after_the_changes_exactly_what_is_desired_exists(
    desired: list[Place], existing: list[Place]
) -> None:
    accounts = [_account(id_) for id_ in (1, 2, 3)]
    rows = [_row(number, place) for number, place in enumerate(existing)]

    found = changes(desired, rows, accounts)
    gone = {Place(row.account_id, row.policy_name, row.sequence) for row in found.retire}
    after = (set(existing) - gone) | set(found.create)

    assert after == set(desired)
    assert gone.isdisjoint(desired)
    assert set(found.create).isdisjoint(existing)
    assert (
        changes(desired, [_row(number, place) for number, place in enumerate(after)], accounts).create == []
    )


async def test_a_plan_makes_one_row_for_each_place_and_then_none(studio: Studio) -> None:
    studio.apply()

    report = studio.plan()
    assert (report.changed, report.unchanged) == (6, 0)
    before = studio.fingerprint()
    again = studio.plan()

    assert (again.changed, again.unchanged) == (0, 6)
    assert studio.fingerprint() == before
    assert {each.status for each in studio.playlists()} == {"planned"}


async def test_the_first_cycle_of_a_planned_playlist_has_begun(studio: Studio) -> None:
    studio.apply()
    studio.plan()

    now = studio.now()
    for each in studio.playlists():
        assert each.next_reshuffle_at is not None
        assert now < each.next_reshuffle_at <= now + timedelta(days=7)
        assert now.date() - timedelta(days=1) <= each.anchor <= now.date() + timedelta(days=1)
        assert isinstance(each.anchor, date)


async def test_playlists_of_a_policy_out_of_force_are_retired_and_keep_their_content(studio: Studio) -> None:
    await studio.publish()
    studio.apply(TWO_POLICIES[: TWO_POLICIES.index("  - name: evening")], prune=True)

    report = studio.plan()

    assert report.counts == {"planned": 0, "retired": 3}
    retired = [each for each in studio.playlists() if each.status == "retired"]
    assert {each.policy_name for each in retired} == {"evening"}
    assert all(each.spotify_id and each.retired_at for each in retired)
    assert [each.action for each in studio.history(retired[0].id)][-1] == "retired"
    assert len(studio.on_spotify()) == 6
    studio.forget_requests()
    assert (await studio.sync()).requested == 3
    assert studio.requests() == []


async def test_an_account_in_quarantine_is_noted_and_planned_for_later(studio: Studio) -> None:
    with studio.database.transaction() as session:
        session.execute(
            update(Account)
            .where(Account.id == studio.accounts[1])
            .values(health="quarantined", health_reason="scope_missing")
        )
    studio.apply()

    report = studio.plan()

    assert report.changed == 4
    assert report.notes == ["account studio-2 is quarantined (scope_missing): 2 not planned there"]


async def test_a_dry_plan_says_what_it_would_do_and_writes_nothing(studio: Studio) -> None:
    studio.apply()
    before = studio.fingerprint()

    report = studio.plan(dry_run=True)

    assert report.changed == 6
    assert {row["what"] for row in report.rows} == {"planned"}
    assert studio.fingerprint() == before


async def test_a_plan_can_be_narrowed(studio: Studio) -> None:
    studio.apply()

    assert studio.plan(account_ids=studio.accounts[:1], policy="morning").changed == 1
    assert studio.plan(limit=2).changed == 2
    assert studio.plan().changed == 3


async def test_a_policy_that_names_an_unknown_account_is_told_so(studio: Studio) -> None:
    studio.apply(TWO_POLICIES.replace("size: 20", "size: 20\n    accounts: [studio-1, nobody]"))

    assert studio.plan().notes == ["policy 'morning' names the account 'nobody', which is not connected"]

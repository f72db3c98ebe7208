"""Rotation of keys: idempotent, beside running work, and honest about what it can't open."""

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from spotify_pipelines.accounts import keys
from spotify_pipelines.accounts.keys import check_keys, rotate_keys
from spotify_pipelines.accounts.vault import Vault, VaultError, key_id, new_key, sealed_with
from spotify_pipelines.spotify.errors import AuthorizationLost
from spotify_pipelines.store.tables import Account
from spotify_pipelines_tests.accounts.office import HOUR, KEY, SECRET, Office

NEW = new_key()
OLD_ID, NEW_ID = key_id(KEY), key_id(NEW)


def sealed(office: Office, account_id: int) -> tuple[bytes | None, bytes | None, bytes | None]:
    row = office.account(account_id)
    return row.access_token, row.refresh_token, office.app().client_secret


async def test_all_secrets_are_counted_by_the_key_that_protects_them(office: Office) -> None:
    office.connect("anna", "ben")
    report = check_keys(office.database, Vault([NEW, KEY]))
    assert (report.secrets, dict(report.by_key), report.under_older_keys) == (5, {OLD_ID: 5}, 5)
    assert report.unreadable == {}


async def test_a_rotation_seals_all_secrets_under_the_first_key_and_old_and_new_are_read_meanwhile(
    office: Office,
) -> None:
    [anna] = office.connect("anna")
    before = office.secrets(anna)
    report = rotate_keys(office.database, Vault([NEW, KEY]), office.now())
    assert (report.resealed, dict(report.by_key), report.under_older_keys) == (3, {NEW_ID: 3}, 0)
    assert {sealed_with(each or b"") for each in sealed(office, anna)} == {NEW_ID}
    for known in ([NEW], [NEW, KEY], [KEY, NEW]):
        assert await office.credentials(vault=Vault(known)).account_token(anna) == before[0]
    office.advance(HOUR)
    assert await office.credentials(vault=Vault([NEW])).account_token(anna), "the app's secret opens, too"


async def test_a_second_rotation_changes_nothing(office: Office) -> None:
    [anna] = office.connect("anna")
    rotate_keys(office.database, Vault([NEW, KEY]), office.now())
    before = sealed(office, anna)
    report = rotate_keys(office.database, Vault([NEW, KEY]), office.now())
    assert (report.resealed, report.secrets) == (0, 3)
    assert sealed(office, anna) == before


async def test_a_token_that_is_refreshed_during_a_rotation_is_neither_lost_nor_put_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = office.connect("anna", "ben")
    old = office.secrets(ben)[0]
    visit = keys._visit
    refreshed: list[int] = []

    def meanwhile(
        places: Iterator[keys._Place], vault: Vault, report: keys.KeysReport, *, rotate: bool
    ) -> bool:
        done = visit(places, vault, report, rotate=rotate)
        if (
            not refreshed
        ):  # after the app's secret and before the accounts': another process stores new tokens
            with office.database.transaction() as session:
                row = session.get_one(Account, ben)
                row.access_token = Vault([KEY]).seal("newer", owner=f"account:{ben}", purpose="access token")
            refreshed.append(ben)
        return done

    monkeypatch.setattr(keys, "_visit", meanwhile)
    rotate_keys(office.database, Vault([NEW, KEY]), office.now())
    row = office.account(ben)
    assert row.access_token
    newest = Vault([NEW]).open(row.access_token, owner=f"account:{ben}", purpose="access token")
    assert newest == "newer" != old
    assert office.account(anna).access_token


async def test_what_a_missing_key_protects_is_named_and_left_as_it_is(office: Office) -> None:
    [anna] = office.connect("anna")
    before = sealed(office, anna)
    report = rotate_keys(office.database, Vault([NEW]), office.now())
    assert sorted(report.unreadable) == [
        f"access token of account:{anna}",
        f"client secret of app:{office.app_id}",
        f"refresh token of account:{anna}",
    ]
    assert all(OLD_ID in why for why in report.unreadable.values())
    assert (report.resealed, sealed(office, anna)) == (0, before)
    assert SECRET not in str(report)


async def test_swapped_rows_are_found(office: Office) -> None:
    anna, ben = office.connect("anna", "ben")
    theirs = office.account(ben).refresh_token
    with office.database.transaction() as session:
        session.execute(update(Account).where(Account.id == anna).values(refresh_token=theirs))
    report = check_keys(office.database, Vault([KEY]))
    assert list(report.unreadable) == [f"refresh token of account:{anna}"]
    assert "swapped" in report.unreadable[f"refresh token of account:{anna}"]


async def test_accounts_whose_key_is_back_are_healed(office: Office) -> None:
    [anna] = office.connect("anna")
    with pytest.raises(AuthorizationLost):
        await office.credentials(vault=Vault([NEW])).account_token(anna)
    assert office.account(anna).health == "quarantined"
    report = rotate_keys(office.database, Vault([NEW, KEY]), office.now())
    assert report.healed == ["anna"]
    assert (office.account(anna).health, office.account(anna).health_reason) == ("ok", None)


async def test_a_missing_key_of_the_app_leaves_living_tokens_in_use(office: Office) -> None:
    [anna] = office.connect("anna")
    with office.database.transaction() as session:
        app = session.merge(office.app())
        app.client_secret = Vault([NEW]).seal(SECRET, owner=f"app:{app.id}", purpose="client secret")
    assert await office.credentials().account_token(anna) == office.secrets(anna)[0]
    office.advance(HOUR)
    with pytest.raises(AuthorizationLost, match="The app 'office' can't be used"):
        await office.credentials().account_token(anna)
    assert office.account(anna).health == "ok", "it is not the account's fault"


async def test_without_any_key_nothing_is_rotated(office: Office) -> None:
    with pytest.raises(VaultError, match="SPOTIFY_PIPELINES_VAULT_KEYS is not set"):
        rotate_keys(office.database, Vault([]), office.now())

"""The vault: what was sealed opens for its owner and purpose alone, and no error gives anything away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.accounts.vault import Vault, VaultError, key_id, new_key
from spotify_pipelines.errors import ExplainedError

CANARY = "BQcanary-0123456789-0123456789-0123456789-0123456789"
OLD, NEW = new_key(), new_key()


def seal(vault: Vault, secret: str = CANARY, owner: str = "account:1") -> bytes:
    return vault.seal(secret, owner=owner, purpose="access token")


def refusal(vault: Vault, sealed: bytes, owner: str = "account:1", purpose: str = "access token") -> str:
    with pytest.raises(VaultError) as caught:
        vault.open(sealed, owner=owner, purpose=purpose)
    assert isinstance(caught.value, ExplainedError)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


@given(secret=st.text(), owner=st.text(), purpose=st.text())
def test_what_was_sealed_opens_again_and_cannot_be_read_meanwhile(
    secret: str, owner: str, purpose: str
) -> None:
    vault = Vault([NEW])
    sealed = vault.seal(secret, owner=owner, purpose=purpose)
    assert vault.open(sealed, owner=owner, purpose=purpose) == secret
    assert vault.seal(secret, owner=owner, purpose=purpose) != sealed
    assert len(secret) < 12 or secret.encode(errors="replace") not in sealed


def test_a_secret_of_another_account_does_not_open_and_the_refusal_names_both() -> None:
    vault = Vault([NEW])
    text = refusal(vault, seal(vault, owner="account:2"))
    assert "account:1" in text
    assert "account:2" in text
    assert "swapped" in text


def test_a_secret_for_another_purpose_does_not_open() -> None:
    vault = Vault([NEW])
    assert "refresh token" in refusal(vault, seal(vault), purpose="refresh token")


def test_the_first_key_seals_and_all_keys_open() -> None:
    before, both = Vault([OLD]), Vault([NEW, OLD])
    assert both.open(seal(before), owner="account:1", purpose="access token") == CANARY
    assert key_id(NEW).encode() in seal(both)
    assert Vault([NEW]).open(seal(both), owner="account:1", purpose="access token") == CANARY


def test_a_missing_key_is_named_by_its_id() -> None:
    text = refusal(Vault([NEW]), seal(Vault([OLD])))
    assert key_id(OLD) in text
    assert "SPOTIFY_PIPELINES_VAULT_KEYS" in text


@pytest.mark.parametrize("damage", [b"", b"junk", b"v2:00000000:xx", b"v1:", b"v1:\xff\xfe345678:x"])
def test_what_no_vault_has_written_is_refused_with_a_sentence(damage: bytes) -> None:
    assert "account:1" in refusal(Vault([NEW]), damage)


def test_a_damaged_secret_is_refused() -> None:
    vault = Vault([NEW])
    sealed = bytearray(seal(vault))
    sealed[-5] ^= 1
    assert "damaged" in refusal(vault, bytes(sealed))


def test_without_a_key_the_error_says_how_to_get_one() -> None:
    for use in (lambda: seal(Vault([])), lambda: seal_then_open(Vault([]))):
        with pytest.raises(VaultError, match=r"SPOTIFY_PIPELINES_VAULT_KEYS is not set.*new_key"):
            use()


def seal_then_open(vault: Vault) -> None:
    vault.open(seal(Vault([NEW])), owner="account:1", purpose="access token")


def test_a_key_of_the_wrong_shape_is_named_by_its_place_and_not_shown() -> None:
    with pytest.raises(VaultError, match="key number 2") as caught:
        Vault([NEW, "hunter2-hunter2"])
    assert "hunter2" not in str(caught.value)


def test_no_error_and_no_representation_holds_a_secret_or_a_key() -> None:
    vault = Vault([NEW, OLD])
    texts = [
        repr(vault),
        refusal(vault, seal(vault, owner="account:2")),
        refusal(Vault([new_key()]), seal(vault)),
        refusal(vault, b"v1:00000000:" + CANARY.encode()),
    ]
    for text in texts:
        assert CANARY not in text
        assert NEW not in text
        assert OLD not in text

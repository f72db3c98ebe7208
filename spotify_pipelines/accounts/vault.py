"""The vault: how secrets (tokens, client secrets) lie in the database, and how they are read again.

What belongs here: sealing and opening one secret with keys that are handed in. What does not: where keys
come from (``settings``), which rows hold secrets, re-sealing rows under a new key. A sealed secret carries
inside itself whose it is and what for: a row that was swapped or copied between accounts does not open.

Built on Fernet (https://github.com/fernet/spec): AES-128-CBC with HMAC-SHA256, by the ``cryptography``
package.
"""

import hashlib
import json
from collections.abc import Iterable

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from spotify_pipelines.errors import ExplainedError

__all__ = ["Vault", "VaultError", "key_id", "new_key", "sealed_with"]

_VERSION = b"v1"
_KEYS = "SPOTIFY_PIPELINES_VAULT_KEYS"


class VaultError(ExplainedError):
    """A secret can't be sealed or opened; the text says why and what to do, and never holds a secret."""


def new_key() -> str:
    """A fresh random key, as the setting takes it."""
    return Fernet.generate_key().decode()


def key_id(key: str) -> str:
    """Eight hexadecimal signs that name a key without giving it away; they stand in what it sealed."""
    return hashlib.sha256(b"spotify_pipelines vault key\0" + key.encode()).hexdigest()[:8]


def sealed_with(token: bytes) -> str | None:
    """The id of the key that a secret was sealed with; None where no vault has sealed it."""
    version, _, rest = token.partition(b":")
    name, _, sealed = rest.partition(b":")
    return name.decode(errors="replace") if version == _VERSION and len(name) == 8 and sealed else None


class Vault:
    """Seals with the first key, opens with any of them.

    >>> vault = Vault([new_key()])
    >>> vault.open(vault.seal("hush", owner="account:1", purpose="access token"), owner="account:1",
    ...            purpose="access token")
    'hush'
    """

    def __init__(self, keys: Iterable[str]) -> None:
        """Take keys in the order of the setting; none is fine as long as there is no secret to work on.

        Raises:
            VaultError: a key has the wrong shape.
        """
        self._key_ids: list[str] = []
        fernets: list[Fernet] = []
        for number, key in enumerate(keys, start=1):
            try:
                fernets.append(Fernet(key))
            except ValueError:
                raise VaultError(
                    f"{_KEYS}: key number {number} is not a Fernet key (32 bytes in URL-safe base64, 44 "
                    f"signs that end in '='). {_how_to_make_one()}"
                ) from None
            self._key_ids.append(key_id(key))
        self._fernets = MultiFernet(fernets) if fernets else None

    def __repr__(self) -> str:
        return f"Vault(keys={self._key_ids})"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Names of the keys, in the order of the setting."""
        return tuple(self._key_ids)

    def require_key(self) -> None:
        """Refuse to go on without any key.

        Raises:
            VaultError: none is configured.
        """
        self._keys("everything", "secrets")

    def seal(self, secret: str, *, owner: str, purpose: str) -> bytes:
        """Encrypt ``secret`` so that it opens for this ``owner`` and ``purpose`` only.

        Raises:
            VaultError: no key is configured.
        """
        content = json.dumps([owner, purpose, secret]).encode()
        sealed = self._keys(owner, purpose).encrypt(content)
        return b":".join((_VERSION, self._key_ids[0].encode(), sealed))

    def open(self, token: bytes, *, owner: str, purpose: str) -> str:
        """The secret that ``seal`` was given.

        Raises:
            VaultError: its key is missing, it was damaged, or it belongs to somebody or something else.
        """
        keys = self._keys(owner, purpose)
        sealed_with, sealed = _parse(token, owner, purpose)
        if sealed_with not in self._key_ids:
            raise VaultError(
                f"The {purpose} of {owner} was sealed with the key {sealed_with}, which is not among those "
                f"in {_KEYS} ({', '.join(self._key_ids)}). Put that key back at the end of the list, or "
                "connect again."
            )
        try:
            content = keys.decrypt(sealed)
        except InvalidToken:
            raise VaultError(
                f"The {purpose} of {owner} was damaged where it is stored. Restore the row from a backup, or "
                "connect again."
            ) from None
        found_owner, found_purpose, secret = json.loads(content)
        if (found_owner, found_purpose) != (owner, purpose):
            raise VaultError(
                f"Where the {purpose} of {owner} should be stored lies the {found_purpose} of "
                f"{found_owner}: rows were swapped or copied. It is not used. Restore both rows from a "
                "backup, or connect both again."
            )
        return str(secret)

    def _keys(self, owner: str, purpose: str) -> MultiFernet:
        if self._fernets is None:
            raise VaultError(
                f"{_KEYS} is not set, so the {purpose} of {owner} can be neither stored nor read. "
                f"'spotify-pipelines up' makes a key for embedded services. {_how_to_make_one()}"
            )
        return self._fernets


def _parse(token: bytes, owner: str, purpose: str) -> tuple[str, bytes]:
    version, _, rest = token.partition(b":")
    sealed_with, _, sealed = rest.partition(b":")
    if version != _VERSION or len(sealed_with) != 8 or not sealed:
        raise VaultError(
            f"What is stored as the {purpose} of {owner} was not sealed by this version of the vault. "
            "Upgrade the program, restore the row from a backup, or connect again."
        )
    return sealed_with.decode(errors="replace"), sealed


def _how_to_make_one() -> str:
    return (
        "'spotify-pipelines keys new' makes one (new_key() in spotify_pipelines.accounts.vault): "
        "keep it apart from the database: whoever has both has the accounts."
    )

"""What commands open before they do anything: the database and the vault of the settings.

What belongs here: opening, late, so that help and completion stay quick. What does not: what commands do with it.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from spotify_pipelines.settings import Settings, load_settings

if TYPE_CHECKING:
    from spotify_pipelines.accounts.vault import Vault
    from spotify_pipelines.store.database import Database

__all__ = ["configured_database", "open_database", "open_vault"]


def open_database(settings: Settings) -> "Database":
    """The database of the settings' world; close it afterwards.

    Raises:
        SettingsError, DatabaseError: it can't be had; the text says why.
    """
    from spotify_pipelines.store.database import Database

    return Database.open(settings)


@contextmanager
def configured_database() -> Iterator["Database"]:
    """The database of the settings as they are read now, for one command; raises as ``open_database`` does."""
    with closing(open_database(load_settings())) as database:
        yield database


def open_vault(settings: Settings) -> "Vault":
    """The vault with the settings' keys.

    Raises:
        VaultError: a key has the wrong shape.
    """
    from spotify_pipelines.accounts.vault import Vault

    return Vault(key.get_secret_value() for key in settings.vault_keys)

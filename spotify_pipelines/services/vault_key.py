"""The key that encrypts tokens on a machine that brings none of its own.

What belongs here: making it once and keeping it. What does not: using it (``spotify_pipelines.accounts``).
"""

import base64
import os
from pathlib import Path

from spotify_pipelines.services.files import locked, secret_in_file

__all__ = ["kept_vault_key"]


def kept_vault_key(state_dir: Path, known: str | None) -> str:
    """The Fernet key in ``<state_dir>/vault.key`` (mode 0600); made on first use.

    Args:
        known: the key ``.env`` still holds where the file is gone; tokens may be encrypted with it.
    """
    # Fernet's format: 32 random bytes, URL-safe base64.
    new = base64.urlsafe_b64encode(os.urandom(32)).decode()
    with locked(state_dir / "vault.lock"):
        return secret_in_file(state_dir / "vault.key", known or new)

"""Dagster's home: a folder in the state folder whose ``dagster.yaml`` is the shipped one.

What belongs here: making that folder. What does not: what the file says (``dagster.yaml`` in the checkout).
"""

import secrets
import shutil
from pathlib import Path

from spotify_pipelines.services.errors import ServiceError
from spotify_pipelines.services.files import make_folder

__all__ = ["refresh_dagster_home"]


def refresh_dagster_home(state_dir: Path, root: Path) -> Path:
    """Let ``<state_dir>/dagster/dagster.yaml`` be the checkout's file; returns the folder's absolute path.

    A link, so that an edit counts at once; a copy on file systems without links.

    Raises:
        ServiceError: ``root`` has no dagster.yaml.
    """
    shipped = root.resolve() / "dagster.yaml"
    if not shipped.is_file():
        raise ServiceError(
            f"There is no dagster.yaml in {root}: run this in the checkout (the folder with workspace.yaml)."
        )
    home = make_folder(state_dir.resolve() / "dagster", 0o700)
    place = home / "dagster.yaml"
    if place.is_symlink() and place.readlink() == shipped:
        return home
    aside = home / f".dagster.yaml.{secrets.token_hex(4)}"
    try:
        aside.symlink_to(shipped)
    except OSError:
        shutil.copyfile(shipped, aside)
    aside.replace(place)
    return home

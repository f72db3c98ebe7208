"""Names that several Dagster modules must agree on: tags, owners, groups, job names.

What distinguishes a job from another with the same assets is a tag, never its config: config given at launch
replaces a job's default config, so a narrowing field must not change what the job means.
"""

from enum import StrEnum
from typing import Final

__all__ = [
    "GROUP_OWNERS",
    "JOB_TAG",
    "LOCATION_NAME",
    "MODULE",
    "NARROW_TAG",
    "PRUNE_JOB",
    "TRIGGER_TAG",
    "WORLD_TAG",
    "Group",
    "Narrow",
]

MODULE = "spotify_pipelines.definitions"
"""What Dagster loads."""

LOCATION_NAME = "spotify_pipelines"
"""One name for every way of loading: the states of schedules and sensors are stored under it."""

JOB_TAG = "spotify_pipelines/job"
NARROW_TAG = "spotify_pipelines/narrow"
TRIGGER_TAG = "spotify_pipelines/trigger"
WORLD_TAG = "spotify_pipelines/world"

PRUNE_JOB = "prune_old_records"
"""The one job that materializes nothing: it has its op in ``maintenance``."""


class Narrow(StrEnum):
    """What a job restricts its assets to, besides its config."""

    DUE = "due"


class Group:
    """Asset groups, as the lineage page shows them. Plain texts: Dagster can't send enumerations to the UI."""

    CATALOGUE: Final = "catalogue"
    ACCOUNTS: Final = "accounts"
    PLAYLISTS: Final = "playlists"
    OBSERVABILITY: Final = "observability"


GROUP_OWNERS = {
    Group.CATALOGUE: ["team:catalogue"],
    Group.ACCOUNTS: ["team:accounts"],
    Group.PLAYLISTS: ["team:playlists"],
    Group.OBSERVABILITY: ["team:operations"],
}

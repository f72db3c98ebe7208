"""Which columns come from which, where that says more than the lineage of whole assets.

What belongs here: the table of it, as metadata of a materialization: that is where Dagster's UI looks. What does not:
columns themselves (``tables``).
"""

from typing import Any

import dagster as dg

__all__ = ["COLUMN_LINEAGE", "column_lineage"]

_FROM_ALBUMS = (("albums", "first_page"), ("albums", "id"))

COLUMN_LINEAGE: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "albums": {"id": (("album_sources", "album_id"),)},
    "tracks": {
        "album_id": (("albums", "id"),),
        **dict.fromkeys(
            ("id", "name", "disc_number", "track_number", "duration_ms", "explicit", "playable"), _FROM_ALBUMS
        ),
    },
    "audio_features": dict.fromkeys(
        ("id", "audio_features", "features_source", "features_missing_reason", "features_retry_after"),
        (("tracks", "id"),),
    ),
    "playlist_plan": {"account_id": (("account_tokens", "id"),)},
    "playlist_snapshots": {
        "playlist_id": (("playlist_plan", "id"),),
        "cycle": (("playlist_plan", "anchor"),),
        "items_hash": (("tracks", "id"),),
        "figures": (("tracks", "id"), ("audio_features", "audio_features")),
    },
    "spotify_playlists": {
        "account_id": (("account_tokens", "id"),),
        "confirmed_snapshot_row": (("playlist_snapshots", "id"),),
        "confirmed_items_hash": (("playlist_snapshots", "items_hash"),),
        "confirmed_name": (("playlist_snapshots", "details"), ("playlist_snapshots", "policy_id")),
        "confirmed_description": (("playlist_snapshots", "details"), ("playlist_snapshots", "policy_id")),
    },
}
"""Columns by asset, each with the columns (asset, name) that it is made of."""


def column_lineage(asset: str) -> dict[str, Any]:
    """The entry for a materialization of ``asset``; nothing where there is nothing to say."""
    columns = COLUMN_LINEAGE.get(asset)
    if columns is None:
        return {}
    deps = {
        column: [dg.TableColumnDep(asset_key=source, column_name=name) for source, name in sources]
        for column, sources in columns.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps_by_column=deps)}

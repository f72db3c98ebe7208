"""What a materialization of ``playlist_snapshots`` tells of its draws: numbers, the worst of them, two pictures.

What belongs here: turning figures into metadata. What does not: the figures (``playlists.run_figures``), the pictures
(``playlists.pictures``). All of an event's metadata has to stay below 50 kB: the event log is read as a whole.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from spotify_pipelines.store.database import Database

if TYPE_CHECKING:
    from spotify_pipelines.store.draw_views import DrawView

__all__ = ["draw_metadata"]

_WORST = 20


def draw_metadata(database: Database, run_id: str) -> dict[str, Any]:
    """The figures of the draws that this run stored, a table of the worst ones, and pictures of the worst one.

    ``items`` stands for the table of that name that every report has: this one has the bounds.
    """
    from spotify_pipelines.playlists.run_figures import KEYS, badness, summary
    from spotify_pipelines.store.draw_views import draws_of_run, newest_draw

    with database.transaction() as session:
        draws = draws_of_run(session, run_id, KEYS)
        metadata: dict[str, Any] = {**summary([each.figures for each in draws])}
        worst = sorted(draws, key=lambda each: badness(each.figures), reverse=True)[:_WORST]
        shown = newest_draw(session, worst[0].playlist_id) if worst else None
    if worst:
        metadata["items"] = dg.MetadataValue.table(
            [_record(each.label, each.reason, each.figures) for each in worst]
        )
    if shown is not None:
        metadata |= _pictures(shown)
    return metadata


def _record(label: str, reason: str, figures: Mapping[str, Any]) -> dg.TableRecord:
    """One row: figures with their bounds beside them."""

    def of(name: str, bound: str) -> str:
        value, limit = figures.get(name), figures.get(bound)
        return "" if value is None else f"{_short(value)} / {_short(limit)}"

    row: dict[str, Any] = {
        "playlist": label,
        "reason": reason,
        "tracks / feasible": of("tracks", "size_bound"),
        "relaxed": figures.get("relaxed"),
        "artist excess / bound": of("artist_excess", "artist_excess_bound"),
        "album excess / bound": of("album_excess", "album_excess_bound"),
        "cooldown lacking / bound": of("cooldown_shortfall", "cooldown_shortfall_bound"),
        "reuse / W* (days)": of("smallest_reuse", "longest_reuse_days"),
        "gap / target": of("smallest_gap", "gap_target"),
        "largest gap": figures.get("gap_bound"),
        "neighbours / bound": of("neighbours", "neighbour_bound"),
        "transitions / bound": of("transition_cost", "transition_bound"),
        "likeness to last": figures.get("jaccard_with_last"),
    }
    return dg.TableRecord({name: "" if value is None else value for name, value in row.items()})


def _short(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _pictures(shown: "DrawView") -> dict[str, Any]:
    from spotify_pipelines.observability.drawing import as_markdown
    from spotify_pipelines.playlists.pictures import PlayedTrack, sound_picture, spacing_picture

    tracks = [
        PlayedTrack(
            track.title.artists,
            tempo=_number(track.features, "tempo", 1, 1000),
            energy=_number(track.features, "energy", 0, 1),
        )
        for track in shown.tracks
    ]
    pictures = {
        "tempo_and_energy": sound_picture(f"{shown.label}: tempo and energy", tracks),
        "artist_spacing": spacing_picture(f"{shown.label}: artists that repeat", tracks),
    }
    return {
        name: dg.MetadataValue.md(as_markdown(svg, f"{name.replace('_', ' ')} along the playlist"))
        for name, svg in pictures.items()
        if svg is not None
    }


def _number(features: Mapping[str, Any] | None, name: str, least: float, most: float) -> float | None:
    """An audio feature, if it is one; sources send anything."""
    value = (features or {}).get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if least <= value <= most else None

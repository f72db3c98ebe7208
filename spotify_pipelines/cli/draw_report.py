"""What there is to tell of one draw, stored or only tried: as tables for a person, as JSON for a script.

What belongs here: putting names and sentences to a draw's values, and their layout. What does not: which draw
(``cli.playlist_draws``), the sentences themselves (``playlists.explain``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from spotify_pipelines.cli.output import print_table

if TYPE_CHECKING:
    from spotify_pipelines.playlists.explain import Compared
    from spotify_pipelines.playlists.trial_draw import Trial
    from spotify_pipelines.store.database import Database
    from spotify_pipelines.store.draw_views import DrawView, TrackTitle

__all__ = ["DrawReport"]


@dataclass(frozen=True, slots=True)
class _Track:
    """One track of a draw, stored or not, as both commands tell of it."""

    position: int
    title: "TrackTitle"
    why: str
    because: str
    rank: int | None
    weight: float | None
    age: int | None
    relaxation: Mapping[str, Any] | None
    gave_way: list[str]
    was: int | None = None

    def json(self) -> dict[str, Any]:
        return {
            "position": self.position + 1,
            **_title_json(self.title),
            "why": self.why,
            "because": self.because,
            "rank": self.rank,
            "weight": self.weight,
            "age_days": self.age,
            "relaxation": self.relaxation,
        }


@dataclass(frozen=True, slots=True)
class _Other:
    """A track that is not in the draw, and why."""

    title: "TrackTitle"
    why: str
    replaces: list[int] | None = None

    def json(self) -> dict[str, Any]:
        return {**_title_json(self.title), "why": self.why}


@dataclass(frozen=True, slots=True)
class DrawReport:
    """Everything there is to tell of a draw."""

    tracks: list[_Track]
    rejected: list[_Other]
    reserve: list[_Other]
    left_out: list[_Other]
    bounds: "list[Compared]"
    figures: Mapping[str, Any]
    compared: bool = False
    """Whether it is held against an earlier draw."""
    leaving: tuple[tuple[int, "TrackTitle"], ...] = ()

    @classmethod
    def of_stored(cls, database: "Database", found: "DrawView") -> "DrawReport":
        rows = [
            {
                "track_id": track.title.track_id,
                "why": track.why,
                "rank": track.rank,
                "weight": track.weight,
                "age": track.age,
                "relaxation": track.relaxation,
            }
            for track in found.tracks
        ]
        return _report(database, rows, found.figures, found.definition)

    @classmethod
    def of_trial(cls, database: "Database", trial: "Trial") -> "DrawReport":
        picks = trial.found.picks
        rows = [
            {
                "track_id": track_id,
                "why": picks[track_id].why,
                "rank": picks[track_id].rank,
                "weight": picks[track_id].weight,
                "age": trial.found.ages.get(track_id),
                "relaxation": asdict(relaxation) if (relaxation := picks[track_id].relaxation) else None,
            }
            for track_id in trial.found.track_ids
        ]
        return _report(database, rows, trial.found.figures, trial.definition, before=trial.before)

    def json(self) -> dict[str, Any]:
        return {
            "tracks": [track.json() for track in self.tracks],
            "rejected": [each.json() for each in self.rejected],
            "left_out": [each.json() for each in self.left_out],
            "reserve": [
                _title_json(each.title)
                | {"replaces": None if each.replaces is None else [slot + 1 for slot in each.replaces]}
                for each in self.reserve
            ],
            "bounds": [asdict(each) for each in self.bounds],
            "figures": self.figures,
        }

    def changes_json(self) -> dict[str, Any]:
        """What would change; None where there is no draw to compare with."""
        if not self.compared:
            return {"changes": None}
        return {
            "changes": {
                "in": [
                    {"position": track.position + 1, **_title_json(track.title)}
                    for track in self.tracks
                    if track.was is None
                ],
                "out": [{"position": slot + 1, **_title_json(title)} for slot, title in self.leaving],
                "moved": [
                    {"from": track.was + 1, "to": track.position + 1, **_title_json(track.title)}
                    for track in self.tracks
                    if track.was is not None and track.was != track.position
                ],
            }
        }

    def print(self) -> None:
        print_table(
            ("#", "Track", "Artists", "Why", "Weight", "Rank", "Used (days ago)", "Gave way")
            + (("Was #",) if self.compared else ()),
            [
                (
                    track.position + 1,
                    track.title.name,
                    track.title.by,
                    track.why,
                    None if track.weight is None else f"{track.weight:.3g}",
                    None if track.rank is None else track.rank + 1,
                    track.age,
                    "; ".join(track.gave_way) or None,
                    *((("new" if track.was is None else track.was + 1),) if self.compared else ()),
                )
                for track in self.tracks
            ],
        )
        _print_others("Came up and were refused", self.rejected)
        _print_others("Pinned, and left out", self.left_out)
        _print_others("Would come next", self.reserve)
        print_table(
            ("Figure", "Here", "Bound", ""),
            [(each.figure, _number(each.value), _number(each.bound), each.verdict) for each in self.bounds],
            title="\nFigures beside their bounds",
        )

    def print_changes(self) -> None:
        """What would come, go and move, in numbers; the tracks that go by name."""
        if not self.compared:
            typer.echo("There is no draw yet that it could be compared with.")
            return
        came = sum(track.was is None for track in self.tracks)
        moved = sum(track.was not in (None, track.position) for track in self.tracks)
        typer.echo(f"\nAgainst the newest draw: {came} in, {len(self.leaving)} out, {moved} moved")
        if self.leaving:
            print_table(
                ("Was #", "Track", "Artists"),
                [(slot + 1, title.name, title.by) for slot, title in self.leaving],
                title="\nWould go",
            )


def _report(
    database: "Database",
    rows: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any],
    definition: Mapping[str, Any],
    *,
    before: Sequence[str] | None = None,
) -> DrawReport:
    """A draw with the names of everything that it speaks of."""
    from spotify_pipelines.playlists import explain
    from spotify_pipelines.store.draw_views import group_names, track_titles

    lists = {kind: list(figures.get(kind) or ()) for kind in ("rejections", "left_out", "reserve")}
    others = [each["track_id"] for kind in lists.values() for each in kind]
    drawn = {row["track_id"] for row in rows}
    leaving = [(slot, track) for slot, track in enumerate(before or ()) if track not in drawn]
    groups = {group for row in rows for group in explain.groups_of(row["relaxation"])}
    with database.transaction() as session:
        titles = track_titles(session, [*drawn, *others, *(track for _, track in leaving)])
        for each in (*lists["rejections"], *lists["left_out"]):
            title = titles[each["track_id"]]
            groups |= {*title.artists, *([title.album_id] if title.album_id else [])}
        names = group_names(session, groups)
    units = explain.Units.of(definition)
    was = {track: slot for slot, track in enumerate(before or ())}
    return DrawReport(
        tracks=[
            _Track(
                position=position,
                title=titles[row["track_id"]],
                why=row["why"],
                because=explain.because(
                    row["why"],
                    drawn=len(rows),
                    rank=row["rank"],
                    weight=row["weight"],
                    age=row["age"],
                    relaxation=row["relaxation"],
                    units=units,
                    names=names,
                ),
                rank=row["rank"],
                weight=row["weight"],
                age=row["age"],
                relaxation=row["relaxation"],
                gave_way=explain.gave_way(row["relaxation"], units, names),
                was=was.get(row["track_id"]),
            )
            for position, row in enumerate(rows)
        ],
        rejected=[
            _Other(titles[each["track_id"]], explain.refused(each["why"], units, names))
            for each in lists["rejections"]
        ],
        left_out=[
            _Other(titles[each["track_id"]], explain.refused(each["why"], units, names))
            for each in lists["left_out"]
        ],
        reserve=[
            _Other(titles[each["track_id"]], explain.stands_by(each["replaces"]), each["replaces"])
            for each in lists["reserve"]
        ],
        bounds=explain.compare(figures, definition),
        figures=figures,
        compared=before is not None,
        leaving=tuple((slot, titles[track]) for slot, track in leaving),
    )


def _title_json(title: "TrackTitle") -> dict[str, Any]:
    return {"track_id": title.track_id, "name": title.name, "artists": list(title.artists.values())}


def _print_others(heading: str, others: Sequence[_Other]) -> None:
    if others:
        print_table(
            ("Track", "Artists", "Why"),
            [(each.title.name, each.title.by, each.why) for each in others],
            title=f"\n{heading}",
        )


def _number(value: float | None) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value

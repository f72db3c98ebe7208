"""Trends: what went up goes up, what is missing is no zero, and a picture stays small whatever there is to show."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.observability.drawing import as_markdown
from spotify_pipelines.observability.trends import HEADLINES, Moment, sparkline, thinned, trends_picture

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
_SVG = "{http://www.w3.org/2000/svg}"
values = st.lists(st.none() | st.integers(0, 10**9) | st.floats(0, 1), max_size=60)


def hourly(*figures: Mapping[str, int | float]) -> list[Moment]:
    return [(NOW + timedelta(hours=hour), each) for hour, each in enumerate(figures)]


def heights(svg: str, colour: str, panel: int) -> list[int]:
    """Of the corners of the line of this colour in one panel."""
    lines = [each for each in ElementTree.fromstring(svg).iter(f"{_SVG}path") if each.get("stroke") == colour]
    steps = lines[panel].get("d", "").replace("M", " ").replace("L", " ").split()
    return [int(step.split(",")[1]) for step in steps]


@given(values)
def test_a_higher_value_has_no_lower_block(numbers: Sequence[float | None]) -> None:
    line = sparkline(numbers)
    assert len(line) == len(numbers)
    pairs = sorted((n, b) for n, b in zip(numbers, line, strict=True) if n is not None)
    assert all(lower <= higher for (_, lower), (_, higher) in pairwise(pairs))
    assert [b == " " for b in line] == [n is None for n in numbers]


@given(st.integers(0, 500), st.integers(2, 50))
def test_thinning_keeps_the_order_and_the_last_moment(count: int, most: int) -> None:
    moments = hourly(*({"n": number} for number in range(count)))
    kept = thinned(moments, most)
    assert len(kept) == min(count, most)
    assert kept == sorted(kept, key=lambda moment: moment[0])
    assert kept[-1:] == moments[-1:]
    assert len({at for at, _ in kept}) == len(kept)


def test_a_growing_catalogue_climbs_and_a_steady_one_is_a_level_line() -> None:
    svg = trends_picture(hourly(*({"tracks": n, "albums": 5} for n in (10, 20, 40))))
    assert svg is not None
    climbing, level = heights(svg, "#1f5fa8", 0), heights(svg, "#c2571a", 0)
    assert climbing == sorted(climbing, reverse=True)
    assert len(set(climbing)) == 3
    assert len(set(level)) == 1
    assert len(level) == 2


def test_an_hour_without_a_figure_breaks_the_line() -> None:
    svg = trends_picture(hourly({"tracks": 1}, {}, {"tracks": 2}, {"tracks": 3}))
    assert svg is not None
    [line] = [p for p in ElementTree.fromstring(svg).iter(f"{_SVG}path") if p.get("stroke") == "#1f5fa8"]
    assert line.get("d", "").count("M") == 2


@pytest.mark.parametrize("moments", [[], hourly({"tracks": 1}), [(NOW, {"tracks": 1})] * 2])
def test_without_a_span_of_time_there_is_no_picture(moments: list[Moment]) -> None:
    assert trends_picture(moments) is None


def test_a_year_of_busy_hours_stays_well_below_what_an_event_may_hold() -> None:
    names = {*HEADLINES, "features_spotify", "features_reccobeats", "features_missing", "playlists_planned"}
    busy = [{name: (hour * 7919 + len(name)) % 100_003 for name in names} for hour in range(24 * 365)]
    svg = trends_picture(hourly(*busy))
    assert svg is not None
    ElementTree.fromstring(svg)
    assert len(as_markdown(svg, "trends")) < 40_000

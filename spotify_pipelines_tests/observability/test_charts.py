"""Charts: right in their proportions, safe with any name, small."""

import re
from datetime import date, timedelta
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.observability.charts import Bar, bars_picture, growth_picture

BARS = st.lists(st.builds(Bar, st.text(max_size=60), st.integers(0, 10**9)), max_size=40)
DAYS = st.dictionaries(
    st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 10**6), min_size=1, max_size=60
)


def texts(svg: str) -> list[str]:
    return [
        "".join(each.itertext()) for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("text")
    ]


@given(BARS)
def test_bars_are_a_picture_whatever_the_names_and_tell_all_there_is(bars: list[Bar]) -> None:
    svg = bars_picture("title", bars)
    total = sum(bar.number for bar in bars)
    assert (svg is None) == (total == 0)
    if svg:
        told = [text for text in texts(svg) if re.fullmatch(r"[\d,]+ \(\d+%\)", text)]
        assert sum(int(text.partition(" ")[0].replace(",", "")) for text in told) >= total
        assert len(svg) < 8_000


def test_the_longest_bar_is_of_the_greatest_number() -> None:
    svg = bars_picture("title", [Bar("few", 1), Bar("many", 4), Bar("none", 0)])
    assert svg
    lengths = [int(length) for length in re.findall(r"M230,\d+h(\d+)", svg)]
    assert len(lengths) == 2
    assert lengths[1] == 4 * lengths[0]


def test_what_goes_beyond_a_dozen_bars_is_one() -> None:
    svg = bars_picture("title", [Bar(f"bar {number}", 1) for number in range(30)])
    assert svg
    assert "others" in svg
    assert "19 (63%)" in svg


@given(DAYS)
def test_growth_never_falls_and_ends_with_all(added: dict[date, int]) -> None:
    svg = growth_picture("title", sorted(added.items()))
    assert svg
    assert f"{sum(added.values()):,}" in texts(svg)
    (line,) = re.findall(r'd="(M\d+,\d+V[^"]+)"', svg)
    heights = [int(y) for y in re.findall(r"V(\d+)", line)]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == 30


def test_ten_years_of_albums_are_a_small_picture() -> None:
    days = [(date(2016, 1, 1) + timedelta(days=day), 3) for day in range(3650)]
    assert len(growth_picture("title", days) or "") < 5_000


def test_no_growth_is_no_picture() -> None:
    assert growth_picture("title", []) is None

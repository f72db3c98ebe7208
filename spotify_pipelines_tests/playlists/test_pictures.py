"""Pictures of playlists: whatever a track is called and whatever is missing, they are sound, small SVG."""

import base64
import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.observability.drawing import as_markdown
from spotify_pipelines.playlists.pictures import PlayedTrack, sound_picture, spacing_picture

_SVG = "{http://www.w3.org/2000/svg}"
names = st.text(max_size=40)
tracks = st.lists(
    st.builds(
        PlayedTrack,
        artists=st.dictionaries(st.sampled_from("abcdef"), names, max_size=3),
        tempo=st.none() | st.floats(1, 1000),
        energy=st.none() | st.floats(0, 1),
    ),
    max_size=30,
)


def _texts(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter(f"{_SVG}text")]


def _paths(svg: str, colour: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [path.get("d", "") for path in root.iter(f"{_SVG}path") if path.get("stroke") == colour]


def _heights(svg: str, colour: str) -> list[int]:
    """Of the dots."""
    return [int(y) for path in _paths(svg, colour) for y in re.findall(r"M\d+,(\d+)h0", path)]


def _playlist(*artists: str) -> list[PlayedTrack]:
    return [PlayedTrack({name: name}) for name in artists]


@given(tracks, names)
def test_any_playlist_gives_well_formed_pictures(played: list[PlayedTrack], title: str) -> None:
    for svg in (sound_picture(title, played), spacing_picture(title, played)):
        if svg is not None:
            kinds = {each.tag.removeprefix(_SVG) for each in ElementTree.fromstring(svg).iter()}
            assert kinds <= {"svg", "rect", "text", "path"}


def test_a_hundred_tracks_make_small_pictures() -> None:
    played = [
        PlayedTrack({str(slot % 20): "x" * 500}, tempo=90 + slot / 3, energy=slot / 100)
        for slot in range(100)
    ]
    for svg in (sound_picture("long", played), spacing_picture("long", played)):
        assert svg is not None
        assert len(as_markdown(svg, "what")) < 8_000


def test_names_are_shown_as_they_are_and_do_nothing() -> None:
    played = _playlist("<script>&\x00", "b", "<script>&\x00")
    svg = spacing_picture("a <b> & ](javascript:x)", played)
    assert svg is not None
    assert "a <b> & ](javascript:x): smallest gap 2" in _texts(svg)
    assert "<script>&�" in _texts(svg)
    markdown = as_markdown(svg, "what")
    assert re.fullmatch(r"!\[what\]\(data:image/svg\+xml;base64,[A-Za-z0-9+/=]+\)", markdown)
    assert base64.b64decode(markdown.split(",")[1][:-1]).decode() == svg


def test_tempo_and_energy_stand_at_their_heights_and_missing_ones_break_the_line() -> None:
    played = [PlayedTrack(tempo=t, energy=e) for t, e in ((90, 0.0), (None, 1.0), (150, None))]
    svg = sound_picture("p", played)
    assert svg is not None
    slow, fast = _heights(svg, "#1f5fa8")
    low, high = _heights(svg, "#c2571a")
    assert slow > fast
    assert low > high
    assert {"90 BPM", "150 BPM"} <= set(_texts(svg))
    assert [path.count("L") for path in _paths(svg, "#1f5fa8")] == [0, 0]
    assert [path.count("L") for path in _paths(svg, "#c2571a")] == [1, 0]


def test_artists_that_repeat_have_a_row_each_and_the_closest_pair_is_red() -> None:
    svg = spacing_picture("p", _playlist("a", "b", "c", "a", "d", "b", "a"))
    assert svg is not None
    assert {"a", "b"} <= set(_texts(svg))
    assert "c" not in _texts(svg)
    # The rows: a at 0, 3, 6 and b at 1, 5.
    assert [path.count("H") for path in _paths(svg, "#c62828")] == [2]
    assert sum(path.count("H") for path in _paths(svg, "#ddd")) == 1


def test_an_artist_that_stands_closest_is_shown_though_others_have_more_tracks() -> None:
    many = [artist for _ in range(3) for artist in "abcdefghijklmnop"]
    svg = spacing_picture("p", _playlist(*many, "z", "z"))
    assert svg is not None
    assert "z" in _texts(svg)
    assert "p: smallest gap 1, 5 more artists repeat" in _texts(svg)


def test_where_there_is_nothing_to_see_there_is_no_picture() -> None:
    assert sound_picture("p", _playlist("a", "b")) is None
    assert spacing_picture("p", _playlist("a", "b")) is None
    assert sound_picture("p", []) is None
    assert spacing_picture("p", []) is None

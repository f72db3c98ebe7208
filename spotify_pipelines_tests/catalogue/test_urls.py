"""Album references: every shape that Spotify has is taken, and everything else is told why it is not."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spotify_pipelines.catalogue.urls import (
    LONGEST_REFERENCE,
    SHOWN,
    AlbumLine,
    AlbumUrlError,
    RefusedLine,
    RepeatedLine,
    parse_album_lines,
    parse_album_url,
)

ID = "4aawyAB9vmqN3uQ7FjRGTy"
OTHER = "2eia0myWFgoHuttJytCxgX"
BASE62 = string.digits + string.ascii_lowercase + string.ascii_uppercase
LARGEST = "7N42dgm5tFLK9N8MT7fHC7"
"""2**128 - 1 in base 62."""


def encoded(number: int) -> str:
    signs = []
    for _ in range(22):
        number, sign = divmod(number, 62)
        signs.append(BASE62[sign])
    return "".join(reversed(signs))


album_ids = st.integers(0, 2**128 - 1).map(encoded)
shapes = st.sampled_from(
    [
        "{}",
        "spotify:album:{}",
        "https://open.spotify.com/album/{}",
        "http://open.spotify.com/album/{}",
        "open.spotify.com/album/{}",
        "HTTPS://Open.Spotify.com/album/{}",
        "https://open.spotify.com/intl-de/album/{}",
        "https://open.spotify.com/intl-pt-br/album/{}",
        "https://open.spotify.com/embed/album/{}",
        "https://open.spotify.com/album/{}/",
        "https://open.spotify.com/album/{}?si=Wx_0-9",
        "https://open.spotify.com/album/{}?si=a&utm_source=copy-link#x",
        "https://open.spotify.com/album/{}?highlight=spotify:track:6rqhFgbbKwnb9MLmUQDhG6",
        "  spotify:album:{}\t\r\n",
    ]
)


@given(album_ids, shapes)
@example(LARGEST, "{}")
def test_every_shape_of_a_reference_gives_its_id(album_id: str, shape: str) -> None:
    assert parse_album_url(shape.format(album_id)) == album_id


@given(st.integers(2**128, 62**22 - 1).map(encoded), shapes)
@example(encoded(2**128), "{}")
def test_an_id_beyond_128_bits_is_refused_in_every_shape(album_id: str, shape: str) -> None:
    with pytest.raises(AlbumUrlError, match="128 bits"):
        parse_album_url(shape.format(album_id))


@given(st.text() | st.text(":/.?#@%" + BASE62, max_size=60))
@example("4aawyAB9vmqN3uQ7Fj\u212aGTy")
@example("4aawyAB9vmqN3uQ7Fj\u017fGTy")
@example("https://[")
@example("https://open.spotify.com:x/album/" + ID)
@example("spotify:user:a:playlist:b")
@example("spotify:")
def test_any_other_text_is_refused_with_a_reason_and_never_breaks_anything(text: str) -> None:
    lines = parse_album_lines([text])
    assert all(refused.reason for refused in lines.refused)
    assert all(line.album_id in text and set(line.album_id) <= set(BASE62) for line in lines.accepted)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"https://open.spotify.com/track/{ID}?si=x", "a track link"),
        (f"https://open.spotify.com/intl-de/track/{ID}", "a track link"),
        (f"https://open.spotify.com/playlist/{ID}", "a playlist link"),
        (f"https://open.spotify.com/user/spotify/playlist/{ID}", "a playlist link"),
        (f"https://open.spotify.com/embed/artist/{ID}", "an artist link"),
        (f"open.spotify.com/episode/{ID}", "an episode link"),
        (f"spotify:track:{ID}", "a track link"),
        (f"spotify:user:someone:playlist:{ID}", "a playlist link"),
        (f"spotify:artist:{ID}", "an artist link"),
        ("https://open.spotify.com/search/miles", "not that of an album"),
        ("https://open.spotify.com/", "start page"),
        ("https://open.spotify.com/album/", "no album id"),
        (f"https://open.spotify.com/album/{ID}/tracks", "goes on after"),
        ("https://spotify.link/AbCdEf", "short link"),
        ("spoti.fi/3xyz", "short link"),
        ("https://spotify.app.link/x", "short link"),
        (f"https://example.com/album/{ID}", "does not lead to open.spotify.com"),
        (f"https://open.spotify.com.example.com/album/{ID}", "does not lead to open.spotify.com"),
        (f"https://open.spotify.com@example.com/album/{ID}", "does not lead to open.spotify.com"),
        (f"https://me@open.spotify.com/album/{ID}", "does not lead to open.spotify.com"),
        (f"https://open.spotify.com:8080/album/{ID}", "does not lead to open.spotify.com"),
        (f"ftp://open.spotify.com/album/{ID}", "not a web link"),
        ("https://[", "not a link that can be read"),
        (ID[:-1], "has 22 signs, this one has 21"),
        (f"{ID}x", "has 22 signs, this one has 23"),
        (f"https://open.spotify.com/album/{ID}x", "has 22 signs, this one has 23"),
        (f"{ID[:-1]}-", "only the digits"),
        (f"spotify:album:{ID[:-1]}ü", "only the digits"),
        (f"{ID} Kind of Blue", "neither an album link"),
        (f"{ID}?si=x", "neither an album link"),
        ("Kind of Blue", "neither an album link"),
        (f"{ID[:10]}\x00{ID[10:]}", "control characters"),
        (f"https://open.spotify.com/album/{ID}?si=\u2028x", "control characters"),
        ("", "empty"),
        ("   ", "empty"),
    ],
)
def test_the_reason_names_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(AlbumUrlError, match=reason):
        parse_album_url(text)


def test_a_text_that_is_too_long_is_refused_for_its_length() -> None:
    with pytest.raises(AlbumUrlError, match="longer than 2048 characters"):
        parse_album_url("x" * 10_000_000)
    with pytest.raises(AlbumUrlError, match="longer than 2048 characters"):
        parse_album_url(f"https://open.spotify.com/album/{ID}?si={'x' * LONGEST_REFERENCE}")


def test_a_text_is_read_line_by_line_and_what_is_wrong_is_told_with_its_line() -> None:
    text = (
        f"\ufeff# my albums\r\n\r\n{ID}\r\nhttps://open.spotify.com/track/{ID}\n"
        f"  spotify:album:{OTHER}  \nopen.spotify.com/album/{ID}?si=x\rnonsense"
    )
    lines = parse_album_lines(text, "albums.txt")
    assert lines.source == "albums.txt"
    assert lines.accepted == [AlbumLine(3, ID, ID), AlbumLine(5, f"spotify:album:{OTHER}", OTHER)]
    assert lines.repeated == [RepeatedLine(6, ID, 3)]
    assert [(line.line, line.text) for line in lines.refused] == [
        (4, f"https://open.spotify.com/track/{ID}"),
        (7, "nonsense"),
    ]
    assert (lines.refused_count, lines.repeated_count) == (2, 1)


def test_a_byte_order_mark_before_the_first_reference_does_no_harm() -> None:
    assert [line.album_id for line in parse_album_lines(f"\ufeff{ID}\n").accepted] == [ID]


def test_lines_may_come_one_by_one() -> None:
    assert [line.line for line in parse_album_lines(iter([f"{ID}\n", "\n", f"{OTHER}\n"])).accepted] == [1, 3]


def test_only_line_ends_divide_lines() -> None:
    assert parse_album_lines(f"{ID}\x0c{OTHER}\x1d{ID}\u2028").refused_count == 1


def test_a_refused_line_is_shown_short_and_without_control_signs() -> None:
    (refused,) = parse_album_lines("\x1b[31m" + "y" * 500).refused
    assert isinstance(refused, RefusedLine)
    assert len(refused.text) == 80
    assert refused.text.startswith("�[31myyy")
    assert refused.text.endswith("…")


def test_ten_megabytes_of_junk_are_counted_and_not_kept() -> None:
    lines = parse_album_lines("junk?\n" * 1_700_000 + ID)
    assert lines.refused_count == 1_700_000
    assert len(lines.refused) == SHOWN
    assert [line.line for line in lines.accepted] == [1_700_001]


@given(st.lists(st.sampled_from([ID, OTHER, "junk", "", "# comment"])))
def test_every_line_is_accounted_for(texts: list[str]) -> None:
    lines = parse_album_lines("\n".join(texts))
    spoken = [text for text in texts if text not in ("", "# comment")]
    assert len(lines.accepted) + lines.refused_count + lines.repeated_count == len(spoken)
    assert {line.album_id for line in lines.accepted} == {text for text in spoken if text in (ID, OTHER)}

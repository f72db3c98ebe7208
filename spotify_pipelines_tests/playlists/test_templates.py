"""Whatever artists and operators write, Spotify gets one clean line within its limits, with our marker."""

import html
import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spotify_pipelines.playlists.templates import (
    DESCRIPTION_LIMIT,
    NAME_LIMIT,
    NAMES,
    TemplateContext,
    TemplateError,
    find_marker,
    make_marker,
    normalize_read_back,
    render_description,
    render_name,
    validate_template,
    with_marker,
)

CONTEXT = TemplateContext(
    policy="fresh-finds",
    account="Ana's label",
    cycle_starts_at=datetime(2026, 11, 22, 23, 30, tzinfo=UTC),
    timezone="Europe/Berlin",
    sequence=2,
    cycle=7,
    tracks=50,
    top_artists=("Ólafur", "MØ", "AC/DC", "fourth"),
)
MARKER = "K7M2P3QA"

texts = st.text(max_size=400) | st.text("ab.:/ wcom\n\u200d\u0301👨\u202e$<&", max_size=400)


def test_every_name_is_told_in_the_time_zone_of_the_policy() -> None:
    template = "|".join(f"${name}" for name in sorted(NAMES))
    assert render_description(template, CONTEXT, None).split("|") == [
        "Ana's label",
        "7",
        "2026-11-23",
        "23",
        "November",
        "fresh-finds",
        "2",
        "Ólafur, MØ, AC/DC",
        "50",
        "48",
        "Monday",
        "2026",
    ]


@given(texts)
@example("x" * 10_000)
@example("\u0301" * 500)
@example("👨‍👩‍👧‍👦" * 60)
@example("🇩🇪" * 60)
@example("\ud83d")
@example("see http://example.com/" + "a" * 500)
@example("x" * 90 + " example.comic")
def test_a_name_is_one_line_within_the_limit_that_shows_something(text: str) -> None:
    name = render_name("$account", replace(CONTEXT, account=text))
    assert 1 <= len(name) <= NAME_LIMIT
    assert name == name.strip()
    assert name.splitlines() == [name]
    assert not any(unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} for sign in name)
    assert any(unicodedata.category(sign)[0] not in "MZ" for sign in name)
    name.encode()


@given(texts)
@example("x" * 10_000)
@example("hthttp://tp://a.b //x")
@example("www.www.example.com")
@example("x" * 276 + " example.comic")
@example("[ABCDEFGH]")
def test_a_description_keeps_its_marker_within_the_limit_and_holds_no_link(text: str) -> None:
    description = render_description("$account", replace(CONTEXT, account=text), MARKER)
    assert 1 <= len(description) <= DESCRIPTION_LIMIT
    assert description.splitlines() == [description]
    assert description.endswith(f" [{MARKER}]")
    assert find_marker(description) == MARKER
    assert "//" not in description
    assert not re.search(r"\bwww\.|[a-z0-9]\.com\b", description, re.IGNORECASE)


@given(texts)
@example("R&amp;B &amp;lt;3 &copy")
def test_a_description_read_back_escaped_compares_equal(text: str) -> None:
    sent = render_description("$account", replace(CONTEXT, account=text), MARKER)
    for read_back in (html.escape(sent), html.escape(sent, quote=False), sent):
        assert normalize_read_back(read_back) == normalize_read_back(sent)
        assert find_marker(read_back) == MARKER


@pytest.mark.parametrize(
    "artist",
    [
        "${policy}",
        "$account",
        "$$",
        "**bold** _x_ `y`",
        "<script>alert(1)</script>",
        "שלום\u200f עולם",
        "👩🏽‍🚀",
        "will.i.am",
        "AC/DC",
        "P!nk & co",
    ],
)
def test_an_artist_name_is_just_text(artist: str) -> None:
    context = replace(CONTEXT, top_artists=(artist,))
    assert render_name("With $top_artists", context) == f"With {artist}"
    assert render_description("With $top_artists", context, MARKER) == f"With {artist} [{MARKER}]"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  two\nlines\r\n\tand\u2028more\x00\x1b[31m ", "two lines and more[31m"),
        ("over\u202eride \u2066isolate\u2069 \ufeffBOM", "override isolate BOM"),
        ("e\u0301tude", "étude"),
        ("hear more at https://example.com/x?y=1 today", "hear more at today"),
        ("from www.example.com", "from"),
        ("from example.com, and Example.ORG/path", "from example com, and Example ORG/path"),
        ("shop.co.uk, youtu.be/x, Mr.It, will.i.am", "shop co uk, youtu be/x, Mr.It, will.i.am"),
        ("noncharacter\ufffe, new emoji \U0001faea", "noncharacter, new emoji \U0001faea"),
        ("//evil.example/x and the rest", "and the rest"),
        ("", "fresh-finds"),
        ("\u200d\u200b \u3164", "fresh-finds"),
        ("https://example.com", "fresh-finds"),
    ],
)
def test_text_is_cleaned_and_never_empty(text: str, cleaned: str) -> None:
    assert render_description("$account", replace(CONTEXT, account=text), None) == cleaned


@pytest.mark.parametrize(
    ("sign", "length"),
    [("👨‍👩‍👧‍👦", 7), ("🇩🇪", 2), ("👍🏽", 2), ("x̣̂", 3), ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", 7)],
    ids=["family", "flag", "skin tone", "accents", "England"],
)
def test_a_long_name_is_cut_between_whole_signs(sign: str, length: int) -> None:
    assert len(sign) == length
    for offset in range(length):
        name = render_name("$account", replace(CONTEXT, account="-" * offset + sign * 60))
        assert len(name) <= NAME_LIMIT
        whole, rest = divmod(len(name) - 1 - offset, length)
        assert rest == 0
        assert name == "-" * offset + sign * whole + "…"


def test_a_name_may_speak_of_an_address() -> None:
    template = "Example.com top $tracks"
    validate_template(template, "name_template", limit=NAME_LIMIT, allow_links=True)
    assert render_name(template, CONTEXT) == "Example.com top 50"


def test_nothing_is_left_but_the_word_playlist_where_even_the_policy_shows_nothing() -> None:
    blank = replace(CONTEXT, policy="\u200d", account="")
    assert render_name("$account", blank) == "Playlist"
    assert render_description("$account", blank, MARKER) == f"Playlist [{MARKER}]"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("$polcy mix", "unknown name \\$polcy; did you mean \\$policy"),
        ("$Policy mix", "unknown name \\$Policy; did you mean \\$policy"),
        ("${__class__} mix", "unknown name \\$__class__; known are account"),
        ("5 $ a day", "a lone \\$"),
        ("${policy", "a lone \\$"),
        ("more at https://example.com/$policy", "links"),
        ("more at example.com", "links"),
        ("x" * 101, "101 of at most 100"),
    ],
)
def test_a_template_that_could_only_fail_later_is_refused_with_its_field(template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=rf"^policies\[0\]\.name_template: .*{message}"):
        validate_template(template, "policies[0].name_template", limit=NAME_LIMIT)


@pytest.mark.parametrize(
    "template", ["", "$policy", "${policy}: $$5", "{0.__class__} {{ jinja }}", "x" * 100]
)
def test_a_fine_template_passes(template: str) -> None:
    validate_template(template, "field", limit=NAME_LIMIT)
    render_name(template, CONTEXT)


def test_a_marker_is_eight_base32_signs() -> None:
    assert make_marker(bytes(5)) == "AAAAAAAA"
    assert make_marker(b"\xff" * 5) == "77777777"
    assert len({make_marker(bytes([n, 0, 0, 0, n])) for n in range(256)}) == 256
    with pytest.raises(ValueError, match="5 bytes"):
        make_marker(b"")


@pytest.mark.parametrize(
    ("description", "marker"),
    [
        (f"Songs [{MARKER}]", MARKER),
        (f"Songs [{MARKER}] &mdash; edited", MARKER),
        (f"[ABCDEFGH] [{MARKER}]", MARKER),
        ("Songs [acoustic]", None),
        ("Songs [K7M2P3Q]", None),
        ("", None),
        (None, None),
    ],
)
def test_the_last_marker_of_a_description_is_found(description: str | None, marker: str | None) -> None:
    assert find_marker(description) == marker


def test_the_documentation_names_every_name_of_a_template_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "playlists.md").read_text()
    table = page[page.index("## Names and descriptions") : page.index("What comes out is")]
    assert set(re.findall(r"`\$([a-z_]+)`", table)) == NAMES


@pytest.mark.parametrize(
    ("description", "marker", "expected"),
    [
        ("Calm", "ABCDEFGH", "Calm [ABCDEFGH]"),
        ("Calm [22222222]", "ABCDEFGH", "Calm [ABCDEFGH]"),
        ("Calm [22222222]", None, "Calm"),
        ("[22222222]", None, ""),
        ("", "ABCDEFGH", "[ABCDEFGH]"),
        ("[22222222] is not at the end", "ABCDEFGH", "[22222222] is not at the end [ABCDEFGH]"),
    ],
)
def test_a_marker_takes_the_place_of_the_one_at_the_end(
    description: str, marker: str | None, expected: str
) -> None:
    assert with_marker(description, marker) == expected


@given(st.text(max_size=400))
def test_a_marker_always_fits_in(description: str) -> None:
    marked = with_marker(description, "ABCDEFGH")
    assert len(marked) <= 300
    assert find_marker(marked) == "ABCDEFGH"

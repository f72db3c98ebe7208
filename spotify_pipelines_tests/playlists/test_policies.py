"""A policy file is taken with its defaults, or refused with the path and line of everything that is wrong."""

import json
import random
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spotify_pipelines.playlists.policies import (
    Policy,
    PolicyError,
    parse_policies,
    policies_json_schema,
    policy_digest,
    policy_from_json,
    policy_to_json,
)
from spotify_pipelines.playlists.policy_reference import reference_table
from spotify_pipelines.playlists.rules import Rule

TRACK = "4aawyAB9vmqN3uQ7FjRGTy"
THIRD = "7ouMYWpwJ422jRcDASZB7P"
OTHER = "2eia0myWFgoHuttJytCxgX"
DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = Path(__file__).parents[2] / "examples" / "policies.yaml"


def policy(body: str = "") -> Policy:
    """The policy ``mix`` with these further lines."""
    return parse_policies(f"policies:\n  - name: mix\n{indented(body)}", "test.yaml").policies[0]


def indented(body: str) -> str:
    return "".join(f"    {line}\n" for line in body.splitlines())


def problems(text: str | bytes) -> dict[str, str]:
    """Path → message of everything that is wrong."""
    with pytest.raises(PolicyError) as caught:
        parse_policies(text, "test.yaml")
    assert str(caught.value).startswith("test.yaml: ")
    return {problem.path: problem.message for problem in caught.value.problems}


def test_the_example_file_is_taken_and_makes_six_playlists_on_three_accounts() -> None:
    policies = parse_policies(EXAMPLE.read_bytes(), str(EXAMPLE)).policies
    assert [p.name for p in policies] == ["fresh-finds", "deep-focus"]
    assert sum(p.playlists_per_account for p in policies) * 3 == 6
    assert {p.size for p in policies} == {50}
    assert {p.reshuffle.every_days for p in policies} == {7}
    fresh, focus = policies
    assert fresh.cooldown is not None
    assert (fresh.cooldown.length, fresh.cooldown.scope, fresh.caps.artist) == (21, "playlist", 2)
    assert set(focus.features.given()) == {"energy", "speechiness"}
    assert focus.missing_features == "allow"


def test_a_name_is_enough_and_the_rest_has_defaults() -> None:
    made = policy()
    assert (made.size, made.cooldown, made.caps.artist, made.caps.album) == (50, None, 2, None)
    assert made.relaxation == (Rule.COOLDOWN, Rule.ALBUM_CAP, Rule.ARTIST_CAP)
    assert (made.order.gap, made.accounts, made.public) == ("half", "all", False)
    assert (made.reshuffle.every_days, made.reshuffle.at, made.reshuffle.timezone) == (7, time(4), "UTC")


def test_a_policy_can_not_be_changed_after_it_was_read() -> None:
    made = policy()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, "size", 3)  # noqa: B010


def test_plain_yaml_values_mean_what_they_look_like() -> None:
    made = policy(
        "pool: {artists: [NO, on, '12:30', 1e]}\nreshuffle: {at: 14:30}\npublic: true\ncaps: {artist: null}"
    )
    assert made.pool.artists == ("NO", "on", "12:30", "1e")
    assert made.reshuffle.at == time(14, 30)
    assert made.public
    assert made.caps.artist is None


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ("coldown: {days: 3}", "coldown", "unknown key; did you mean cooldown?"),
        ("caps: {artits: 3}", "caps.artits", "unknown key; did you mean artist?"),
        ("features: {energi: {min: 0.1}}", "features.energi", "unknown key; did you mean energy?"),
        ("order: {xyz: 3}", "order.xyz", "unknown key; known here: gap, flow"),
        ("cooldown: {days: 0}", "cooldown.days", "should be at least 1, got 0"),
        ("cooldown: {scope: playlist}", "cooldown", "needs either days or draws"),
        ("cooldown: {days: 3, draws: 2}", "cooldown", "needs either days or draws, not both"),
        (
            "cooldown: {draws: 2, scope: fleet}",
            "cooldown",
            "counts draws, which only scope playlist has; give days for scope fleet",
        ),
        (
            "cooldown: {days: 3, scope: moon}",
            "cooldown.scope",
            "should be 'playlist', 'account', 'policy' or 'fleet', got \"moon\"",
        ),
        ("cooldown: 7", "cooldown", "should be a mapping, got 7"),
        ("size: 0", "size", "should be at least 1, got 0"),
        ("size: 101", "size", "should be at most 100, got 101"),
        ("size: 50.0", "size", "should be a whole number, got 50.0"),
        ("size: '50'", "size", 'should be a whole number, got "50"'),
        ("size: true", "size", "should be a whole number, got true"),
        (f"size: {'9' * 5000}", "size", f"'{'9' * 40}' is not a value that is taken here"),
        ("caps: {artist: 0}", "caps.artist", "should be at least 1, got 0"),
        ("public: yes", "public", 'should be true or false, got "yes"'),
        ("pool: some", "pool", 'should be a mapping, got "some"'),
        ("pool: {artists: []}", "pool.artists", "should not be empty"),
        ("pool: {artists: Abba}", "pool.artists", 'should be a list, got "Abba"'),
        ("pool: {albums: [a, b, a]}", "pool.albums", "names a twice"),
        ("pool: {years: {first: 2001, last: 1999}}", "pool.years", "first (2001) is after last (1999)"),
        ("pool: {years: {}}", "pool.years", "needs first, last or both"),
        (
            "features: {energy: {min: 0.9, max: 0.1}}",
            "features.energy",
            "min (0.9) is above max (0.1): no track can pass",
        ),
        ("features: {energy: {max: 90}}", "features.energy", "lies between 0 and 1"),
        ("features: {tempo: {}}", "features.tempo", "needs min, max or both"),
        ("features: {tempo: {min: .nan}}", "features.tempo.min", 'should be a number, got ".nan"'),
        ("weights: {freshness: 0.3}", "weights.freshness", "should be a multiple of 0.5, got 0.3"),
        ("weights: {freshness: 1e999}", "weights.freshness", "'1e999' is not a value that is taken here"),
        ("relaxation: [cooldown, cooldown]", "relaxation", "names cooldown twice"),
        (
            "relaxation: [size]",
            "relaxation[0]",
            "should be 'artist_cooldown', 'cooldown', 'album_cap' or 'artist_cap', got \"size\"",
        ),
        ("order: {gap: wide}", "order.gap", "should be best, half or a number of positions from 1 to 99"),
        (
            "order: {flow: smoth}",
            "order.flow",
            "should be 'none', 'smooth', 'rise', 'fall' or 'wave', got \"smoth\"; did you mean smooth?",
        ),
        ("labels: [Blue]", "labels", "unknown key; did you mean pool.labels?"),
        ("artist_cooldown: {days: 3}", "artist_cooldown", "unknown key; did you mean cooldown.artist?"),
        ("cooldown: {artist: {}}", "cooldown.artist", "needs either days or draws"),
        (
            "cooldown: {days: 3, scope: fleet, artist: {draws: 1}}",
            "cooldown",
            "counts draws, which only scope playlist has; give days for scope fleet",
        ),
        (
            "pool: {tags: [Two Words]}",
            "pool.tags[0]",
            'should be small letters and digits with single dashes between them, got "Two Words"',
        ),
        ("pool: {market: de}", "pool.market", 'should be a country in two capital letters, such as "DE"'),
        (
            "pool: {added_since: 0}",
            "pool.added_since",
            "should be a date such as 2026-01-31, or a number of days from 1 to 36500",
        ),
        (
            "pool: {added_since: last week}",
            "pool.added_since",
            "should be a date such as 2026-01-31, or a number of days from 1 to 36500",
        ),
        ("pool: {added_since: 2026-02-30}", "pool.added_since", "2026-02-30 is no day of the calendar"),
        (
            f"pool: {{artists: [spotify:album:{TRACK}]}}",
            "pool.artists[0]",
            f"is the address of another kind (album), not of an artist, got 'spotify:album:{TRACK}'",
        ),
        (
            "exclude: {tracks: [Hello]}",
            "exclude.tracks[0]",
            "should be the link, URI or id of a track (22 letters and digits); its name could mean several, "
            "got 'Hello'",
        ),
        ("exclude: {albums: [a, a]}", "exclude.albums", "names a twice"),
        ("pinned: [a]", "pinned", "should be a mapping"),
        (f"pinned: {{0: {TRACK}}}", "pinned.0", "should be a position in the playlist, counted from 1"),
        (f"pinned: {{-1: {TRACK}}}", "pinned.-1", "should be a position in the playlist, counted from 1"),
        (
            f"pinned: {{first: {TRACK}}}",
            "pinned.first",
            "should be a position in the playlist, counted from 1",
        ),
        (
            f"pinned: {{1: {TRACK}, 2: spotify:track:{TRACK}}}",
            "pinned",
            f"puts the track {TRACK} at 1 and at 2",
        ),
        (f"pinned: {{1: {TRACK}, '1': {OTHER}}}", "pinned.1", "is given twice, first on line 3"),
        (
            f"size: 3\npinned: {{4: {TRACK}}}",
            "pinned.4",
            "is beyond the size of 3; positions go from 1 to 3",
        ),
        (
            f"exclude: {{tracks: [{TRACK}]}}\npinned: {{1: {TRACK}}}",
            "pinned.1",
            f"the track {TRACK} is in exclude.tracks too; take it out of one of them",
        ),
        (
            "pool: {artists: [Ana, Bo]}\nexclude: {artists: [bo, ANA, cy]}",
            "pool.artists",
            "all of them are in exclude.artists too: no track is left",
        ),
        (
            "pool: {tags: [calm]}\nweights: {tags: {calm: 0}}",
            "pool.tags",
            "all of them have the weight 0 in weights.tags: no track is left",
        ),
        ("weights: {artists: {Ana: -0.5}}", "weights.artists.Ana", "should be at least 0, got -0.5"),
        ("weights: {labels: {Blue: 1001}}", "weights.labels.Blue", "should be at most 1000, got 1001"),
        ("weights: {tags: {calm: .nan}}", "weights.tags.calm", 'should be a number, got ".nan"'),
        ("weights: {tags: {calm: true}}", "weights.tags.calm", "should be a number, got true"),
        (
            "weights: {artists: {Ana: 1, ANA: 2}}",
            "weights.artists",
            "names Ana and ANA: capitals and spaces make no difference",
        ),
        (
            f"weights: {{albums: {{{TRACK}: 1, 'spotify:album:{TRACK}': 2}}}}",
            "weights.albums",
            "names the same thing twice: a link and its id are one",
        ),
        ("order: {gap: 0}", "order.gap", "should be best, half or a number of positions from 1 to 99"),
        ("name_template: $polcy", "name_template", "unknown name $polcy; did you mean $policy?"),
        (
            "description_template: see example.com",
            "description_template",
            "Spotify refuses links in a description; leave the address out",
        ),
        ("reshuffle: {at: 4:30}", "reshuffle.at", 'should be a local time such as "04:30"'),
        ("reshuffle: {at: 24:00}", "reshuffle.at", 'should be a local time such as "04:30"'),
        ("reshuffle: {every_days: 0}", "reshuffle.every_days", "should be at least 1, got 0"),
        (
            "reshuffle: {timezone: Europe/Berln}",
            "reshuffle.timezone",
            "'Europe/Berln' is not an IANA time zone such as Europe/Berlin; did you mean Europe/Berlin?",
        ),
        ("accounts: []", "accounts", "should be all or a list of different account names or ids"),
        ("accounts: [a, a]", "accounts", "should be all or a list of different account names or ids"),
        ("size: 3\nsize: 4", "size", "is given twice, first on line 3"),
        ("size: !!binary abcd", "size", "'abcd' is not a value that is taken here"),
        ("[3]: 4", "", "has a key that is neither a text nor a whole number"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(body: str, path: str, message: str) -> None:
    found = problems(f"policies:\n  - name: mix\n{indented(body)}")
    assert found == {f"policies[0].{path}".removesuffix("."): message}


@pytest.mark.parametrize(
    "name", ["", "Upper", "two words", "-dash", "dash-", "a--b", "ümlaut", "x" * 61, "3.5"]
)
def test_a_name_that_is_no_slug_is_refused(name: str) -> None:
    assert "policies[0].name" in problems(f"policies:\n  - name: {json.dumps(name)}\n")


def test_every_problem_of_a_file_is_listed_at_once_with_its_line() -> None:
    text = (
        "policies:\n  - name: one\n    size: 0\n  - name: two\n    coldown: {}\n  - size: 3\n  - name: one\n"
    )
    with pytest.raises(PolicyError) as caught:
        parse_policies(text, "mine.yaml")
    assert str(caught.value).splitlines() == [
        "mine.yaml: 4 problems",
        "  line 3: policies[0].size: should be at least 1, got 0",
        "  line 5: policies[1].coldown: unknown key; did you mean cooldown?",
        "  line 6: policies[2].name: is missing",
        "  line 7: policies[3].name: one is the name of policies[0] already",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it needs the key policies"),
        ("# nothing but a comment\n", "is empty; it needs the key policies"),
        ("- name: mix\n", "should be a mapping with the key policies"),
        ("just text", "should be a mapping with the key policies"),
        (b"policies:\n  - name: \xe9\n", "is not UTF-8 (byte 20)"),
        (b"\xff\xfep\x00", "is not UTF-8 (byte 0)"),
        (
            "policies: [{name: 'mix}]",
            "is not readable as YAML: while scanning a quoted scalar found unexpected end of stream",
        ),
        (
            "a: &a [x]\npolicies: *a",
            "is not readable as YAML: aliases (*name) are not taken; write the value out",
        ),
        ("policies: " + "[" * 5_000, "is not readable as YAML: nested deeper than 16 levels"),
        (
            "policies: [{name: mix, pinned: {1: https://open.spotify.com/track/x?si=y}}]",
            "is not readable as YAML: while parsing a flow mapping expected ',' or '}', but got '?'"
            "; within [] and {} an address with a ? needs quotes",
        ),
        (
            "policies:\n  - name: mix\n---\nmore: 1\n",
            "is not readable as YAML: expected a single document in the stream but found another document",
        ),
        ("name: mix\x00", "holds a character that YAML forbids (U+0000)"),
        ("name: \ud800", "holds a character that YAML forbids (U+D800)"),
        ("x" * 10_000_000, "has 10,000,000 bytes; at most 262,144 are taken"),
        (
            "!!python/object/apply:os.system ['true']",
            "has the tag tag:yaml.org,2002:python/object/apply:os.system, which is not taken",
        ),
    ],
    ids=lambda value: None if len(value) < 60 else f"{len(value)} characters",
)
def test_a_file_that_is_no_policy_file_is_refused_with_one_sentence(text: str | bytes, message: str) -> None:
    assert problems(text) == {"": message}


def test_a_billion_laughs_are_not_laughed() -> None:
    bomb = "a: &a [lol,lol]\n" + "".join(
        f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdefg", "bcdefgh", strict=True)
    )
    assert "aliases" in problems(bomb)[""]


@given(st.text(max_size=80) | st.text("policies:-nm[]{}&*!|>\n '\"#%@", max_size=80))
def test_any_text_is_taken_or_refused_but_never_crashes(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policies(text, "test.yaml")


def test_a_mark_at_the_start_of_the_file_is_no_content() -> None:
    assert parse_policies(b"\xef\xbb\xbfpolicies: [{name: mix}]", "test.yaml").policies[0].name == "mix"


def test_a_cooldown_of_a_week_is_over_after_a_week_and_one_of_a_draw_after_the_next() -> None:
    week, draw = policy("cooldown: {days: 7}").cooldown, policy("cooldown: {draws: 1}").cooldown
    assert week is not None
    assert draw is not None
    assert [week.holds_back(age) for age in (0, 6, 7)] == [True, True, False]
    assert [draw.holds_back(age) for age in (0, 1)] == [True, False]


def test_a_digest_speaks_of_the_meaning_only() -> None:
    base = policy("size: 40\ncaps: {artist: 3}")
    same = [
        policy("caps:\n  artist: 3   # three\nsize: 40"),
        policy("size: 40\ncaps: {artist: 3, album: null}\npool: all\norder: {gap: half}\nfeatures: {}"),
        policy(
            "size: 40\ncaps: {artist: 3}\nreshuffle: {at: '04:00'}\nrelaxation: [cooldown, album_cap, artist_cap]"
        ),
    ]
    other = [
        policy("size: 41\ncaps: {artist: 3}"),
        policy("size: 40"),
        policy("size: 40\ncaps: {artist: null}"),
    ]
    assert {policy_digest(made) for made in same} == {policy_digest(base)}
    assert policy_digest(base) not in {policy_digest(made) for made in other}
    assert policy_digest(policy()) == "820b4e2d4ea3df9c611110c734f6b24fc1314ddaba37a0f2413336a77ab988bb"


@pytest.mark.parametrize(
    ("name", "body", "digest"),
    [
        ("mix", "size: 50", "820b4e2d4ea3df9c611110c734f6b24fc1314ddaba37a0f2413336a77ab988bb"),
        (
            "everything",
            "size: 30\n"
            "pool: {artists: [Ana, Bo], albums: [4aawyAB9vmqN3uQ7FjRGTy], years: {first: 1990}, explicit: exclude}\n"
            "features: {tempo: {min: 100}, energy: {max: 0.5}}\nmissing_features: exclude\n"
            "weights: {freshness: 1.5, horizon_days: 30}\ncooldown: {days: 9, scope: fleet}\n"
            "caps: {artist: 3, album: null}\nrelaxation: [artist_cap, cooldown]\norder: {gap: 4}\n"
            "name_template: Mix $week\npublic: true\naccounts: [ana]\nplaylists_per_account: 2\n"
            "on_missing: leave\nreshuffle: {every_days: 3, at: '05:15', timezone: Europe/Berlin}",
            "9d7bafc675ae05a36128c6b792c18ddb9eb640d3b7aea5fd4c6834719a19d9dc",
        ),
    ],
)
def test_policies_that_were_stored_by_the_first_release_keep_their_digest(
    name: str, body: str, digest: str
) -> None:
    assert policy_digest(policy(body).model_copy(update={"name": name})) == digest


def test_the_example_keeps_its_digests_too() -> None:
    policies = parse_policies(EXAMPLE.read_bytes(), "").policies
    assert [policy_digest(made)[:12] for made in policies] == ["5ec28b3c5431", "2841b3091bbe"]


def test_saying_the_default_of_a_new_key_changes_no_digest() -> None:
    said = (
        "pool: {playable: unknown_passes, market: null, tags: null}\nexclude: {tracks: []}\npinned: {}\n"
        "weights: {artists: {}, popularity: null}\norder: {flow: none}"
    )
    assert policy_digest(policy(said)) == policy_digest(policy())


def test_a_list_without_a_sequence_says_the_same_in_any() -> None:
    one = policy("exclude: {artists: [Ana, Bo]}\npool: {tags: [a, b]}\nweights: {tags: {a: 2, b: 3}}")
    two = policy("weights: {tags: {b: 3, a: 2}}\npool: {tags: [b, a]}\nexclude: {artists: [Bo, Ana]}")
    assert policy_digest(one) == policy_digest(two)


def test_an_artists_rest_gives_way_first_unless_a_policy_says_otherwise() -> None:
    assert policy("cooldown: {artist: {days: 3}}").relaxation[0] is Rule.ARTIST_COOLDOWN
    assert policy("cooldown: {artist: {days: 3}}\nrelaxation: [cooldown]").relaxation == (Rule.COOLDOWN,)
    assert Rule.ARTIST_COOLDOWN not in policy("cooldown: {days: 3}").relaxation


def test_artists_may_rest_alone_or_longer_than_tracks() -> None:
    alone = policy("cooldown: {artist: {draws: 2}}").cooldown
    assert alone is not None
    assert alone.artist is not None
    assert (alone.length, alone.holds_back(0), alone.artist.length) == (0, False, 2)
    assert alone.artist.holds_back(1)


def test_references_are_kept_as_ids() -> None:
    made = policy(
        f"pool: {{artists: ['https://open.spotify.com/intl-de/artist/{TRACK}?si=1', ' Ana ']}}\n"
        f"exclude: {{tracks: [spotify:track:{OTHER}]}}\n"
        f"pinned: {{7: 'https://open.spotify.com/track/{TRACK}?si=x', 1: {THIRD}}}"
    )
    assert made.pool.artists == (TRACK, "Ana")
    assert made.exclude.tracks == (OTHER,)
    assert list(made.pinned.items()) == [(1, THIRD), (7, TRACK)]


def test_a_policy_survives_the_way_through_the_database() -> None:
    for made in (
        *parse_policies(EXAMPLE.read_text(), "").policies,
        policy("accounts: [ana, bo]\norder: {gap: 4}"),
        policy("pool: {added_since: 2026-01-31, labels: [b, a]}\ncooldown: {days: 3, artist: {days: 2}}"),
        policy(f"pool: {{added_since: 30}}\npinned: {{3: {TRACK}}}\nweights: {{artists: {{Ana: 2}}}}"),
    ):
        stored = json.loads(json.dumps(policy_to_json(made)))
        shuffled = dict(random.Random(1).sample(list(stored.items()), len(stored)))
        assert policy_from_json(shuffled) == made
        assert policy_digest(policy_from_json(shuffled)) == policy_digest(made)


def test_a_stored_policy_that_is_no_policy_is_refused_with_its_name() -> None:
    with pytest.raises(PolicyError, match="mix: size: should be at most 100, got 500"):
        policy_from_json({"name": "mix", "size": 500})


def test_the_schema_for_editors_names_every_key_and_forbids_others() -> None:
    schema = policies_json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    definitions: dict[str, Any] = schema["$defs"]
    assert set(definitions["Policy"]["properties"]) == set(policy_to_json(policy()))
    assert definitions["Policy"]["required"] == ["name"]
    assert definitions["Policy"]["additionalProperties"] is False
    assert definitions["Reshuffle"]["properties"]["at"]["pattern"]
    json.dumps(schema)


def test_the_published_schema_and_table_are_those_of_the_code() -> None:
    schema = json.loads((DOCS / "policies.schema.json").read_text("utf-8"))
    assert schema == policies_json_schema(), (
        "run: spotify-pipelines policies schema > docs/policies.schema.json"
    )
    page = (DOCS / "policies.md").read_text("utf-8")
    assert reference_table() in page, "put in: spotify-pipelines policies schema --markdown"
    assert EXAMPLE.read_text("utf-8").startswith(
        "# yaml-language-server: $schema=../docs/policies.schema.json\n"
    )


def test_every_key_is_explained() -> None:
    for row in reference_table().splitlines()[2:]:
        assert not row.endswith("|  |"), row

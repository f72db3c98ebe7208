"""Every track of a catalogue held against a policy: in with a weight, or out with a reason."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.playlists.eligibility import Eligibility, Lookup, eligibility
from spotify_pipelines.playlists.policies import Policy, policy_from_json
from spotify_pipelines_tests.playlists.shelf import Record, Song, shelf

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
YEAR_1999 = Record(
    "album-1", "Ninety-Nine", label="Blue Note", year=1999, tags=("calm", "live"), popularity=50
)
KNOWN = Song(
    "track-1",
    {"id-1": "Ana", "id-2": "Björk"},
    YEAR_1999,
    playable=True,
    features={"energy": 0.5},
    markets=("DE", "FR"),
)
UNKNOWN = Song("track-1")


def policy(**says: Any) -> Policy:
    return policy_from_json({"name": "mix", **says})


def held(song: Song, **says: Any) -> Eligibility:
    return eligibility(policy(**says), Lookup(shelf([song])), NOW)


def why(song: Song, **says: Any) -> str | None:
    found = held(song, **says)
    assert (found.weights[0] > 0) == (found.why_outside(0) is None)
    return found.why_outside(0)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({}, None),
        ({"pool": "all"}, None),
        ({"pool": {"artists": ["Ana"]}}, None),
        ({"pool": {"artists": ["other", "id-2"]}}, None),
        ({"pool": {"artists": ["  BJO\u0308RK "]}}, None),
        ({"pool": {"artists": ["other"]}}, "credits none of the policy's artists"),
        ({"pool": {"albums": ["album-1"]}}, None),
        ({"pool": {"albums": ["ninety-nine"]}}, None),
        ({"pool": {"albums": ["album-2"]}}, "not on one of the policy's albums"),
        ({"pool": {"labels": ["ECM", "blue  note"]}}, None),
        ({"pool": {"labels": ["ECM"]}}, "its label is none of the policy's"),
        ({"pool": {"tags": ["calm", "loud"]}}, None),
        ({"pool": {"tags": ["loud"]}}, "its album bears none of the policy's tags"),
        ({"pool": {"years": {"first": 1999, "last": 1999}}}, None),
        ({"pool": {"years": {"first": 2000}}}, "released outside the policy's years"),
        ({"pool": {"years": {"last": 1998}}}, "released outside the policy's years"),
        ({"pool": {"explicit": "exclude"}}, None),
        ({"pool": {"explicit": "only"}}, "not explicit"),
        ({"pool": {"playable": "known"}}, None),
        ({"pool": {"market": "FR"}}, None),
        ({"pool": {"artists": ["Ana"], "tags": ["loud"]}}, "its album bears none of the policy's tags"),
        ({"exclude": {"artists": ["björk"]}}, "credits an excluded artist"),
        ({"exclude": {"albums": ["Ninety-Nine"]}}, "on an excluded album"),
        ({"exclude": {"artists": ["Cem"], "albums": ["Other"]}}, None),
        ({"features": {"energy": {"min": 0.5, "max": 0.5}}}, None),
        ({"features": {"energy": {"min": 0.51}}}, "its energy is outside the policy's window"),
        ({"features": {"energy": {"max": 0}}}, "its energy is outside the policy's window"),
        ({"features": {"tempo": {"min": 100}}}, None),
        ({"features": {"tempo": {"min": 100}}, "missing_features": "exclude"}, "has no tempo"),
        ({"weights": {"artists": {"Ana": 0}}}, "its weight is 0"),
    ],
)
def test_a_track_is_in_the_pool_or_is_told_why_not(says: dict[str, Any], reason: str | None) -> None:
    found = eligibility(policy(**says), Lookup(shelf([KNOWN], markets=["DE", "FR"])), NOW)
    assert found.why_outside(0) == reason
    assert (found.weights[0] > 0) == (reason is None)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({"pool": {"artists": ["Ana"]}}, "credits none of the policy's artists"),
        ({"pool": {"labels": ["Blue Note"]}}, "its label is unknown"),
        ({"pool": {"tags": ["calm"]}}, "its album bears none of the policy's tags"),
        ({"pool": {"years": {"last": 2000}}}, "its year of release is unknown"),
        ({"pool": {"added_since": 36500}}, "not added since 1926-12-18"),
        ({"pool": {"market": "DE"}}, None),
        ({"pool": {"playable": "unknown_passes"}}, None),
        ({"pool": {"playable": "known"}}, "not known to be playable"),
        ({"features": {"energy": {"min": 0.1}}}, None),
        ({"features": {"energy": {"min": 0.1}}, "missing_features": "exclude"}, "has no energy"),
        ({"weights": {"popularity": {"at_0": 0, "at_100": 0}}}, None),
        ({"weights": {"popularity": {"unknown": 0}}}, "its weight is 0"),
    ],
)
def test_what_is_unknown_of_a_track_has_a_defined_answer(says: dict[str, Any], reason: str | None) -> None:
    assert why(UNKNOWN, **says) == reason


def test_a_track_that_spotify_says_can_not_be_played_is_never_drawn() -> None:
    assert why(Song("track-1", playable=False)) == "Spotify says that it can't be played"


def test_a_track_that_is_known_to_be_missing_in_a_country_stays_out_there() -> None:
    assert why(Song("track-1", markets=("FR",)), pool={"market": "DE"}) == "not available in DE"
    assert why(Song("track-1", markets=("FR", "DE")), pool={"market": "DE"}) is None


def test_an_excluded_track_stays_out() -> None:
    track_id = "4aawyAB9vmqN3uQ7FjRGTy"
    link = f"https://open.spotify.com/track/{track_id}?si=x"
    assert why(Song(track_id), exclude={"tracks": [link]}) == "excluded"


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_a_feature_that_is_no_finite_number_is_missing(odd: float) -> None:
    song = Song("track-1", features={"energy": odd})
    assert why(song, features={"energy": {"min": 0.1}}) is None
    assert why(song, features={"energy": {"min": 0.1}}, missing_features="exclude") == "has no energy"


def test_added_since_counts_local_days() -> None:
    berlin = {"every_days": 7, "timezone": "Europe/Berlin"}
    midnight = datetime(2026, 11, 20, 23, tzinfo=UTC)  # the 21st in Berlin

    def song(at: datetime) -> Song:
        return Song("track-1", album=Record(added=at.timestamp()))

    before = song(midnight - timedelta(seconds=1))
    for since in (2, "2026-11-21"):
        says = {"pool": {"added_since": since}, "reshuffle": berlin}
        assert why(song(midnight), **says) is None
        assert why(before, **says) == "not added since 2026-11-21"


@pytest.mark.parametrize(
    ("says", "weight"),
    [
        ({}, 1),
        ({"artists": {"Ana": 2}}, 2),
        ({"artists": {"Ana": 2, "id-2": 3}}, 6),
        ({"artists": {"Björk": 5, "id-2": 3}}, 3),
        ({"albums": {"album-1": 0.5, "Ninety-Nine": 8}}, 0.5),
        ({"labels": {"BLUE NOTE": 4}, "tags": {"calm": 3, "live": 2, "loud": 100}}, 24),
        ({"popularity": {"at_0": 0, "at_100": 1}}, 0.5),
        ({"popularity": {"at_0": 2, "at_100": 1, "unknown": 7}}, 1.5),
        ({"artists": {"Nobody": 9}}, 1),
    ],
)
def test_all_factors_that_fit_a_track_are_multiplied(says: dict[str, Any], weight: float) -> None:
    assert held(KNOWN, weights=says).weights.tolist() == [weight]


def test_the_product_of_very_many_factors_stays_finite_and_0_stays_0() -> None:
    artists = {f"id-{n:03}": f"Artist {n}" for n in range(300)}
    huge = dict.fromkeys(artists, 1000)
    assert np.isfinite(held(Song("track-1", artists), weights={"artists": huge}).weights).all()
    tiny = held(Song("track-1", artists), weights={"artists": dict.fromkeys(artists, 0.001)})
    assert tiny.weights[0] > 0
    never = held(Song("track-1", artists), weights={"artists": huge | {"id-299": 0}})
    assert never.why_outside(0) == "its weight is 0"


def test_entries_that_nothing_answers_to_are_named() -> None:
    found = held(KNOWN, pool={"artists": ["Ana", "Annna"]}, weights={"tags": {"clam": 2}})
    assert found.unmatched == (
        "pool.artists: nothing in the catalogue answers to 'Annna'",
        "weights.tags: nothing in the catalogue answers to 'clam'",
    )


def test_each_track_outside_counts_for_its_first_reason() -> None:
    songs = [Song(f"track-{n}", explicit=n % 2 == 0, features={"energy": n / 10}) for n in range(9)]
    says = {"pool": {"explicit": "exclude"}, "features": {"energy": {"max": 0.3}}}
    found = eligibility(policy(**says), Lookup(shelf(songs)), NOW)
    assert found.counts() == {"explicit": 5, "its energy is outside the policy's window": 2}
    assert np.flatnonzero(found.weights).tolist() == [1, 3]


def test_an_empty_catalogue_has_no_weights() -> None:
    says = {"pool": {"artists": ["Ana"], "labels": ["x"], "tags": ["x"]}, "weights": {"artists": {"Ana": 2}}}
    assert len(eligibility(policy(**says), Lookup(shelf([])), NOW).weights) == 0


_SONGS = st.lists(
    st.builds(
        Song,
        id=st.integers(0, 999).map("t{:03}".format),
        artists=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.just("Somebody"), max_size=3),
        album=st.sampled_from(
            [
                Record("r1", label="x", tags=("t",), year=1990),
                Record("r2", year=2001, popularity=9),
                Record("r3"),
            ]
        ),
        explicit=st.booleans(),
        playable=st.sampled_from([True, False, None]),
        features=st.dictionaries(st.just("energy"), st.floats(0, 1)),
    ),
    max_size=12,
    unique_by=lambda song: song.id,
)
_SAYS: dict[str, Any] = {
    "pool": {"artists": ["a", "b"], "years": {"first": 1990}, "explicit": "exclude"},
    "features": {"energy": {"max": 0.5}},
    "exclude": {"artists": ["c"]},
    "weights": {"artists": {"b": 2}, "tags": {"t": 0.5}},
}


@given(_SONGS)
def test_all_keys_must_hold_and_each_track_is_judged_for_itself(songs: list[Song]) -> None:
    found = eligibility(policy(**_SAYS), Lookup(shelf(songs)), NOW)

    def expected(song: Song) -> float:
        inside = (
            song.playable is not False
            and "c" not in song.artists
            and bool({"a", "b"} & song.artists.keys())
            and song.album.year >= 1990
            and not song.explicit
            and song.features.get("energy", 0) <= 0.5
        )
        return inside * (2 if "b" in song.artists else 1) * (0.5 if song.album.tags else 1)

    assert found.weights.tolist() == [expected(song) for song in sorted(songs, key=lambda song: song.id)]

"""Transitions cost what their definition says, whatever is missing or absurd."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_pipelines.playlists.transitions import (
    FLOWS,
    PLACE_SCALE,
    SCALE,
    UNKNOWN,
    Flow,
    Sound,
    camelot,
    place_costs,
    transition_costs,
)

anything = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.integers(-2, 13).map(float))
absurd_sounds = st.builds(Sound, anything, anything, anything, anything)
C_MAJOR, A_MINOR, G_MAJOR, F_SHARP_MAJOR = (0, 1), (9, 0), (7, 1), (6, 1)


def cost(one: Sound, other: Sound) -> int:
    return int(transition_costs([one, other])[0, 1])


@pytest.mark.parametrize(
    ("key", "mode", "place"),
    [(0, 1, "8B"), (9, 0, "8A"), (7, 1, "9B"), (5, 1, "7B"), (11, 1, "1B"), (8, 0, "1A"), (4, 1, "12B")],
)
def test_a_key_stands_where_the_camelot_wheel_has_it(key: int, mode: int, place: str) -> None:
    assert camelot(key, mode) == place


@pytest.mark.parametrize(
    ("one", "other", "millionths"),
    [
        (Sound(120, *C_MAJOR, 0.5), Sound(120, *C_MAJOR, 0.5), 0),
        (Sound(100, *C_MAJOR, 0.5), Sound(110, *C_MAJOR, 0.5), 225_000),
        (Sound(100, *C_MAJOR, 0.5), Sound(150, *C_MAJOR, 0.5), 450_000),
        (Sound(70, *C_MAJOR, 0.5), Sound(140, *C_MAJOR, 0.5), 0),
        (Sound(120, *C_MAJOR, 0.5), Sound(120, *A_MINOR, 0.5), 100_000),
        (Sound(120, *C_MAJOR, 0.5), Sound(120, *G_MAJOR, 0.5), 100_000),
        (Sound(120, *A_MINOR, 0.5), Sound(120, *G_MAJOR, 0.5), 200_000),
        (Sound(120, *C_MAJOR, 0.5), Sound(120, *F_SHARP_MAJOR, 0.5), 300_000),
        (Sound(120, *C_MAJOR, 0.2), Sound(120, *C_MAJOR, 0.6), 100_000),
        (Sound(100, *C_MAJOR, 0.0), Sound(150, *F_SHARP_MAJOR, 1.0), SCALE),
    ],
)
def test_a_transition_costs_its_tempo_key_and_energy(one: Sound, other: Sound, millionths: int) -> None:
    assert cost(one, other) == millionths


@pytest.mark.parametrize(
    ("other", "millionths"),
    [
        (Sound(math.nan, *C_MAJOR, 0.5), 225_000),
        (Sound(0, *C_MAJOR, 0.5), 225_000),
        (Sound(math.inf, *C_MAJOR, 0.5), 225_000),
        (Sound(120, -1, 1, 0.5), 150_000),
        (Sound(120, 0, math.nan, 0.5), 150_000),
        (Sound(120, 0.5, 1, 0.5), 150_000),
        (Sound(120, *C_MAJOR, -3), 125_000),
        (UNKNOWN, SCALE // 2),
    ],
)
def test_what_is_missing_or_absurd_counts_as_half_of_its_part(other: Sound, millionths: int) -> None:
    assert cost(Sound(120, *C_MAJOR, 0.5), other) == millionths


@given(st.lists(absurd_sounds, max_size=8))
def test_costs_are_symmetric_and_within_their_scale_whatever_comes_in(sounds: list[Sound]) -> None:
    costs = transition_costs(sounds)
    assert costs.dtype == np.int64
    assert costs.shape == (len(sounds), len(sounds))
    assert (costs == costs.T).all()
    assert not costs.diagonal().any()
    assert ((costs >= 0) & (costs <= SCALE)).all()


@given(st.sampled_from(FLOWS), st.lists(absurd_sounds, max_size=8))
def test_places_cost_within_their_scale_and_flows_without_a_shape_have_none(
    flow: Flow, sounds: list[Sound]
) -> None:
    costs = place_costs(flow, sounds)
    if flow in ("none", "smooth"):
        assert costs is None
    else:
        assert costs is not None
        assert costs.shape == (len(sounds), len(sounds))
        assert ((costs >= 0) & (costs <= PLACE_SCALE)).all()


@pytest.mark.parametrize(
    ("flow", "energies"),
    [
        ("rise", [0.1, 0.2, 0.21, 0.6, 0.9]),
        ("fall", [0.9, 0.6, 0.21, 0.2, 0.1]),
        ("wave", [0.1, 0.5, 0.9, 0.5, 0.1, 0.5, 0.9, 0.5, 0.1]),
    ],
)
def test_tracks_whose_energies_have_the_shape_of_a_flow_stand_best_where_they_are(
    flow: Flow, energies: list[float]
) -> None:
    costs = place_costs(flow, [Sound(energy=energy) for energy in energies])
    assert costs is not None
    assert (costs.diagonal() == costs.min(axis=1)).all()
    assert costs.diagonal()[0] < costs[0].max()


def test_a_track_of_unknown_energy_stands_equally_well_everywhere() -> None:
    costs = place_costs("rise", [Sound(energy=0.1), UNKNOWN, Sound(energy=0.9)])
    assert costs is not None
    assert costs[1].tolist() == [PLACE_SCALE // 2] * 3


def test_a_sound_takes_from_audio_features_what_it_knows() -> None:
    found = Sound.of({"tempo": 120.0, "energy": None, "danceability": 0.3, "key": 4})
    assert (found.tempo, found.key) == (120.0, 4)
    assert math.isnan(found.mode)
    assert math.isnan(found.energy)

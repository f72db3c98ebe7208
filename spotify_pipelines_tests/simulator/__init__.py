"""Tests of the simulator: it has to be a better Spotify than our memory of it."""

"""Tests of ``spotify_pipelines.playlists``."""

"""Tests of the catalogue: URLs, ingest, audio features."""

"""Measurements: each module prints a ratio against a baseline of the same run, since machines differ and drift.

``make bench`` runs all of them; ``docs/figures.md`` has what they said. They are never run by a test: a timing is
a figure, not an assertion. A module has ``figures()``, which measures and answers ``figures.Figure``s.
"""

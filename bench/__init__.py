"""Measurements: each module prints a ratio against a baseline of the same run, since machines differ and drift.

They are run by hand or by ``make bench``, never by a test: a timing is a figure, not an assertion.
"""

"""The assets, by room; ``results`` is what their bodies share.

A body imports its use case itself: Dagster loads the definitions far oftener than it runs an asset (each run, each
daemon, each code server), and without clients and use cases that takes a quarter less time and a third less memory.
"""

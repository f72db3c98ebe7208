"""How old an asset may be: by how often its schedule makes it anew.

Windows and no deadlines: an installation that was set up in the afternoon has missed no night yet.
"""

from datetime import timedelta

import dagster as dg

__all__ = ["DAILY", "HALF_HOURLY", "HOURLY", "fresh_for"]

HALF_HOURLY, HOURLY, DAILY = timedelta(minutes=30), timedelta(hours=1), timedelta(days=1)


def fresh_for(period: timedelta) -> dg.FreshnessPolicy:
    """Warns once a run is late by a quarter of its period (an hour at most), fails when a second one is missing."""
    grace = min(period / 4, timedelta(hours=1))
    return dg.FreshnessPolicy.time_window(fail_window=2 * period + grace, warn_window=period + grace)

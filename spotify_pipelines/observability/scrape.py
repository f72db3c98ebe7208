"""What a scrape of ``/metrics`` gets: the newest snapshot, and what can be said of this very moment cheaply.

What belongs here: putting the two together. What does not: the format (``prometheus``), the guard in front of the
address, counting everything, which once an hour is enough for.
"""

from datetime import datetime
from importlib.metadata import version

from spotify_pipelines.observability.prometheus import CONTENT_TYPE, Sample, exposition, from_snapshot
from spotify_pipelines.settings import World
from spotify_pipelines.store.cooldowns import bans
from spotify_pipelines.store.database import Database
from spotify_pipelines.store.due import albums_due, features_due, playlists_due
from spotify_pipelines.store.job_history import last_successes
from spotify_pipelines.store.metrics import expired_tokens, newest_metrics

__all__ = ["CONTENT_TYPE", "prometheus_text"]


def prometheus_text(database: Database, world: World, now: datetime) -> str:
    """All metrics at ``now`` (aware UTC), to be sent as ``CONTENT_TYPE``; a handful of indexed queries.

    Where no snapshot was captured yet, the live ones alone. Safe to call from any thread; it blocks for milliseconds.
    """
    samples = [Sample("info", 1, {"world": world.value, "version": version("spotify-pipelines")})]
    with database.transaction() as session:
        newest = newest_metrics(session)
        samples += [
            Sample("albums_due", albums_due(session, now).count),
            Sample("features_due", features_due(session, now).count),
            Sample("playlists_due_now", playlists_due(session, now).count),
            Sample("tokens_expired", expired_tokens(session, now)),
        ]
        cooling = len(bans(session, now))
        samples += [
            Sample("job_last_success_timestamp_seconds", ended.timestamp(), {"job": job})
            for job, ended in last_successes(session).items()
        ]
    samples.append(Sample("apps_in_cooldown", cooling))
    if newest is not None:
        captured_at, figures = newest
        samples.append(Sample("metrics_captured_timestamp_seconds", captured_at.timestamp()))
        samples += from_snapshot({k: v for k, v in figures.items() if k != "apps_in_cooldown"})
    return exposition(samples)

"""Finding out what Spotify grants an app, before any work needs to know.

What belongs here: the use case behind ``apps probe``. What does not: which calls tell (the client), how long an
answer holds (``capabilities``).
"""

from spotify_pipelines.errors import ExplainedError
from spotify_pipelines.spotify.accounting import CallLog, Service
from spotify_pipelines.spotify.client import SpotifyClient
from spotify_pipelines.spotify.errors import SpotifyError
from spotify_pipelines.store.calls import CallTarget, record_calls
from spotify_pipelines.store.catalogue import any_album
from spotify_pipelines.store.database import Database

__all__ = ["ProbeFailed", "probe_app"]


class ProbeFailed(ExplainedError):
    """Nothing could be found out about an app; the text says why and what to do."""


async def probe_app(
    database: Database, client: SpotifyClient, calls: CallLog, app_id: int, *, run_id: str
) -> dict[str, bool]:
    """Ask Spotify what the app may do, store it with date, evidence and expiry, and answer it by capability.

    **Minimum of calls**: one for each capability, of which there are three, and two for conditional reads: of an
    album of ours, or else one that Spotify's documentation names, and of the same again. All are counted.

    Raises:
        ProbeFailed: nothing could be found out, and nothing that was known is changed.
    """
    with database.transaction() as session:
        ours = any_album(session)
    with calls.child() as mine:
        try:
            return await client.as_app(app_id).probe(*filter(None, [ours]))
        except SpotifyError as error:
            raise ProbeFailed(f"What the app may do was not found out. {error}") from error
        finally:
            rows = mine.rows()
            # What could be left out is what was sent again.
            minimum: dict[CallTarget, int] = {
                (app_id, None, str(row["endpoint"])): int(row["calls"] or 0) - int(row["retries"] or 0)
                for row in rows
                if row["service"] == Service.WEB_API
            }
            with database.transaction() as session:
                record_calls(session, run_id=run_id, use_case="probe_app", rows=rows, minimum=minimum)

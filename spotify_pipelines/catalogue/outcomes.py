"""How the catalogue's use cases tell what became of an album.

What belongs here: wording and entries of the report that ingest and tracks share. Pure, but for naming the
queue's own types.
"""

from collections.abc import Iterable

from spotify_pipelines.catalogue.stops import Stop
from spotify_pipelines.report import Deferral, Failure, Report
from spotify_pipelines.store.queue import Attempt

__all__ = ["album_failure", "leave_open"]


def album_failure(album_id: str, reason: str, kind: str, attempt: Attempt) -> Failure:
    """A failed album with what happens next: a later try, or nothing until a person asks for it."""
    follow_up = (
        f"It is not tried again; 'spotify-pipelines albums retry {album_id}' does."
        if attempt.final
        else f"It is tried again after {attempt.next_attempt_at:%Y-%m-%d %H:%M} UTC."
    )
    return Failure(f"album {album_id}", f"{reason} {follow_up}", kind, final=attempt.final)


def leave_open(report: Report, items: Iterable[str], stop: Stop) -> None:
    """Report ``items`` as not asked for: put off where time will help, failed where a person has to."""
    for item in items:
        if stop.until is None:
            report.failed.append(Failure(item, stop.reason, stop.kind))
        else:
            report.deferred.append(Deferral(item, stop.until, stop.reason))

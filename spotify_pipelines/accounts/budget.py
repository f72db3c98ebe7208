"""The calls that an app may still make today, where somebody has set a budget.

What belongs here: what is left of the day, and why work has to wait. What does not: which work goes first (each
use case knows its own order), counting (``store.calls``). A budget is kept by planning: a run does not begin work
whose fewest calls go beyond it. Calls of runs that are still at it, and retries, are not foreseen.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from spotify_pipelines.store import accounts as queries
from spotify_pipelines.store.calls import calls_today, midnight

__all__ = ["Budget", "budgets"]


@dataclass(frozen=True, slots=True)
class Budget:
    """An app's budget as it stands: ``used`` of ``calls_per_day`` since midnight UTC, renewed at ``until``."""

    app: str
    calls_per_day: int
    used: int
    until: datetime

    @property
    def left(self) -> int:
        """Calls that may still be planned today.

        >>> Budget("studio", 100, 130, datetime(2026, 11, 24)).left
        0
        """
        return max(0, self.calls_per_day - self.used)

    @property
    def reason(self) -> str:
        """Why what goes beyond it waits, in a sentence for a report."""
        return (
            f"it would go beyond the budget of the app '{self.app}': {self.used} of {self.calls_per_day} calls "
            "are used since midnight UTC"
        )


def budgets(session: Session, now: datetime) -> dict[int, Budget]:
    """The budgets at ``now`` (aware UTC) of those apps that have one, by app id."""
    limited = {app.id: app for app in queries.apps(session) if app.calls_per_day is not None}
    if not limited:
        return {}
    used, until = calls_today(session, now), midnight(now, days=1)
    return {
        id_: Budget(app.name, app.calls_per_day or 0, used.get(id_, 0), until) for id_, app in limited.items()
    }

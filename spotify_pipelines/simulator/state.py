"""Everything the simulator knows, put together: the catalogue, and the durable state in one folder.

One object per running simulator, passed to every request. What the parts do is written in their own modules.
"""

import dataclasses
from collections import defaultdict
from pathlib import Path

from spotify_pipelines.simulator.catalogue import Catalogue
from spotify_pipelines.simulator.clock import ClockSetting, SimClock
from spotify_pipelines.simulator.database import Database
from spotify_pipelines.simulator.faults import Faults
from spotify_pipelines.simulator.ledger import Ledger
from spotify_pipelines.simulator.limits import RollingLimit
from spotify_pipelines.simulator.overrides import LiveCatalogue
from spotify_pipelines.simulator.people import People
from spotify_pipelines.simulator.playlists import Playlists
from spotify_pipelines.simulator.tokens import Tokens

__all__ = ["SimulatorState"]

_DEFAULT_RECCOBEATS_LIMIT = 300


class SimulatorState:
    """The state of one simulator."""

    def __init__(self, state_dir: Path, catalogue: Catalogue) -> None:
        """Open or create the state in ``state_dir``.

        Raises:
            StateInUseError: another simulator works on this folder.
        """
        self.database = Database(state_dir)
        self.catalogue = LiveCatalogue(catalogue, self.database)
        self.people = People(self.database)
        self.tokens = Tokens(self.database)
        self.playlists = Playlists(self.database)
        self.faults = Faults(self.database)
        self.ledger = Ledger(self.database)
        self.limits: defaultdict[tuple[str, str], RollingLimit] = defaultdict(RollingLimit)
        self.clock = SimClock()
        self.reccobeats_limit = _DEFAULT_RECCOBEATS_LIMIT
        self._reload()

    def _reload(self) -> None:
        stored = self.database.read_meta("clock")
        self.clock = SimClock(ClockSetting(**stored) if stored else None)
        self.reccobeats_limit = self.database.read_meta("reccobeats_limit") or _DEFAULT_RECCOBEATS_LIMIT
        self.limits.clear()
        self.people.reload()
        self.faults.reload()
        self.catalogue.reload()

    def save_clock(self) -> None:
        """Write the clock's setting down, so that a restart doesn't turn it back."""
        self.database.write_meta("clock", dataclasses.asdict(self.clock.setting))

    def set_reccobeats_limit(self, limit: int) -> None:
        """Calls that ReccoBeats takes in a rolling 30 seconds."""
        self.reccobeats_limit = limit
        self.database.write_meta("reccobeats_limit", limit)

    def reset(self) -> None:
        """Forget everything but the catalogue."""
        with self.database.transaction():
            self.database.clear()
        self._reload()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

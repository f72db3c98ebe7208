"""A server that is as fast as the limiter can be measured on: it counts a rolling window and is late, and no more.

What belongs here: its answers. The window is the simulator's own, with its growing waits for who doesn't listen; a
tenth of its refusals name no wait. What does not: calling it (``callers``).
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spotify_pipelines.simulator.limits import RollingLimit
from spotify_pipelines.spotify.transport import HttpTransport
from spotify_pipelines.spotify.verdict import Answer

__all__ = ["ModelServer", "ServerModel"]

_NAMELESS = 0.1


@dataclass(frozen=True, slots=True)
class ServerModel:
    """What is called.

    Attributes:
        limits: calls in any 30 seconds, each from a second of the work on; empty: as many as one likes.
        there, back: seconds until a request arrives and until its answer does, drawn evenly.
        refused: part of the calls that are answered 429 whatever the window says, to wait a second.
    """

    limits: Sequence[tuple[float, int]] = ()
    there: tuple[float, float] = (0.02, 0.2)
    back: tuple[float, float] = (0.02, 0.2)
    refused: float = 0.0
    seed: int = 0


class ModelServer(HttpTransport):
    """The model in the place of the network."""

    def __init__(self, model: ServerModel, begin: float) -> None:
        self._model = model
        self._begin = begin
        self._window = RollingLimit()
        self._rng = random.Random(model.seed)

    async def send(self, method: str, url: str, **how: Any) -> Answer:
        model = self._model
        await asyncio.sleep(self._rng.uniform(*model.there))
        answer = self._answer(time.monotonic())
        await asyncio.sleep(self._rng.uniform(*model.back))
        return answer

    def _answer(self, now: float) -> Answer:
        if self._rng.random() < self._model.refused:
            return Answer(429, {"retry-after": "1"}, b"{}")
        limit = [limit for since, limit in self._model.limits if now - self._begin >= since][-1:]
        wait = self._window.ask(now, limit[0]) if limit else None
        if wait is None:
            return Answer(200, {}, b"{}")
        named = {} if self._rng.random() < _NAMELESS else {"retry-after": str(wait)}
        return Answer(429, named, b"{}")

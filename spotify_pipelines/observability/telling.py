"""Telling each receiver what it does not know yet, and remembering what it was told.

What belongs here: one round over all receivers. What does not: what is wrong (``incidents``), the words (``alerts``),
where the memory is kept (whoever calls: a sensor's cursor).

A receiver that fails is told the same, and what has come since, in the next round; the others don't wait for it. It
is remembered only once it was delivered: after a crash in between, a message comes twice rather than never.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from spotify_pipelines.observability.alerts import Alert, compose, news
from spotify_pipelines.observability.delivery import NotDelivered, Receiver
from spotify_pipelines.settings import World

__all__ = ["Memory", "Round", "tell"]

_log = structlog.get_logger(__name__)
_REMEMBERED = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Memory:
    """What each receiver was told, and when (aware UTC): keys of alerts by receiver's name."""

    told: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str | None) -> "Memory":
        """What ``to_json`` wrote; nothing that can't be read is remembered."""
        try:
            stored = json.loads(text or "{}")
            return cls(
                {
                    receiver: {key: datetime.fromisoformat(at) for key, at in keys.items()}
                    for receiver, keys in stored.items()
                }
            )
        except (ValueError, TypeError, AttributeError):
            return cls()

    def to_json(self) -> str:
        """A compact text."""
        return json.dumps(
            {
                receiver: {key: at.isoformat(timespec="microseconds") for key, at in keys.items()}
                for receiver, keys in self.told.items()
            },
            separators=(",", ":"),
        )

    def at(self, receiver: str) -> Mapping[str, datetime]:
        """What this receiver was told."""
        return self.told.get(receiver, {})


@dataclass(frozen=True, slots=True)
class Round:
    """How a round went: what is remembered from now on, and a sentence about each receiver."""

    memory: Memory
    sentences: Sequence[str]


def tell(
    alerts: Sequence[Alert],
    receivers: Sequence[Receiver],
    memory: Memory,
    *,
    world: World,
    now: datetime,
    again_after: timedelta,
) -> Round:
    """Send each receiver one message with all that is news to it at ``now`` (aware UTC)."""
    told: dict[str, dict[str, datetime]] = {}
    sentences = []
    for receiver in receivers:
        known = {key: at for key, at in memory.at(receiver.name).items() if now - at < _REMEMBERED}
        untold = news(alerts, known, now, again_after)
        if not untold:
            sentences.append(f"{receiver.name}: nothing new")
        elif _delivered(receiver, untold, world):
            known |= {alert.key: now for alert in untold}
            sentences.append(f"{receiver.name}: {len(untold)} told")
        else:
            sentences.append(f"{receiver.name}: {len(untold)} not delivered, tried again with the next look")
        told[receiver.name] = known
    return Round(Memory(told), sentences)


def _delivered(receiver: Receiver, alerts: Sequence[Alert], world: World) -> bool:
    keys = [alert.key for alert in alerts]
    try:
        receiver.send(compose(alerts, world.value))
    except NotDelivered as error:
        _log.warning("alert.not_delivered", receiver=receiver.name, alerts=keys, reason=str(error))
        return False
    _log.info("alert.delivered", receiver=receiver.name, alerts=keys)
    return True

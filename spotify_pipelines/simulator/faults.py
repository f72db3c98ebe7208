"""Trouble on order: wrong, late or missing answers, and a Spotify that is slow to see its own changes.

An *answer* fault strikes requests that match it; a *condition* holds until it is taken away. Which of them
strikes depends only on the faults' own seeds and counters, which are durable: a run repeats after a restart.
How a fault is carried out is the business of ``exchange`` (answers) and of the endpoints (conditions).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, TypeAdapter, field_validator

from spotify_pipelines.simulator.catalogue import digest
from spotify_pipelines.simulator.database import Database

__all__ = ["AnswerFault", "Condition", "Fault", "Faults", "Struck", "parse_fault"]


class AnswerFault(BaseModel):
    """Strike requests by method and path.

    With ``status`` the answer is replaced, with ``drop`` the connection is cut without one. Either happens
    *instead of* the request's effect, unless ``drop`` is ``after`` or ``effect`` is true. ``delay`` comes before
    the effect, ``delay_after`` between the effect and the answer (both in real seconds). The first ``skip``
    matching requests pass, then ``n`` are struck (None: no end), each with ``probability``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["answer"] = "answer"
    method: str | None = None
    path: str | None = Field(None, description="Regular expression, searched in the path")
    client_id: str | None = None
    user_id: str | None = None
    status: int | None = Field(None, ge=200, le=599)
    body: str | dict[str, object] | None = None
    headers: dict[str, str] = {}
    drop: Literal["before", "after"] | None = None
    effect: bool = False
    delay: float = Field(0, ge=0)
    delay_after: float = Field(0, ge=0)
    skip: int = Field(0, ge=0)
    n: int | None = Field(None, ge=1)
    probability: float = Field(1, gt=0, le=1)
    seed: int = 0

    @field_validator("path")
    @classmethod
    def _is_a_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from None
        return value

    @property
    def prevents_effect(self) -> bool:
        """Whether the request must not be carried out."""
        return self.drop == "before" or (self.status is not None and not self.effect and self.drop != "after")

    def matches(self, method: str, path: str, client_id: str | None, user_id: str | None) -> bool:
        """Whether a request is of the kind to be struck."""
        return (
            (self.method is None or self.method.upper() == method)
            and (self.path is None or re.search(self.path, path) is not None)
            and (self.client_id is None or self.client_id == client_id)
            and (self.user_id is None or self.user_id == user_id)
        )


class DeadUri(BaseModel):
    """A URI that makes every write of items that contains it answer 502."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["dead_uri"]
    uri: str


class InvalidGrant(BaseModel):
    """Refreshes answer ``invalid_grant``, for one user or (None) for all, ``n`` times or for ever."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["invalid_grant"]
    client_id: str | None = None
    user_id: str | None = None
    n: int | None = Field(None, ge=1)


class Lag(BaseModel):
    """A change shows only after so many simulated seconds: in the snapshot id, the items, or the listing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["slow_snapshot_ids", "slow_items", "listing_lag"]
    seconds: float = Field(gt=0)


class Latency(BaseModel):
    """The network is slow: real seconds until a request arrives (and counts), and until its answer does.

    Each way takes from its first to its second number, drawn evenly; ``probability`` of the requests suffer it,
    whatever they are answered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["latency"]
    client_id: str | None = None
    there: tuple[NonNegativeFloat, NonNegativeFloat] = (0.0, 0.0)
    back: tuple[NonNegativeFloat, NonNegativeFloat] = (0.0, 0.0)
    probability: float = Field(1, gt=0, le=1)
    seed: int = 0


Condition = DeadUri | InvalidGrant | Lag | Latency
Fault = AnswerFault | Condition
_FAULT: TypeAdapter[Fault] = TypeAdapter(Annotated[Fault, Field(discriminator="kind")])


def parse_fault(document: Mapping[str, object]) -> Fault:
    """The fault that a document describes; without a ``kind`` it is an answer fault.

    Raises:
        pydantic.ValidationError: the document isn't one.
    """
    return _FAULT.validate_python({"kind": "answer", **document})


@dataclass(slots=True)
class Struck:
    """A fault on the books: how many requests matched it, and how many of them it struck."""

    fault_id: int
    fault: Fault
    seen: int
    struck: int

    @property
    def is_spent(self) -> bool:
        """Whether all its strokes are used up."""
        limit = getattr(self.fault, "n", None)
        return limit is not None and self.struck >= limit


class Faults:
    """The faults in force."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._active: dict[int, Struck] = {}
        self.reload()

    def reload(self) -> None:
        """Read the faults from the database again."""
        self._active = {
            row["fault_id"]: Struck(
                row["fault_id"], parse_fault(json.loads(row["document"])), row["seen"], row["struck"]
            )
            for row in self._database.rows("SELECT * FROM faults ORDER BY fault_id")
        }

    def add(self, fault: Fault) -> int:
        """Put a fault in force; its number."""
        fault_id = self._database.insert("INSERT INTO faults (document) VALUES (?)", fault.model_dump_json())
        self._active[fault_id] = Struck(fault_id, fault, 0, 0)
        return fault_id

    def remove(self, fault_id: int | None) -> int:
        """Take one fault (None: all) away; how many there were."""
        self._active = {
            key: value for key, value in self._active.items() if fault_id is not None and key != fault_id
        }
        return self._database.run("DELETE FROM faults WHERE fault_id = coalesce(?, fault_id)", fault_id)

    def listed(self) -> list[Struck]:
        """All faults on the books, spent ones too."""
        return list(self._active.values())

    def strike(self, method: str, path: str, client_id: str | None, user_id: str | None) -> Struck | None:
        """The answer fault that strikes this request, if any: the oldest that matches wins."""
        for entry in self._active.values():
            fault = entry.fault
            if not isinstance(fault, AnswerFault) or entry.is_spent:
                continue
            if fault.matches(method, path, client_id, user_id) and self._draw(entry, fault):
                return entry
        return None

    def _draw(self, entry: Struck, fault: AnswerFault) -> bool:
        chance = _chance(fault.seed, entry.seen)
        entry.seen += 1
        hit = entry.seen > fault.skip and chance < fault.probability
        entry.struck += hit
        self._store(entry)
        return hit

    def refuses_grant(self, client_id: str, user_id: str) -> int | None:
        """The fault that makes this refresh answer ``invalid_grant``, if any."""
        for entry in self._active.values():
            fault = entry.fault
            if not isinstance(fault, InvalidGrant) or entry.is_spent:
                continue
            if fault.client_id in (None, client_id) and fault.user_id in (None, user_id):
                entry.seen += 1
                entry.struck += 1
                self._store(entry)
                return entry.fault_id
        return None

    def is_dead(self, uri: str) -> bool:
        """Whether a write that contains ``uri`` fails."""
        return any(
            isinstance(entry.fault, DeadUri) and entry.fault.uri == uri for entry in self._active.values()
        )

    def lag(self, kind: str) -> float:
        """Simulated seconds until a change of this kind is visible."""
        lags = [entry.fault for entry in self._active.values() if isinstance(entry.fault, Lag)]
        return max((lag.seconds for lag in lags if lag.kind == kind), default=0.0)

    def latency(self, client_id: str | None) -> tuple[float, float]:
        """Real seconds that this request takes to arrive, and its answer to come back."""
        there = back = 0.0
        for entry in self._active.values():
            fault = entry.fault
            if not isinstance(fault, Latency) or fault.client_id not in (None, client_id):
                continue
            struck, out, home = (_chance(fault.seed, f"{entry.seen}/{part}") for part in range(3))
            entry.seen += 1
            if struck < fault.probability:
                entry.struck += 1
                there += _between(fault.there, out)
                back += _between(fault.back, home)
            self._store(entry)
        return there, back

    def _store(self, entry: Struck) -> None:
        self._database.run(
            "UPDATE faults SET seen = ?, struck = ? WHERE fault_id = ?",
            entry.seen,
            entry.struck,
            entry.fault_id,
        )


def _chance(seed: int, number: object) -> float:
    """From 0 up to 1, the same in every run."""
    return digest(f"fault/{seed}/{number}") / 2**64


def _between(bounds: tuple[float, float], part: float) -> float:
    return bounds[0] + part * (bounds[1] - bounds[0])

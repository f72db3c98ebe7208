"""What a measurement says: a name, a value, its goal, and what it was made of. Nothing is measured here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Figure", "Measurement", "table"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        value: a ratio against a baseline of the same run, unless ``unit`` says otherwise.
        at_most: the goal, from above; or
        at_least: from below. Without either it is told, not judged.
        detail: the numbers behind it.
    """

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    detail: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached; a figure without one always is."""
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def goal(self) -> str:
        """The goal as text, with a mark where it is missed."""
        if self.at_most is None and self.at_least is None:
            return "-"
        sign, goal = ("≤", self.at_most) if self.at_most is not None else ("≥", self.at_least)
        text = f"{'=' if self.at_most == self.at_least else sign} {goal:.3g}"
        return text if self.is_met else f"{text} (missed)"

    @property
    def shown(self) -> str:
        """The value as text."""
        return f"{self.value:.0f} {self.unit}" if self.unit else f"{self.value:.2f}"


Measurement = Callable[[], Iterable[Figure]]
"""Measures, which takes seconds to minutes, and answers its figures."""


def table(rows: Sequence[tuple[Figure, str]]) -> str:
    """Figures, each with the command that repeats it, as aligned text; the details below each."""
    head = ("figure", "value", "goal", "command")
    cells = [head, *((figure.name, figure.shown, figure.goal, command) for figure, command in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in cells]
    lines = [line.rstrip() for line in lines]
    for number, (figure, _) in reversed(list(enumerate(rows, 1))):
        if figure.detail:
            lines.insert(number + 1, f"    {figure.detail}")
    return "\n".join(lines)

"""What is wrong with a policy, in the words of the file it stands in: path, line, sentence, suggestion.

What belongs here: turning pydantic's complaints about a model into sentences about YAML. What does not: the
models (``policies``) and what they refuse.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from spotify_pipelines.playlists.strict_yaml import Path

__all__ = ["PolicyError", "PolicyProblem", "Wrong", "line_of", "validated", "written"]

Wrong = tuple[Path, str]
"""Where something is wrong, and what."""


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing that is wrong: the key's path (``policies[0].cooldown.days``), its line if known, and what."""

    path: str
    line: int | None
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.path + ': ' if self.path else ''}{self.message}"


class PolicyError(ValueError):
    """A policy file that can't be taken; the text lists every problem with its place."""

    def __init__(self, source: str, problems: Iterable[PolicyProblem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.line or 0, p.path, p.message)))
        if len(self.problems) == 1:
            super().__init__(f"{source}: {self.problems[0]}")
        else:
            listed = "".join(f"\n  {problem}" for problem in self.problems)
            super().__init__(f"{source}: {len(self.problems)} problems{listed}")


# What pydantic says in terms of Python, in terms of YAML.
_PLAINLY: Final = {
    "missing": "is missing",
    "model_type": "should be a mapping",
    "dict_type": "should be a mapping",
    "tuple_type": "should be a list",
    "too_short": "should not be empty",
    "string_type": "should be a text",
    "string_too_short": "should not be empty",
    "string_pattern_mismatch": "should be small letters and digits with single dashes between them",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
}
_KEY: Final = "[key]"
"""How pydantic's paths say that a key is meant and not its value."""

_Model = TypeVar("_Model", bound=BaseModel)


def validated(model: type[_Model], value: Mapping[str, Any]) -> tuple[list[Wrong], _Model | None]:
    """Everything that is wrong with ``value``, or the model made of it."""
    try:
        return [], model.model_validate(value)
    except ValidationError as error:
        # A list whose members are all wrong also counts as empty, which helps nobody.
        details = (
            detail for detail in error.errors() if detail["type"] != "too_short" or not detail["input"]
        )
        return [wrong for detail in details for wrong in _told(model, dict(detail))], None


def written(path: Path) -> str:
    """A path as people write it.

    >>> written(("policies", 0, "cooldown", "days"))
    'policies[0].cooldown.days'
    """
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """The line of a key, or of the nearest thing around a missing one."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def _told(model: type[BaseModel], detail: Mapping[str, Any]) -> Iterator[Wrong]:
    """Paths and sentences for one of pydantic's complaints."""
    path = tuple(key for key in detail["loc"] if key != _KEY)
    context = detail.get("ctx", {})
    if detail["type"] == "contradictions":
        yield from (((*path, *inner), message) for inner, message in context["found"])
    elif detail["type"] == "extra_forbidden":
        yield path, _unknown_key(str(path[-1]), _model_at(model, path[:-1]))
    elif detail["type"] in ("policy", "missing"):
        yield path, _PLAINLY.get(detail["type"], detail["msg"])
    else:
        yield path, _sentence(detail) + _given(detail)


def _sentence(detail: Mapping[str, Any]) -> str:
    message: str = _PLAINLY.get(detail["type"], detail["msg"].replace("Input should", "should"))
    return message.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")


def _given(detail: Mapping[str, Any]) -> str:
    value = detail["input"]
    if not isinstance(value, str | int | float | None):
        return ""
    choices = re.findall(r"'([^']+)'", detail.get("ctx", {}).get("expected", ""))
    close = get_close_matches(str(value).lower(), choices, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f", got {json.dumps(value, ensure_ascii=False)[:60]}{hint}"


def _unknown_key(key: str, model: type[BaseModel] | None) -> str:
    known = list(model.model_fields) if model else []
    close = get_close_matches(key.lower(), known, n=1, cutoff=0.6)
    # "labels" beside the pool, "artist_cooldown" for cooldown.artist
    words = sorted(key.lower().split("_"))
    deeper = next(
        (
            path
            for path in _paths_below(model)
            if path.endswith(f".{key.lower()}") or sorted(path.split(".")) == words
        ),
        None,
    )
    if meant := (deeper or (close[0] if close else None)):
        return f"unknown key; did you mean {meant}?"
    return f"unknown key; known here: {', '.join(known)}"


def _paths_below(model: type[BaseModel] | None) -> Iterator[str]:
    """Paths of the keys inside the mappings that a model holds."""
    for name, field in model.model_fields.items() if model else ():
        inner = _model_in(field.annotation)
        if inner is not None:
            yield from (f"{name}.{key}" for key in (*inner.model_fields, *_paths_below(inner)))


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model of the mapping at ``path``."""
    found: type[BaseModel] | None = model
    for key in path:
        if isinstance(key, str) and found is not None:
            found = _model_in(found.model_fields[key].annotation)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)

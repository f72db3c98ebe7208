"""The ``fields`` filter of the playlist endpoints: ``name,items(added_at,item(id,!album))`` and the like.

A pure function from a JSON value and a filter to the filtered value. Dots go one level down, parentheses go
down with several fields, ``!`` leaves a field out; lists are passed through element by element.
"""

import re
from dataclasses import dataclass, field

__all__ = ["FieldsError", "select_fields"]

_TOKEN = re.compile(r"[A-Za-z_*][A-Za-z0-9_]*|[(),.!]")


class FieldsError(ValueError):
    """The filter can't be read."""


@dataclass(slots=True)
class _Selection:
    """A node of the parsed filter. Without ``kept`` everything is kept that isn't ``dropped``."""

    kept: dict[str, "_Selection"] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)


def select_fields(value: object, fields: str) -> object:
    """``value`` reduced to ``fields``.

    >>> select_fields({"a": 1, "b": [{"c": 2, "d": 3}]}, "b(c)")
    {'b': [{'c': 2}]}

    Raises:
        FieldsError: parentheses don't match, or a sign is out of place.
    """
    compact = fields.replace(" ", "")
    tokens = _TOKEN.findall(compact)
    if "".join(tokens) != compact:
        raise FieldsError(fields)
    tokens.reverse()
    selection = _Selection()
    _parse_list(tokens, selection)
    if tokens:
        raise FieldsError(fields)
    return _apply(value, selection)


def _parse_list(tokens: list[str], into: _Selection) -> None:
    while True:
        _parse_field(tokens, into)
        if not tokens or tokens[-1] != ",":
            return
        tokens.pop()


def _parse_field(tokens: list[str], into: _Selection) -> None:
    is_dropped = bool(tokens) and tokens[-1] == "!" and bool(tokens.pop())
    if not tokens or tokens[-1] in "(),.!":
        raise FieldsError("a field name is missing")
    name = tokens.pop()
    if is_dropped:
        into.dropped.add(name)
        return
    child = into.kept.setdefault(name, _Selection())
    if tokens and tokens[-1] == ".":
        tokens.pop()
        _parse_field(tokens, child)
    elif tokens and tokens[-1] == "(":
        tokens.pop()
        _parse_list(tokens, child)
        if not tokens or tokens.pop() != ")":
            raise FieldsError("a parenthesis is not closed")


def _apply(value: object, selection: _Selection) -> object:
    if isinstance(value, list):
        return [_apply(element, selection) for element in value]
    if not isinstance(value, dict):
        return value
    if not selection.kept or "*" in selection.kept:
        return {name: inner for name, inner in value.items() if name not in selection.dropped}
    return {name: _apply(value[name], child) for name, child in selection.kept.items() if name in value}

"""YAML that people write, read so that nothing surprises: plain values and the line that each stands on.

What belongs here: turning one YAML document into mappings, lists, texts, numbers and booleans. What does not:
what they mean (``policies``).

Refused, with the line: more than one document, aliases (which can blow a small file up), keys given twice, tags
that build objects, deep nesting, large files. Plain scalars follow YAML 1.2's core schema, where ``12:30`` is a
text and not 750, and ``no`` is not false. A key that is a whole number is taken as the text of its digits.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.error import MarkedYAMLError

__all__ = ["Document", "Path", "YamlProblem", "read_yaml"]

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 16
_MAX_DIGITS: Final = 30

_TAG: Final = "tag:yaml.org,2002:"
_KEYS: Final = (f"{_TAG}str", f"{_TAG}int")
_BOOLEANS: Final = {"true": True, "false": False}

Path = tuple[str | int, ...]
"""Where a value stands: keys and positions from the top."""


@dataclass(frozen=True, slots=True)
class YamlProblem:
    """Something that can't be read, and the line it stands on (1 is the first; None: the file as a whole)."""

    line: int | None
    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document's value, the line of each part of it, and what was wrong; ``value`` is None if nothing was."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: tuple[YamlProblem, ...] = ()


def read_yaml(text: str | bytes) -> Document:
    """Read one document. Never raises for its content: what is wrong stands in ``problems``."""
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        return _unreadable(f"has {size:,} bytes; at most {MAX_BYTES:,} are taken")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            return _unreadable(f"is not UTF-8 (byte {error.start:,})", line=line)
    try:
        node = _Loader(text).get_single_node()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = " ".join(part for part in (error.context, error.problem) if part)
        # PyYAML ends a plain text at a question mark there, and shared links have one.
        hint = "; within [] and {} an address with a ? needs quotes" if "got '?'" in told else ""
        return _unreadable(f"is not readable as YAML: {told}{hint}", line=mark.line + 1 if mark else None)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        return _unreadable(f"holds a character that YAML forbids (U+{int(error.character):04X})", line=line)
    if node is None:
        return Document(None)
    reading = _Reading()
    value = reading.value(node, ())
    return Document(value, reading.lines, tuple(reading.problems))


def _unreadable(message: str, line: int | None = None) -> Document:
    return Document(None, problems=(YamlProblem(line, (), message),))


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the core schema of YAML 1.2, no aliases and bounded depth."""

    yaml_implicit_resolvers = {}  # noqa: RUF012

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.get_mark()
        if self.check_event(yaml.AliasEvent):
            raise MarkedYAMLError(
                problem="aliases (*name) are not taken; write the value out", problem_mark=mark
            )
        if self._depth >= MAX_DEPTH:
            raise MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(rf"^(?:{_pattern})$"), _first)


class _Reading:
    """Plain values from composed nodes, with lines and problems collected on the way."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[YamlProblem] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(item, (*path, place)) for place, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._problem(node, path, f"has the tag {node.tag}, which is not taken")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # A position such as 1 is a key like any other text.
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _KEYS:
                self._problem(key_node, path, "has a key that is neither a text nor a whole number")
                continue
            key = key_node.value
            here = (*path, key)
            if key in values:
                self._problem(key_node, here, f"is given twice, first on line {self.lines[here]}")
                continue
            self.lines[here] = key_node.start_mark.line + 1
            values[key] = self.value(value_node, here)
        return values

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text: str = node.value
        match node.tag.removeprefix(_TAG):
            case "str":
                return text
            case "null":
                return None
            case "bool" if text.lower() in _BOOLEANS:
                return _BOOLEANS[text.lower()]
            case "int" | "float" as kind if len(text) <= _MAX_DIGITS:
                try:
                    number = int(text) if kind == "int" else float(text)
                except ValueError:
                    number = math.nan
                if math.isfinite(number):
                    return number
        return self._problem(node, path, f"{text[:40]!r} is not a value that is taken here")

    def _problem(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append(YamlProblem(node.start_mark.line + 1, path, message))

"""Spotify's own OpenAPI descriptions for tests: where they are, what they describe, and answers made from them.

What belongs here: reading the files, following references, the example of a schema and a hypothesis strategy for
it. What does not: where the facts known about Spotify contradict them, and any assertion.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st

__all__ = ["DIALECTS", "FOLDER", "ITEMS", "SHARED", "Description", "as_published", "needs_openapi"]

SHARED = Path(os.environ.get("SPOTIFY_PIPELINES_SHARED", Path(__file__).parents[3] / "shared"))
FOLDER = SHARED / "spotify" / "openapi"
DIALECTS = {"reduced": "fixed-2026-05-31.yml", "classic": "official-2026-01-03.yml"}
"""The Web API after the changes of February 2026, and before."""
ITEMS = "[]"
"""In a way down a schema: the elements of an array."""

needs_openapi = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs Spotify's OpenAPI files in {FOLDER}")

Schema = Mapping[str, Any]


@cache
def as_published(dialect: str) -> dict[str, Any]:
    """The whole file of a dialect."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(yaml.load((FOLDER / DIALECTS[dialect]).read_text(), Loader=loader))


@dataclass(frozen=True)
class Description:
    """One dialect's description, with references followed and ``allOf`` merged wherever one looks."""

    dialect: str

    def operation(self, method: str, path: str) -> Schema | None:
        """The operation that a path without the base (``/albums/x``) belongs to; None where there is none."""
        return self.operations().get((method.lower(), self._template(method.lower(), path)))

    def operations(self) -> dict[tuple[str, str], Schema]:
        """Every operation by method and template."""
        paths = as_published(self.dialect)["paths"]
        return {(method, path): each for path, methods in paths.items() for method, each in methods.items()}

    def query_names(self, operation: Schema) -> set[str]:
        """The query parameters that an operation knows."""
        parameters = [self.resolved(each) for each in operation.get("parameters", ())]
        return {each["name"] for each in parameters if each["in"] == "query"}

    def body_names(self, operation: Schema) -> set[str]:
        """The keys that an operation's JSON body knows."""
        body = self.resolved(operation.get("requestBody", {}))
        return set(self.resolved(_json_schema(body)).get("properties", {}))

    def answer(self, method: str, template: str, way: Iterable[str] = ()) -> Schema:
        """The schema of an operation's success, or what lies on ``way`` down from there."""
        responses = self.operations()[method, template]["responses"]
        schema = self.resolved(_json_schema(self.resolved(responses.get("200") or responses["201"])))
        for step in way:
            schema = self.resolved(schema["items"] if step == ITEMS else schema["properties"][step])
        return schema

    def property_names(self) -> set[str]:
        """Every key that any schema of the file gives to an object."""
        return set(_property_names(as_published(self.dialect)["components"]))

    def resolved(self, schema: Schema) -> Schema:
        """A schema without reference or ``allOf`` at its top."""
        if "$ref" in schema:
            target: Schema = as_published(self.dialect)
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            return self.resolved(target)
        if "allOf" not in schema:
            return schema
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self.resolved, schema["allOf"]):
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            merged = {**part, **merged, "properties": properties}
        return merged

    def example(self, schema: Schema) -> Any:
        """An answer with every field, made of the examples in the file, and of plain values where it has none."""
        schema = self.resolved(schema)
        if "properties" in schema:
            return {name: self.example(each) for name, each in schema["properties"].items()}
        if "example" in schema:
            given = schema["example"]
            return given.strip() if isinstance(given, str) else given
        if "enum" in schema:
            return schema["enum"][0]
        if "oneOf" in schema:
            return self.example(schema["oneOf"][0])
        if schema.get("type") == "array":
            return [self.example(schema["items"])]
        return {"string": "text", "integer": 3, "number": 0.5, "boolean": False}.get(
            schema.get("type", ""), {}
        )

    def answers(self, schema: Schema, *, strangers: Iterable[str]) -> st.SearchStrategy[Any]:
        """Answers in which every field may be there, be null or be absent, joined by ``strangers``."""
        schema = self.resolved(schema)
        if "oneOf" not in schema and ("properties" in schema or schema.get("type", "object") == "object"):
            fields = {
                name: st.none() | self.answers(each, strangers=strangers)
                for name, each in schema.get("properties", {}).items()
            }
            extras = st.dictionaries(st.sampled_from(sorted(strangers)), _ANYTHING, max_size=2)
            known = st.fixed_dictionaries({}, optional=fields)
            return st.builds(lambda answer, extra: {**extra, **answer}, known, extras)
        if "oneOf" in schema:
            return st.one_of(*(self.answers(each, strangers=strangers) for each in schema["oneOf"]))
        if schema["type"] == "array":
            return st.lists(st.none() | self.answers(schema["items"], strangers=strangers), max_size=2)
        return _scalar(schema)

    def _template(self, method: str, path: str) -> str:
        """The template that fits; one without parameters before one with them."""
        fitting = [
            template
            for known, template in self.operations()
            if known == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        ]
        return min(fitting, key=lambda template: template.count("{"), default="")


_ANYTHING = st.sampled_from([None, True, 7, "unheard of", [], ["of"], {"unheard": {"of": 1}}])


def _scalar(schema: Schema) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    match schema["type"]:
        case "integer":
            return st.integers(-(2**31) if low is None else low, 2**31 if high is None else high)
        case "number":
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case _:
            return st.text(max_size=8)


def _json_schema(holder: Schema) -> Schema:
    schema: Schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _property_names(part: object) -> Iterable[str]:
    if isinstance(part, dict):
        properties = part.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for value in part.values():
            yield from _property_names(value)
    elif isinstance(part, list):
        for value in part:
            yield from _property_names(value)

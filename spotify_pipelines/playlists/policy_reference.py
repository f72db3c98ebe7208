"""All keys of a policy as a table for people, from the JSON Schema that editors get.

What belongs here: what a schema says, in words. What does not: what keys mean (the models in ``policies``).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from spotify_pipelines.playlists.policies import policies_json_schema

__all__ = ["reference_table"]

_Schema = Mapping[str, Any]
_WINDOW: Final = "FeatureWindow"
_TYPES: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def reference_table() -> str:
    """One row per key in Markdown: its path, what it takes, its default, what it means."""
    models: _Schema = policies_json_schema()["$defs"]
    rows = (f"| {' | '.join(_cell(each) for each in row)} |" for row in _rows(models, "Policy", ""))
    return "\n".join(["| key | takes | default | meaning |", "|---|---|---|---|", *rows])


def _rows(models: _Schema, name: str, above: str) -> Iterator[tuple[str, str, str, str]]:
    model = _keyed(models[name])
    for key, schema in model["properties"].items():
        path = f"{above}{key}"
        inner = _mapping_in(schema)
        meaning = schema.get("description") or (_keyed(models[inner])["description"] if inner else "")
        if inner and inner != _WINDOW:
            takes = "`all`, or a mapping" if "anyOf" in models[inner] else "a mapping"
            yield f"`{path}`", takes, "", meaning
            yield from _rows(models, inner, f"{path}.")
        else:
            default = "required" if key in model.get("required", ()) else _default(schema)
            yield f"`{path}`", "`min`, `max` or both" if inner else _takes(schema, models), default, meaning


def _mapping_in(schema: _Schema) -> str | None:
    """The model that a key holds, if it holds one with keys."""
    choices = [schema, *schema.get("anyOf", ())]
    refs = (str(each["$ref"]).rpartition("/")[2] for each in choices if "$ref" in each)
    return next((ref for ref in refs if ref != "Rule"), None)


def _keyed(model: _Schema) -> _Schema:
    """The alternative that has keys, where a model may be said in another way as well."""
    return next((each for each in model.get("anyOf", ()) if "properties" in each), model)


def _takes(schema: _Schema, models: _Schema) -> str:
    if "$ref" in schema:
        return _takes(models[str(schema["$ref"]).rpartition("/")[2]], models)
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{choice}`" for choice in choices)
    if "anyOf" in schema:
        told = (_takes(each, models) for each in schema["anyOf"] if each.get("type") != "null")
        return ", or ".join(told)
    if schema["type"] == "array":
        return f"list of {_takes(schema['items'], models)}"
    if schema["type"] == "object":
        values = schema.get("additionalProperties") or next(iter(schema["patternProperties"].values()))
        return f"mapping to {_takes(values, models)}"
    return schema.get("format") or _TYPES[schema["type"]] + _bounds(schema)


def _bounds(schema: _Schema) -> str:
    if "minimum" not in schema:
        return ""
    step = f" in steps of {schema['multipleOf']}" if "multipleOf" in schema else ""
    return f" {schema['minimum']:g} to {schema['maximum']:g}{step}"


def _default(schema: _Schema) -> str:
    value = schema.get("default")
    if value in (None, [], {}):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _cell(text: str) -> str:
    first = text.partition("\n\n")[0]
    return " ".join(first.split()).replace("``", "`").replace("|", "\\|")

"""What is known of a type before there is a value: which keys its JSON may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import JsonSchemaMode

from squidmesh.workflow.secret import JsonSchema, QuietSchema


class Shape:
    """The JSON of a type, as far as it is known. Immutable."""

    __slots__ = ("_definitions", "_schema")

    def __init__(self, schema: JsonSchema, definitions: Mapping[str, JsonSchema]) -> None:
        self._schema = schema
        self._definitions = definitions

    @classmethod
    def of(cls, adapter: TypeAdapter[Any], mode: JsonSchemaMode) -> Shape:
        """``validation``: what may come in; ``serialization``: what the dump looks like."""
        try:
            schema = adapter.json_schema(by_alias=False, mode=mode, schema_generator=QuietSchema)
        except (PydanticUserError, ValueError, TypeError):
            return UNKNOWN  # a type of the author's own: only its validator knows
        return cls(schema, schema.get("$defs", {}))

    @property
    def schema(self) -> JsonSchema:
        """The JSON schema itself; empty where nothing is known."""
        return self._schema

    @property
    def open(self) -> bool:
        """An object of this type may have keys that are not known by name."""
        return any(_is_open(one) for one in self._alternatives())

    @property
    def always_object(self) -> bool:
        """False where some value is known to be neither an object nor null."""
        return all(_is_open(one) or one.get("type") in ("object", "null") for one in self._alternatives())

    def keys(self) -> dict[str, Shape]:
        """The keys that are known by name. One that differs between alternatives is of unknown shape."""
        found: dict[str, Shape] = {}
        for one in self._alternatives():
            for key, schema in one.get("properties", {}).items():
                found[key] = UNKNOWN if key in found else Shape(schema, self._definitions)
        return found

    def may_have(self, path: tuple[str, ...]) -> bool:
        """Whether there may be a value at this path; False only where it is known that there is none."""
        if not path or self.open:
            return True
        inner = self.keys().get(path[0])
        return inner is not None and inner.may_have(path[1:])

    def _alternatives(self) -> Iterator[JsonSchema]:
        todo, seen = [self._schema], set()
        while todo:
            schema = todo.pop()
            choices = [choice for word in ("anyOf", "oneOf", "allOf") for choice in schema.get(word, ())]
            if "$ref" in schema:
                name = schema["$ref"].rpartition("/")[2]
                if name not in seen:
                    seen.add(name)
                    todo.append(self._definitions[name])
            elif choices:
                todo.extend(choices)
            else:
                yield schema


def _is_open(schema: JsonSchema) -> bool:
    if schema.get("type") == "object":
        return bool(schema.get("additionalProperties", "properties" not in schema)) or "patternProperties" in schema
    return not {"type", "enum", "const"} & schema.keys()


UNKNOWN: Final = Shape({}, {})

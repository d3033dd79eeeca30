"""Payload models from JSON schemas: what validates a payload whose workflow has no class (a workflow made at run time).

A small part of JSON Schema, all of which is enforced; whatever else is in a schema is refused, so that no schema says
what nobody holds a payload to. The schema is kept as it was said, and is the one that people and editors see.

=============== =================================================================================================
``type``        what may stand beside it
=============== =================================================================================================
``object``      ``properties``, ``required``, ``additionalProperties`` (true, false, or the schema of the others)
``array``       ``items``, ``minItems``, ``maxItems``
``string``      ``enum``, ``minLength``, ``maxLength``, ``format`` (``date``, ``date-time``, ``uuid``)
``integer``     ``enum``, ``minimum``, ``maximum``, ``exclusiveMinimum``, ``exclusiveMaximum``
``number``      as ``integer``
``boolean``     ``enum``
none            anything, unless it is ``anyOf`` a schema and ``{"type": "null"}``, or a ``$ref`` to ``#/$defs/…``
=============== =================================================================================================

``title``, ``description`` and ``default`` may stand in each, ``$defs`` in the outermost. A property of an object is
required, or it has a default. A property that is not named is refused unless ``additionalProperties`` allows it.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from keyword import iskeyword
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
    create_model,
)

from squidmesh.workflow.payload import describe
from squidmesh.workflow.settings import Problems

_SAID_OF_ALL: Final = frozenset({"title", "description", "default"})
_RANGE: Final = {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"}
_LENGTH: Final = {"minLength": "min_length", "maxLength": "max_length"}
_COUNT: Final = {"minItems": "min_length", "maxItems": "max_length"}
_BOUNDS: Final = {"string": _LENGTH, "integer": _RANGE, "number": _RANGE, "array": _COUNT}
_KEYWORDS: Final = {
    "string": {"enum", "format", *_LENGTH},
    "integer": {"enum", *_RANGE},
    "number": {"enum", *_RANGE},
    "boolean": {"enum"},
    "array": {"items", *_COUNT},
    "object": {"properties", "required", "additionalProperties"},
}
_SCALARS: Final[dict[str, Any]] = {
    "string": StrictStr,
    "integer": StrictInt,
    "number": StrictInt | StrictFloat,
    "boolean": StrictBool,
}
_FORMATS: Final[dict[str, Any]] = {"date": date, "date-time": datetime, "uuid": uuid.UUID}
_NULL: Final = {"type": "null"}
_REF: Final = "#/$defs/"
_CODE: Final = "unsupported_schema"


class _Payload(BaseModel):
    """Shows the schema that it was made from."""

    _schema: ClassVar[dict[str, Any]]

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        return copy.deepcopy(cls._schema)


class Anything(BaseModel):
    """Stands where a schema was refused: a payload of which nothing is known."""

    model_config = ConfigDict(extra="allow")


def model_of(schema: object, *, path: str, problems: Problems) -> type[BaseModel]:
    """The model of a payload's schema, an object's; :class:`Anything` after saying what is wrong with it."""
    before = len(problems.found)
    if not isinstance(schema, dict) or schema.get("type") != "object":
        problems.add(path, _CODE, 'a payload is an object: allowed is {"type": "object", "properties": {…}}')
        return Anything
    definitions = schema.get("$defs", {})
    if not isinstance(definitions, dict):
        problems.add(f"{path}.$defs", _CODE, "is no object; allowed is one schema a name")
        return Anything
    reader = _Reader(problems, path, definitions)
    model = reader.model({word: said for word, said in schema.items() if word != "$defs"}, path, base=_Payload)
    if len(problems.found) > before:
        return Anything
    model._schema = copy.deepcopy(schema)
    found: type[BaseModel] = model
    return found


class _Reader:
    """Each method gives what validates, and ``Any`` where something was refused. ``root``: where the schema stands."""

    def __init__(self, problems: Problems, root: str, definitions: Mapping[str, Any]) -> None:
        self.problems = problems
        self.root = root
        self.definitions = definitions
        self.made: dict[str, Any] = {}
        """By name of a definition what validates it; None while that is being made."""

    def refuse(self, path: str, message: str) -> Any:
        self.problems.add(path, _CODE, message)
        return Any

    def type_of(self, schema: object, path: str) -> Any:
        if not isinstance(schema, dict):
            return self.refuse(path, "is no schema; allowed is an object such as {}")
        if "$ref" in schema:
            return self.reference(schema, path)
        if "anyOf" in schema:
            return self.nullable(schema, path)
        kind = schema.get("type")
        if "type" not in schema:
            self.check_words(schema, path, set())
            return JsonValue
        if not isinstance(kind, str) or kind not in _KEYWORDS:
            return self.refuse(f"{path}.type", f"{kind!r} is refused; allowed are {', '.join(_KEYWORDS)}")
        if kind == "object":
            return self.model(schema, path, base=BaseModel) if "properties" in schema else self.mapping(schema, path)
        self.check_words(schema, path, _KEYWORDS[kind])
        if kind == "array":
            inner: Any = self.type_of(schema["items"], f"{path}.items") if "items" in schema else JsonValue
            return self.bounded(list[inner], kind, schema, path)
        return self.scalar(kind, schema, path)

    def check_words(self, schema: Mapping[str, Any], path: str, allowed: set[str]) -> None:
        for word in schema.keys() - allowed - _SAID_OF_ALL - {"type"}:
            known = ", ".join(sorted(allowed | _SAID_OF_ALL))
            self.refuse(f"{path}.{word}", f"is not among what can be held to here; allowed are {known}")
        for word in ("title", "description"):
            if not isinstance(schema.get(word, ""), str):
                self.refuse(f"{path}.{word}", "is no text; allowed is one")

    def scalar(self, kind: str, schema: Mapping[str, Any], path: str) -> Any:
        base = _SCALARS[kind]
        if "format" in schema:
            given = schema["format"]
            if not isinstance(given, str) or given not in _FORMATS:
                return self.refuse(f"{path}.format", f"{given!r} is refused; allowed are {', '.join(_FORMATS)}")
            if schema.keys() & {"enum", *_LENGTH}:
                return self.refuse(f"{path}.format", "a format needs no other bounds; allowed is one or the other")
            return _FORMATS[given]
        base = self.bounded(base, kind, schema, path)
        if "enum" not in schema:
            return base
        options = schema["enum"]
        if not isinstance(options, list) or not options or not all(_is_of(base, option) for option in options):
            return self.refuse(f"{path}.enum", f"allowed is a list of at least one {kind}")
        return Annotated[base, AfterValidator(_one_of(options))]

    def bounded(self, base: Any, kind: str, schema: Mapping[str, Any], path: str) -> Any:
        bounds: dict[str, Any] = {}
        for word, name in _BOUNDS.get(kind, {}).items():
            if word not in schema:
                continue
            bound = schema[word]
            counts = name in ("min_length", "max_length")
            if not (_is_of(StrictInt, bound) and bound >= 0 if counts else _is_of(_SCALARS["number"], bound)):
                allowed = "a whole number from 0 on" if counts else "a number"
                self.refuse(f"{path}.{word}", f"{bound!r} is refused; allowed is {allowed}")
                continue
            bounds[name] = bound
        return Annotated[base, Field(**bounds)] if bounds else base

    def reference(self, schema: Mapping[str, Any], path: str) -> Any:
        self.check_words(schema, path, {"$ref"})
        given = schema["$ref"]
        name = given.removeprefix(_REF) if isinstance(given, str) and given.startswith(_REF) else None
        if name is None or name not in self.definitions:
            known = ", ".join(f"{_REF}{name}" for name in self.definitions) or "none, for there are no $defs"
            return self.refuse(f"{path}.$ref", f"{given!r} is refused; allowed are {known}")
        if name not in self.made:
            self.made[name] = None
            self.made[name] = self.type_of(self.definitions[name], f"{self.root}.$defs.{name}")
        if self.made[name] is None:
            return self.refuse(f"{path}.$ref", f"{name} is a part of itself; allowed are values of a known depth")
        return self.made[name]

    def nullable(self, schema: Mapping[str, Any], path: str) -> Any:
        self.check_words(schema, path, {"anyOf"})
        choices = schema["anyOf"]
        others = [one for one in choices if one != _NULL] if isinstance(choices, list) else []
        if len(others) != 1 or len(choices) != 2:
            return self.refuse(f"{path}.anyOf", 'allowed is a schema and {"type": "null"}')
        inner = self.type_of(others[0], f"{path}.anyOf[{choices.index(others[0])}]")
        return inner | None if inner is not Any else Any

    def mapping(self, schema: Mapping[str, Any], path: str) -> Any:
        """An object whose keys are not known."""
        self.check_words(schema, path, {"additionalProperties"})
        others = schema.get("additionalProperties", True)
        if isinstance(others, bool):
            return dict[StrictStr, JsonValue] if others else self.model(schema, path, base=BaseModel)
        inner = self.type_of(others, f"{path}.additionalProperties")
        return dict[StrictStr, inner]  # type: ignore[valid-type]

    def model(self, schema: Mapping[str, Any], path: str, *, base: type[BaseModel]) -> Any:
        """A model: its keys are known."""
        self.check_words(schema, path, _KEYWORDS["object"])
        properties, required = schema.get("properties", {}), schema.get("required", [])
        others = schema.get("additionalProperties", False)
        if not isinstance(properties, dict):
            return self.refuse(f"{path}.properties", "is no object; allowed is one schema a name")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            return self.refuse(f"{path}.required", "allowed is a list of names of properties")
        if not isinstance(others, bool):
            return self.refuse(f"{path}.additionalProperties", "beside properties, allowed is a boolean")
        for name in required:
            if name not in properties:
                self.refuse(f"{path}.required", f"{name!r} is not among the properties")
        fields: dict[str, Any] = {
            name: self.field(name, inner, f"{path}.properties.{name}", required=name in required)
            for name, inner in properties.items()
        }
        if any(field is None for field in fields.values()):
            return Any
        extra: dict[str, Any] = {"extra": "allow" if others else "forbid"}
        return create_model("Payload", __base__=base, __cls_kwargs__=extra, **fields)

    def field(self, name: str, schema: object, path: str, *, required: bool) -> tuple[Any, Any] | None:
        """Type and default of a field; None where its name is refused."""
        type_ = self.type_of(schema, path)
        if not _is_field_name(name):
            self.refuse(
                path, f"{name!r} is refused; allowed is a name that a parameter could have, but none of pydantic's"
            )
            return None
        if not isinstance(schema, dict) or "default" not in schema:
            if not required and type_ is not Any:
                self.refuse(path, f"{name!r} is neither required nor has a default; allowed is one of the two")
            return type_, ...
        try:
            TypeAdapter(type_).validate_python(schema["default"])
        except ValidationError as error:
            self.problems.add(f"{path}.default", "invalid_default", f"is no value of this property: {describe(error)}")
            return type_, ...
        return type_, ... if required else Field(default=schema["default"], validate_default=True)


def _is_field_name(name: str) -> bool:
    plain = name.isidentifier() and name.isascii() and not iskeyword(name) and not name.startswith(("_", "model_"))
    return plain and not hasattr(_Payload, name)


def _is_of(type_: Any, value: object) -> bool:
    try:
        TypeAdapter(type_).validate_python(value)
    except ValidationError:
        return False
    return True


def _one_of(options: list[Any]) -> Callable[[Any], Any]:
    allowed = ", ".join(map(repr, options))

    def check(value: Any) -> Any:
        if value not in options:
            raise ValueError(f"allowed are {allowed}")
        return value

    return check

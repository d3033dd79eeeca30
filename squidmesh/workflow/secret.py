"""Secret fields: how an author marks them, where a type has them, and what is stored of them.

A field is secret where its type is pydantic's ``SecretStr``, ``SecretBytes`` or ``Secret[…]``, or where it is marked:
``token: Annotated[str, secret]``. What is stored is the true value, for the step that needs it; what is shown is
decided from the *secret paths*, which the definition keeps (:mod:`squidmesh.redaction`).

Where they are is read from the type's JSON schema, in which a secret is ``writeOnly``: so pydantic itself has walked
through models, typed dicts, unions and lists of them.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, GetJsonSchemaHandler, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaWarningKind
from pydantic_core import CoreSchema, core_schema

from squidmesh.config import MAX_DEPTH
from squidmesh.redaction import ANY, Path, below, parse, secret_texts

JsonSchema = dict[str, Any]

_MARK: Final = "writeOnly"
_SECRETS: Final = (SecretStr, SecretBytes, Secret)
_ANYTHING: Final[TypeAdapter[Any]] = TypeAdapter(Any)


class _Marker:
    """What :data:`secret` is. pydantic asks it what it adds to a JSON schema."""

    __slots__ = ()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return {**handler(schema), _MARK: True}

    def __repr__(self) -> str:
        return "secret"


secret: Final = _Marker()
"""Marks a field, or anything within a type, as secret without changing its type: ``token: Annotated[str, secret]``."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The secret paths of a type. ``paths``: by the names that its JSON has. ``given``: also by the aliases under which
    a caller may give them.
    """

    paths: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    def texts_in(self, value: object) -> set[str]:
        """The secrets in a value as it was given, which may be wrong in any way."""
        return secret_texts(_opened(value), self.given) if self.given else set()


UNMARKED: Final = Marks()


class QuietSchema(GenerateJsonSchema):
    """A default that is no JSON is left out without a word, and ``Secret[…]`` is marked as ``SecretStr`` is."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - declared so by pydantic

    def json_or_python_schema(self, schema: core_schema.JsonOrPythonSchema) -> JsonSchema:
        made = super().json_or_python_schema(schema)
        return {**made, _MARK: True} if _code_of(schema) is _SECRET_CODE else made


def _code_of(schema: Any) -> object:
    """What ``Secret[…]`` of any type has in common, and nothing else has: the code of its validator."""
    function = schema.get("python_schema", {}).get("function")
    return getattr(function.get("function"), "__code__", None) if isinstance(function, dict) else None


_SECRET_CODE: Final = _code_of(TypeAdapter(Secret[int]).core_schema)


class _AnySchema(QuietSchema):
    """Where a part of a type has no JSON schema, the rest has one all the same."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchema:
        return {}


def marks_of(adapter: TypeAdapter[Any]) -> Marks:
    """Of values that come in and of their dumps: a serializer of the author's may hide a mark in either."""
    named = _paths_of(adapter, "validation", by_alias=False) | _paths_of(adapter, "serialization", by_alias=False)
    aliased = _paths_of(adapter, "validation", by_alias=True)
    return Marks(tuple(sorted(named)), tuple(sorted(named | aliased))) if named | aliased else UNMARKED


def _paths_of(adapter: TypeAdapter[Any], mode: JsonSchemaMode, *, by_alias: bool) -> set[str]:
    try:
        schema = adapter.json_schema(by_alias=by_alias, mode=mode, schema_generator=_AnySchema)
    except (PydanticUserError, ValueError, TypeError):
        return set()  # a type of the author's own, that has no words for itself
    return {".".join(path) for path in _paths(schema, schema.get("$defs", {}), (), frozenset())}


def _paths(schema: Any, definitions: Mapping[str, Any], path: Path, above: frozenset[str]) -> Iterator[Path]:
    if not isinstance(schema, dict):
        return
    if _is_secret(schema):
        yield path
        return
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in above:
            yield from _paths(definitions[name], definitions, path, above | {name})
        elif _holds_secrets(definitions[name], definitions, set()):
            yield path  # within itself, as deep as it likes: hidden as a whole
    for step, inner in _parts(schema):
        yield from _paths(inner, definitions, (*path, *step), above)


def _is_secret(schema: JsonSchema) -> bool:
    names = schema.get("propertyNames")
    return schema.get(_MARK) is True or (isinstance(names, dict) and names.get(_MARK) is True)


def _parts(schema: JsonSchema) -> Iterator[tuple[Path, Any]]:
    """Each part of a schema, and the way to it."""
    for word in ("anyOf", "oneOf", "allOf"):
        yield from (((), choice) for choice in schema.get(word, ()))
    for key, inner in schema.get("properties", {}).items():
        yield (key if key and "." not in key else ANY,), inner
    yield from (((ANY,), inner) for inner in schema.get("prefixItems", ()))
    yield from (((ANY,), inner) for inner in schema.get("patternProperties", {}).values())
    yield from (((ANY,), schema[word]) for word in ("items", "additionalProperties") if word in schema)


def _holds_secrets(schema: Any, definitions: Mapping[str, Any], seen: set[str]) -> bool:
    if not isinstance(schema, dict):
        return False
    if _is_secret(schema):
        return True
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            if _holds_secrets(definitions[name], definitions, seen):
                return True
    return any(_holds_secrets(inner, definitions, seen) for _, inner in _parts(schema))


_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs"})


def without_defaults(schema: JsonSchema) -> JsonSchema:
    """A JSON schema for people: a default, an example or a choice of what is secret, or has secrets in it, is out."""
    definitions = schema.get("$defs", {})

    def told(part: Any) -> Any:
        if isinstance(part, list):
            return [told(one) for one in part]
        if not isinstance(part, dict):
            return part
        hidden = {"default", "examples"} if _holds_secrets(part, definitions, set()) else set()
        hidden |= {"const", "enum"} if _is_secret(part) else set()
        return {
            key: {name: told(one) for name, one in inner.items()} if key in _BY_NAME else told(inner)
            for key, inner in part.items()
            if key not in hidden
        }

    made: JsonSchema = told(schema)
    return made


# ---------------------------------------------------------------------------------------------------------- values


class HiddenSecret(Exception):
    """A secret stands where the type does not tell of one, so nobody would know that it has to be hidden."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(".".join(path))


ASTERISKS: Final = str(SecretStr("a"))
"""What pydantic writes in the place of a secret."""


def reveal(data: Any, plain: Any, paths: tuple[str, ...]) -> Any:
    """``data``, with the true value in each place where pydantic has put asterisks.

    ``data`` and ``plain`` are two dumps of one value, as JSON and as Python: in the second a secret is still one.
    ``paths``: the secret paths of its type. Raises :class:`HiddenSecret`.
    """
    return _reveal(data, plain, [parse(path) for path in paths], ())


def _reveal(data: Any, plain: Any, paths: list[Path], at: Path) -> Any:
    if isinstance(plain, _SECRETS):
        if data != _as_json(plain):
            return data  # a serializer of the author's has said what is stored
        if () not in paths:
            raise HiddenSecret(at)
        return _true(plain, at)
    if isinstance(data, dict) and isinstance(plain, Mapping) and len(data) == len(plain):
        if any(isinstance(key, _SECRETS) for key in plain):
            raise HiddenSecret(at)
        pairs = zip(data.items(), plain.values(), strict=True)
        return {key: _reveal(item, inner, _within(paths, key), (*at, key)) for (key, item), inner in pairs}
    if isinstance(plain, set | frozenset) and any(isinstance(one, _SECRETS) for one in plain):
        return [_reveal(_as_json(one), one, _within(paths, ANY), (*at, ANY)) for one in plain]
    if isinstance(data, list) and isinstance(plain, list | tuple | deque) and len(data) == len(plain):
        items = enumerate(zip(data, plain, strict=True))
        return [_reveal(item, inner, _within(paths, ANY), (*at, str(index))) for index, (item, inner) in items]
    return data


def _true(held: SecretStr | SecretBytes | Secret[Any], at: Path) -> Any:
    inner: Any = held.get_secret_value()
    if isinstance(inner, float):
        return inner  # also one that is not finite, which is refused as such
    return _reveal(_as_json(inner), _ANYTHING.dump_python(inner, by_alias=False, round_trip=True), [()], at)


def _as_json(value: object) -> Any:
    return _ANYTHING.dump_python(value, mode="json", by_alias=False, round_trip=True)


def _within(paths: list[Path], key: str) -> list[Path]:
    return [()] if () in paths else below(paths, key)


_MOST_PARTS: Final = 100_000
"""Far more than the limits of a payload let through; an object may contain itself many times over."""


def _opened(value: Any) -> Any:
    """Models as objects and secrets as their true values, so far as JSON may be deep and large."""
    left = _MOST_PARTS

    def opened(value: Any, depth: int, within: frozenset[int]) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_DEPTH or id(value) in within:
            return None
        inside = within | {id(value)}
        if isinstance(value, _SECRETS):
            return opened(value.get_secret_value(), depth + 1, inside)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, Mapping):
            return {str(key): opened(item, depth + 1, inside) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [opened(item, depth + 1, inside) for item in value]
        if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
            return opened(getattr(value, "__dict__", {}), depth + 1, inside)
        return value

    return opened(value, 0, frozenset())

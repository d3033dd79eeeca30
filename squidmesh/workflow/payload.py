"""Strict JSON: what may enter the journal, and nothing else (protocol 6).

Objects with text keys, arrays, text, booleans, null, finite floats and integers of 64 bits; no NUL, no lone surrogate,
at most :data:`~squidmesh.config.MAX_DEPTH` deep, of limited size. What is refused is refused before anything is
written, with the path of the field.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias, get_args, get_origin

from pydantic import AliasChoices, BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaSerializer

from squidmesh.config import MAX_DEPTH, MAX_OUTPUT_BYTES, MAX_PAYLOAD_BYTES
from squidmesh.errors import InvalidInput, InvalidPayload, StepRefused, UsageError
from squidmesh.redaction import Redaction
from squidmesh.workflow.secret import ASTERISKS, HiddenSecret, Marks, marks_of, reveal

ErrorType: TypeAlias = type[UsageError] | type[StepRefused]

_INTEGERS: Final = range(-(2**63), 2**63)
_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
)

_WIDEST: Final = 32
"""A number of one node takes at most 25 bytes and a comma, a character at most 6 bytes."""


def _error(error: ErrorType, field: str, message: str) -> UsageError | StepRefused:
    return error(message, field=field) if issubclass(error, UsageError) else error(f"{field}: {message}")


# ---------------------------------------------------------------------------------------------------------- values


class _Refused(Exception):
    """Carries the reason up; each level on the way adds its key, so that a good value pays nothing for its path."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path: list[str] = []


class _TooLarge(Exception):
    """The walk has seen more than the limit; where it was then says nothing."""


def check_json(value: Any, *, field: str, limit: int, error: ErrorType) -> bytes:
    """The canonical bytes of a JSON value: UTF-8, sorted keys, no spaces. Raises ``error``, naming the path of what is
    refused (``field`` is its root). ``limit`` is in bytes of the canonical form.
    """
    _walk(value, field, limit, error)
    return _encoded(value, field, limit, error)


def require_json(value: Any, *, field: str, limit: int, error: ErrorType) -> None:
    """:func:`check_json` for whoever does not need the bytes: cheaper for small values."""
    if _walk(value, field, limit, error) * _WIDEST > limit:
        _encoded(value, field, limit, error)


def _walk(value: Any, field: str, limit: int, error: ErrorType) -> int:
    """A lower bound of the size in bytes; :data:`_WIDEST` times as much is an upper bound."""
    budget = [limit]
    try:
        _check(value, 0, budget)
    except _TooLarge:
        raise _error(error, field, _too_large(limit)) from None
    except _Refused as refused:
        path = "".join([field, *reversed(refused.path)])
        raise _error(error, path, refused.reason) from None
    return limit - budget[0]


def _encoded(value: Any, field: str, limit: int, error: ErrorType) -> bytes:
    body = _ENCODER.encode(value).encode()
    if len(body) > limit:
        raise _error(error, field, _too_large(limit))
    return body


def _too_large(limit: int) -> str:
    return f"is larger than the {limit} bytes that are allowed"


def _check(value: Any, depth: int, budget: list[int]) -> None:
    # The budget is a lower bound of the size: it ends the walk through a value that contains itself many times over.
    budget[0] -= 1
    if budget[0] < 0:
        raise _TooLarge
    kind = type(value)
    if kind is str:
        _check_text(value, budget)
    elif kind is dict or kind is list:
        if depth == MAX_DEPTH:
            raise _Refused(f"is nested deeper than the {MAX_DEPTH} levels that are allowed")
        if kind is dict:
            _check_object(value, depth + 1, budget)
        else:
            _check_array(value, depth + 1, budget)
    elif value is None or kind is bool:
        pass
    elif kind is int:
        if value not in _INTEGERS:
            raise _Refused("is an integer beyond 64 bits; a text can hold it")
    elif kind is float:
        if not math.isfinite(value):
            raise _Refused(f"is {value}; only finite numbers are allowed")
    else:
        raise _Refused(f"is a {kind.__name__}; allowed are dict, list, str, int, float, bool and None")


def _check_object(value: dict[Any, Any], depth: int, budget: list[int]) -> None:
    key: Any = None
    try:
        for key, item in value.items():
            if type(key) is not str:
                raise _Refused(f"has a key that is a {type(key).__name__}; only text is allowed")
            _check_text(key, budget)
            _check(item, depth, budget)
    except _Refused as refused:
        refused.path.append(f".{printable(key)}")
        raise


def _check_array(value: list[Any], depth: int, budget: list[int]) -> None:
    index = -1
    try:
        for item in value:
            index += 1
            _check(item, depth, budget)
    except _Refused as refused:
        refused.path.append(f"[{index}]")
        raise


def _check_text(text: str, budget: list[int]) -> None:
    budget[0] -= len(text)
    if "\x00" in text:
        raise _Refused("has a NUL character (U+0000), which no store can hold")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Refused("has a lone surrogate, which is no character") from None


def printable(name: object) -> str:
    """A key for a message: short, and safe to print."""
    return str(name).encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")[:80]


# ------------------------------------------------------------------------------------------------------------ text


def parse_json(text: str | bytes, *, field: str, limit: int = MAX_PAYLOAD_BYTES) -> Any:
    """A JSON text from outside, strictly: duplicate keys, NaN, Infinity and all that :func:`check_json` refuses are
    :class:`InvalidInput`, with line and column where there are any. ``limit`` is in bytes of the text.
    """
    try:
        body = text if isinstance(text, bytes) else text.encode()
        text = body.decode()
    except UnicodeError:
        raise InvalidInput("is no UTF-8 text", field=field) from None
    if len(body) > limit:
        raise InvalidInput(_too_large(limit), field=field)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"line {error.lineno}, column {error.colno}: {error.msg}", field=field) from None
    except RecursionError:
        value = None  # the scan says where
    except ValueError:
        raise InvalidInput("has an integer beyond 64 bits; a text can hold it", field=field) from None
    for position, reason in _faults(text):
        line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
        raise InvalidInput(f"line {line}, column {column}: {reason}", field=field)
    require_json(value, field=field, limit=limit, error=InvalidInput)
    return value


_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def _faults(text: str) -> Iterator[tuple[int, str]]:
    """Position and reason of what JSON parsers let pass, in a text that one of them has let pass."""
    open_objects: list[set[str] | None] = []  # the keys so far; None for an array
    before = ""
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "{[":
            open_objects.append(set() if token == "{" else None)
            if len(open_objects) > MAX_DEPTH:
                yield match.start(), f"nested deeper than the {MAX_DEPTH} levels that are allowed"
        elif token in "}]":
            open_objects.pop()
        elif token in ("NaN", "Infinity", "-Infinity"):
            yield match.start(), f"{token} is not allowed; numbers are finite"
        elif token[0] == '"' and before in "{," and (keys := open_objects[-1] if open_objects else None) is not None:
            key = json.loads(token)
            if key in keys:
                yield match.start(), f"the key {printable(key)!r} is there twice"
            keys.add(key)
        before = token


# ---------------------------------------------------------------------------------------------------------- models


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedPayload:
    """``data``: every field of the model by its own name, defaults computed, and checked (:func:`require_json`).
    ``given``: the same without what nobody gave; unlike ``data`` it is the same again when the same is asked again,
    also after a default was added or changed. It is ``data`` itself where nothing is left out.
    """

    data: dict[str, Any]
    given: dict[str, Any]

    def canonical(self) -> bytes:
        """The canonical bytes of what was given (:func:`check_json`)."""
        if self.given is self.data:
            return _encoded(self.data, "payload", MAX_PAYLOAD_BYTES, InvalidPayload)
        return check_json(self.given, field="payload", limit=MAX_PAYLOAD_BYTES, error=InvalidPayload)


def accept_payload(
    model: type[BaseModel], value: object, *, field: str = "payload", marks: Marks | None = None
) -> AcceptedPayload:
    """The payload of a start as strict JSON data, its secrets with their true values.

    ``value`` is an instance of the model, or a mapping, in which a key that the model does not know is refused unless
    the model's config says otherwise. All that is wrong is in one :class:`InvalidPayload`. ``marks``: where the model
    has secrets, for whoever asks often and has worked it out once.
    """
    marks = marks_of(TypeAdapter(model)) if marks is None else marks
    if not isinstance(value, model):
        if not isinstance(value, Mapping):
            allowed = f"allowed is a {model.__name__} or a mapping"
            raise InvalidPayload(f"is a {type(value).__name__}; {allowed}", field=field)
        unknown = [f"{name}: no such field" for name in _unknown(model, value)]
        try:
            value = validate_value(model.__pydantic_validator__, dict(value))
        except ValidationError as error:
            wrong = Redaction(marks.texts_in(value)).text(describe(error))
            raise InvalidPayload("; ".join([wrong, *unknown]), field=field) from None
        if unknown:
            raise InvalidPayload("; ".join(unknown), field=field)
    serializer = model.__pydantic_serializer__
    data = dump_json(serializer, value, field=field, error=InvalidPayload, round_trip=True, secrets=marks.paths)
    if not isinstance(data, dict):
        raise InvalidPayload(f"{model.__name__} is dumped as a {type(data).__name__}, not an object", field=field)
    require_json(data, field=field, limit=MAX_PAYLOAD_BYTES, error=InvalidPayload)
    given = _given(serializer, value, data, marks.paths)
    return AcceptedPayload(data=data, given=data if given == data else given)


def validate_payload(model: type[BaseModel], value: object, *, field: str = "payload") -> dict[str, Any]:
    """The ``data`` of :func:`accept_payload`."""
    return accept_payload(model, value, field=field).data


def _given(
    serializer: SchemaSerializer, value: object, data: dict[str, Any], secrets: tuple[str, ...]
) -> dict[str, Any]:
    """Part of ``data``; all of it where the model's own serializers can not do without the rest."""
    try:
        given = serializer.to_python(value, mode="json", by_alias=False, round_trip=True, exclude_unset=True)
        if secrets:
            plain = serializer.to_python(value, by_alias=False, round_trip=True, exclude_unset=True)
            given = reveal(given, plain, secrets)
    except ValueError:
        return data
    return given if isinstance(given, dict) else data


def _unknown(model: type[BaseModel], value: Mapping[Any, Any], within: frozenset[int] = frozenset()) -> Iterator[str]:
    """Dotted names that the model, or a model within it, does not know. ``within``: what ``value`` is a part of."""
    if id(value) in within or len(within) > MAX_DEPTH:
        return  # contains itself, or is too deep: refused elsewhere
    if _plain_fields(model).issuperset(value):
        return
    within |= {id(value)}
    known: dict[object, str] = {}
    for name, info in model.model_fields.items():
        known[name] = name
        alias = info.validation_alias or info.alias
        for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            if choice is not None:
                known[choice if isinstance(choice, str) else choice.path[0]] = name
    for key, item in value.items():
        if key in known:
            annotation = model.model_fields[known[key]].annotation
            inner = list(_models(annotation))
            if len(inner) == 1:  # of several, pydantic's own union rules decide
                for at, part in _where_models_are(annotation, key, item):
                    if isinstance(part, Mapping):
                        yield from (f"{at}.{name}" for name in _unknown(inner[0], part, within))
        elif "extra" not in model.model_config:
            yield printable(key)


@lru_cache(maxsize=256)
def _plain_fields(model: type[BaseModel]) -> frozenset[str]:
    """All fields of a model of which each goes by its own name alone, and holds no other model; of any other, none."""
    fields = model.model_fields
    if not model.__pydantic_complete__:
        return frozenset()
    if any(one.alias or one.validation_alias or [*_models(one.annotation)] for one in fields.values()):
        return frozenset()
    return frozenset(fields)


def _where_models_are(annotation: object, key: object, item: object) -> list[tuple[str, object]]:
    """The parts of a value that stand for the one model in its annotation: itself, or the items of a list or a dict. Of
    dicts deeper within, none is known.
    """
    if get_origin(annotation) is dict and isinstance(item, Mapping):
        (inner, *_) = get_args(annotation)[1:]
        return [] if _has_dict(inner) else [(f"{key}.{printable(name)}", part) for name, part in item.items()]
    if _has_dict(annotation):
        return []
    if isinstance(item, list):
        return [(f"{key}.{number}", part) for number, part in enumerate(item)]
    return [(str(key), item)]


def _has_dict(annotation: object) -> bool:
    origin = get_origin(annotation)
    return (isinstance(origin, type) and issubclass(origin, Mapping)) or any(map(_has_dict, get_args(annotation)))


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def validate_value(validator: Any, value: Any) -> Any:
    """A JSON value as the type of a pydantic validator, or its ``ValidationError``. Fields go by name or by alias."""
    try:
        return validator.validate_python(value, by_alias=True, by_name=True)
    except ValidationError as error:
        try:  # a strict model takes a date from JSON, but not from a str
            body = check_json(value, field="value", limit=MAX_OUTPUT_BYTES, error=InvalidInput)
            return validator.validate_json(body, by_alias=True, by_name=True)
        except (InvalidInput, ValidationError):
            raise error from None


def describe(error: ValidationError, prefix: str = "") -> str:
    """Every error of a validation as ``field: what is wrong``; never the value (I19)."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(": ".join(filter(None, (_location(prefix, one["loc"]), one["msg"]))) for one in found)


def _location(prefix: str, location: tuple[int | str, ...]) -> str:
    return ".".join(filter(None, (prefix, *map(printable, location))))


def dump_json(
    serializer: SchemaSerializer,
    value: object,
    *,
    field: str,
    error: ErrorType,
    round_trip: bool = False,
    secrets: tuple[str, ...] = (),
) -> Any:
    """A validated value as JSON data, fields by their own names, with the true value at each of the type's ``secrets``;
    not yet checked by :func:`check_json`.
    """
    try:
        data = serializer.to_python(value, mode="json", by_alias=False, round_trip=round_trip, warnings="error")
        if not secrets and ((data is None and value is None) or not _is_doubtful(data)):
            return data
        plain = serializer.to_python(value, by_alias=False, round_trip=round_trip)
        data, hides = reveal(data, plain, secrets), _has_nan(plain)
    except HiddenSecret as hidden:
        path = ".".join([field, *map(printable, hidden.path)])
        raise _error(error, path, "is a secret, of which the type of this field does not tell") from None
    except (ValueError, RecursionError, TypeError) as refused:
        raise _error(error, field, _what_does_not_fit(refused)) from None
    if hides:  # pydantic writes NaN as null where the type is Any
        raise _error(error, field, "has a number that is not finite; only finite numbers are allowed")
    return data


_UNEXPECTED: Final = re.compile(r"Expected (`[^`]*`).*?\[field_name='([^']*)'", re.DOTALL)


def _what_does_not_fit(error: Exception) -> str:
    found = _UNEXPECTED.findall(str(error)) if isinstance(error, PydanticSerializationError) else []
    if found:  # pydantic's text holds the value, ours does not
        return "; ".join(f"{name}: is no {kind}" for kind, name in found)
    text = str(error)
    return text.partition("\n")[0] if "unknown type" in text or "depth" in text or "ircular" in text else "is no JSON"


def _is_doubtful(data: Any) -> bool:
    """Whether a JSON dump has what pydantic writes also in place of something else: null for NaN, asterisks for a
    secret.
    """
    if isinstance(data, dict):
        return any(map(_is_doubtful, data.values())) or ASTERISKS in data
    return any(map(_is_doubtful, data)) if isinstance(data, list) else data is None or data == ASTERISKS


def _has_nan(data: Any) -> bool:
    if isinstance(data, float):
        return not math.isfinite(data)
    if isinstance(data, dict):
        return any(map(_has_nan, data.values()))
    return any(map(_has_nan, data)) if isinstance(data, list | tuple | set | frozenset) else False

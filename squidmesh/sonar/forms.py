"""The form that starts a run: its fields come from the payload's JSON schema, and what is entered becomes a payload.

The form helps; the payload's model decides. A field that stays empty is left out, so the model's own default counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from squidmesh import InvalidInput

Widget = Literal["text", "secret", "number", "date", "datetime-local", "checkbox", "select", "lines", "json"]
_DEEPEST = 3
_MOST_FIELDS = 200
_PREFIX = "payload."


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """``name`` is dotted, as the form sends it; ``path`` is where its value goes. ``value``: what stands in it at
    first; of a secret, nothing.
    """

    name: str
    path: tuple[str, ...]
    label: str
    description: str
    widget: Widget
    required: bool
    value: str = ""
    choices: tuple[str, ...] = ()
    whole: bool = False
    element: str = "string"


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """In the order of the schema; nested objects give a field for each of theirs, three levels deep."""
    found: list[Field] = []
    _walk(schema, schema.get("$defs", {}), (), True, found)
    return found[:_MOST_FIELDS]


def _walk(
    schema: Mapping[str, Any], known: Mapping[str, Any], path: tuple[str, ...], needed: bool, found: list[Field]
) -> None:
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        resolved = _resolved(each, known)
        here = (*path, name)
        must = needed and name in required
        if resolved.get("type") == "object" and resolved.get("properties") and len(here) < _DEEPEST and must:
            _walk(resolved, known, here, must, found)
        else:
            found.append(_field(here, resolved, must))


def _resolved(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without references, and without the null of what may be left out."""
    for _ in range(8):
        if "$ref" in schema:
            target = known.get(str(schema["$ref"]).rpartition("/")[2], {})
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        elif len(schema.get("allOf", ())) == 1:
            schema = {**schema["allOf"][0], **{key: value for key, value in schema.items() if key != "allOf"}}
        elif "anyOf" in schema:
            real = [one for one in schema["anyOf"] if one.get("type") != "null"]
            if len(real) != 1:
                return schema
            schema = {**real[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
        else:
            return schema
    return schema


def _field(path: tuple[str, ...], schema: Mapping[str, Any], required: bool) -> Field:
    widget, element = _widget(schema)
    default = schema.get("default")
    return Field(
        name=_PREFIX + ".".join(path),
        path=path,
        label=" › ".join(path),
        description=str(schema.get("description", "")),
        widget=widget,
        required=required,
        value="" if default is None or widget == "secret" else _entered(default, widget),
        choices=tuple(json.dumps(one, ensure_ascii=False) for one in schema.get("enum", ())),
        whole=schema.get("type") == "integer",
        element=element,
    )


def _widget(schema: Mapping[str, Any]) -> tuple[Widget, str]:
    if schema.get("writeOnly"):
        return "secret", "string"
    if "enum" in schema:
        return "select", "json"
    match schema.get("type"):
        case "boolean":
            return "checkbox", "boolean"
        case "integer" | "number":
            return "number", "number"
        case "string":
            by_format: dict[str, Widget] = {"date": "date", "date-time": "datetime-local"}
            return by_format.get(schema.get("format", ""), "text"), "string"
        case "array" if (schema.get("items") or {}).get("type") in ("string", "integer", "number"):
            return "lines", schema["items"]["type"]
    return "json", "json"


def _entered(value: Any, widget: Widget) -> str:
    if widget in ("select", "json"):
        return json.dumps(value, ensure_ascii=False)
    if widget == "checkbox":
        return "true" if value else ""
    if widget == "lines" and isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value)


def payload_of(fields: list[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """What was entered, as JSON values. Raises ``InvalidInput``, which names the field."""
    found: dict[str, Any] = {}
    for field in fields:
        given = form.get(field.name, "")
        if field.widget == "checkbox":
            _put(found, field.path, given == "true")
        elif given != "":
            _put(found, field.path, _value(field, given))
    return found


def _put(found: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        found = found.setdefault(name, {})
    found[path[-1]] = value


def _value(field: Field, given: str) -> Any:
    match field.widget:
        case "number":
            return _number(given, field.label, whole=field.whole)
        case "select" | "json":
            return read_json(given, field.label)
        case "lines":
            lines = [line.strip() for line in given.splitlines() if line.strip()]
            if field.element == "string":
                return lines
            return [_number(line, field.label, whole=field.element == "integer") for line in lines]
        case "datetime-local":
            return given if given.endswith("Z") or "+" in given else f"{given}Z"
        case _:
            return given.replace("\r\n", "\n")


def _number(given: str, label: str, *, whole: bool) -> int | float:
    try:
        return int(given) if whole else float(given)
    except ValueError:
        allowed = "a whole number" if whole else "a number"
        raise InvalidInput(f"{given[:40]!r} is refused; allowed is {allowed}", field=label) from None


def read_json(given: str, label: str) -> Any:
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"is no JSON: {error}", field=label) from None

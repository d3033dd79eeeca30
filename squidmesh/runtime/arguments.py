"""What callers say, judged before anything is touched.

Each function gives the value in the form in which it is used from then on, or raises one
:class:`~squidmesh.errors.InvalidInput` that names the field, what is wrong with it and what is allowed. Durations and
integers are judged by :func:`~squidmesh.clock.check_duration` and :func:`~squidmesh.config.check_integer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from squidmesh.clock import Instant, to_instant
from squidmesh.errors import InvalidInput, InvalidUrl, NotFound
from squidmesh.ids import is_identifier
from squidmesh.workflow.mapping import copy_json
from squidmesh.workflow.payload import check_json

LONGEST_KEY = 512
LONGEST_ACTOR = 256
LONGEST_NAME = 128
LONGEST_URL = 4096
MOST_QUEUES = 1000
MAX_COMMENT_BYTES = 8 * 1024
MAX_METADATA_BYTES = 8 * 1024

_SHOWN = 80


def shown(text: str) -> str:
    """A text of the caller's in a message: quoted, escaped, and not longer than a line."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def check_text(value: object, *, field: str, least: int = 0, most: int) -> str:
    """Text of ``least`` to ``most`` characters that every store can hold: no NUL, no lone surrogate."""
    allowed = f"allowed is text of {least} to {most} characters"
    if not isinstance(value, str):
        raise InvalidInput(f"is a {type(value).__name__}; {allowed}", field=field)
    text = str.__str__(value)  # of a text enum, its value
    if not least <= len(text) <= most:
        raise InvalidInput(f"is {len(text)} characters long; {allowed}", field=field)
    if "\0" in text:
        raise InvalidInput(f"has a NUL character (U+0000); {allowed} without it", field=field)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"has a lone surrogate, which is no character; {allowed}", field=field) from None
    return text


def check_key(value: object, *, field: str = "key") -> str:
    """Keys are the caller's own words."""
    return check_text(value, field=field, least=1, most=LONGEST_KEY)


def check_name(value: object, *, field: str) -> str:
    """An identifier: the name of a queue, a workflow, an owner."""
    allowed = f"allowed are 1 to {LONGEST_NAME} of A-Z a-z 0-9 . _ -"
    if not isinstance(value, str):
        raise InvalidInput(f"is a {type(value).__name__}; {allowed}", field=field)
    if not is_identifier(value):
        raise InvalidInput(f"{shown(value)} is refused; {allowed}", field=field)
    return str.__str__(value)


def check_names(value: object, *, field: str) -> tuple[str, ...]:
    """A list of identifiers, each once, in the caller's order."""
    allowed = f"allowed is a list of 1 to {MOST_QUEUES} names"
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence):
        raise InvalidInput(f"is a {type(value).__name__}; {allowed}", field=field)
    if not 1 <= len(value) <= MOST_QUEUES:
        raise InvalidInput(f"has {len(value)} names; {allowed}", field=field)
    for name in value:
        if not isinstance(name, str):
            raise InvalidInput(f"holds a {type(name).__name__}; {allowed}", field=field)
    return tuple(dict.fromkeys(check_name(name, field=field) for name in value))


def check_one_of(value: object, allowed: Sequence[str], *, field: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        given = shown(value) if isinstance(value, str) else f"a {type(value).__name__}"
        raise InvalidInput(f"{given} is refused; allowed are {', '.join(allowed)}", field=field)
    return str.__str__(value)


def check_run_id(value: object) -> str:
    """``NotFound`` for a text that can be no run's id: whoever asks gets the same answer as for any other."""
    if not isinstance(value, str):
        raise InvalidInput(f"is a {type(value).__name__}; allowed is the id of a run, as text", field="run_id")
    if not is_identifier(value):
        raise NotFound(f"there is no run {shown(value)}", field="run_id")
    return str.__str__(value)


def check_actor(value: object) -> str:
    """Who decides: it stands in the history for ever."""
    actor = check_text(value, field="actor", least=1, most=LONGEST_ACTOR)
    if not actor.strip():
        raise InvalidInput("is blank; allowed is the name of who decides", field="actor")
    return actor


def check_comment(value: object) -> str:
    """Why, in words. None is no comment."""
    comment = check_text("" if value is None else value, field="comment", most=MAX_COMMENT_BYTES)
    if len(comment.encode()) > MAX_COMMENT_BYTES:
        raise InvalidInput(f"is larger than the {MAX_COMMENT_BYTES} bytes that are allowed", field="comment")
    return comment


def check_metadata(value: object) -> dict[str, Any]:
    """A mapping of JSON values, as a copy. None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(f"is a {type(value).__name__}; allowed is a mapping of JSON values", field="metadata")
    metadata = dict(value)
    check_json(metadata, field="metadata", limit=MAX_METADATA_BYTES, error=InvalidInput)
    copied: dict[str, Any] = copy_json(metadata)
    return copied


def check_list(value: object, *, field: str, of: str) -> list[Any]:
    """Many things, from any iterable of them: not text, not one mapping or model. It is read once."""
    one = isinstance(value, str | bytes | bytearray | Mapping | BaseModel | type)
    if one or not isinstance(value, Iterable):
        given = repr(value.__name__) if isinstance(value, type) else f"a {type(value).__name__}"
        raise InvalidInput(f"is {given}; allowed is a list of {of}", field=field)
    return list(value)


def check_moment(value: object, *, field: str) -> Instant:
    """An aware datetime."""
    allowed = "allowed is a datetime with a timezone"
    if not isinstance(value, datetime):
        raise InvalidInput(f"is a {type(value).__name__}; {allowed}", field=field)
    try:
        return to_instant(value)
    except ValueError:
        raise InvalidInput(f"{value.isoformat()} has no timezone; {allowed}", field=field) from None


def check_keys(value: object, *, field: str, count: int) -> list[str]:
    """One key for each of ``count`` payloads."""
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence):
        raise InvalidInput(f"is a {type(value).__name__}; allowed is a list of keys, one for each payload", field=field)
    if len(value) != count:
        raise InvalidInput(f"{len(value)} keys for {count} payloads; allowed is one for each", field=field)
    return [check_key(key, field=f"{field}[{index}]") for index, key in enumerate(value)]


def check_url(value: object, *, field: str) -> str:
    """Text; the scheme's backend judges the rest. The message never holds the value: it may hold a password."""
    try:
        return check_text(value, field=field, least=1, most=LONGEST_URL)
    except InvalidInput as refused:
        raise InvalidUrl(str(refused).removeprefix(f"{field}: "), field=field) from None


def check_offers(value: object, method: str, *, field: str) -> None:
    """An object of the host's own making that must have one method."""
    if not callable(getattr(value, method, None)):
        raise InvalidInput(f"is a {type(value).__name__}; allowed is an object with {method}()", field=field)

"""Secrets in JSON values: where they are, and how nobody sees them (protocol 6).

Pure, and on the standard library alone, since everybody needs it: ``workflow`` says where secrets are, the journal
keeps their true values, ``reading`` and the errors of steps show :data:`HIDDEN` in their place.

A *secret path* is dotted, from the root of a value: ``card.number``, ``cards.*.number`` (``*`` is any item of a list,
and any key of an object), and the empty text is the value itself. All that is below a secret path is secret too.

What is known to be secret by its path is also looked for by its value: a step may put it into a message, or return it
under another name. That finds a text as it is and in its usual spellings; a hash of it, or a part, it does not find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "**********"
ANY: Final = "*"
LEAST: Final = 4
"""Characters. A shorter secret is hidden by its path only: looked for by value, it would be found everywhere."""

Path = tuple[str, ...]


def parse(path: str) -> Path:
    return tuple(path.split(".")) if path else ()


def below(paths: Iterable[Path], key: str) -> list[Path]:
    """Those of ``paths`` that lead through ``key``, as seen from there. ``()`` among them: it is secret itself."""
    return [path[1:] for path in paths if path and path[0] in (key, ANY)]


def is_secret(path: str, paths: Iterable[str]) -> bool:
    """Whether a path in a context is one of the secret ones, lies below one, or above."""
    left = [parse(one) for one in paths]
    for key in parse(path):
        if () in left:
            return True
        left = below(left, key)
    return bool(left)


def secret_texts(value: object, paths: Iterable[str]) -> set[str]:
    """The texts and numbers at the secret paths of a value, however deep below them, that are to be looked for."""
    return {text for text in _texts(value, [parse(path) for path in paths]) if len(text.strip()) >= LEAST}


def _texts(value: object, paths: list[Path]) -> Iterator[str]:
    if not paths:
        return
    here = () in paths
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, [()] if here else below(paths, str(key)))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item, [()] if here else below(paths, ANY))
    elif here and isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


class Redaction:
    """Shows values without secrets: those at their paths, and ``texts`` wherever they turn up. Immutable."""

    __slots__ = ("_found",)

    def __init__(self, texts: Collection[str] = ()) -> None:
        spellings = sorted({spelling for text in texts for spelling in _spellings(text)}, key=len, reverse=True)
        self._found = re.compile("|".join(map(re.escape, spellings))) if spellings else None

    def text(self, text: str) -> str:
        return self._found.sub(HIDDEN, text) if self._found else text

    def value(self, value: Any, paths: Iterable[str] = ()) -> Any:
        """A copy of a JSON value."""
        return self._value(value, [parse(path) for path in paths])

    def _value(self, value: Any, paths: list[Path]) -> Any:
        if () in paths:
            return HIDDEN
        if isinstance(value, dict):
            return {self.text(key): self._value(item, below(paths, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(item, below(paths, ANY)) for item in value]
        if self._found is None or value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value)
        return HIDDEN if self._found.fullmatch(str(value)) else value


def _spellings(text: str) -> Iterator[str]:
    """As it is, and as messages, JSON and addresses write it; of a text of several lines, each line too."""
    for part in {text, *text.splitlines()}:
        if len(part.strip()) >= LEAST:
            yield from {
                part,
                repr(part)[1:-1],
                ascii(part)[1:-1],
                json.dumps(part)[1:-1],
                json.dumps(part, ensure_ascii=False)[1:-1],
                quote(part),
                quote(part, safe=""),
                quote_plus(part),
            }


NOTHING: Final = Redaction()
"""Hides nothing by value."""

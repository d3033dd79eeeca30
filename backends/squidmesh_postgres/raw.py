"""Statements with the server's own numbered parameters: psycopg would read a long one anew at each call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psycopg import Connection, RawCursor

_NAMED = re.compile(r"%\((\w+)\)s")


class Raw:
    """Made from a statement with named parameters, once."""

    __slots__ = ("_names", "sql")

    def __init__(self, sql: str) -> None:
        names = list(dict.fromkeys(_NAMED.findall(sql)))
        self.sql = _NAMED.sub(lambda match: f"${names.index(match[1]) + 1}", sql)
        self._names = names

    def execute(
        self, connection: Connection[Any], parameters: Mapping[str, object], *, binary: bool = False
    ) -> RawCursor[Any]:
        cursor = RawCursor(connection)
        return cursor.execute(self.sql.encode(), [parameters[name] for name in self._names], binary=binary)

"""The SQL, which lives in .sql files beside this module."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


def load(file: str) -> dict[str, str]:
    """The statements of ``sql/{file}.sql`` by name: each follows a line ``-- name: …``. Comments are left out."""
    text = (resources.files("squidmesh_sqlite") / "sql" / f"{file}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return {name: _COMMENT.sub("", sql).strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


class Migration(NamedTuple):
    number: int
    name: str
    sql: str

    def statements(self) -> Iterator[str]:
        """One by one: a script run as a whole would end the transaction that it is meant to be part of."""
        statement = ""
        for line in _COMMENT.sub("", self.sql).splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                yield statement.strip()
                statement = ""


def migrations() -> list[Migration]:
    """All that this version knows, in order; their numbers are 1, 2, 3 …"""
    found = []
    for file in (resources.files("squidmesh_sqlite") / "migrations").iterdir():
        if match := _MIGRATION.fullmatch(file.name):
            found.append(Migration(int(match[1]), file.name.removesuffix(".sql"), file.read_text("utf-8")))
    return sorted(found)

"""The SQL, which lives in .sql files beside this module.

There our tables stand in the schema ``squidmesh``. A backend whose URL names another schema gets the same statements
with that name in its place.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

OUR_SCHEMA = "squidmesh"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")
_QUALIFIED = re.compile(rf"\b{OUR_SCHEMA}(?=\.\w|;$)", re.MULTILINE)
"""In front of another name, or at the end of a statement."""


@cache
def load(file: str, schema: str = OUR_SCHEMA) -> dict[str, str]:
    """The statements of ``sql/{file}.sql`` by name: each follows a line ``-- name: …``. Comments are left out."""
    text = (resources.files("squidmesh_postgres") / "sql" / f"{file}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {name: in_schema(_COMMENT.sub("", sql).strip(), schema).removesuffix(";") for name, sql in pairs}


def in_schema(sql: str, schema: str) -> str:
    """``schema`` is a plain identifier: the URL's reader has checked it."""
    return sql if schema == OUR_SCHEMA else _QUALIFIED.sub(f'"{schema}"', sql)


class Migration(NamedTuple):
    number: int
    name: str
    sql: str


@cache
def migrations(schema: str = OUR_SCHEMA) -> tuple[Migration, ...]:
    """All that this version knows, in order; their numbers are 1, 2, 3 …"""
    found = []
    for file in (resources.files("squidmesh_postgres") / "migrations").iterdir():
        if match := _MIGRATION.fullmatch(file.name):
            sql = in_schema(file.read_text("utf-8"), schema)
            found.append(Migration(int(match[1]), file.name.removesuffix(".sql"), sql))
    return tuple(sorted(found))

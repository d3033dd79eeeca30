"""Numbered migrations: applied one by one, by one node at a time, each in a transaction of its own.

A fleet is not stopped for one: each migration says which older code can go on with it (``-- serves: N``, the last
migration that such code knows), and code meets a schema that is newer than itself only within that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from squidmesh.errors import BackendUnavailable, ForeignStore, SchemaOutOfDate, SchemaTooNew
from squidmesh_postgres.faults import translated
from squidmesh_postgres.statements import Migration, load, migrations

_SERVES = re.compile(r"^-- serves: (\d+)$", re.MULTILINE)
OLDEST_SERVER = 14
"""The oldest major version that is served: the first with pipelines and ``xid8`` in all that is used here."""


class Schema:
    """One schema of one database. ``name``: the store as people know it."""

    def __init__(self, conninfo: str, schema: str, name: str) -> None:
        self.name = name
        self.name_of_schema = schema
        self._conninfo = conninfo
        self._schema = schema
        self._name = name
        self._sql = load("schema", schema)

    def migrate(self) -> list[str]:
        """The names of those that were applied. ``ForeignStore`` where the schema is there and not ours."""
        applied = []
        with self.session() as connection:
            for migration in migrations(self._schema):
                with connection.transaction():
                    connection.execute(self._sql["lock"], {"schema": self._schema})
                    if migration.number not in self._known(connection):
                        connection.execute(migration.sql)
                        self._note(connection, migration)
                        applied.append(migration.name)
        return applied

    def pending(self) -> list[Migration]:
        """Those that :meth:`migrate` would apply. Changes nothing."""
        with self.session() as connection:
            return self.pending_on(connection)

    def pending_on(self, connection: Connection[Any]) -> list[Migration]:
        done = self._numbers(connection) if self._is_ours(connection) else []
        return [migration for migration in migrations(self._schema) if migration.number not in done]

    def require(self, connection: Connection[Any]) -> None:
        """Raises ``SchemaOutOfDate``, ``SchemaTooNew`` or ``ForeignStore``."""
        newest = migrations(self._schema)[-1].number
        if not self._is_ours(connection):
            raise SchemaOutOfDate(f"{self._name} has no schema {self._schema} yet: migrate it first")
        version, serves = connection.execute(self._sql["state"]).fetchone() or (0, 0)
        if version < newest:
            raise SchemaOutOfDate(f"{self._name} has schema {version}, and {newest} is needed: migrate it first")
        if newest < serves:
            raise SchemaTooNew(
                f"{self._name} has schema {version}, which serves code that knows {serves} or more, and this knows"
                f" {newest}: update Squid Mesh"
            )

    @contextmanager
    def session(self) -> Iterator[Connection[Any]]:
        with translated(self._name), psycopg.connect(self._conninfo, autocommit=True) as connection:
            if connection.info.server_version < OLDEST_SERVER * 10_000:
                raise BackendUnavailable(
                    f"{self._name} is PostgreSQL {connection.info.server_version // 10_000}; allowed is"
                    f" {OLDEST_SERVER} or newer"
                )
            connection.execute(self._sql["session"])
            yield connection

    def _known(self, connection: Connection[Any]) -> list[int]:
        """Under the lock."""
        if not self._is_ours(connection):
            connection.execute(self._sql["found"])
            connection.execute(self._sql["found_list"])
        return self._numbers(connection)

    def _numbers(self, connection: Connection[Any]) -> list[int]:
        return [number for (number,) in connection.execute(self._sql["applied"])]

    def _is_ours(self, connection: Connection[Any]) -> bool:
        ours, _, anything = connection.execute(self._sql["look"], {"schema": self._schema}).fetchone() or (0, 0, 0)
        if anything and not ours:
            raise ForeignStore(f"{self._name}: the schema {self._schema} is of another program, and was left alone")
        return bool(ours)

    def _note(self, connection: Connection[Any], migration: Migration) -> None:
        serves = _SERVES.search(migration.sql)
        assert serves is not None, f"{migration.name} does not say which code it serves"
        note = {"number": migration.number, "name": migration.name, "serves": int(serves[1])}
        connection.execute(self._sql["note"], note)

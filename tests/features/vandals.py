"""Those who write to a journal behind its back."""

import sqlite3
from contextlib import closing
from typing import Any

import psycopg
from msgspec import Struct, structs

from squidmesh.journal.rows import AttemptRow, DeadLetterRow, PausedQueueRow, RunRow, TimerRow
from tests.features.world import MemoryWorld, PostgresWorld, SqliteWorld, World

KINDS: dict[str, tuple[str, type[Struct]]] = {
    "run": ("runs", RunRow),
    "attempts": ("agenda", AttemptRow),
    "dead_letters": ("dead_letters", DeadLetterRow),
    "timers": ("timers", TimerRow),
    "paused": ("pauses", PausedQueueRow),
}
"""As ThreadRows names them: the table, and the row. The first field of each is its name."""


class Vandal:
    """Writes to the rows behind the journal's back."""

    def __init__(self, world: World) -> None:
        self._world = world

    def set(self, kind: str, rows: list[Any]) -> None:
        """From now on there are exactly these."""
        table, row_type = KINDS[kind]
        if isinstance(self._world, MemoryWorld):
            journal = self._world._stores._journal
            keep: dict[str, Any] = getattr(journal, {"pauses": "_paused"}.get(table, f"_{table}"))
            keep.clear()
            keep |= {getattr(row, row_type.__struct_fields__[0]): row for row in rows}
            return
        fields = row_type.__struct_fields__
        if isinstance(self._world, PostgresWorld):
            self._set_in_postgres(table, fields, rows)
            return
        assert isinstance(self._world, SqliteWorld)
        with closing(sqlite3.connect(self._world.path, isolation_level=None)) as connection:
            connection.execute(f"CREATE TEMP TABLE had AS SELECT * FROM {table}")
            connection.execute(f"DELETE FROM {table}")
            more = ", arrival" if table == "agenda" else ""
            marks = ", ".join("?" * len(fields))
            for row in rows:
                name = getattr(row, fields[0])
                where = f", ifnull((SELECT arrival FROM had WHERE item = '{name}'), 0)" if more else ""
                sql = f"INSERT INTO {table} ({', '.join(fields)}{more}) SELECT {marks}{where}"
                connection.execute(sql, structs.astuple(row))

    def _set_in_postgres(self, table: str, fields: tuple[str, ...], rows: list[Any]) -> None:
        """No trigger of ours hears of it."""
        assert isinstance(self._world, PostgresWorld)
        more = ", arrival" if table == "agenda" else ""
        sql = f"INSERT INTO squidmesh.{table} ({', '.join(fields)}{more}) SELECT {', '.join(['%s'] * len(fields))}"
        sql += ", coalesce((SELECT arrival FROM had WHERE item = %s), 0)" if more else ""
        with psycopg.connect(self._world.database.owner_url) as connection:
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(f"CREATE TEMP TABLE had ON COMMIT DROP AS SELECT * FROM squidmesh.{table}")
            connection.execute(f"DELETE FROM squidmesh.{table}")
            for row in rows:
                connection.execute(sql.encode(), structs.astuple(row) + ((row.item,) if more else ()))


def spoil(world: World, run_id: str) -> None:
    """Its first entry is not what it was."""
    if isinstance(world, MemoryWorld):
        entries = world._stores._journal._threads[run_id]
        entries[0] = structs.replace(entries[0], body=_spoilt(entries[0].body))
        return
    if isinstance(world, PostgresWorld):
        _rewrite(world, f"thread = '{run_id}' AND revision = 1", '"at"', '"At"')
        return
    assert isinstance(world, SqliteWorld)
    with closing(sqlite3.connect(world.path, isolation_level=None)) as connection:
        (body,) = connection.execute("SELECT body FROM entries WHERE thread = ? AND revision = 1", (run_id,)).fetchone()
        connection.execute("UPDATE entries SET body = ? WHERE thread = ? AND revision = 1", (_spoilt(body), run_id))


def _spoilt(body: bytes) -> bytes:
    return body.replace(b'"at"', b'"At"', 1)


def _rewrite(world: PostgresWorld, which: str, was: str, shall_be: str) -> None:
    body = f"replace(convert_from(body, 'UTF8'), '{was}', '{shall_be}')"
    sql = f"UPDATE squidmesh.entries SET body = convert_to({body}, 'UTF8') WHERE {which}"
    world.database.owner.execute(sql.encode())


def mend(world: World) -> None:
    """Undoes :func:`spoil`."""
    if isinstance(world, MemoryWorld):
        for entries in world._stores._journal._threads.values():
            entries[0] = structs.replace(entries[0], body=entries[0].body.replace(b'"At"', b'"at"'))
        return
    if isinstance(world, PostgresWorld):
        _rewrite(world, "true", '"At"', '"at"')
        return
    assert isinstance(world, SqliteWorld)
    with closing(sqlite3.connect(world.path, isolation_level=None)) as connection:
        connection.execute("""UPDATE entries SET body = CAST(replace(body, '"At"', '"at"') AS BLOB)""")

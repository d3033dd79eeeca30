"""Is this file ours, and is it up to date? Nothing is written to a file before that is known."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from squidmesh.errors import BackendUnavailable, ForeignStore, InvalidUrl, SchemaOutOfDate, SchemaTooNew
from squidmesh_sqlite.faults import is_busy, is_no_database, translated
from squidmesh_sqlite.pool import BUSY_TIMEOUT, connect
from squidmesh_sqlite.statements import load, migrations

APPLICATION_ID = 1397837105
"""Our files carry it in their header, as the bytes ``SQM1``."""

_HEADER = b"SQLite format 3\0"
_HEADER_SIZE = 100
_APPLICATION_ID_AT = slice(68, 72)
_FORMAT_AT = 18
_WRITE_AHEAD = 2
_SQL = load("schema")
_BEGIN, _COMMIT = load("connection")["begin"], load("connection")["commit"]


class Schema:
    """Looks once a process; a file that was ready stays ready."""

    def __init__(self, path: Path, factory: type[sqlite3.Connection]) -> None:
        self._path = path
        self._factory = factory
        self._lock = threading.Lock()
        self._ready_in: int | None = None

    def ready(self) -> None:
        """Creates and migrates a new file. Raises for any other that is not ours, or not of this version."""
        with self._lock:
            if self._ready_in == os.getpid():
                return
            if self._is_new() or not self._is_up_to_date():
                self._migrate()
            self._ready_in = os.getpid()

    def migrate(self) -> list[str]:
        """Brings the file up to date, creating it if need be; returns the names of the migrations applied."""
        with self._lock:
            self._is_new()
            return self._migrate()

    # ------------------------------------------------------------------------------------------------- is it ours

    def _is_new(self) -> bool:
        """Whether there is nothing in the file yet. Raises if there is something that is not ours."""
        path = self._path
        if not path.parent.is_dir():
            raise InvalidUrl(f"{path}: the folder {path.parent} does not exist; create it first", field="url")
        if path.is_dir():
            raise InvalidUrl(f"{path} is a folder; name a file", field="url")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise BackendUnavailable(f"{path} can not be used: its folder can not be written to")
        if path.exists() and not os.access(path, os.W_OK):
            raise BackendUnavailable(f"{path} can not be used: it can not be written to")
        try:
            with path.open("rb") as file:
                header = file.read(_HEADER_SIZE)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise BackendUnavailable(f"{path} can not be read: {error.strerror}") from error
        if not header:
            return True
        if len(header) < _HEADER_SIZE or not header.startswith(_HEADER):
            raise ForeignStore(f"{path} is no SQLite database, and was left alone")
        mark = int.from_bytes(header[_APPLICATION_ID_AT], "big")
        if mark == APPLICATION_ID:
            return False
        if mark != 0 or header[_FORMAT_AT] == _WRITE_AHEAD:  # ours are marked before they are switched to that
            raise ForeignStore(f"{path} is the database of another program, and was left alone")
        return self._is_empty()

    def _is_empty(self) -> bool:
        """Of a database without our mark: whether it holds nothing at all. Looks without writing."""
        try:
            with translated(self._path), closing(connect(self._path, "ro", self._factory)) as connection:
                (application_id,) = connection.execute(_SQL["application_id"]).fetchone()
                (objects,) = connection.execute(_SQL["count_objects"]).fetchone()
        except BackendUnavailable as error:
            if isinstance(error.__cause__, sqlite3.Error) and not is_no_database(error.__cause__):
                raise
            raise ForeignStore(f"{self._path} is no database of Squid Mesh, and was left alone") from error
        if application_id == APPLICATION_ID:  # created by another process just now
            return bool(objects == 0)
        if application_id != 0 or objects != 0:
            raise ForeignStore(f"{self._path} is the database of another program, and was left alone")
        return True

    # --------------------------------------------------------------------------------------------- is it up to date

    def _is_up_to_date(self) -> bool:
        """False for a file whose creator died at it; raises for one that an operator must migrate."""
        newest = migrations()[-1].number
        with translated(self._path), closing(connect(self._path, "rw", self._factory)) as connection:
            version = self._version(connection)
            if version == 0 and connection.execute(_SQL["count_objects"]).fetchone() == (0,):
                return False
            if version < newest:
                raise SchemaOutOfDate(f"{self._path} has schema {version}, and {newest} is needed: migrate it first")
            self._write_ahead(connection)
        return True

    def _version(self, connection: sqlite3.Connection) -> int:
        """Raises if it is newer than what this version knows."""
        version: int = connection.execute(_SQL["user_version"]).fetchone()[0]
        newest = migrations()[-1].number
        if version > newest:
            raise SchemaTooNew(f"{self._path} has schema {version}, and only {newest} is known: update Squid Mesh")
        return version

    def _migrate(self) -> list[str]:
        """Each migration is one transaction, and looks at the version in it: two processes may both try."""
        applied = []
        with translated(self._path), closing(connect(self._path, "rwc", self._factory)) as connection:
            for migration in migrations():
                connection.execute(_BEGIN)
                if self._version(connection) < migration.number:
                    for statement in migration.statements():
                        connection.execute(statement)
                    applied.append(migration.name)
                connection.execute(_COMMIT)
            self._write_ahead(connection)
        return applied

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Readers and the one writer do not wait for each other. The file remembers; SQLite does not wait for its turn
        to change it, so this does."""
        ends = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                (mode,) = connection.execute(_SQL["write_ahead"]).fetchone()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > ends:
                    raise
                time.sleep(0.01)
            else:
                if mode != "wal":
                    raise BackendUnavailable(f"{self._path} can not be used: its folder allows no write-ahead log")
                return

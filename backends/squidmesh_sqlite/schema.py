"""Is this file ours, and is it up to date? Nothing is written to a file before that is known."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path

from squidmesh.errors import (
    BackendUnavailable,
    ForeignStore,
    InvalidUrl,
    SchemaOutOfDate,
    SchemaTooNew,
    StoreDamaged,
)
from squidmesh_sqlite.faults import is_busy, translated
from squidmesh_sqlite.forks import FORKS
from squidmesh_sqlite.migrating import add_functions
from squidmesh_sqlite.pool import BUSY_TIMEOUT, connect
from squidmesh_sqlite.statements import Migration, load, migrations

APPLICATION_ID = 1397837105
"""Our files carry it in their header, as the bytes ``SQM1``."""

_SMALLEST = 512
"""Bytes: the smallest page that SQLite knows, so the smallest file that has something in it."""
_NO_SUCH_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
_SQL = load("schema")
_BEGIN, _COMMIT = load("connection")["begin"], load("connection")["commit"]


class Schema:
    """Looks once a process; a file that was ready stays ready."""

    def __init__(self, path: Path, factory: type[sqlite3.Connection]) -> None:
        self.path = path
        self._factory = factory
        self._lock = threading.Lock()
        self._ready = False
        FORKS.watch(self)

    def before_fork(self) -> None:
        """Keeps no connection."""

    def after_fork(self) -> bool:
        self._lock = threading.Lock()
        self._ready = False
        return False

    def ready(self) -> None:
        """Creates and migrates a new file. Raises for any other that is not ours, or not of this version."""
        with FORKS.steady(self.path), self._lock:
            if self._ready:
                return
            if self._is_new() or not self._is_up_to_date():
                self._migrate()
            self._ready = True

    def migrate(self) -> list[str]:
        """Brings the file up to date, creating it if need be; returns the names of the migrations applied."""
        with FORKS.steady(self.path), self._lock:
            self._is_new()
            return self._migrate()

    def version(self) -> int:
        """That of the file; 0 where there is nothing in it yet, or no file. Changes nothing; raises for any file that
        is not ours, and for one of a newer version.
        """
        with FORKS.steady(self.path), self._lock:
            if self._is_new():
                return 0
            with translated(self.path), closing(connect(self.path, "ro", self._factory)) as connection:
                return self._version(connection)

    def pending(self) -> list[Migration]:
        """Those that :meth:`migrate` would apply."""
        version = self.version()
        return [migration for migration in migrations() if migration.number > version]

    # ------------------------------------------------------------------------------------------------- is it ours

    def _is_new(self) -> bool:
        """Whether there is nothing in the file yet. Raises if there is something that is not ours."""
        size = self._size()
        if size == 0:
            return True
        if size < _SMALLEST:
            raise self._no_database()
        mark, empty = self._glance()
        if mark == APPLICATION_ID:
            return False
        if not empty or self._has_log():  # ours are marked before they have one
            raise self._of_another_program()
        return self._is_empty()

    def _size(self) -> int:
        """In bytes, 0 where there is no file. Raises where there can be none, or where we may not write."""
        path = self.path
        folder, file = self._found(path.parent), self._found(path)
        if folder is None or not stat.S_ISDIR(folder.st_mode):
            raise InvalidUrl(f"{path}: the folder {path.parent} does not exist; create it first", field="url")
        if file is not None and not stat.S_ISREG(file.st_mode):
            kind = "a folder" if stat.S_ISDIR(file.st_mode) else "no regular file"
            raise InvalidUrl(f"{path} is {kind}; name a file", field="url")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise BackendUnavailable(f"{path} can not be used: its folder can not be written to")
        if file is not None and not os.access(path, os.W_OK):
            raise BackendUnavailable(f"{path} can not be used: it can not be written to")
        return 0 if file is None else file.st_size

    def _found(self, place: Path) -> os.stat_result | None:
        try:
            return place.stat()
        except OSError as error:
            if error.errno in _NO_SUCH_PLACE:
                return None
            raise BackendUnavailable(f"{self.path} can not be used: {place}: {error.strerror}") from error

    def _has_log(self) -> bool:
        return self.path.with_name(f"{self.path.name}-wal").exists()

    def _glance(self) -> tuple[int, bool]:
        """The mark of the main file, and whether it holds nothing. Waits for nobody and leaves no trace.

        Never by opening the file ourselves: to close it would give up all locks that this process has on it, and other
        connections, of ours or of the host, rely on theirs.
        """
        try:
            with translated(self.path), closing(connect(self.path, "ro&immutable=1", self._factory)) as connection:
                connection.execute(_SQL["as_it_is"])
                (mark,) = connection.execute(_SQL["application_id"]).fetchone()
                return mark, mark == 0 and connection.execute(_SQL["count_objects"]).fetchone() == (0,)
        except StoreDamaged as error:
            raise self._no_database() from error

    def _is_empty(self) -> bool:
        """Of a database without our mark: whether it holds nothing at all, as its writers see it."""
        try:
            with translated(self.path), closing(connect(self.path, "ro", self._factory)) as connection:
                (application_id,) = connection.execute(_SQL["application_id"]).fetchone()
                (objects,) = connection.execute(_SQL["count_objects"]).fetchone()
        except StoreDamaged as error:
            raise self._no_database() from error
        if application_id == APPLICATION_ID:  # created by another process just now
            return bool(objects == 0)
        if application_id != 0 or objects != 0:
            raise self._of_another_program()
        return True

    def _no_database(self) -> ForeignStore:
        return ForeignStore(f"{self.path} is no SQLite database, and was left alone")

    def _of_another_program(self) -> ForeignStore:
        return ForeignStore(f"{self.path} is the database of another program, and was left alone")

    # --------------------------------------------------------------------------------------------- is it up to date

    def _is_up_to_date(self) -> bool:
        """False for a file whose creator died at it; raises for one that an operator must migrate."""
        newest = migrations()[-1].number
        with translated(self.path), closing(connect(self.path, "rw", self._factory)) as connection:
            version = self._version(connection)
            if version == 0 and connection.execute(_SQL["count_objects"]).fetchone() == (0,):
                return False
            if version < newest:
                raise SchemaOutOfDate(f"{self.path} has schema {version}, and {newest} is needed: migrate it first")
            self._write_ahead(connection)
        return True

    def _version(self, connection: sqlite3.Connection) -> int:
        """Raises if it is newer than what this version knows."""
        version: int = connection.execute(_SQL["user_version"]).fetchone()[0]
        newest = migrations()[-1].number
        if version > newest:
            raise SchemaTooNew(f"{self.path} has schema {version}, and only {newest} is known: update Squid Mesh")
        return version

    def _migrate(self) -> list[str]:
        """Each migration is one transaction, and looks at the version in it: two processes may both try. A new file
        gets all of them in one: whoever opens it meanwhile finds nothing yet, or all, and no older version.
        """
        applied: list[str] = []
        with translated(self.path), closing(connect(self.path, "rwc", self._factory)) as connection:
            add_functions(connection)
            connection.execute(_BEGIN)
            if self._version(connection) == 0:
                for migration in migrations():
                    applied += self._apply(connection, migration)
            connection.execute(_COMMIT)
            for migration in migrations():
                connection.execute(_BEGIN)
                if self._version(connection) < migration.number:
                    applied += self._apply(connection, migration)
                connection.execute(_COMMIT)
            self._write_ahead(connection)
        return applied

    @staticmethod
    def _apply(connection: sqlite3.Connection, migration: Migration) -> list[str]:
        for statement in migration.statements():
            connection.execute(statement)
        return [migration.name]

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
                    raise BackendUnavailable(f"{self.path} can not be used: its folder allows no write-ahead log")
                return

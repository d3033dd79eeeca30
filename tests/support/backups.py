"""Backups of a journal with its server's own tools, and what becomes of them: as ``docs/backup.md`` says it."""

import os
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Protocol

from squidmesh.testing.postgres import Postgres
from squidmesh.testing.postgres_programs import programs
from tests.support.postgreses import VERSIONS, started

DATABASE = "orders"
DUMP = "pg_dump --format=custom --file=journal.dump"
RESTORE = "pg_restore --exit-on-error --dbname"
YOUNG = "UPDATE squidmesh.agenda SET writer = pg_current_xact_id() WHERE writer >= pg_current_xact_id()"
COPY = "pg_basebackup --wal-method=stream --checkpoint=fast --pgdata=journal.copy"


class Store(Protocol):
    """A journal under load. ``url``: of the database; the folder that ``save`` is given is the backup's own."""

    url: str

    def save(self, folder: Path) -> None: ...

    def lose(self) -> None:
        """As when its machine is gone."""

    def restored(self, saved: Path, folder: Path) -> AbstractContextManager[str]:
        """Another one, from what was saved; its address."""


class Dumped:
    """PostgreSQL and ``pg_dump``: the database, into another server."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self.url = server.create_database(DATABASE)

    def save(self, folder: Path) -> None:
        run(f"{DUMP} {self.url}", folder)

    def lose(self) -> None:
        self._server.close()

    @contextmanager
    def restored(self, saved: Path, folder: Path) -> Iterator[str]:
        with started(VERSIONS[0], folder) as server:
            url = server.create_database(DATABASE)
            run(f"{RESTORE} {url} journal.dump", saved)
            server.execute(YOUNG, database=DATABASE)
            yield url


class Copied(Dumped):
    """PostgreSQL and ``pg_basebackup``: the whole server's files."""

    def save(self, folder: Path) -> None:
        run(f"{COPY} --dbname={self._server.url}", folder)

    @contextmanager
    def restored(self, saved: Path, folder: Path) -> Iterator[str]:
        # A server that is given an empty cluster to begin with begins with this one.
        templates = folder / "templates"
        templates.mkdir(parents=True)
        (saved / "journal.copy").rename(templates / f"postgres-{VERSIONS[0]}")
        with started(VERSIONS[0], folder / "server", templates=templates) as server:
            yield server.url.removesuffix("postgres") + DATABASE


class OneFile:
    """SQLite and its online backup."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "journal.db"
        self.url = f"sqlite:///{self._file}"

    def save(self, folder: Path) -> None:
        with closing(sqlite3.connect(self._file)) as live, closing(sqlite3.connect(folder / "journal.db")) as copy:
            live.backup(copy)

    def lose(self) -> None:
        for file in self._file.parent.glob("journal.db*"):
            file.unlink()

    @contextmanager
    def restored(self, saved: Path, folder: Path) -> Iterator[str]:
        folder.mkdir()
        (saved / "journal.db").rename(folder / "journal.db")
        yield f"sqlite:///{folder / 'journal.db'}"


def run(command: str, folder: Path) -> None:
    """One of PostgreSQL's own programs."""
    program, *words = shlex.split(command)
    found = programs(VERSIONS[0]).folder / "bin" / program
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run([found, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

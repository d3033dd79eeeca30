"""A store in a file, the clock that it is given, and a look at what it asks of SQLite."""

import sqlite3

import pytest
from squidmesh_sqlite import SqliteBackend

from squidmesh.testing import VirtualClock


class Watched(sqlite3.Connection):
    """Notes every statement that it is asked to run; :func:`watched` makes one with a list of its own."""

    asked: list[str]

    def execute(self, sql, *parameters):
        self.asked.append(sql)
        return super().execute(sql, *parameters)

    def executemany(self, sql, *parameters):
        self.asked.append(sql)
        return super().executemany(sql, *parameters)


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def open_store(path, clock):
    """Opens the file as often as asked, and closes all that was opened."""
    opened = []

    def open_store(factory=sqlite3.Connection, at=path):
        opened.append(SqliteBackend(f"sqlite:///{at}", clock=clock, factory=factory))
        return opened[-1]

    yield open_store
    for backend in opened:
        backend.close()


@pytest.fixture
def backend(open_store):
    return open_store()


@pytest.fixture
def asked():
    return []


@pytest.fixture
def watched(open_store, asked):
    """A backend all of whose statements are in ``asked``."""
    return open_store(type("WatchedHere", (Watched,), {"asked": asked}))

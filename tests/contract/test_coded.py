"""A store behind a payload codec keeps every promise that a store makes, and holds no body in the clear."""

from __future__ import annotations

import inspect
import sqlite3
from contextlib import closing

import pytest
from squidmesh_sqlite import backend as sqlite

from squidmesh.codecs.aes_gcm import AesGcm
from squidmesh.memory import backend as memory
from squidmesh.ports.journal_store import JournalStore
from squidmesh.runtime.coded import CodedStore, coded
from squidmesh.testing.agenda_suite import AgendaSuite
from squidmesh.testing.journal_suite import JournalStoreSuite
from squidmesh.testing.retention_suite import RetentionSuite

CODEC = AesGcm({"now": AesGcm.new_key()}, use="now")


class TestMemory(JournalStoreSuite):
    @pytest.fixture
    def store(self, clock):
        return coded(memory("memory://", clock=clock).journal(), CODEC)


class TestSqlite(JournalStoreSuite):
    @pytest.fixture
    def store(self, clock, tmp_path):
        opened = sqlite(f"sqlite:///{tmp_path}/journal.db", clock=clock)
        yield coded(opened.journal(), CODEC)
        bodies = _bodies(tmp_path / "journal.db")
        opened.close()
        assert [body for body in bodies if not body.startswith(b"aes-gcm:now:")] == [], "nothing in the clear"


class TestAgenda(AgendaSuite):
    @pytest.fixture
    def store(self, clock):
        return coded(memory("memory://", clock=clock).journal(), CODEC)


class TestRetention(RetentionSuite):
    @pytest.fixture
    def store(self, clock):
        return coded(memory("memory://", clock=clock).journal(), CODEC)


def _bodies(file):
    with closing(sqlite3.connect(file)) as store:
        return [body for table in ("entries", "checkpoints") for (body,) in store.execute(f"SELECT body FROM {table}")]


def test_no_method_of_the_port_moves_a_body_past_the_codec() -> None:
    signatures = {
        name: str(inspect.signature(method)) for name, method in inspect.getmembers(JournalStore, inspect.isfunction)
    }
    bodies = ("Group", "Append", "Entry", "History", "Checkpoint", "Transaction", "JournalStore")
    moving = {name for name, told in signatures.items() if any(word in told for word in bodies)}

    assert moving == {"commit", "read", "entry", "transaction", "joined"}
    assert moving <= vars(CodedStore).keys()

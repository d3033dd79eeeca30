"""Starts in the host's own transaction: refused where the store has none, and the suite, tried on a stand-in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from squidmesh_redis import RedisBackend
from squidmesh_sqlite import backend as sqlite

from squidmesh.clock import Clock
from squidmesh.codecs.aes_gcm import AesGcm
from squidmesh.errors import UsageError
from squidmesh.memory import backend as memory
from squidmesh.ports.backend import Backend
from squidmesh.ports.journal_store import JournalStore
from squidmesh.runtime.coded import coded
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.joined_suite import AnnouncedSuite, Hosts, JoinedSuite
from tests.support.hosts import HostedBackend

CODEC = AesGcm({"now": AesGcm.new_key()}, use="now")


@pytest.fixture(params=["memory", "sqlite"])
def without(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    clock: Clock = VirtualClock()
    opened: Any = (
        memory("memory://", clock=clock)
        if request.param == "memory"
        else sqlite(f"sqlite:///{tmp_path}/journal.db", clock=clock)
    )
    yield opened
    opened.close()


def test_a_store_without_it_says_why_and_what_is_allowed(without: Backend, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        for given in (connection, object(), "a connection"):
            with pytest.raises(
                UsageError, match=r"^connection: a (memory|journal in SQLite) .*; allowed is"
            ) as refused:
                without.journal().joined(given)
            assert type(refused.value) is UsageError
            assert (refused.value.code, refused.value.field) == ("connection_unsupported", "connection")


def test_where_no_host_can_start_runs_nothing_is_announced(without: Backend) -> None:
    lease_backend: Any = RedisBackend("redis://localhost")
    assert without.starts_announced() is None
    assert lease_backend.starts_announced() is None


class OnStandIn:
    @pytest.fixture
    def backend(self, clock: VirtualClock, tmp_path: Path) -> Iterator[HostedBackend]:
        opened = HostedBackend(clock, tmp_path)
        yield opened
        opened.close()

    @pytest.fixture
    def store(self, backend: HostedBackend) -> JournalStore:
        return backend.journal()

    @pytest.fixture
    def host(self, backend: HostedBackend) -> Iterator[Hosts]:
        yield backend.host
        backend.end_hosts()


class TestStandIn(OnStandIn, JoinedSuite):
    pass


class TestStandInBehindACodec(OnStandIn, JoinedSuite):
    @pytest.fixture
    def store(self, backend: HostedBackend) -> Iterator[JournalStore]:
        yield coded(backend.journal(), CODEC)
        bodies = [entry.body for entries in backend.journal()._threads.values() for entry in entries]
        assert [body for body in bodies if not body.startswith(b"aes-gcm:now:")] == [], "nothing in the clear"


class TestStandInAnnounces(OnStandIn, AnnouncedSuite):
    pass

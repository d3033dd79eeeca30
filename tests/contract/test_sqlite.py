"""The SQLite backend keeps every promise of the suites."""

import sqlite3

import pytest
from squidmesh_sqlite import SqliteBackend, backend

from squidmesh.testing.agenda_suite import AgendaSuite
from squidmesh.testing.doctor_suite import DoctorSuite
from squidmesh.testing.due_queues_suite import DueQueuesSuite
from squidmesh.testing.journal_lease_suite import JournalLeaseSuite
from squidmesh.testing.journal_suite import JournalStoreSuite
from squidmesh.testing.lease_suite import LeaseBackendSuite
from squidmesh.testing.planes import JournalPlane
from squidmesh.testing.reindex_suite import ReindexSuite
from squidmesh.testing.retention_suite import RetentionSuite
from squidmesh.testing.transaction_suite import TransactionSuite
from squidmesh.testing.workers_suite import WorkersSuite


@pytest.fixture
def opened(tmp_path, clock):
    opened = backend(f"sqlite:///{tmp_path}/journal.db", clock=clock)
    yield opened
    opened.close()


class TestJournal(JournalStoreSuite):
    @pytest.fixture
    def store(self, opened):
        return opened.journal()


class TestTransactions(TransactionSuite):
    @pytest.fixture
    def store(self, opened):
        return opened.journal()


class TestAgenda(AgendaSuite):
    @pytest.fixture
    def store(self, opened):
        return opened.journal()


class TestRetention(RetentionSuite):
    @pytest.fixture
    def store(self, opened):
        return opened.journal()


class TestWorkers(WorkersSuite):
    @pytest.fixture
    def store(self, opened):
        return opened.journal()


class TestReindex(ReindexSuite):
    @pytest.fixture
    def store(self, opened):
        return opened.journal()


class TestDoctor(DoctorSuite):
    @pytest.fixture
    def made(self, opened):
        opened.migrate()
        return opened

    @pytest.fixture
    def unmade(self, tmp_path, clock):
        return backend(f"sqlite:///{tmp_path}/elsewhere.db", clock=clock)


class TestDueQueues(DueQueuesSuite):
    @pytest.fixture
    def plane(self, opened):
        return JournalPlane(opened.journal(), opened.leases())


class TestLeases(LeaseBackendSuite):
    @pytest.fixture
    def plane(self, opened, tmp_path):
        self.folder = tmp_path
        return JournalPlane(opened.journal(), opened.leases())

    def stored(self, plane):
        return "".join(path.read_bytes().decode("latin-1") for path in self.folder.iterdir())


class TestLeasesInTheJournal(JournalLeaseSuite):
    @pytest.fixture
    def plane(self, opened):
        return JournalPlane(opened.journal(), opened.leases())


class Backwards(sqlite3.Connection):
    """Gives rows that nobody asked to be in order in the opposite of it."""

    def executescript(self, script):
        return super().executescript(script + "PRAGMA reverse_unordered_selects = ON;")


class OrderIsAskedFor:
    """No order rests on what SQLite happens to do."""

    @pytest.fixture
    def opened(self, tmp_path, clock):
        opened = SqliteBackend(f"sqlite:///{tmp_path}/journal.db", clock=clock, factory=Backwards)
        yield opened
        opened.close()


class TestJournalBackwards(OrderIsAskedFor, TestJournal):
    pass


class TestRetentionBackwards(OrderIsAskedFor, TestRetention):
    pass


class TestLeasesBackwards(OrderIsAskedFor, TestLeases):
    pass

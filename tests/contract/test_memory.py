"""The memory backend keeps every promise of the suites."""

import pytest

from squidmesh.memory import backend
from squidmesh.testing.agenda_suite import AgendaSuite
from squidmesh.testing.doctor_suite import DoctorSuite
from squidmesh.testing.due_queues_suite import DueQueuesSuite
from squidmesh.testing.journal_suite import JournalStoreSuite
from squidmesh.testing.lease_suite import LeaseBackendSuite
from squidmesh.testing.offer_suite import OfferSuite
from squidmesh.testing.planes import OfferPlane
from squidmesh.testing.reindex_suite import ReindexSuite
from squidmesh.testing.retention_suite import RetentionSuite
from squidmesh.testing.workers_suite import WorkersSuite


class TestJournal(JournalStoreSuite):
    @pytest.fixture
    def store(self, clock):
        return backend("memory://", clock=clock).journal()


class TestAgenda(AgendaSuite):
    @pytest.fixture
    def store(self, clock):
        return backend("memory://", clock=clock).journal()


class TestRetention(RetentionSuite):
    @pytest.fixture
    def store(self, clock):
        return backend("memory://", clock=clock).journal()


class TestWorkers(WorkersSuite):
    @pytest.fixture
    def store(self, clock):
        return backend("memory://", clock=clock).journal()


class TestReindex(ReindexSuite):
    @pytest.fixture
    def store(self, clock):
        return backend("memory://", clock=clock).journal()


class TestDoctor(DoctorSuite):
    @pytest.fixture
    def made(self, clock):
        return backend("memory://", clock=clock)

    @pytest.fixture
    def unmade(self, made):
        return made


class TestDueQueues(DueQueuesSuite):
    @pytest.fixture
    def plane(self, clock):
        return OfferPlane(backend("memory://", clock=clock).leases())


class TestLeases(LeaseBackendSuite):
    @pytest.fixture
    def plane(self, clock):
        return OfferPlane(backend("memory://", clock=clock).leases())

    def stored(self, plane):
        return str(vars(plane.leases))


class TestOffers(OfferSuite):
    @pytest.fixture
    def leases(self, clock):
        return backend("memory://", clock=clock).leases()

    def forget(self, leases):
        leases.forget_everything()

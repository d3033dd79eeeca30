"""The PostgreSQL backend keeps every promise of the suites.

The server is real, its clock is not: the function that reads it is exchanged for one that reads a table, which the
suites' virtual clock writes.
"""

import pytest

from squidmesh.testing.journal_lease_suite import JournalLeaseSuite
from squidmesh.testing.lease_suite import LeaseBackendSuite
from squidmesh.testing.planes import JournalPlane
from squidmesh.testing.wakeup_suite import WakeupSuite
from tests.support.postgreses import all_of, opened_with_clock


@pytest.fixture
def opened_at(postgres_url):
    with opened_with_clock(postgres_url) as opened:
        yield opened


@pytest.fixture
def opened(opened_at):
    return opened_at[0]


class OnServer:
    """Fixtures of the suites."""

    @pytest.fixture
    def clock(self, opened_at):
        return opened_at[1]


class TestLeases(OnServer, LeaseBackendSuite):
    @pytest.fixture
    def plane(self, opened, postgres_url):
        self.url = postgres_url
        return JournalPlane(opened.journal(), opened.leases())

    def stored(self, plane):
        return all_of(self.url)


class TestLeasesInTheJournal(OnServer, JournalLeaseSuite):
    @pytest.fixture
    def plane(self, opened):
        return JournalPlane(opened.journal(), opened.leases())


class TestWakeup(WakeupSuite):
    @pytest.fixture
    def backend(self, opened):
        return opened

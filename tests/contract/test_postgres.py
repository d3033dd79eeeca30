"""The PostgreSQL backend keeps every promise of the suites, with no more rights than a worker has.

The server is real, its clock is not: the function that reads it is exchanged for one that reads a table, which the
suites' virtual clock writes.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
import sqlalchemy.orm
from squidmesh_postgres import PostgresBackend

from squidmesh.codecs.aes_gcm import AesGcm
from squidmesh.errors import InvalidInput
from squidmesh.runtime.coded import coded
from squidmesh.testing.agenda_suite import AgendaSuite
from squidmesh.testing.doctor_suite import DoctorSuite
from squidmesh.testing.due_queues_suite import DueQueuesSuite
from squidmesh.testing.joined_suite import AnnouncedSuite, InsideStepSuite, JoinedSuite, PostgresHostSuite
from squidmesh.testing.journal_lease_suite import JournalLeaseSuite
from squidmesh.testing.journal_suite import JournalStoreSuite, alone
from squidmesh.testing.lease_suite import LeaseBackendSuite
from squidmesh.testing.planes import JournalPlane
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.reindex_suite import ReindexSuite
from squidmesh.testing.retention_suite import RetentionSuite
from squidmesh.testing.transaction_suite import TransactionSuite
from squidmesh.testing.wakeup_suite import WakeupSuite
from squidmesh.testing.workers_suite import WorkersSuite
from tests.support.postgres_world import Emptied, ServerClock, all_of, backend_of
from tests.support.postgreses import all_versions


@pytest.fixture(params=all_versions())
def database(request: pytest.FixtureRequest, emptied_postgreses: Callable[[str], Emptied]) -> Emptied:
    found = emptied_postgreses(request.param)
    found.empty()
    return found


@pytest.fixture
def opened(database: Emptied, clock: ServerClock) -> Iterator[PostgresBackend]:
    with closing(backend_of(database.url, clock)) as backend:
        yield backend


class OnServer:
    """Fixtures of the suites."""

    @pytest.fixture
    def clock(self, database):
        return ServerClock(database.owner)

    @pytest.fixture
    def store(self, opened):
        return opened.journal()

    @pytest.fixture
    def backend(self, opened):
        return opened

    @pytest.fixture
    def plane(self, opened, database):
        self.database = database
        return JournalPlane(opened.journal(), opened.leases())


class TestJournal(OnServer, JournalStoreSuite):
    pass


class TestTransactions(OnServer, TransactionSuite):
    pass


class TestAgenda(OnServer, AgendaSuite):
    pass


class TestLeases(OnServer, LeaseBackendSuite):
    def stored(self, plane):
        return all_of(self.database.owner)


class TestDueQueues(OnServer, DueQueuesSuite):
    pass


class TestLeasesInTheJournal(OnServer, JournalLeaseSuite):
    pass


class TestWakeup(OnServer, WakeupSuite):
    pass


class TestRetention(OnServer, RetentionSuite):
    @pytest.fixture
    def opened(self, database, clock):
        with closing(backend_of(database.operator_url, clock)) as backend:
            yield backend


class TestWorkers(OnServer, WorkersSuite):
    pass


class TestReindex(OnServer, ReindexSuite):
    @pytest.fixture
    def opened(self, database, clock):
        with closing(backend_of(database.operator_url, clock)) as backend:
            yield backend


@pytest.fixture(scope="module")
def durable(tmp_path_factory, postgres_templates):
    folder = tmp_path_factory.mktemp("durable")
    with Postgres(folder, durable=True, templates=postgres_templates) as server:
        yield server


class TestDoctor(DoctorSuite):
    """On a server that waits for its disk, as servers shall."""

    @pytest.fixture
    def database_url(self, durable):
        yield durable.create_database("doctored")
        durable.drop_database("doctored")

    @pytest.fixture
    def made(self, database_url):
        with closing(PostgresBackend(database_url)) as backend:
            backend.migrate()
            yield backend

    @pytest.fixture
    def unmade(self, database_url):
        with closing(PostgresBackend(f"{database_url}?schema=elsewhere")) as backend:
            yield backend


# ------------------------------------------------------------------------------------- the host's own transaction


class PsycopgHost:
    def __init__(self, url: str) -> None:
        self.connection: Any = psycopg.connect(url)

    def execute(self, sql: str) -> list[Any]:
        cursor = self.connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()

    def close(self) -> None:
        self.connection.close()


class SqlAlchemyHost(PsycopgHost):
    """``kind``: what of SQLAlchemy the start is given."""

    kind = "connection"

    def __init__(self, url: str) -> None:
        self._engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        self.connection = sqlalchemy.orm.Session(self._engine) if self.kind == "session" else self._engine.connect()

    def execute(self, sql: str) -> list[Any]:
        found = self.connection.execute(sqlalchemy.text(sql))
        return [tuple(row) for row in found] if found.returns_rows else []

    def close(self) -> None:
        self.connection.close()
        self._engine.dispose()


class SessionHost(SqlAlchemyHost):
    kind = "session"


class Hosted(OnServer):
    made_by = PsycopgHost

    @pytest.fixture(autouse=True)
    def little_patience(self, monkeypatch):
        """Milliseconds that a start waits for a lock: those that wait in vain shall not make the tests long."""
        monkeypatch.setattr("squidmesh_postgres.joined._LOCK_TIMEOUT", 400)

    @pytest.fixture
    def host(self, database):
        made = []

        def begin():
            made.append(self.made_by(database.url))
            return made[-1]

        yield begin
        for one in made:
            one.close()


class TestJoined(Hosted, JoinedSuite):
    pass


class TestJoinedBySqlAlchemy(TestJoined):
    made_by = SqlAlchemyHost


@pytest.mark.all
class TestJoinedBySession(TestJoined):
    made_by = SessionHost


@pytest.mark.all
class TestJoinedBehindACodec(TestJoined):
    @pytest.fixture
    def store(self, opened):
        return coded(opened.journal(), AesGcm({"now": AesGcm.new_key()}, use="now"))


class TestHostsOfPostgres(Hosted, PostgresHostSuite):
    pass


class TestInsideSteps(Hosted, InsideStepSuite):
    pass


class TestAnnounced(Hosted, AnnouncedSuite):
    pass


class TestRefused(OnServer):
    """Connections that no start can join, each with its reason; nothing is written."""

    def refused(self, store, connection):
        with pytest.raises(InvalidInput) as caught:
            store.joined(connection)
        assert caught.value.field == "connection"
        return str(caught.value)

    def test_in_autocommit_and_in_no_transaction(self, store, database):
        with psycopg.connect(database.url, autocommit=True) as connection:
            assert "is in autocommit" in self.refused(store, connection)
            with connection.transaction():
                store.joined(connection).commit([alone("frodo")])
        assert store.entry(alone("frodo").appends[0].thread, 1) is not None

    def test_closed(self, store, database):
        with psycopg.connect(database.url) as connection:
            pass
        assert "is closed" in self.refused(store, connection)

    def test_in_a_transaction_that_has_failed(self, store, database):
        with psycopg.connect(database.url) as connection:
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("SELECT * FROM nowhere")
            assert "has failed" in self.refused(store, connection)
            connection.rollback()

    def test_to_another_database(self, store, database, postgres_server):
        for other in (postgres_server.url, postgres_server.create_database("another")):
            with psycopg.connect(other) as connection:
                connection.execute("CREATE TEMP TABLE mine (x int)")
                assert "another database" in self.refused(store, connection)
                connection.execute("INSERT INTO mine VALUES (1)")
        postgres_server.drop_database("another")

    def test_asynchronous(self, store, database):
        import asyncio

        async def connect():
            return await psycopg.AsyncConnection.connect(database.url)

        connection = asyncio.run(connect())
        assert "asynchronous" in self.refused(store, connection)
        connection.pgconn.finish()

    def test_of_another_driver(self, store):
        engine = sqlalchemy.create_engine("sqlite://")
        with engine.connect() as connection:
            assert "Connection" in self.refused(store, connection)
        engine.dispose()

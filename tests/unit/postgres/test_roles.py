"""Who may do what to the tables."""

from contextlib import closing
from importlib import resources

import psycopg
import pytest
from squidmesh_postgres import PostgresBackend

from squidmesh.testing.journal_suite import alone
from tests.support.postgres_world import Emptied

NEVER = ("UPDATE squidmesh.entries SET body = ''", "TRUNCATE squidmesh.entries", "DROP TABLE squidmesh.entries")
WHOLE_THREADS = ("DELETE FROM squidmesh.entries", "DELETE FROM squidmesh.threads", "DELETE FROM squidmesh.runs")
READER = "reader_of_tests"


@pytest.fixture
def database(postgres_url):
    with closing(Emptied(postgres_url)) as database:
        database.owner.execute(
            f"""DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN CREATE ROLE {READER} LOGIN; END IF;
            END $$; GRANT squidmesh_reader TO {READER}"""
        )
        with closing(PostgresBackend(database.url)) as backend:
            backend.journal().commit([alone("frodo")])
        yield database


def refused(url, statement):
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        try:
            connection.execute(statement)
        finally:
            connection.rollback()


@pytest.mark.parametrize("statement", [*NEVER, *WHOLE_THREADS])
def test_a_worker_can_not_change_or_delete_what_happened(database, statement):
    refused(database.url, statement)


@pytest.mark.parametrize("statement", NEVER)
def test_an_operator_can_not_change_what_happened(database, statement):
    refused(database.operator_url, statement)


@pytest.mark.parametrize("statement", WHOLE_THREADS)
def test_an_operator_can_delete_it(database, statement):
    with psycopg.connect(database.operator_url) as connection:
        connection.execute(statement)


def test_a_reader_reads_and_no_more(database):
    url = database.owner_url.replace("postgres@", f"{READER}@", 1)
    with closing(PostgresBackend(url)) as backend:
        store = backend.journal()
        assert store.count_runs() == {}
        assert store.entry(alone("frodo").appends[0].thread, 1) is not None
    for statement in (
        "INSERT INTO squidmesh.threads VALUES ('x', 1)",
        "UPDATE squidmesh.agenda SET fence = 1",
        "DELETE FROM squidmesh.leases",
        *NEVER,
    ):
        refused(url, statement)


def test_the_script_may_be_applied_again(database):
    database.owner.execute((resources.files("squidmesh_postgres") / "roles.sql").read_text("utf-8"))
    refused(database.url, NEVER[0])


def test_every_table_is_named_in_the_script(database):
    """A table that nobody but the owner may write would be found by the first worker."""
    script = (resources.files("squidmesh_postgres") / "roles.sql").read_text("utf-8")
    tables = database.owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'squidmesh'").fetchall()
    read_only = {"migrations", "store", "test_clock"}
    assert {table for (table,) in tables if f"squidmesh.{table}" not in script} == read_only

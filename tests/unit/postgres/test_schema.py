"""Migrations: by one node at a time, once, and such that a fleet need not stop for them."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain

import psycopg
import pytest
from squidmesh_postgres import PostgresBackend, schema
from squidmesh_postgres.statements import Migration, migrations

from squidmesh.errors import ForeignStore, SchemaOutOfDate, SchemaTooNew
from squidmesh.testing.journal_suite import alone


def migrate(url):
    with closing(PostgresBackend(url)) as backend:
        return backend.migrate()


def test_of_many_nodes_one_applies_each_migration(postgres_url):
    with ThreadPoolExecutor(8) as nodes:
        applied = list(nodes.map(migrate, [postgres_url] * 8))
    assert sorted(chain(*applied)) == [one.name for one in migrations()], "each by one of them"


def test_each_says_which_code_it_serves():
    for migration in migrations():
        serves = schema._SERVES.search(migration.sql)
        assert serves is not None
        assert 1 <= int(serves[1]) <= migration.number


def test_nobody_works_before(postgres_url):
    with closing(PostgresBackend(postgres_url)) as backend:
        for open_ in (backend.journal, backend.leases):
            with pytest.raises(SchemaOutOfDate, match="migrate it first"):
                open_()


@pytest.fixture
def known(monkeypatch):
    """What the code of a test knows of migrations."""

    def know(*more):
        found = (*migrations(), *more)
        monkeypatch.setattr(schema, "migrations", lambda name="squidmesh": found)

    return know


def new(number, serves):
    return Migration(
        number, f"{number:04}_later", f"-- serves: {serves}\n\nCREATE TABLE squidmesh.later_{number} (x int);"
    )


def test_the_release_before_goes_on_after_a_migration(postgres_url, known):
    newest = migrations()[-1].number
    migrate(postgres_url)
    with closing(PostgresBackend(postgres_url)) as old:
        store = old.journal()
        known(new(newest + 1, serves=newest))
        assert migrate(postgres_url) == [f"{newest + 1:04}_later"]
        assert store.commit([alone("frodo")])
    known()
    with closing(PostgresBackend(postgres_url)) as old:
        assert old.journal().commit([alone("sam")])


def test_a_schema_that_serves_only_newer_code_is_refused(postgres_url, known):
    newest = migrations()[-1].number
    known(new(newest + 1, serves=newest + 1))
    migrate(postgres_url)
    known()
    with closing(PostgresBackend(postgres_url)) as old, pytest.raises(SchemaTooNew, match="update Squid Mesh"):
        old.journal()


def test_a_migration_that_fails_leaves_nothing(postgres_url, known):
    newest = migrations()[-1].number
    broken = Migration(newest + 1, "broken", f"-- serves: {newest}\nCREATE TABLE squidmesh.half (x int); SELECT 1/0;")
    migrate(postgres_url)
    known(broken)
    with pytest.raises(Exception, match="division by zero"):
        migrate(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('squidmesh.half')").fetchone() == (None,)
        assert connection.execute("SELECT max(number) FROM squidmesh.migrations").fetchone() == (newest,)


def test_a_schema_of_somebody_else_is_left_alone(postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA squidmesh; CREATE TABLE squidmesh.mine (x int)")
        with pytest.raises(ForeignStore, match="left alone"):
            migrate(postgres_url)
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'squidmesh'").fetchall()
        assert tables == [("mine",)]


def test_an_empty_schema_that_an_owner_has_made_is_filled(postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA squidmesh")
    assert migrate(postgres_url) == [one.name for one in migrations()]


@pytest.mark.parametrize("name", ["tenant_a", "user", "_x", "a" * 48])
def test_several_meshes_share_a_database(postgres_url, name):
    migrate(postgres_url)
    other = f"{postgres_url}?schema={name}"
    migrate(other)
    with closing(PostgresBackend(postgres_url)) as one, closing(PostgresBackend(other)) as two:
        two.journal().commit([alone("frodo")])
        thread = alone("frodo").appends[0].thread
        assert (one.journal().entry(thread, 1), two.leases().stats(["default"])[0].ready) == (None, 0)
        assert two.journal().entry(thread, 1) is not None

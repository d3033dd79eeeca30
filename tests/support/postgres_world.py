"""A PostgreSQL journal under a virtual clock: the function that tells the time reads a row, which the clock writes.
Everything else is what runs in production, the worker's rights included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from importlib import resources
from typing import Any

import psycopg
import pytest
from squidmesh_postgres import PostgresBackend

from squidmesh.clock import Instant
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.postgres import Postgres
from tests.support.postgreses import VERSIONS
from tests.support.redises import CLOCK

WORKER, OPERATOR = "worker_of_tests", "operator_of_tests"
"""May do what a worker may, or an operator, and no more."""
_VIRTUAL = """
CREATE TABLE {schema}.test_clock (now bigint NOT NULL);
INSERT INTO {schema}.test_clock VALUES (0);
GRANT SELECT ON {schema}.test_clock TO PUBLIC;
CREATE OR REPLACE FUNCTION {schema}.moment() RETURNS bigint LANGUAGE sql VOLATILE
    AS $$ SELECT now FROM {schema}.test_clock $$;
"""
_ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN; END IF;
END $$;
GRANT {rights} TO {role};
"""
_TABLES = """
SELECT string_agg(format('DELETE FROM %I.%I', schemaname, tablename), '; ')
FROM pg_tables WHERE schemaname = 'squidmesh' AND tablename NOT IN ('migrations', 'store', 'test_clock')
"""


class ServerClock(VirtualClock):
    """A virtual clock that statements read from the server."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str = "squidmesh") -> None:
        super().__init__()
        self._connection = connection
        self._schema = schema
        self.write()

    def advance(self, by: timedelta) -> Instant:
        moment = super().advance(by)
        self.write()
        return moment

    def write(self) -> None:
        self._connection.execute(f"UPDATE {self._schema}.test_clock SET now = {self.now()}")


class BothClocks(ServerClock):
    """Two servers, whose clocks agree."""

    def __init__(self, connection: Any, redis: Any) -> None:
        self._redis = redis
        super().__init__(connection)

    def write(self) -> None:
        super().write()
        self._redis.set(CLOCK, self.now())


def all_of(connection: psycopg.Connection[Any]) -> str:
    """Everything in the schema, as text."""
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'squidmesh'").fetchall()
    return "\n".join(
        str(row) for (table,) in tables for row in connection.execute(f"SELECT t::text FROM squidmesh.{table} AS t")
    )


def backend_of(url: str, clock: VirtualClock) -> PostgresBackend:
    return PostgresBackend(url, monotonic=lambda: clock.now() / 1e6)


class Emptied:
    """One database, migrated once, and empty for each test. ``url`` is a worker's, ``operator_url`` an operator's;
    ``owner`` may do everything.
    """

    def __init__(self, url: str) -> None:
        self.owner_url = url
        self.url = url.replace("postgres@", f"{WORKER}@", 1)
        self.operator_url = url.replace("postgres@", f"{OPERATOR}@", 1)
        assert self.url != url != self.operator_url
        PostgresBackend(url).migrate()
        self.owner = psycopg.connect(url, autocommit=True)
        self.owner.execute(_VIRTUAL.format(schema="squidmesh"))
        self.owner.execute((resources.files("squidmesh_postgres") / "roles.sql").read_text("utf-8"))
        for role, rights in ((WORKER, "squidmesh_worker"), (OPERATOR, "squidmesh_operator")):
            self.owner.execute(_ROLE.format(role=role, rights=rights))
        (self._emptying,) = self.owner.execute(_TABLES).fetchone() or ("",)

    def empty(self) -> None:
        self.owner.execute(self._emptying)
        self.owner.execute(
            f"SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
            f"GRANT ALL ON SCHEMA public TO {WORKER}, {OPERATOR}"
        )

    def close(self) -> None:
        self.owner.close()


@contextmanager
def opened_with_clock(url: str) -> Iterator[tuple[PostgresBackend, ServerClock]]:
    """A backend of an empty database, which lives by a clock that the test moves."""
    with closing(Emptied(url)) as database:
        clock = ServerClock(database.owner)
        with closing(backend_of(url, clock)) as backend:
            yield backend, clock


@pytest.fixture(scope="session")
def emptied_postgreses(postgres_servers: Callable[[str], Postgres]) -> Iterator[Callable[[str], Emptied]]:
    """version -> its database of this test process: whoever takes it empties it first."""
    made: dict[str, Emptied] = {}
    with ExitStack() as stack:

        def database(version: str) -> Emptied:
            if version not in made:
                made[version] = stack.enter_context(
                    closing(Emptied(postgres_servers(version).create_database("emptied")))
                )
            return made[version]

        yield database


@pytest.fixture(scope="session")
def emptied_postgres(emptied_postgreses: Callable[[str], Emptied]) -> Emptied:
    """Of the newest version."""
    return emptied_postgreses(VERSIONS[0])

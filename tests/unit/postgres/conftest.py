"""A journal in a database of its own, with the server's own clock."""

import pytest
from squidmesh_postgres import PostgresBackend


@pytest.fixture
def backend(postgres_url):
    opened = PostgresBackend(postgres_url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def store(backend):
    return backend.journal()

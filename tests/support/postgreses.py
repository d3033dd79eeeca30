"""PostgreSQL servers as the tests want them: one a version and test process, and a fresh database in a moment."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from squidmesh.testing.postgres import Postgres
from squidmesh.testing.postgres_programs import versions
from squidmesh.testing.processes import NoServer

VERSIONS = ["18", "16"]
"""The newest and the oldest that the wheel has."""


def all_versions() -> list[object]:
    """For ``params``: the newest, and under the marker ``all`` the oldest, and whatever else this machine has."""
    others = [*VERSIONS[1:], *(version for version in versions() if version not in VERSIONS)]
    return [VERSIONS[0], *(pytest.param(version, marks=pytest.mark.all) for version in others)]


@contextmanager
def started(
    version: str, folder: Path, *, settings: tuple[tuple[str, str], ...] = (), templates: Path | None = None
) -> Iterator[Postgres]:
    """Fails in one line where there is no such server."""
    try:
        server = Postgres(folder, version=version, settings=settings, templates=templates)
    except NoServer as missing:
        pytest.fail(str(missing), pytrace=False)
    with server:
        yield server


@pytest.fixture(scope="session")
def postgres_templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workers of this session keep empty clusters for each other."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "postgres-templates"


@pytest.fixture(scope="session")
def postgres_servers(
    tmp_path_factory: pytest.TempPathFactory, postgres_templates: Path
) -> Iterator[Callable[[str], Postgres]]:
    """version -> the server of this test process; it starts when it is first asked for, and ends with the session."""
    running: dict[str, Postgres] = {}
    with ExitStack() as stack:

        def server(version: str) -> Postgres:
            if version not in running:
                folder = tmp_path_factory.mktemp(f"postgres-{version}")
                running[version] = stack.enter_context(started(version, folder, templates=postgres_templates))
            return running[version]

        yield server


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest, postgres_servers: Callable[[str], Postgres]) -> Postgres:
    """The newest; another by ``@pytest.mark.parametrize("postgres_server", all_versions(), indirect=True)``.

    It is shared: who kills or freezes a server starts one of its own."""
    return postgres_servers(getattr(request, "param", VERSIONS[0]))


_numbers = itertools.count(1)


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """Of an empty database that is this test's alone."""
    name = f"test_{next(_numbers)}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)

"""The doctor where something is wrong with the stores themselves: it says so, and neither crashes nor makes a thing."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs
from pydantic import BaseModel

from squidmesh import AsyncMesh, Finding, InvalidInput, Mesh, UsageError, Workflow, manual, step
from squidmesh.errors import BackendUnavailable
from squidmesh.memory import backend as memory
from squidmesh.ports.journal_store import Plane
from squidmesh.ports.lease_backend import Marker
from squidmesh.runtime.doctor import examine
from squidmesh.runtime.engine import Engine, Stores
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.servers import Server
from squidmesh.workflow.registry import Registry
from tests.support.redises import started


class Nothing(BaseModel):
    pass


class Toll(Workflow):
    version = "1"
    go = manual(Nothing)
    charge = step(lambda: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def made(url: str) -> str:
    with Mesh.connect(url, workflows=[Toll]) as mesh:
        mesh.start_runs(Toll.go, [{}] * 300)
    return url


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started("valkey", tmp_path_factory.mktemp("doctor")) as server:
        yield server


def findings(url: str, **settings: str) -> dict[str, Finding]:
    with Mesh.connect(url, **settings) as mesh:  # type: ignore[arg-type]
        report = mesh.doctor()
    assert len({one.name for one in report.findings}) == len(report.findings)
    return {one.name: one for one in report.findings}


def refused(found: dict[str, Finding]) -> set[str]:
    return {name for name, one in found.items() if one.level == "refused"}


def test_nothing_is_made_where_there_is_nothing(url: str, path: Path) -> None:
    found = findings(url)
    assert found["sqlite.file"].level == "warning"
    assert "plane" not in found
    assert list(path.parent.iterdir()) == []


def test_a_mesh_that_was_looked_at_works_afterwards(url: str) -> None:
    with Mesh.connect(url, workflows=[Toll]) as mesh:
        assert mesh.doctor().level == "warning"
        mesh.start_run(Toll.go)
        assert mesh.doctor().level == "ok"
        assert mesh.execute_next() is not None
        assert mesh.doctor().level == "ok"


def test_a_mesh_in_memory_is_the_one_that_is_open() -> None:
    with Mesh.connect("memory://", workflows=[Toll]) as mesh:
        mesh.start_run(Toll.go)
        (found,) = [one for one in mesh.doctor().findings if one.name == "queue.default"]
        assert found.found.startswith("1 open")
        assert mesh.execute_next() is not None, "and it is not closed"


def test_a_store_of_an_older_version_is_refused_and_not_migrated(made: str, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 8")
        assert refused(findings(made)) == {"sqlite.schema"}
        assert connection.execute("PRAGMA user_version").fetchone() == (8,)


@pytest.mark.parametrize("spoil", ["all but its head", "its end", "a table"])
def test_a_damaged_store_is_refused(made: str, path: Path, spoil: str) -> None:
    whole = path.read_bytes()
    if spoil == "a table":
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("DROP TABLE agenda")
    else:
        half = len(whole) // 2
        path.write_bytes(whole[:4096] + bytes(len(whole) - 4096) if spoil == "all but its head" else whole[:half])
    found = findings(made)
    assert refused(found)
    if spoil == "a table":
        assert "attempts" in refused(found)
        assert found["dead_letters"].level == "ok", "the others are looked at all the same"


def test_a_store_that_is_damaged_while_it_is_open_is_refused(made: str, path: Path) -> None:
    with Mesh.connect(made) as mesh:
        mesh.count_runs()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("DROP TABLE plane")
        assert {one.name for one in mesh.doctor().findings if one.level == "refused"} == {"plane"}


def test_a_host_whose_store_can_not_be_opened_is_told(url: str) -> None:
    def open_engine() -> Engine:
        raise BackendUnavailable("it is away")

    with Mesh.connect(url) as known:
        mesh = Mesh("host", registry=known._registry, config=known._config, open_engine=open_engine)
    (found,) = mesh.doctor().findings
    assert (found.name, found.level, found.found) == ("journal", "refused", "it is away")


def test_a_mesh_that_is_closed_is_refused_as_by_every_verb(url: str) -> None:
    mesh = Mesh.connect(url)
    mesh.close()
    with pytest.raises(UsageError, match="closed"):
        mesh.doctor()


# ----------------------------------------------------------------------------------------------------- another plane


def test_no_password_is_told(made: str) -> None:
    found = findings(made, leases="redis://gandalf:mellon@localhost:1/0")
    assert refused(found) == {"redis.server"}
    assert "mellon" not in str(found)
    assert "gandalf" not in str(found)


def test_leases_are_no_journal(server: Server) -> None:
    found = findings(server.url)
    assert refused(found) == {"journal"}
    assert found["journal"].found == "holds leases, and no journal"


def test_a_mesh_with_another_backend_is_told_where_its_work_is_delivered(made: str, server: Server) -> None:
    Mesh.migrate(made, leases=f"{server.url}?prefix=a")
    with Mesh.connect(made, leases=f"{server.url}?prefix=a", workflows=[Toll]) as mesh:
        assert mesh.execute_next() is not None
    right = findings(made, leases=f"{server.url}?prefix=a")
    assert (refused(right), right["plane"].level) == (set(), "ok")
    client = findings(made)
    assert (client["plane"].level, "opened here without leases=" in client["plane"].found) == ("warning", True)
    wrong = findings(made, leases=f"{server.url}?prefix=b")
    assert refused(wrong) == {"plane"}
    assert "not by" in wrong["plane"].found


@pytest.mark.parametrize(
    ("plane", "marker", "level", "why"),
    [
        ({}, ("m", "i"), "ok", "epoch 4"),
        ({}, None, "warning", "is empty"),
        ({}, ("m", "older"), "warning", "is an older one"),
        ({}, ("other", "i"), "refused", "another mesh"),
        ({"moving": True}, ("m", "i"), "refused", "is being moved"),
        ({"kind": "redis", "name": "redis://x"}, ("m", "i"), "warning", "opened here without leases="),
    ],
)
def test_what_a_plane_may_be(plane: dict[str, str], marker: tuple[str, str] | None, level: str, why: str) -> None:
    backend = memory("memory://", clock=VirtualClock())
    leases = backend.leases()
    here = Plane(mesh="m", kind=leases.kind, name=leases.name, epoch=4, incarnation="i")
    assert backend.journal().set_plane(None, structs.replace(here, **plane))
    if marker is not None:
        leases.set_marker(None, Marker(mesh=marker[0], incarnation=marker[1]))
    report = examine(Stores(journal=backend, leases=None), Registry(()))
    (found,) = [one for one in report.findings if one.name == "plane"]
    assert (found.level, why in found.found) == (level, True)


# ------------------------------------------------------------------------------------------------------- other doors


def test_it_is_a_verb_of_an_async_mesh_too(made: str) -> None:
    async def look() -> str:
        async with AsyncMesh.connect(made) as mesh:
            return (await mesh.doctor()).level

    assert asyncio.run(look()) == "ok"


# -------------------------------------------------------------------------------------------------------- migrations


def test_migrations_are_told_and_not_applied(url: str, path: Path) -> None:
    told = Mesh.migrations(url)
    assert not path.exists()
    assert [one.name for one in told] == Mesh.migrate(url)
    assert Mesh.migrations(url) == []
    assert Mesh.migrations(url, every=True) == told
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 7")
    assert [one.number for one in Mesh.migrations(url)] == [one.number for one in told if one.number > 7]


@pytest.mark.parametrize("bad", [None, 1, "yes"])
def test_whether_all_are_asked_for_is_a_bool(url: str, bad: object) -> None:
    with pytest.raises(InvalidInput, match=r"every: is a .*; allowed is True or False"):
        Mesh.migrations(url, every=bad)  # type: ignore[arg-type]

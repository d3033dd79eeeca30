"""A fleet of two versions works, and is rolled from the one to the other and back: nothing is lost, and no run strands.

The other version is a wheel of a recorded commit (``recorded.py``), which a clone without history has not: all but the
last of these are under the marker ``all``.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from squidmesh_postgres.statements import migrations

from squidmesh.journal.codec import encode_facts
from squidmesh.testing.servers import Server
from tests.compat.fleet import MixedFleet, Version
from tests.compat.recorded import COMMIT, ON_FILE, built
from tests.scenarios.fleet import until
from tests.support.redises import started
from tests.unit.journal.golden import VERSION_1

SOME = 20
"""Runs that are started at once."""


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="session")
def old_on_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("recorded"), ON_FILE)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    with started("valkey", tmp_path / "server", aof=True) as server:
        yield server


@pytest.fixture
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MixedFleet]:
    old: Path = request.getfixturevalue("old_on_file" if request.param == "sqlite" else "old")
    if request.param == "sqlite":
        with MixedFleet(tmp_path, old, url=f"sqlite:///{tmp_path / 'journal.db'}", seats=2) as fleet:
            yield fleet
        return
    leases = request.getfixturevalue("redis").url if "redis" in request.param else None
    with MixedFleet(tmp_path, old, url=request.getfixturevalue("postgres_url"), leases=leases, seats=3) as fleet:
        yield fleet


@pytest.mark.all
@pytest.mark.parametrize("fleet", ["sqlite"], indirect=True)
def test_two_versions_share_a_journal(fleet: MixedFleet) -> None:
    """The short form: no faults, and one of the two workers is exchanged under load."""
    assert fleet.ask("old", "where") != fleet.ask("new", "where")
    fleet.begin("old", SOME)
    fleet.ask("new", "migrate")
    fleet.replace(0, "new")
    fleet.begin("new", SOME)
    fleet.finish()
    fleet.judge()
    assert {("old", "new"), ("new", "old")} <= fleet.crossings().keys()


@pytest.mark.all
@pytest.mark.timeout(300)
@pytest.mark.parametrize("back", [False, True], ids=["forward", "forward and back"])
@pytest.mark.parametrize("fleet", ["postgres and redis", "postgres", "sqlite"], indirect=True)
def test_a_fleet_is_rolled_under_load(fleet: MixedFleet, back: bool) -> None:
    fleet.begin("old", SOME)
    fleet.ask("new", "migrate")
    fleet.replace(0, "new")
    letters = _die(fleet)
    fleet.mend()
    fleet.begin("new", SOME)
    fleet.replay("old", letters[0])
    fleet.replay("new", letters[1])
    _roll(fleet, "new", first=1)
    fleet.begin("old", SOME)
    if back:
        _roll(fleet, "old")
        fleet.begin("new", SOME)
    fleet.finish()
    fleet.judge()
    assert fleet.dead() == []
    assert {("old", "new"), ("new", "old")} <= fleet.crossings().keys()


def _die(fleet: MixedFleet) -> list[str]:
    """One run of each host kills whoever carries it out, until it is given up; the fleet goes on."""
    fleet.begin("old", SOME, poison=1)
    fleet.begin("new", SOME, poison=1)

    def given_up() -> bool:
        fleet.fill()
        return len(fleet.dead()) == 2

    until(given_up, "two dead letters", within=90)
    return fleet.dead()


def _roll(fleet: MixedFleet, version: Version, *, first: int = 0) -> None:
    for seat in range(first, len(fleet.seats)):
        fleet.begin(version, SOME // 2)
        fleet.replace(seat, version)


# ------------------------------------------------------------------------------------------------- facts and schemas


class Hosts(MixedFleet):
    """No workers."""

    def __init__(self, folder: Path, old: Path) -> None:
        super().__init__(folder, old, url=f"sqlite:///{folder / 'journal.db'}", seats=0)

    def close(self) -> None:
        self.mesh.close()


@pytest.mark.all
def test_the_old_version_reads_what_the_new_one_writes(old_on_file: Path, tmp_path: Path) -> None:
    """Facts of kinds that both know. What only the new one knows is refused by the old one, and named (3.2)."""
    file = tmp_path / "facts"
    file.write_bytes(b"\n".join(encode_facts([fact]) for fact in VERSION_1))
    with closing(Hosts(tmp_path, old_on_file)) as fleet:
        assert fleet.ask("old", "decode", file) == [[type(fact).__name__] for fact in VERSION_1]


def _migrations_of(place: Path, backend: str) -> dict[str, str]:
    return {file.name: file.read_text() for file in (place / backend / "migrations").glob("*.sql")}


@pytest.mark.all
@pytest.mark.parametrize("backend", ["squidmesh_postgres", "squidmesh_sqlite"])
def test_a_migration_that_was_given_to_users_stays_as_it_is(old: Path, backend: str) -> None:
    recorded = _migrations_of(old, backend)
    today = _migrations_of(Path(__file__).parents[2] / "backends", backend)
    assert recorded.items() <= today.items()


@pytest.mark.all
def test_every_later_migration_of_postgres_serves_the_recorded_version(old: Path) -> None:
    newest = max(int(name[:4]) for name in _migrations_of(old, "squidmesh_postgres"))
    for migration in migrations("squidmesh"):
        serves = re.search(r"^-- serves: (\d+)$", migration.sql, re.MULTILINE)
        assert serves is not None
        assert int(serves[1]) <= newest, f"{migration.name}: nobody can roll to it without stopping the fleet"


@pytest.mark.all
def test_the_old_version_serves_a_newer_schema_as_far_as_that_says(
    old: Path, tmp_path: Path, postgres_url: str
) -> None:
    with closing(Hosts(tmp_path, old)) as fleet:
        fleet.url = postgres_url
        fleet.ask("new", "migrate")
        newest = max(int(name[:4]) for name in _migrations_of(old, "squidmesh_postgres"))
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute(
                "INSERT INTO squidmesh.migrations (number, name, serves) VALUES (9998, 'for both', %s)", [newest]
            )
            (run_id,) = fleet.ask("old", "start", 0, 1, 0)
            assert fleet.ask("old", "read", run_id)[run_id]["status"] == "running"
            owner.execute(
                "INSERT INTO squidmesh.migrations (number, name, serves) VALUES (9999, 'not for it', %s)", [newest + 1]
            )
        with pytest.raises(AssertionError, match="update Squid Mesh"):
            fleet.ask("old", "start", 1, 1, 0)


# ----------------------------------------------------------------------------------------------- the recorded commit


def test_a_clone_without_the_commit_says_so(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path / "empty"], check=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(pytest.fail.Exception, match=f"{COMMIT[:12]} is not in this clone.*git fetch --unshallow"):
        built(tmp_path / "folder", repository=tmp_path / "empty")

"""The backend of docs/writing-a-backend.md keeps every promise that the real ones keep, and the page's program runs."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from examples.toy_backend import backend
from squidmesh.errors import BackendUnavailable, InvalidUrl, SchemaOutOfDate, StoreDamaged
from squidmesh.runtime.backends import open_backend
from squidmesh.testing import VirtualClock
from squidmesh.testing.due_queues_suite import DueQueuesSuite
from squidmesh.testing.lease_suite import LeaseBackendSuite, claimed, item, keys
from squidmesh.testing.lease_suite import claim as claim_from
from squidmesh.testing.offer_suite import OfferSuite
from squidmesh.testing.planes import OfferPlane
from squidmesh.testing.wakeup_suite import WakeupSuite

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "writing-a-backend.md").read_text()
ENTRY_POINT = re.search(r'```toml\n\[project\.(entry-points\."squidmesh\.backends")\]\n(.*?)```', PAGE, re.DOTALL)
BLOCKS = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def opened(tmp_path, clock):
    opened = backend(f"toy:///{tmp_path}/leases.db", clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def clock():
    return VirtualClock()


class TestLeases(LeaseBackendSuite):
    @pytest.fixture
    def plane(self, opened, tmp_path):
        self.folder = tmp_path
        return OfferPlane(opened.leases())

    def stored(self, plane):
        return "".join(path.read_bytes().decode("latin-1") for path in self.folder.iterdir())


class TestDueQueues(DueQueuesSuite):
    @pytest.fixture
    def plane(self, opened):
        return OfferPlane(opened.leases())


class TestOffers(OfferSuite):
    @pytest.fixture
    def leases(self, opened, tmp_path):
        self.file = tmp_path / "leases.db"
        return opened.leases()

    def forget(self, leases):
        with sqlite3.connect(self.file) as connection:
            for table in ("items", "tombstones", "queues", "life"):
                connection.execute(f"DELETE FROM {table}")
        connection.close()


class TestWakeup(WakeupSuite):
    @pytest.fixture
    def backend(self, opened):
        return opened


def test_two_who_open_one_file_share_its_items(opened, tmp_path, clock):
    other = backend(opened.url, clock=clock)
    OfferPlane(opened.leases()).publish(item("ring"))
    assert claimed(claim_from(OfferPlane(other.leases()))) == keys("ring")
    assert claimed(claim_from(OfferPlane(opened.leases()), owner="frodo@1")) == []
    other.close()


def test_who_only_looks_makes_no_file(opened, tmp_path):
    with pytest.raises(SchemaOutOfDate), opened.reading():
        raise AssertionError("there is nothing to read")
    assert [finding.level for finding in opened.doctor()] == ["ok"]
    assert list(tmp_path.iterdir()) == []


def test_what_stands_there_can_be_read(opened):
    opened.leases().pause("mordor")
    with opened.reading() as reading:
        assert reading.leases.paused(["mordor"]) == {"mordor"}


@pytest.mark.parametrize("url", ["toy://", "toy:///", "toy:///a?b", "sqlite:///a"])
def test_an_address_that_is_none_is_refused(url, clock):
    with pytest.raises(InvalidUrl, match=r"allowed is toy:///file\.db"):
        backend(url, clock=clock)


def test_errors_of_the_driver_say_whether_to_try_again(opened, tmp_path, clock):
    (tmp_path / "damaged.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreDamaged):
        backend(f"toy:///{tmp_path}/damaged.db", clock=clock).leases().marker()
    with pytest.raises(BackendUnavailable):
        backend(f"toy:///{tmp_path}/nowhere/leases.db", clock=clock).leases().marker()


@pytest.fixture
def registered(tmp_path):
    """What an installer leaves of the page's ``pyproject.toml``."""
    assert ENTRY_POINT
    info = tmp_path / "toy_backend-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-backend\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[squidmesh.backends]\n{ENTRY_POINT[2].replace(chr(34), '')}")
    return tmp_path


def test_an_installed_scheme_is_found(registered, monkeypatch, clock):
    monkeypatch.syspath_prepend(str(registered))
    assert open_backend(f"toy:///{registered}/leases.db", clock=clock).url == f"toy:///{registered}/leases.db"


def test_the_pages_program_runs_through_the_toy(registered):
    for name, block in BLOCKS:
        (registered / name).write_text(block)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "host.py"],
        cwd=registered,
        env=os.environ | {"PYTHONPATH": f"{registered}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "completed {'greeting': 'hello, Sam'}\n", "")
    assert (registered / "leases.db").exists()


@pytest.mark.all
def test_the_pages_suites_pass(registered):
    """The test file of the page is what a backend's author begins with."""
    (registered / "test_toy.py").write_text(dict(BLOCKS)["test_toy.py"])
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_toy.py", "-k", "hand_over or forgotten"],
        cwd=registered,
        env=os.environ | {"PYTHONPATH": f"{registered}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"\d+ passed", ended.stdout)

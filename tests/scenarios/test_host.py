"""The programs that start a whole host: they say what they saw, and their exit code is the verdict."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from squidmesh.testing.processes import family, living

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.all, pytest.mark.timeout(200)]


@contextmanager
def running(module: str) -> Iterator[subprocess.Popen[str]]:
    """Is told to leave at the end, so that it ends what it has started."""
    process = subprocess.Popen(
        [sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("name", "last"), [("smoke", "processes have ended"), ("resilience", "runs have ended, each once")]
)
def test_a_whole_host(name: str, last: str) -> None:
    with running(f"tests.scenarios.{name}") as process:
        said, errors = process.communicate(timeout=150)
    assert process.returncode == 0, said + errors
    *lines, end = said.splitlines()
    assert end.startswith("all is well"), said
    assert last in lines[-1]


def test_the_shop_is_there_until_it_is_told_to_leave() -> None:
    with running("examples.shop") as process:
        assert process.stdout is not None
        addresses = {}
        while not (line := process.stdout.readline()).startswith("Ctrl-C"):
            addresses[line.split()[0]] = line.split()[1]
        with urlopen(addresses["metrics"], timeout=30) as answer:
            assert b"shop_orders" in answer.read()
        members = family(process.pid)
        assert len(members) > 4, "servers, a worker, the web host"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert living(members) == []


def test_what_is_not_so_is_told_by_the_exit_code() -> None:
    program = """
from tests.scenarios.told import told
def scenario(folder):
    (folder / "worker.log").write_text("it said this")
    yield "the first thing"
    assert 1 == 2, "the second thing"
raise SystemExit(told(scenario))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert [line[:3] for line in done.stdout.splitlines()] == ["ok ", "NOT"]
    assert "the second thing" in done.stderr and "worker.log: it said this" in done.stderr

"""The two programs that try a whole host: they say what they saw, and their exit code is the verdict."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.all


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("smoke", "processes have ended"),
        ("resilience", "runs have ended, each once, child runs and new work among them"),
    ],
)
def test_a_whole_host(name: str, last: str) -> None:
    command = [sys.executable, "-m", f"tests.scenarios.{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, end = done.stdout.splitlines()
    assert end.startswith("all is well"), done.stdout
    assert last in lines[-1]


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

"""The pytest plugin: what a user's own tests get by installing Squid Mesh."""

import subprocess
import sys

import pytest

ERRAND = """
from datetime import timedelta
from pydantic import BaseModel
from squidmesh import Workflow, manual, step, wait
from squidmesh.testing import Harness

class Leave(BaseModel): ...

class Errand(Workflow):
    version = "1"
    leave = manual(Leave)
    rest = wait(timedelta(days=30))
    walk = step(lambda: None)
    flow = rest >> walk

made = []

def test_a_month_takes_no_time(squidmesh_harness: type[Harness]):
    h = squidmesh_harness([Errand])
    made.extend([h, squidmesh_harness([Errand])])
    assert h.run_to_end(h.start(Errand.leave)).status == "completed"

def test_what_was_made_is_closed():
    for h in made:
        try:
            h.start(Errand.leave)
        except Exception as error:
            assert "closed" in str(error)
        else:
            raise AssertionError("still open")
"""


def test_the_fixture_is_there_without_being_asked_for(pytester: pytest.Pytester):
    pytester.makepyfile(test_errand=ERRAND)
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_it_can_be_left_out(pytester: pytest.Pytester):
    pytester.makepyfile(test_errand=ERRAND)
    result = pytester.runpytest_subprocess("-q", "-p", "no:squidmesh")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*fixture 'squidmesh_harness' not found*"])


def test_the_fixture_says_what_it_is_for(pytester: pytest.Pytester):
    result = pytester.runpytest_subprocess("--fixtures", "-q")
    result.stdout.fnmatch_lines(["squidmesh_harness -- *", "*whose instances are closed when the test is over*"])


def test_a_host_without_pytest_misses_nothing():
    """Importing the library, its harness included, imports no pytest."""
    code = "import sys, squidmesh, squidmesh.testing, squidmesh.cli; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

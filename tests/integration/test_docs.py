"""What the pages show is run as it stands there."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from squidmesh import Mesh
from squidmesh.sonar import Visitor, app

DOCS = Path(__file__).parents[2] / "docs"


def modules_of(page: str) -> dict[str, str]:
    """The Python blocks of a page that begin with the name of a file."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    found = {block.partition("\n")[0].removeprefix("# ").removesuffix(".py"): block for block in blocks}
    assert all(name.isidentifier() for name in found), f"a block of {page} does not say which file it is"
    assert len(found) == len(blocks)
    return found


def test_the_tests_of_the_page_on_testing_pass(pytester: pytest.Pytester):
    pytester.makepyfile(**modules_of("testing.md"))
    pytester.runpytest_subprocess("-q", "-W", "error").assert_outcomes(passed=2)


def test_the_program_of_the_page_on_event_loops_runs(tmp_path: Path):
    (tmp_path / "errand.py").write_text(modules_of("async.md")["errand"])
    command = [sys.executable, "-W", "error", "errand.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("completed {'arrived': 'one-ring'}\n", "")


def test_the_tests_of_the_page_on_tools_pass(pytester: pytest.Pytester):
    pytester.makepyfile(**modules_of("tools.md"))
    pytester.runpytest_subprocess("-q", "-W", "error").assert_outcomes(passed=2)


def test_the_programs_of_the_page_on_authoring_run(tmp_path: Path):
    told = {"errand": "completed one-ring is gone\n", "feast": "288 cakes, 36 barrels\n"}
    found = modules_of("authoring.md")
    assert set(found) == set(told)
    for name, block in found.items():
        (tmp_path / f"{name}.py").write_text(block)
        command = [sys.executable, "-W", "error", f"{name}.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == (told[name], "")


def test_what_the_page_on_host_integration_calls_is_there():
    """Its examples need a PostgreSQL, and are marked so; what is read here is that the calls in them can be made."""
    page = (DOCS / "host-integration.md").read_text()
    blocks = re.findall(r"^```python needs-postgresql\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == page.count("```python") == 2
    for block in blocks:
        calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
        (start,) = [call for call in calls if ast.unparse(call.func) == "mesh.start_run"]
        named = {keyword.arg: keyword.value for keyword in start.keywords if keyword.arg is not None}
        assert "connection" in named
        inspect.signature(Mesh.start_run).bind(None, *start.args, **named)


def test_the_hosts_of_the_page_on_sonar_show_it(tmp_path: Path):
    page = (DOCS / "sonar.md").read_text()
    mounted, by_path = re.findall(r"^```python needs-a-host\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    with Mesh.connect("memory://") as mesh:
        host: dict[str, Any] = {"mesh": mesh, "application": Starlette()}
        exec(mounted, host)
        user = SimpleNamespace(is_authenticated=True, username="frodo", is_staff=True)
        assert host["who"](SimpleNamespace(user=user)) == Visitor(actor="frodo", role="operator")
        user.is_authenticated = False
        assert host["who"](SimpleNamespace(user=user)) is None
        (route,) = host["application"].routes
        assert route.path == "/sonar"

        django: dict[str, Any] = {"pages": app(mesh, auth=lambda request: Visitor(actor="sam")), "django": Starlette()}
        exec(by_path, django)
        client = TestClient(django["application"], base_url="http://127.0.0.1")
        assert "There is no run yet" in client.get("/sonar/runs").text
        assert client.get("/elsewhere").status_code == 404

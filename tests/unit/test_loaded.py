"""What a process has loaded, as a count of its modules: megabytes and milliseconds differ from machine to machine."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import squidmesh
from squidmesh.cli import root
from tests.support.redises import started

_TELL = "import json, sys; print(json.dumps(sorted(sys.modules)))"
_RUNTIME = {"squidmesh.runtime", "squidmesh.workflow", "squidmesh.reading", "squidmesh.planning", "squidmesh.journal"}
_LIBRARIES = {
    *("asyncio", "croniter", "msgspec", "opentelemetry", "prometheus_client", "psycopg", "pydantic", "redis", "rich"),
    *("sqlite3", "ssl", "starlette", "structlog", "tenacity"),
}
_NEEDLESS = {
    *("jinja2", "prometheus_client", "rich", "starlette", "structlog", "uvicorn"),
    *("squidmesh.cli", "squidmesh.codecs", "squidmesh.demo", "squidmesh.memory", "squidmesh.observe"),
    *("squidmesh.runtime.async_mesh", "squidmesh.sonar", "squidmesh.testing", "squidmesh.tools"),
}
"""What no worker has a use for, unless it is told to."""
_OF_FLEETS = {"opentelemetry", "psycopg", "redis", "squidmesh_postgres", "squidmesh_redis"}  # redis loads the first
_WORKER = """
from pydantic import BaseModel
from squidmesh import Mesh, Workflow, complete, manual, step

def greet() -> None:
    pass

class Nothing(BaseModel):
    pass

class Hello(Workflow):
    version = "1"
    begin = manual(Nothing)
    greeted = step(greet)
    flow = greeted >> complete

Mesh.migrate(URL)
with Mesh.connect(URL, leases=LEASES, workflows=[Hello]) as mesh, mesh.worker():
    run = mesh.start_run(Hello, Nothing())
    assert mesh.wait_for(run.run_id).status == "completed"
"""


def loaded(code: str) -> set[str]:
    """The modules of a new process that ran this."""
    said = subprocess.run([sys.executable, "-c", f"{code}\n{_TELL}"], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(said.stdout.splitlines()[-1])
    return set(found)


def test_the_public_names_load_nothing_before_one_is_asked_for():
    before, after = loaded(""), loaded("import squidmesh")
    assert {name for name in after - before if name.startswith("squidmesh")} == {"squidmesh"}
    assert not after & {*_LIBRARIES, *_RUNTIME}


def test_an_error_is_caught_without_the_runtime():
    after = loaded("from squidmesh import UsageError")
    assert {"squidmesh", "squidmesh.errors"} == {name for name in after if name.startswith("squidmesh")}


def test_each_public_name_is_loaded_from_where_type_checkers_read_it():
    tree = ast.parse(Path(squidmesh.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    read = {node.module: tuple(it.name for it in node.names) for node in block.body if isinstance(node, ast.ImportFrom)}
    assert read == squidmesh._HOMES
    assert {*squidmesh.__all__} - {"__version__"} == {name for names in read.values() for name in names}
    assert {*squidmesh.__all__} <= {*dir(squidmesh)}
    for name in squidmesh.__all__:
        assert getattr(squidmesh, name) is not None


def test_a_name_that_is_not_public_is_refused_as_of_any_module():
    assert not hasattr(squidmesh, "Mash")


def test_help_loads_no_runtime_and_no_command():
    after = loaded(
        "import contextlib\nfrom squidmesh.cli.root import squidmesh\n"
        "with contextlib.suppress(SystemExit): squidmesh(['--help'])"
    )
    ours = {name for name in after if name.startswith("squidmesh.")}
    assert ours == {
        "squidmesh.errors",
        *(f"squidmesh.{name}" for name in ("cli", "cli.failures", "cli.logs", "cli.root", "cli.target")),
    }
    assert not after & _LIBRARIES


def test_what_stands_in_for_a_command_has_its_name_and_its_words():
    for name, words in root.squidmesh.commands.items():
        command = root.load(name)
        assert command.name == name
        for width in (45, 58, 200):
            assert words.get_short_help_str(width) == command.get_short_help_str(width)


def test_a_worker_over_sqlite_loads_no_other_backend_and_no_instrument(tmp_path):
    after = loaded(f"URL, LEASES = 'sqlite:///{tmp_path / 'hello.db'}', None\n{_WORKER}")
    assert "squidmesh_sqlite" in after
    assert not after & {*_NEEDLESS, *_OF_FLEETS}


@pytest.mark.all
def test_a_worker_of_a_fleet_loads_its_two_drivers_alone(postgres_url, tmp_path):
    with started("redis", tmp_path) as server:
        after = loaded(f"URL, LEASES = {postgres_url!r}, {server.url!r}\n{_WORKER}")
    assert {"squidmesh_postgres", "squidmesh_redis"} <= after
    assert not after & {*_NEEDLESS, "sqlite3", "squidmesh_sqlite"}


def test_the_command_that_works_loads_nothing_that_draws():
    after = loaded("import squidmesh.cli.worker")
    assert not after & {"jinja2", "prometheus_client", "rich", "starlette", "structlog", "uvicorn"}

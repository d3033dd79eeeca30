"""Who may import whom: the contracts in pyproject.toml are kept, name every package, and can be broken."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

# One forbidden import a contract, put into a copy of the tree: which module, and what it says.
VIOLATIONS = {
    "squidmesh/ids.py": "import pydantic",
    "squidmesh/journal/violation.py": "import pydantic, squidmesh.planning, squidmesh.workflow",
    "squidmesh/workflow/violation.py": "import croniter, msgspec, squidmesh.journal",
    "squidmesh/planning/violation.py": "import random, pydantic, squidmesh.ports",
    "squidmesh/ports/violation.py": "import squidmesh.reading, squidmesh.runtime",
    "squidmesh/memory/violation.py": "from squidmesh import Mesh",
    "squidmesh/runtime/violation.py": (
        "import redis, rq, squidmesh.demo, squidmesh.memory, squidmesh_sqlite, backends.squidmesh_sqlite"
    ),
    "squidmesh/runtime/watched.py": "import prometheus_client, opentelemetry, structlog, squidmesh.observe",
    "squidmesh/reading/violation.py": "import psycopg, squidmesh.tools",
    "squidmesh/demo/violation.py": "import cryptography, squidmesh.config, squidmesh.errors",
    "squidmesh/sonar/violation.py": "import squidmesh.config, squidmesh.errors, squidmesh.reading.graph",
    "squidmesh/observe/violation.py": "import starlette, squidmesh.sonar",
    "squidmesh/tools/violation.py": "import squidmesh.config, squidmesh.errors, squidmesh.runtime, chaos",
    "chaos/judge.py": "import subprocess",
}


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports_command as main; main()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "backends")]), "COLUMNS": "200"}
    return subprocess.run(
        [*command, "--no-cache", "--no-logo"], cwd=tree, env=environment, capture_output=True, text=True
    )


def test_every_import_goes_the_way_it_may():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_package_stands_in_a_contract():
    named = set(re.findall(r"squidmesh\.(\w+)|(squidmesh_\w+)", str(LINTER)))
    modules = {path.stem for path in (ROOT / "squidmesh").iterdir() if (path / "__init__.py").exists()}
    modules |= {path.stem for path in (ROOT / "squidmesh").glob("*.py")} - {"__init__", "__main__"}
    backends = {path.parent.name for path in (ROOT / "backends").glob("*/__init__.py")}
    assert modules | backends <= {core or backend for core, backend in named}
    assert {"squidmesh", "chaos", *backends} == set(LINTER["root_packages"])


def test_no_contract_is_kept_by_everything(tmp_path):
    for folder in ("squidmesh", "backends", "chaos"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, statement in VIOLATIONS.items():
        with (tmp_path / name).open("a") as module:
            module.write(f"\n{statement}\n")

    result = lint_imports(tmp_path)

    kept = [contract["name"] for contract in LINTER["contracts"] if f"{contract['name']} KEPT" in result.stdout]
    assert kept == []
    assert f"Contracts: 0 kept, {len(LINTER['contracts'])} broken." in result.stdout, result.stdout + result.stderr

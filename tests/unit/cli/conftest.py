"""The command line in this process, and an app for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from squidmesh.cli.root import squidmesh

APP = """
from pydantic import BaseModel
from squidmesh import GiveUp, Mesh, Workflow, approval, complete, manual, step

class Order(BaseModel):
    order_id: str
    amount: int = 1

def charge(amount: int) -> dict[str, int]:
    if amount > 1000:
        raise GiveUp("the card ends in 4711")
    return {"charged": amount}

class Fulfil(Workflow):
    version = "1"
    placed = manual(Order)
    fraud = approval()
    charge = step(charge)
    flow = fraud >> charge >> complete

mesh = Mesh.connect("{url}", workflows=[Fulfil])
"""

Squidmesh = Callable[..., Result]


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Squidmesh]:
    """``run_cli("runs", "list")``: what a shell in an empty folder would get."""
    monkeypatch.chdir(tmp_path)
    for name in ("SQUIDMESH_APP", "SQUIDMESH_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def invoke(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(squidmesh, list(arguments), input=stdin)

    yield invoke
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'orders.db'}"


@pytest.fixture
def app(run_cli: Squidmesh, tmp_path: Path, url: str) -> Callable[[], str]:
    """Each call names a new module: a command closes the mesh that it used."""
    numbers = count(1)

    def write() -> str:
        name = f"orders_app_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(APP.replace("{url}", url))
        return f"{name}:mesh"

    return write

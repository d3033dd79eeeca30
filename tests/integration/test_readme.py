"""What the README shows is run as it stands there."""

import re
import shlex
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from squidmesh import Mesh
from squidmesh.cli.root import squidmesh

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)
EXPORT, *COMMANDS = next(
    block.splitlines()
    for block in re.findall(r"^```sh\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    if block.startswith("export ")
)


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The README's first block, as the module ``orders`` of an empty folder."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("orders")
    monkeypatch.setitem(sys.modules, "orders", module)  # annotations are looked up there
    exec(BLOCKS[0], module.__dict__)
    return module


def test_the_order_is_fulfilled_once_somebody_approves(orders: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    mesh: Mesh = orders.mesh
    pause = threading.Event()

    def approve() -> None:
        while not (paused := mesh.list_runs(status="paused").runs):
            pause.wait(0.02)
        mesh.approve_run(paused[0].run_id, actor="ops@example.org", comment="known customer")

    operator = threading.Thread(target=approve)
    operator.start()
    scope: dict[str, Any] = dict(vars(orders))
    with mesh:
        exec(BLOCKS[1], scope)
        operator.join()
        again = mesh.start_run(orders.Fulfil.placed, orders.Order(order_id="17", amount=4200), key="order-17")
    assert scope["done"].status == "completed"
    assert scope["done"].output["parcel"] == "parcel-17"
    assert scope["done"].output["fraud"]["decision"] == "approved"
    assert again.run_id == scope["run"].run_id, "one key, one run"
    assert "completed" in capsys.readouterr().out


def test_what_is_said_in_a_shell_does_the_same(
    orders: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the worker, which is one of this process. Each command imports the file anew, as its process would."""
    (tmp_path / "orders.py").write_text(BLOCKS[0])
    monkeypatch.setattr(sys, "path", list(sys.path))
    name, _, value = EXPORT.removeprefix("export ").partition("=")
    monkeypatch.setenv(name, value)
    mesh: Mesh = orders.mesh
    run_id, said = "RUN_ID", []
    with mesh, mesh.worker():
        for command in COMMANDS:
            words = shlex.split(command.replace("RUN_ID", run_id), comments=True)
            assert words[0] == "squidmesh"
            if words[1:] == ["worker", "&"]:
                continue
            if words[1:3] == ["runs", "graph"]:
                mesh.wait_for(run_id, timeout=30)
            del sys.modules["orders"]
            done = CliRunner().invoke(squidmesh, words[1:])
            assert done.exit_code == 0, done.output
            said.append(done.output)
            if words[1] == "start":
                (run,) = mesh.list_runs().runs
                run_id = run.run_id
    assert run_id in said[0]
    assert "why: approval" in said[1]
    assert "approved by ops@example.org" in said[2]
    assert "completed" in said[3]


def test_there_are_no_other_blocks() -> None:
    assert len(BLOCKS) == 2

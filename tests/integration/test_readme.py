"""What the README shows is run as it stands there."""

import re
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from squidmesh import Mesh

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)


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
    assert scope["done"].output["reservation"] == "shelf-17"
    assert scope["done"].output["fraud"]["decision"] == "approved"
    assert again.run_id == scope["run"].run_id, "one key, one run"
    assert "completed" in capsys.readouterr().out


def test_there_are_no_other_blocks() -> None:
    assert len(BLOCKS) == 2

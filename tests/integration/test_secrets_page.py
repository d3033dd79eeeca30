"""What the page about secrets shows is run as it stands there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "secrets.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", range(2))
def test_every_example_does_what_it_says(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # annotations are looked up there
    exec(BLOCKS[block], module.__dict__)


def test_there_are_no_other_blocks() -> None:
    assert len(BLOCKS) == 2

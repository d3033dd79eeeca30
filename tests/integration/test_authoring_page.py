"""The page about workflows made at run time does what it says, and names every code."""

import re
from pathlib import Path

import pytest

from squidmesh.workflow import map_reader
from tests.unit.workflow.test_validation import codes_in

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "authoring-at-run-time.md").read_text()


def test_what_stands_on_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    said: dict[str, object] = {}
    exec("\n".join(blocks), said)
    assert said["active"].name == "Order"  # type: ignore[attr-defined]
    said["mesh"].close()  # type: ignore[attr-defined]


def test_every_code_of_a_map_stands_on_the_page() -> None:
    codes = set(codes_in(Path(map_reader.__file__))) - {"invalid_retry"}  # of class bodies too
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()

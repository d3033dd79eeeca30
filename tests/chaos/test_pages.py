"""The pages on chaos and on guarantees name what is there: faults, scenarios, invariants, and tests that exist."""

import ast
import re
from pathlib import Path

import pytest

from chaos.faults.register import FAULTS
from chaos.scenarios.catalogue import SCENARIOS
from chaos.verdict import INVARIANTS

ROOT = Path(__file__).resolve().parents[2]
CHAOS = (ROOT / "docs" / "chaos.md").read_text()
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()


def section(page: str, title: str) -> str:
    return page.partition(f"## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([a-z-]+)` \|", text, flags=re.MULTILINE)


def test_the_page_has_a_line_for_each_fault_and_each_scenario():
    assert first_cells(section(CHAOS, "Faults")) == list(FAULTS)
    assert first_cells(section(CHAOS, "Scenarios")) == list(SCENARIOS)


def test_each_invariant_belongs_to_a_promise():
    promised = section(GUARANTEES, "Promised")
    assert set(re.findall(r"\bI\d+\b", promised)) == set(INVARIANTS)


def test_each_promise_names_a_test_and_a_scenario_that_are_there():
    lines = [line for line in section(GUARANTEES, "Promised").splitlines() if line.startswith("| ")][2:]
    assert len(lines) > 10
    for line in lines:
        *_, shown, tried, _ = (cell.strip() for cell in line.split("|"))
        file, _, name = shown.strip("`").partition("::")
        names = {node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)}
        assert name in names, line
        assert tried == "all" or set(re.findall(r"`([a-z-]+)`", tried)) <= set(SCENARIOS), line
        assert tried, line


@pytest.mark.parametrize("name", ["chaos-report.html", "chaos-soak.html"])
def test_the_examples_of_a_report_are_green_ones(name: str):
    page = (ROOT / "docs" / name).read_text()
    assert "GREEN" in page and len(page) < 250_000

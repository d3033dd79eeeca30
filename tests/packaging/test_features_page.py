"""The page of features names tests: they are there, each feature has one, and no section is forgotten."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "features.md"

SECTIONS = (
    *("Authoring", "Control and reading", "Cron", "Stores", "Observability", "Sonar", "Deploying"),
    "Not there yet",
)
TABLES = SECTIONS[:-1]
HEAD = "| feature | what it means | shown by |"

ID = re.compile(r"`(tests/[^`]*)`")


def problems_of(page: str, root: Path = ROOT) -> list[str]:
    """What is wrong with a page of features, in the words of whoever has to mend it."""
    sections = sections_of(page)
    found = [f"the section {name!r} is missing" for name in SECTIONS if name not in sections]
    found += [f"the section {name!r} is nobody's" for name in sections if name not in SECTIONS]
    for name in TABLES:
        if name in sections:
            found += problems_of_table(name, sections[name], root)
    return found


def sections_of(page: str) -> dict[str, list[str]]:
    """The lines of each section, without the empty ones."""
    parts = re.split(r"^## (.*)$", page, flags=re.MULTILINE)[1:]
    return {
        name.strip(): [line for line in body.splitlines() if line.strip()]
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def problems_of_table(section: str, lines: list[str], root: Path) -> list[str]:
    if lines[:2] != [HEAD, "| --- | --- | --- |"] or len(lines) < 3:
        return [f"{section}: its table is not there, or has no line"]
    found = []
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 5 or cells[0] or cells[4] or not all(cells[1:3]):
            found.append(f"{section}: no line of a table with three cells: {line[:80]}")
            continue
        feature, shown = cells[1], cells[3]
        ids = ID.findall(shown)
        if not ids:
            found.append(f"{section}: {feature}: names no test")
        if rest := ID.sub("", shown).strip(", "):
            found.append(f"{section}: {feature}: beside its tests stands {rest!r}")
        found += [f"{section}: {feature}: {why}" for one in ids if (why := missing(one, root))]
    return found


def missing(node_id: str, root: Path) -> str | None:
    """Why pytest would not find it; None where it would."""
    file, *names = node_id.split("::")
    path = root / file
    if not path.is_file():
        return f"{file} is not there"
    if not names or not names[-1].startswith("test_"):
        return f"{node_id} names no test function"
    if tuple(names) not in functions_of(path):
        return f"{file} has no {'::'.join(names)}"
    return None


@cache
def functions_of(path: Path) -> frozenset[tuple[str, ...]]:
    """Functions, and methods behind the names of their classes."""
    found: set[tuple[str, ...]] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add((node.name,))
        elif isinstance(node, ast.ClassDef):
            found |= {
                (node.name, inner.name)
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return frozenset(found)


def test_every_feature_of_the_page_is_shown_by_tests_that_are_there():
    assert problems_of(PAGE.read_text()) == []


# ----------------------------------------------------------------------------------------------- that it can fail


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    text = "def test_plain(): ...\nasync def test_async(): ...\nclass TestIn:\n    def test_inner(self): ...\n"
    (tmp_path / "tests" / "test_a.py").write_text(text)
    return tmp_path


GOOD = "`tests/test_a.py::test_plain`, `tests/test_a.py::test_async`, `tests/test_a.py::TestIn::test_inner`"


def page(shown: str = GOOD, *, without: str | None = None) -> str:
    """A page whose section on cron has one line."""
    parts = ["# Features"]
    for name in SECTIONS:
        if name != without:
            line = f"| it works | always | {shown if name == 'Cron' else GOOD} |"
            parts.append(f"## {name}\n\n{HEAD}\n| --- | --- | --- |\n{line}")
    return "\n\n".join(parts) + "\n"


def test_a_page_may_name_functions_coroutines_and_methods(root: Path):
    assert problems_of(page(), root) == []


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        ("", "names no test"),
        ("everybody knows", "names no test"),
        ("`tests/test_b.py::test_plain`", "tests/test_b.py is not there"),
        ("`tests/test_a.py::test_other`", "tests/test_a.py has no test_other"),
        ("`tests/test_a.py::test_inner`", "tests/test_a.py has no test_inner"),
        ("`tests/test_a.py::TestIn::test_plain`", "tests/test_a.py has no TestIn::test_plain"),
        ("`tests/test_a.py::TestOut::test_inner`", "tests/test_a.py has no TestOut::test_inner"),
        ("`tests/test_a.py`", "tests/test_a.py names no test function"),
        ("`tests/test_a.py::TestIn`", "tests/test_a.py::TestIn names no test function"),
        (f"{GOOD}, `tests/test_a.py::test_other`", "tests/test_a.py has no test_other"),
        (f"{GOOD}, test_other", "beside its tests stands 'test_other'"),
    ],
)
def test_a_line_whose_tests_are_not_there_is_found(root: Path, shown: str, problem: str):
    assert f"Cron: it works: {problem}" in problems_of(page(shown), root)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_that_is_missing_is_found(root: Path, name: str):
    assert problems_of(page(without=name), root) == [f"the section {name!r} is missing"]


def test_a_section_that_nobody_asked_for_is_found(root: Path):
    assert problems_of(page() + "## Croon\n", root) == ["the section 'Croon' is nobody's"]


def test_a_table_without_lines_and_a_line_without_cells_are_found(root: Path):
    line = f"| it works | always | {GOOD} |"
    empty = page().replace(line, "")
    assert problems_of(empty, root) == [f"{name}: its table is not there, or has no line" for name in TABLES]
    short = page().replace("| it works | always |", "| it works |")
    assert [problem.partition(":")[2] for problem in problems_of(short, root)] == [
        f" no line of a table with three cells: {line.replace(' always |', '')[:80]}"
    ] * len(TABLES)

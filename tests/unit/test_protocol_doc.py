"""``docs/protocol.md`` is complete, and every number by which the code refers to it is a number in it.

References are read from comments and docstrings only: a chapter or section as in "protocol 3.5.3", and an invariant as
in I4. One that the page does not have is a typing mistake, or a rule that moved: both would mislead a reader.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "protocol.md"
SOURCES = ("squidmesh", "backends", "tests")

CHAPTERS = {str(n) for n in range(1, 7)}
SECTIONS = {f"3.{n}" for n in range(1, 11)}
ITEMS = {f"3.5.{n}" for n in range(1, 9)}
INVARIANTS = {f"I{n}" for n in range(1, 21)}

_HEADING = re.compile(r"^#{2,4} (\d+(?:\.\d+)*)\.?\s+\S", re.MULTILINE)
_TABLE_ROW = re.compile(r"^\| *(I\d+) *\| *\S", re.MULTILINE)
_NUMBER = r"\d+(?:\.\d+)*"
_DOTTED = r"\d+(?:\.\d+)+"
_LINK = r"(?:\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or|to)\s+|\s*[-–]\s*)"
# "protocol 3.5.3", "protocol 2 and 3.7", "protocol 3.4 to 3.9": what follows the first number must have a dot.
_RULES = re.compile(
    rf"\bprotocol(?:\.md)?\b`*,?\s+(?:(?:chapter|section|item)s?\s+)?({_NUMBER}(?:{_LINK}{_DOTTED})*)", re.IGNORECASE
)
# No leading zero, so that linter codes (I001) are no invariants.
_INVARIANT = re.compile(r"\bI(?:0|[1-9]\d*)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What the page defines: headings by number, and the invariants of its table; how often each."""

    headings: Counter[str]
    invariants: Counter[str]

    def all(self) -> set[str]:
        return {*self.headings, *self.invariants}


def numbers_of(page: str) -> Numbers:
    """Numbered headings anywhere outside code blocks; table rows that begin with an invariant, in chapter 4 only."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    chapter = re.search(r"^## 4\. .*?(?=^## |\Z)", prose, flags=re.MULTILINE | re.DOTALL)
    rows = _TABLE_ROW.findall(chapter.group()) if chapter else []
    return Numbers(headings=Counter(_HEADING.findall(prose)), invariants=Counter(rows))


def problems_of_page(page: str) -> list[str]:
    """What is missing from the page, or stands in it twice. Empty when it is complete."""
    found = numbers_of(page)
    problems = [f"heading {n} occurs {times} times" for n, times in found.headings.items() if times != 1]
    problems += [f"heading {n} is missing" for n in sorted((CHAPTERS | SECTIONS | ITEMS) - set(found.headings))]
    problems += [f"{n} occurs {times} times in the table" for n, times in found.invariants.items() if times != 1]
    problems += [f"{n} is missing from the table" for n in sorted(INVARIANTS - set(found.invariants))]
    problems += [f"{n} is in the table, unknown" for n in sorted(set(found.invariants) - INVARIANTS)]
    return problems


def prose_of(source: str, name: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every docstring and of every block of comments; a block's lines are joined."""
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    block: list[str] = []
    start = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != start + len(block):
            yield start, "\n".join(block)
            block = []
        if not block:
            start = token.start[0]
        block.append(token.string.lstrip("#: "))
    if block:
        yield start, "\n".join(block)


def references_in(source: str, name: str = "<text>") -> list[tuple[int, str]]:
    """(line, number) of each reference in the comments and docstrings of a Python source, the file ``name``."""
    found: list[tuple[int, str]] = []
    for line, text in prose_of(source, name):
        for match in _RULES.finditer(text):
            at = line + text.count("\n", 0, match.start())
            found += [(at, number) for number in re.findall(_NUMBER, match.group(1))]
        for match in _INVARIANT.finditer(text):
            found.append((line + text.count("\n", 0, match.start()), match.group()))
    return found


def dangling(folder: Path, known: set[str]) -> list[str]:
    """``path:line: number`` of each reference, in the Python sources under ``folder``, that ``known`` does not have."""
    return [
        f"{path.relative_to(folder)}:{line}: {number}"
        for top in SOURCES
        for path in sorted((folder / top).rglob("*.py"))
        for line, number in references_in(path.read_text(encoding="utf-8"), str(path))
        if number not in known
    ]


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_page_has_every_section_and_every_invariant_once(page: str) -> None:
    assert problems_of_page(page) == []


def test_every_reference_in_the_code_exists_in_the_page(page: str) -> None:
    assert references_in(Path(__file__).read_text(encoding="utf-8")), "the scan finds nothing, not even in this file"
    assert dangling(ROOT, numbers_of(page).all()) == []


@pytest.mark.parametrize("number", sorted(CHAPTERS | SECTIONS | ITEMS))
def test_a_missing_heading_is_noticed(page: str, number: str) -> None:
    without = re.sub(rf"^(#+) {re.escape(number)}(\.?\s)", r"\1 \2", page, flags=re.MULTILINE)
    assert f"heading {number} is missing" in problems_of_page(without)


@pytest.mark.parametrize("number", sorted(INVARIANTS))
def test_a_missing_or_doubled_invariant_is_noticed(page: str, number: str) -> None:
    row = re.search(rf"^\| {number} \|.*\n", page, flags=re.MULTILINE)
    assert row
    assert f"{number} is missing from the table" in problems_of_page(page.replace(row.group(), ""))
    assert f"{number} occurs 2 times in the table" in problems_of_page(page.replace(row.group(), row.group() * 2))


BAD = '''"""A module (protocol 3.11)."""

LIMIT = 5
"""Kept by I21, and by protocol 3.5.3."""


def claim() -> None:
    """Never twice (protocol 3.5.2, 3.5.9)."""
    code = "protocol 3.99 and I99 in a plain string are data"  # see protocol
    # 3.5.10 for this; not I0
'''


def test_a_wrong_reference_is_noticed(page: str, tmp_path: Path) -> None:
    for top in SOURCES:
        module = tmp_path / top / "deep" / "module.py"
        module.parent.mkdir(parents=True)
        module.write_text(BAD, encoding="utf-8")
    wrong = ["1: 3.11", "4: I21", "8: 3.5.9", "9: 3.5.10", "10: I0"]
    expected = [f"{top}/deep/module.py:{at}" for top in SOURCES for at in wrong]
    assert sorted(dangling(tmp_path, numbers_of(page).all())) == sorted(expected)


@pytest.mark.parametrize(
    ("comment", "numbers"),
    [
        ("(protocol 3.5.3)", ["3.5.3"]),
        ("See protocol 3.4 to 3.9.", ["3.4", "3.9"]),
        ("protocol 2 and 3.7", ["2", "3.7"]),
        ("docs/protocol.md, section 3.8; I1-I20", ["3.8", "I1", "I20"]),
        ("Protocol 3.1, 3.3 and 3.5.7; holds I13", ["3.1", "3.3", "3.5.7", "I13"]),
        ("noqa: I001, i18n, I2C, a protocol with 3 parts", []),
    ],
)
def test_references_are_read_in_the_forms_that_people_write(comment: str, numbers: list[str]) -> None:
    assert [number for _, number in references_in(f"# {comment}\n")] == numbers

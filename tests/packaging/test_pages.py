"""The pages hang together: what one points at is there, the index leads to each, and every public name is told of."""

import re
from collections import Counter
from pathlib import Path

import pytest

import squidmesh

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def anchors_of(page: Path) -> set[str]:
    """Of its headings, as every view of Markdown makes them."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links_of(page: Path) -> list[str]:
    dead = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        there = (page.parent / target).resolve() if target else page
        if not there.exists() or (anchor and anchor not in anchors_of(there)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_at_is_there(page: Path):
    assert dead_links_of(page) == []


def test_a_dead_link_is_seen(tmp_path: Path):
    (tmp_path / "here.md").write_text("# Here\n\n[a](there.md) [b](#here) [c](#nowhere) [d](lost.md) `[e](code.md)`\n")
    (tmp_path / "there.md").touch()
    assert dead_links_of(tmp_path / "here.md") == ["#nowhere", "lost.md"]


def test_the_index_leads_to_every_page():
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", (DOCS / "index.md").read_text(), re.MULTILINE | re.DOTALL)
    named = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    assert Counter(named) == Counter(str(page.relative_to(DOCS).with_suffix("")) for page in PAGES if _listed(page))


def _listed(page: Path) -> bool:
    return page.is_relative_to(DOCS) and page != DOCS / "index.md"


def test_the_reference_tells_of_every_public_name_once():
    told = re.findall(r"^\.\. auto\w+:: squidmesh\.(\w+)$", (DOCS / "reference.md").read_text(), re.MULTILINE)
    assert Counter(told) == Counter(name for name in squidmesh.__all__ if name != "__version__")

"""The site is built as a reader gets it, and its words are looked up; ``./dev docs`` makes the room for both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.all, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]


def dev(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "dev", *words], cwd=ROOT, capture_output=True, text=True, env=os.environ)


@pytest.fixture(scope="module")
def site() -> Path:
    built = dev("docs")
    assert built.returncode == 0, built.stderr
    return ROOT / ".tools" / "site"


def test_the_pages_build_without_a_warning(site: Path):
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert {page.stem for page in site.glob("*.html")} >= pages


def test_no_word_is_wrong(site: Path):
    command = [ROOT / ".tools" / "docs" / "bin" / "python", ROOT / "tests" / "support" / "spelling.py", ROOT]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines() == []

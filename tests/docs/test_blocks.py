"""No page shows Python that nobody runs. Each block says in its first line which file it is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python(.*?)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)

RUN_ELSEWHERE = {
    "async.md": "tests/integration/test_docs.py",
    "authoring.md": "tests/integration/test_docs.py",
    "authoring-at-run-time.md": "tests/integration/test_authoring_page.py",
    "cron.md": "tests/integration/test_cron.py",
    "getting-started.md": "tests/docs/test_getting_started.py",
    "host-integration.md": "tests/integration/test_docs.py",
    "secrets.md": "tests/integration/test_secrets_page.py",
    "sonar.md": "tests/integration/test_docs.py",
    "testing.md": "tests/integration/test_docs.py",
    "tools.md": "tests/integration/test_docs.py",
    "writing-a-backend.md": "tests/contract/test_toy.py",
}
"""Pages whose blocks a test of their own runs, and looks at what they say."""

SERVERS = {"postgres.md"}
"""Only a connection to a server that the reader has: it is compiled."""

PAGES = {page.name: BLOCK.findall(page.read_text()) for page in sorted((ROOT / "docs").glob("*.md"))}
RUN_HERE = sorted(name for name, blocks in PAGES.items() if blocks and name not in RUN_ELSEWHERE.keys() | SERVERS)


@pytest.mark.parametrize("name", RUN_HERE)
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path):
    for _, block in PAGES[name]:
        said = re.match(r"# (\w+\.py)\n", block)
        assert said, f"a block of {name} does not say which file it is"
        (tmp_path / said[1]).write_text(block)
        ended = subprocess.run(
            [sys.executable, "-W", "error", said[1]],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(RUN_ELSEWHERE))
def test_another_test_runs_the_blocks_of_a_page(name: str):
    assert PAGES[name]
    assert name in (ROOT / RUN_ELSEWHERE[name]).read_text()


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_a_block_that_needs_a_server_compiles(name: str):
    for _, block in PAGES[name]:
        compile(block, name, "exec")

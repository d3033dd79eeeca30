"""What the pages show is run as it stands there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def modules_of(page: str) -> dict[str, str]:
    """The Python blocks of a page that begin with the name of a file."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    found = {block.partition("\n")[0].removeprefix("# ").removesuffix(".py"): block for block in blocks}
    assert all(name.isidentifier() for name in found), f"a block of {page} does not say which file it is"
    assert len(found) == len(blocks)
    return found


def test_the_tests_of_the_page_on_testing_pass(pytester: pytest.Pytester):
    pytester.makepyfile(**modules_of("testing.md"))
    pytester.runpytest_subprocess("-q", "-W", "error").assert_outcomes(passed=2)

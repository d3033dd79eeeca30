"""What only the system's packages have, for tests that run with ``./dev test --all``: installed where we may, else the
test fails in one line.
"""

from pathlib import Path

import pytest

from chaos.fleet import debian
from squidmesh.testing.processes import NoServer


def files_of(package: str, pattern: str) -> list[Path]:
    """As :func:`chaos.fleet.debian.files_of`."""
    try:
        return debian.files_of(package, pattern)
    except NoServer as missing:
        pytest.fail(str(missing), pytrace=False)

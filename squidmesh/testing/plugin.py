"""The pytest plugin ``squidmesh`` (entry-point group ``pytest11``): the fixture ``squidmesh_harness``.

The only module of Squid Mesh's users' side that imports pytest; ``-p no:squidmesh`` leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from squidmesh.testing.harness import Harness


@pytest.fixture
def squidmesh_harness() -> Iterator[type[Harness]]:
    """The class :class:`squidmesh.testing.Harness`, whose instances are closed when the test is over::

    def test_the_ring_reaches_mordor(squidmesh_harness: type[Harness]) -> None:
        h = squidmesh_harness([RingErrand])
    """
    with ExitStack() as opened:

        class HarnessOfOneTest(Harness):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                opened.callback(self.close)

        yield HarnessOfOneTest

"""What every test of a tool needs: an outside, and the context of a step."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from squidmesh import Context, Workflow, manual, step
from squidmesh.testing import Harness
from tests.support.outside import Outside, outside


@pytest.fixture
def server() -> Iterator[Outside]:
    with outside() as running:
        yield running


@pytest.fixture
def context(squidmesh_harness: type[Harness]) -> Context:
    """That of a step that has been called."""
    seen: list[Context] = []

    class Begin(BaseModel): ...

    class Errand(Workflow):
        version = "1"
        begin = manual(Begin)
        charge = step(lambda context: seen.append(context))

    h = squidmesh_harness([Errand])
    h.start(Errand)
    h.drain()
    return seen[0]

"""What every test of a tool needs: an outside, and the context of a step."""

from collections.abc import Iterator

import pytest

from squidmesh import Context
from squidmesh.ids import RunId
from squidmesh.runtime.context import LeaseFlag
from tests.support.outside import Outside, outside


@pytest.fixture
def server() -> Iterator[Outside]:
    with outside() as running:
        yield running


@pytest.fixture
def context() -> Context:
    return Context(
        run_id=RunId("run-1"),
        workflow="Errand",
        step="charge",
        attempt=1,
        delivery=1,
        fence=1,
        lost=LeaseFlag(),
        load_state=dict,
    )

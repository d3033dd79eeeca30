"""The core keeps I1 to I5, I7 to I10 and I12 to I17 for graphs that fail and are undone, whatever comes upon them.

Each machine is the same; what differs is where journal and leases live.
"""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.fleet import SOME
from tests.property.saga_machine import SagaMachine


class OnMemory(SagaMachine):
    plane = "memory"


class OnSqlite(SagaMachine):
    plane = "sqlite"


class OnSqliteWithLeasesInMemory(SagaMachine):
    plane = "sqlite, leases in memory"


MACHINES: dict[type[SagaMachine], int] = {OnMemory: 40, OnSqlite: 15, OnSqliteWithLeasesInMemory: 15}
"""How many examples of each, wherever there is little time."""
FOR_LONG = 25
"""Times as many where there is time."""


@pytest.mark.parametrize("machine", MACHINES)
def test_the_core_keeps_its_promises_to_sagas(machine: type[SagaMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(SOME, max_examples=MACHINES[machine]))


@pytest.mark.all
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_core_keeps_its_promises_to_sagas_for_long(machine: type[SagaMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(SOME, max_examples=FOR_LONG * MACHINES[machine]))

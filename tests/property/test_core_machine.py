"""The core keeps I1 to I5, I7 to I9, I12 and I13, whatever workers, clients, crashes and faults come upon it.

Each machine is the same; what differs is where journal and leases live.
"""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.fleet import SOME
from tests.property.machine import CoreMachine


class OnMemory(CoreMachine):
    plane = "memory"


class OnSqlite(CoreMachine):
    plane = "sqlite"


class OnSqliteWithLeasesInMemory(CoreMachine):
    plane = "sqlite, leases in memory"


MACHINES: dict[type[CoreMachine], int] = {OnMemory: 40, OnSqlite: 20, OnSqliteWithLeasesInMemory: 20}
"""How many examples of each, wherever there is little time."""
FOR_LONG = 25
"""Times as many where there is time."""


@pytest.mark.parametrize("machine", MACHINES)
def test_the_core_does_what_a_simple_model_says(machine: type[CoreMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(SOME, max_examples=MACHINES[machine]))


@pytest.mark.all
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_core_does_what_a_simple_model_says_for_long(machine: type[CoreMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(SOME, max_examples=FOR_LONG * MACHINES[machine]))

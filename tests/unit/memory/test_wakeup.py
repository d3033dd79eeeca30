"""The memory's wake-up keeps the promises of the suite."""

import pytest

from squidmesh.memory import backend
from squidmesh.testing import VirtualClock
from squidmesh.testing.wakeup_suite import WakeupSuite


class TestWakeup(WakeupSuite):
    @pytest.fixture
    def backend(self):
        return backend("memory://", clock=VirtualClock())

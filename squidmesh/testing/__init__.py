"""For tests of what is built on Squid Mesh: a harness on a virtual clock. And the suites that every backend runs."""

from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.harness import Harness, StillGoing

__all__ = ["Harness", "StillGoing", "VirtualClock"]

"""For tests of Squid Mesh and of what is built on it: a virtual clock, and the suites that every backend runs."""

from squidmesh.testing.clock import VirtualClock

__all__ = ["VirtualClock"]

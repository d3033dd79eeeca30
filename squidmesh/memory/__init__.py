"""Both ports in memory: for tests and simulation, and small enough to read as their specification.

The journal keeps threads and rows; the leases behave like a backend with a memory of its own (``in_journal`` is false).
"""

from squidmesh.memory.connect import MemoryBackend, backend
from squidmesh.memory.journal import MemoryJournal
from squidmesh.memory.leases import MemoryLeases
from squidmesh.memory.wakeup import MemoryWakeup

__all__ = ["MemoryBackend", "MemoryJournal", "MemoryLeases", "MemoryWakeup", "backend"]

"""A lease backend in one SQLite file, small enough to read in ten minutes: docs/writing-a-backend.md walks through it.

Processes of one machine share it. It is a backend to learn from: ``sqlite:///`` without ``leases=`` is faster.
"""

from examples.toy_backend.connect import ToyBackend, backend

__all__ = ["ToyBackend", "backend"]

"""The embedded store: journal and leases in one SQLite file (the scheme ``sqlite``)."""

from squidmesh_sqlite.connect import SqliteBackend, backend

__all__ = ["SqliteBackend", "backend"]

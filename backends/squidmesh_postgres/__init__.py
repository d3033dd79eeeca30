"""The production journal: journal and leases in PostgreSQL (the scheme ``postgresql``)."""

from squidmesh_postgres.connect import PostgresBackend, backend

__all__ = ["PostgresBackend", "backend"]

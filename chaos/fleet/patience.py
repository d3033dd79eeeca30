"""How long a process of a chaos fleet waits for a PostgreSQL."""

from squidmesh_postgres import pool

_PATIENCE = {"LOCK_TIMEOUT": 1.0, "PATIENCE": 3.0, "IDLE_TIMEOUT": 3.0}
"""Seconds that a worker waits for a PostgreSQL, by their names in ``squidmesh_postgres.pool``; shorter than its own."""


def be_impatient() -> None:
    """This process waits shorter for a PostgreSQL than it would: a day waits for what its processes wait for."""
    for name, seconds in _PATIENCE.items():
        if not hasattr(pool, name):
            raise AttributeError(f"squidmesh_postgres.pool has no {name}")
        setattr(pool, name, seconds)

"""``postgresql://host/database``: from an address to a journal, its leases and a wake-up."""

from __future__ import annotations

from squidmesh.clock import Clock


class PostgresBackend:
    """One schema of one database."""

    def __init__(self, url: str) -> None:
        self.url = url


def backend(url: str, *, clock: Clock) -> PostgresBackend:
    """The factory behind the schemes ``postgresql`` and ``postgres``. The server has a clock of its own."""
    del clock
    return PostgresBackend(url)

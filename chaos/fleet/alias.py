"""One name for a Redis that each worker reaches by a wire of its own. Of this version or an earlier one."""

from __future__ import annotations

import os

from chaos.fleet.places import LEASES, PLANE


def call_it_alike() -> None:
    """A Redis is called by its address. A wire has another one, and a Redis that is empty knows nobody: it would be
    taken for another plane.
    """
    named = os.environ[PLANE].partition("?")[0]
    if named and os.environ[LEASES].startswith("redis://"):
        from squidmesh_redis.leases import RedisLeases

        RedisLeases.name = f"{named}?prefix=squidmesh"  # type: ignore[assignment, method-assign]
